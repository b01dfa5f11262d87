"""The engine that judges a GGUF, and is not ours: llama.cpp's own server, in a child process.

It listens on a Unix socket in a folder that only this user can open: no port, no network, not even
loopback. Set for exactness: float32 keys and values, no flash attention, no cache, no GPU.
"""

import http.client
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.errors import StepFailed
from appliance.sentence import say

READY = "ready"
ANSWER_TIMEOUT_S = 600
QUIET = {"enable_thinking": False}
"""As the template is rendered in training."""

FORCING = 1e6
"""A bias beyond every logit."""

LAST_LINES = 20
NEXT_STEP = "Run `islet doctor`; if that is clean, export again and keep this message."


class Engine:
    """A loaded GGUF."""

    def __init__(self, address: Path) -> None:
        self._address = address
        self._plain: int | None = None

    def tokenize(self, text: str, *, whole: bool = False) -> list[int]:
        """Token ids of `text`, in which special tokens are recognised.

        whole: put the token that begins every text first, where the file says that there is one
        """
        answer = self._post("/tokenize", {"content": text, "parse_special": True, "add_special": whole})
        return [int(token) for token in answer["tokens"]]

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """The prompt that the GGUF's own chat template makes of `messages`."""
        return str(
            self._post("/apply-template", {"messages": list(messages), "chat_template_kwargs": QUIET})[
                "prompt"
            ]
        )

    def log_probabilities(self, prefix: Sequence[int], *, top: int) -> dict[int, float]:
        """Natural log-probabilities of the `top` likeliest tokens after the ids `prefix`, likeliest first.

        They are read before any sampling. The token that the server then samples is forced to be a
        plain letter: for a token that is half a character, it would leave the step out of its answer.
        """
        request = {"prompt": list(prefix), "n_predict": 1, "n_probs": top, "cache_prompt": True}
        answer = self._post(
            "/completion", {**request, "temperature": 0.0, "logit_bias": [[self._plain_token(), FORCING]]}
        )
        return {
            int(each["id"]): float(each["logprob"])
            for each in answer["completion_probabilities"][0]["top_logprobs"]
        }

    def _plain_token(self) -> int:
        """A token that is a whole character."""
        if self._plain is None:
            self._plain = self.tokenize("a")[0]
        return self._plain

    def _post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """The engine's answer to one request."""
        connection = _UnixConnection(self._address)
        try:
            connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = response.read()
            answer: object = json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StepFailed(
                "The engine did not answer.",
                why=say("{path}: {error}", path=path, error=repr(error)),
                next_step=NEXT_STEP,
            ) from error
        finally:
            connection.close()
        if response.status != 200 or not isinstance(answer, dict):
            raise StepFailed(
                "The engine refused a request.",
                why=say("{path}: {answer}", path=path, answer=repr(body[:300])),
                next_step=NEXT_STEP,
            )
        return answer


@contextmanager
def load_engine(gguf: Path, *, context: int, threads: int = 1) -> Iterator[Engine]:
    """The GGUF file `gguf` loaded in an engine that ends with the block.

    context: longest prompt and continuation together, in tokens

    Raises: StepFailed, with the engine's last lines, when it cannot load the file.
    """
    with tempfile.TemporaryDirectory(prefix="islet-engine-") as name:  # mode 0700
        folder = Path(name)
        address = folder / "engine.sock"  # the suffix tells llama.cpp that it is no host name
        log = folder / "log"
        # -P: the current folder must not be able to replace a module.
        command = [sys.executable, "-P", "-m", "appliance.export.engine", str(gguf), str(address)]
        with (
            log.open("wb") as lines,
            subprocess.Popen(
                [*command, str(context), str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=lines,
            ) as child,
        ):
            if child.stdin is None or child.stdout is None:
                raise RuntimeError("pipes were asked for")
            try:
                _wait_until_ready(child, log, gguf)
                yield Engine(address)
            finally:
                child.stdin.close()  # the child ends when its input does, also if this process is killed
                child.terminate()


def _wait_until_ready(child: subprocess.Popen[bytes], log: Path, gguf: Path) -> None:
    """Wait for the child's word that the file is loaded; its end without it is a failure."""
    if child.stdout is None:
        raise RuntimeError("a pipe was asked for")
    for line in child.stdout:
        if line.strip() == READY.encode():
            return
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    raise StepFailed(
        say("llama.cpp cannot load {gguf}.", gguf=gguf.name),
        why=say("its last lines:\n  {lines}", lines="\n  ".join(last)),
        next_step=NEXT_STEP,
    )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, address: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_TIMEOUT_S)
        self._address = address

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address))


def _serve(gguf: str, address: str, context: int, threads: int) -> None:
    """Load the file, say so, and answer until the input ends. Runs in the child."""
    import xllamacpp as llama

    params = llama.CommonParams()
    params.model.path = gguf
    params.hostnames = [address]
    params.offline = True
    params.ui = False
    params.n_ctx = context
    params.n_batch = params.n_ubatch = context
    params.n_gpu_layers = 0
    params.fit_params = False
    params.warmup = False
    params.cache_ram_mib = 0
    params.cache_type_k = params.cache_type_v = llama.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = llama.Server(params)
    if server.listening_address != f"unix://{address}":
        raise SystemExit(f"the engine listens at {server.listening_address}")
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
