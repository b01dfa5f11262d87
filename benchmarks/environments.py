"""Virtual environments of the peers, each with exact versions, made once under `build/benchmarks/`."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch==2.13.0"
"""Installed first and by itself: a CPU build is taken where one is offered."""


class NoEnvironment(Exception):
    """A peer could not be installed; the text says why, in one line."""


@dataclass(frozen=True)
class Environment:
    """Where a peer lives."""

    name: str
    requirements: tuple[str, ...]
    without: tuple[str, ...] = ()
    """Packages that are taken out again after the installation."""
    emptied: tuple[str, ...] = ()
    """Packages whose code is replaced by an empty module: imported for media that text has none of."""


HUGGING_FACE = Environment(
    "huggingface",
    ("transformers==5.23.0", "peft==0.21.2", "accelerate==1.15.0", "datasets==5.2.0", "trl==1.16.0"),
)
"""The same versions of transformers and PEFT as Islet's own."""

LLAMA_FACTORY = Environment(
    "llamafactory",
    # 0.9.5 refuses at start-up what is newer than these.
    ("llamafactory==0.9.5", "transformers==5.6.0", "peft==0.18.1", "trl==0.24.0", "datasets==4.0.0"),
    # Their wheels are built for CUDA and cannot be imported beside a CPU build of torch.
    without=("torchvision",),
    emptied=("torchaudio",),
)


def make_environment(environment: Environment, folder: Path) -> Path:
    """The environment's Python under `folder`, installed if it is not there as it should be.

    Raises: NoEnvironment, when a package cannot be installed.
    """
    place = folder / environment.name
    python, ready = place / "bin" / "python", place / "ready"
    wanted = repr(environment)
    if ready.is_file() and ready.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(place, ignore_errors=True)
    print(f"Installing {', '.join(environment.requirements)}", file=sys.stderr)
    _run([sys.executable, "-m", "venv", str(place)])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _run([*pip, "install", TORCH])
    _run([*pip, "install", TORCH, *environment.requirements])
    for name in environment.without:
        _run([*pip, "uninstall", "--yes", name])
    for name in environment.emptied:
        for module in place.glob(f"lib/python*/site-packages/{name}"):
            shutil.rmtree(module)
            module.mkdir()
            (module / "__init__.py").touch()
    ready.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    """Raises: NoEnvironment, with the command's last line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise NoEnvironment(lines[-1])
