"""The process that looks at rows through a model's eyes: `python -m appliance.training.look`.

One `appliance.training.looked.Request` on stdin, a JSON object a line on stdout, each with its `kind`:

- `stage`: `what` (a sentence), `total` (0: unknown), and `advance`: `done`
- `look`, `trial`: the fields of `Look` and `Trial`
- `refusal`: why training would refuse these rows, and `failed`: what ended the look; both with `what`,
  `why`, `next_step`, `exit_code`

What it sees may be a patient's: it goes nowhere but into that pipe, into no file, no temporary file, no
core dump, and errors that nobody foresaw are told by kind and place only. It ends when its stdin does,
which is when whoever started it ends, however that came.
"""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import msgspec

from appliance.errors import ApplianceError, HostNotReady
from appliance.model.base import check_base, resolve_base
from appliance.model.memory import free_memory_bytes, leave_no_core
from appliance.model.offline import go_offline
from appliance.run.failure import failure_fields, place_of
from appliance.run.plan import Plan
from appliance.sentence import Sentence, say, to_document
from appliance.training.control import check_pack
from appliance.training.looked import Request, look_document
from appliance.training.worker import set_threads

TELL_EVERY_S = 0.2
FIRST_TO_GO = "1000"
"""The highest score there is: without memory left, the kernel ends this process. Source: proc(5)."""


class Teller:
    """Writes lines for whoever listens; ends the process when nobody does."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._done = 0
        self._told = 0.0

    def tell(self, kind: str, **fields: Any) -> None:
        """One line."""
        try:
            self._pipe.write(msgspec.json.encode({"kind": kind, **fields}) + b"\n")
            self._pipe.flush()
        except OSError:
            _end()

    def stage(self, what: Sentence, total: int = 0) -> None:
        """Say what comes now."""
        self._done, self._told = 0, time.monotonic()
        self.tell("stage", what=to_document(what), total=total)

    def advance(self, amount: int) -> None:
        """Say how much more was done, now and then."""
        self._done += amount
        if time.monotonic() - self._told >= TELL_EVERY_S:
            self._told = time.monotonic()
            self.tell("advance", done=self._done)


def main() -> int:
    """Answer the request on stdin; the exit code."""
    _leave_no_trace()
    teller = Teller(_own_stdout())
    line = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        _answer(msgspec.json.decode(line, type=Request), teller)
    except ApplianceError as error:
        teller.tell("failed", **failure_fields(error))
        return error.exit_code
    except MemoryError:
        teller.tell("failed", **failure_fields(_too_little_memory()))
        return HostNotReady.exit_code
    except Exception as error:
        teller.tell("failed", **failure_fields(_own_bug(error)))
        return ApplianceError.exit_code
    return 0


def _answer(request: Request, teller: Teller) -> None:
    """Look, tell, and try where that was asked for.

    Raises: ApplianceError.
    """
    plan = request.plan
    free_bytes = free_memory_bytes()  # before the libraries take their part, which estimates count
    set_threads(plan)
    go_offline()
    base = _base(plan, Path(request.models_dir))
    teller.stage(say("reading the files"), len(plan.data.train))
    from appliance.training.findings import find, read_rows, to_look

    reading = read_rows(plan, teller.advance)
    teller.stage(say("putting the rows into tokens"), len(reading.rows))
    found = find(plan, base, reading, teller.advance)
    from appliance.training.loading import find_device, free_device_bytes

    device = find_device()
    if device == "cuda":
        free_bytes = free_device_bytes(device)
    look = to_look(found, plan, base, rows_shown=request.rows_shown, device=device, free_bytes=free_bytes)
    teller.tell("look", **look_document(look))
    if found.refusal is not None:
        teller.tell("refusal", **failure_fields(found.refusal))
    elif request.trial:
        from appliance.training.trial import try_training

        trial = try_training(plan, base, found.train, device=device, free_bytes=free_bytes, teller=teller)
        teller.tell("trial", **msgspec.to_builtins(trial))


def _base(plan: Plan, models_dir: Path) -> Path:
    """The folder of the plan's base, judged as for a run."""
    base = resolve_base(plan.model.base, models_dir)
    check_base(base)
    check_pack(plan.training.pack_tokens, base)
    return base


def _leave_no_trace() -> None:
    leave_no_core()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")


def _own_stdout() -> BinaryIO:
    """The pipe, for this module alone: what libraries print goes nowhere."""
    pipe = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return pipe


def _end_with_stdin() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    _end()


def _end() -> NoReturn:
    os._exit(0)


def _too_little_memory() -> HostNotReady:
    return HostNotReady(
        say("The look at the rows ran out of memory."),
        why=say("all rows are held in memory while they are looked at"),
        next_step=say("End other programs, or choose fewer rows."),
    )


def _own_bug(error: Exception) -> ApplianceError:
    return ApplianceError(
        say("The look at the rows ended by an error of the program itself."),
        why=say("{kind} at {place}", kind=type(error).__name__, place=place_of(error)),
        next_step=say("Look again; if it ends so again, run `islet doctor`."),
    )


if __name__ == "__main__":
    code = main()
    os._exit(code)  # a thread still waits for stdin, and nothing is left to be done
