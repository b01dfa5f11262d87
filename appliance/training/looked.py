"""What a look at the data through a model's eyes finds, and the process that looks. Imports no torch.

The process (`appliance.training.look`) talks through a pipe, never through a file: what it finds holds
rows, which may be a patient's. It ends when whoever started it does.
"""

import contextlib
import math
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from appliance.data.read import FileReport, report_document, report_of
from appliance.errors import ApplianceError, HostNotReady, StepFailed
from appliance.run.failure import error_of
from appliance.run.plan import Plan, TrainingChoice
from appliance.run.rows import Problem
from appliance.sentence import from_document, say, to_document
from appliance.training.packing import total_steps

Device = Literal["cpu", "cuda"]

SHOWN_PROBLEMS = 200
CLOSE_WITHIN_S = 2.0

RECOMPUTE_FACTOR = 1.5
"""How much longer a step takes that computes its activations again: over a frozen base a step is one pass
forward and one back of about the same work, and this adds another forward. Source: Chen et al., Training
Deep Nets with Sublinear Memory Cost, 2016, section 4, without the gradients of frozen weights."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the process is asked: one line on its stdin, which stays open as long as the answer is wanted."""

    plan: Plan
    """Its paths absolute; its name is not looked at."""
    models_dir: str
    rows_shown: int
    trial: bool


class Piece(msgspec.Struct, frozen=True):
    """A stretch of a row."""

    text: str
    learned: bool
    """Whether the model is taught to write it."""


class Shown(msgspec.Struct, frozen=True):
    """A row as the model will see it, up to the last token that is learned."""

    file: str
    row: int
    pieces: tuple[Piece, ...]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a plan are to its model."""

    files: tuple[FileReport, ...]
    rows_in: int
    rows: int
    """Usable ones: those to be trained and those held out."""
    refused: int
    held_out: int
    problems: tuple[Problem, ...]
    """The first of them."""
    problem_count: int
    too_long: int
    """Rows refused for their length alone: longer than the plan's `pack_tokens`."""
    longest_refused_tokens: int
    """Tokens of the longest of these; 0 where there is none."""
    tokens: int
    """Of the rows to be trained, once."""
    learned_tokens: int
    """Of these, the ones that the model is taught to write."""
    longest_tokens: int
    """Tokens of the longest usable row."""
    lengths: tuple[tuple[int, int], ...]
    """(at most so many tokens, usable rows): each bound twice the one before; none below the shortest."""
    duplicates: int
    """Rows that are the same as one before."""
    conflicts: int
    """Rows whose question another one answers differently."""
    remarks: tuple[tuple[str, int], ...]
    """(code, rows) of everything else that the checks of `islet data check` find without a model."""
    shown: tuple[Shown, ...]
    device: Device
    free_bytes: int
    """On the device, before anything was loaded."""
    pack_tokens: int
    """The plan's: what the next two were counted for."""
    packs_per_epoch: int
    most_learned: int
    """A bound of the learned tokens in one pack."""
    estimated: tuple[tuple[str, int], ...] | None
    """Name and bytes of each part of the estimated peak; None where the model's config says too little."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What a few optimizer steps on the longest rows took, with the plan's own settings."""

    device: Device
    steps: int
    """Measured: without the first, which warms up."""
    step_s: float
    """Seconds of an optimizer step of the plan, if all its packs were like these."""
    tokens_per_s: float
    recomputed: bool
    """Whether activations were computed again, which takes time."""
    peak_bytes: int
    """CPU: the most that the process ever held; GPU: the most that torch had allocated."""
    estimated_bytes: int | None
    """What `estimate_memory` says of the plan; None where it cannot."""
    free_bytes: int
    """On the device, before anything was loaded."""
    fits: bool
    """Whether the peak is at most nine tenths of that."""


@dataclass(frozen=True)
class LookState:
    """How far a look is. `look` comes before `trial`; an error may come after either."""

    stage: str = ""
    """A sentence."""
    done: int = 0
    total: int = 0
    """0 where that is not known."""
    look: Look | None = None
    trial: Trial | None = None
    refusal: ApplianceError | None = None
    """Why training would refuse these rows: too many bad ones, none left, none to hold out."""
    error: ApplianceError | None = None
    running: bool = False


