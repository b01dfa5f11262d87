"""The one way to run another program, and to end this one when it is told to. Standard library only."""

import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from appliance.errors import StepFailed
from appliance.sentence import reason, say

TAIL_LINES = 20
"""How many of a failed program's last lines are shown."""

STOP_WITHIN_S = 10.0
"""How long an interrupted program may take to clean up behind itself."""


def run(
    args: Sequence[str | Path],
    *,
    next_step: str,
    on_line: Callable[[str], None] = lambda line: None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a program to the end, handing each output line to `on_line` as it appears.

    stdout and stderr share one pipe, so neither can fill up unread while the other is
    awaited. Arguments are a list: a path with a space stays one argument.

    Raises: StepFailed, with the last lines the program printed.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        child = subprocess.Popen(
            [str(arg) for arg in args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=None if env is None else dict(env),
            cwd=cwd,
        )
    except OSError as error:
        raise StepFailed(
            say("{program} could not be started.", program=args[0]), why=reason(error), next_step=next_step
        ) from error
    with child:
        if child.stdout is None:
            raise RuntimeError("a pipe was asked for")
        try:
            for line in child.stdout:
                tail.append(line.rstrip())
                on_line(tail[-1])
        except BaseException:
            _stop(child)  # else leaving `with` would wait for it to end by itself
            raise
    if child.returncode != 0:
        raise StepFailed(
            say(
                "{program} failed with exit code {code}.",
                program=Path(str(args[0])).name,
                code=child.returncode,
            ),
            why=say("its last lines:\n  {lines}", lines="\n  ".join(tail)),
            next_step=next_step,
        )


def _stop(child: subprocess.Popen[str]) -> None:
    """End `child` as Ctrl-C does, so that it removes its temporary files; by force if it does not end."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()


@contextmanager
def unwinds_on(*numbers: signal.Signals) -> Iterator[None]:
    """These signals unwind the stack, as an interrupt does, instead of ending the process where it stands.

    So what lies aside, and may hold rows, goes with it. One that is ignored (nohup) stays so.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_IGN)  # a second one would break the cleaning up
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [each for each in numbers if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, end) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