class Looking:
    """A process that looks, and a thread that listens to it."""

    def __init__(self, request: Request) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._state = LookState(stage=say("starting"), running=True)
        self._child = subprocess.Popen(
            # -P: the current folder must not be able to replace a module.
            [sys.executable, "-P", "-m", "appliance.training.look"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's warning may quote a row
            start_new_session=True,  # a Ctrl-C is for the screen
        )
        self._thread = threading.Thread(target=self._listen, args=(request,), daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    def poll(self) -> LookState:
        """How far it is. Never waits."""
        with self._lock:
            return self._state

    def close(self) -> None:
        """End the process, whatever it is at."""
        with self._lock:
            self._closed = True
            self._state = replace(self._state, running=False)
        self._child.terminate()
        try:
            self._child.wait(CLOSE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._thread.join(CLOSE_WITHIN_S)

    def _listen(self, request: Request) -> None:
        child = self._child
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("pipes were asked for")
        with contextlib.suppress(OSError):  # it ended at once: said below
            child.stdin.write(msgspec.json.encode(request) + b"\n")
            child.stdin.flush()
        with child.stdout:
            for line in child.stdout:
                with contextlib.suppress(ValueError, KeyError, TypeError):  # torn by the end of the process
                    self._take(msgspec.json.decode(line))
        code = child.wait()
        with contextlib.suppress(OSError):
            child.stdin.close()
        with self._lock:
            error, silent = self._state.error, self._state.look is None
            if (code != 0 or silent) and error is None and not self._closed:
                error = _died(code)
            self._state = replace(self._state, error=error, running=False)

    def _take(self, document: dict[str, Any]) -> None:
        """One line of the process."""
        state = self._state  # only this thread and `close` change it
        match document.pop("kind"):
            case "stage":
                said = from_document(document["what"])
                state = replace(state, stage=said, done=0, total=int(document["total"]))
            case "advance":
                state = replace(state, done=int(document["done"]))
            case "look":
                state = replace(state, look=look_of(document))
            case "trial":
                state = replace(state, trial=msgspec.convert(document, Trial))
            case "refusal":
                state = replace(state, refusal=error_of(document))
            case "failed":
                state = replace(state, error=error_of(document))
        with self._lock:
            self._state = replace(state, running=not self._closed)


def start_look(plan: Plan, models_dir: Path, *, rows_shown: int = 3, trial: bool = False) -> Looking:
    """Begin to look at the rows of `plan`; with `trial`, also to try three steps of its training.

    Raises: HostNotReady, when no process can be started.
    """
    try:
        return Looking(Request(plan, str(models_dir.absolute()), rows_shown, trial))
    except OSError as error:
        raise HostNotReady(
            say("The rows could not be looked at."),
            why=say("no process could be started: {reason}", reason=error.strerror or str(error)),
            next_step=say("End other programs and try again."),
        ) from error


def look_document(look: Look) -> dict[str, Any]:
    """`look` for a JSON document, its sentences with their parts."""
    problems = [
        {
            "file": each.file,
            "row": each.row,
            "field": to_document(each.field),
            "what": to_document(each.what),
            "fix": to_document(each.fix),
        }
        for each in look.problems
    ]
    document = msgspec.to_builtins(msgspec.structs.replace(look, problems=(), files=()))
    files = [report_document(each) for each in look.files]
    return {**document, "problems": problems, "files": files}


def look_of(document: dict[str, Any]) -> Look:
    """What `look_document` was given."""
    problems = tuple(
        Problem(each["file"], each["row"], *(from_document(each[name]) for name in ("field", "what", "fix")))
        for each in document.pop("problems")
    )
    files = tuple(report_of(each) for each in document.pop("files"))
    plain = msgspec.convert({**document, "problems": (), "files": ()}, Look)
    return msgspec.structs.replace(plain, problems=problems, files=files)


def estimate_packs(look: Look, pack_tokens: int) -> int:
    """Packs of `pack_tokens` that the rows of `look` make, as full as those that were counted."""
    if pack_tokens == look.pack_tokens or not look.packs_per_epoch:
        return look.packs_per_epoch
    share = look.tokens / (look.packs_per_epoch * look.pack_tokens)
    if look.packs_per_epoch == 1:
        share = 1.0  # it is not full because there are no more rows
    return max(1, math.ceil(look.tokens / (pack_tokens * share)))


def estimate_steps(look: Look, training: TrainingChoice) -> int:
    """Optimizer steps of a whole run."""
    return total_steps(training, estimate_packs(look, training.pack_tokens))


def estimate_tokens(look: Look, training: TrainingChoice) -> int:
    """Tokens that a whole run puts through the model."""
    packs = estimate_packs(look, training.pack_tokens)
    if not packs:
        return 0
    return round(estimate_steps(look, training) * training.packs_per_step * look.tokens / packs)


def estimate_seconds(
    look: Look, training: TrainingChoice, tokens_per_s: float, *, recomputed: bool | None = None
) -> float:
    """How long a whole run takes, checkpoints and held-out losses aside.

    tokens_per_s: as a trial measured it; recomputed: whether that trial computed activations again, if it
    may differ from `training`
    """
    seconds = estimate_tokens(look, training) / tokens_per_s
    if recomputed is None or recomputed == training.recompute_activations:
        return seconds
    return seconds * RECOMPUTE_FACTOR if training.recompute_activations else seconds / RECOMPUTE_FACTOR


def _died(code: int) -> ApplianceError:
    """What is said of a process that ended without a word."""
    if code == -signal.SIGKILL:
        return HostNotReady(
            say("The look at the rows was ended by the system."),
            why=say("most likely this box ran out of memory"),
            next_step=say("End other programs, or choose a smaller model or shorter packs."),
        )
    return StepFailed(
        say("The look at the rows ended without a word."),
        why=say("its process ended with code {code}", code=code),
        next_step=say("Look again; if it ends so again, run `islet doctor`."),
    )
