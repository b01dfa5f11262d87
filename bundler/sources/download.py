"""The one way in which the bundler fetches a file: resumed, tried again where that helps, judged by its hash.

- A file that has its final name is whole: bytes go into a part beside it, which is renamed when they hold.
  An interrupt or a kill leaves the part, and the next fetch goes on from it, whichever process that is.
- A part belongs to whoever holds its lock; a second bundler on the same cache waits for the first.
- What is in the cache counts only after its bytes were hashed again.
- Wrong bytes are not asked for twice: only where they came in pieces, which may be of two different files,
  is the whole fetched once more. More bytes than expected are not read.
- A connection that breaks is made again as often as it brings the file forward, else a few times.
- Nothing is flushed to disk on purpose: what a power cut tears, the next fetch finds by its hash.
"""

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import DamagedBundle, HostNotReady, StepFailed
from appliance.progress import Advance, Progress, amount_text
from bundler.sources.part import CHUNK_BYTES, Memory, Store, locked_part, part_path, room_for
from bundler.sources.wanted import Digest, Got, Patience, Wanted
from bundler.sources.web import Answer, Failure, Source, opened, shown

__all__ = ["Got", "Job", "NotGiven", "Patience", "Source", "Wanted", "fetch", "fetch_all", "fetch_text"]

FORWARD_BYTES = 1 << 20
"""A connection that brought this much more than any before was not in vain."""
AT_ONCE = 4
"""Files fetched side by side."""
LOCK_POLL_S = 0.2
NEXT_STEP = "Check the network and the address, then run the same command: it goes on where it stopped."


@dataclass(frozen=True)
class Job:
    """One file for `fetch_all`."""

    wanted: Wanted
    target: Path


class NotGiven(StepFailed):
    """No address gave the file; `status` and `code` are what the last one said, if it spoke HTTP."""

    def __init__(self, what: str, *, why: str, next_step: str, status: int = 0, code: str = "") -> None:
        super().__init__(what, why=why, next_step=next_step)
        self.status = status
        self.code = code


Note = Callable[[str], None]


def fetch(
    wanted: Wanted,
    target: Path,
    *,
    advance: Advance = lambda amount: None,
    note: Note = lambda text: None,
    patience: Patience | None = None,
    stop: threading.Event | None = None,
) -> Got:
    """Have the wanted file at `target`: taken from there if its bytes hold, else fetched.

    advance: told of bytes as they count; of fewer, when some turn out to count no more.
    note: told in a line what is waited for.
    stop: when set, ends the fetch soon, with the part kept.

    Raises: DamagedBundle, when an address serves other bytes; NotGiven, when none gives the file;
    HostNotReady, when the disk is full.
    """
    run = _Run(wanted, patience or Patience(), advance, note, stop or threading.Event())
    held = run.held(target)
    if held is not None:
        return held
    with room_for(target), locked_part(target, run.wait_for_other) as part:
        held = run.held(target)  # another bundler may have fetched it while we waited for its lock
        if held is None:
            held = run.fill(part)
            part.publish(target)
    return held


def fetch_all(
    jobs: Sequence[Job], *, what: str, progress: Progress, patience: Patience | None = None
) -> list[Got]:
    """`fetch` of several files, some at once, as one stage of `progress`; in the order of `jobs`.

    Jobs with one target are of one file, which is fetched once.

    Raises: as `fetch`, for the first that fails; the others end with their parts kept.
    """
    once = list({job.target: job for job in jobs}.values())
    _check_room(once)
    total = sum(job.wanted.size or 0 for job in once)
    lock, stop = threading.Lock(), threading.Event()
    waiting = iter(once)
    done: dict[Path, Got] = {}
    failed: list[BaseException] = []
    with progress.stage(what, total=total) as advance:

        def count(amount: int) -> None:
            with lock:
                advance(amount)

        def work() -> None:
            while not stop.is_set():
                with lock:
                    job = next(waiting, None)
                if job is None:
                    return
                try:
                    done[job.target] = fetch(
                        job.wanted,
                        job.target,
                        advance=count,
                        note=progress.note,
                        patience=patience,
                        stop=stop,
                    )
                except BaseException as error:  # told to whoever waits below
                    failed.append(error)
                    stop.set()

        _side_by_side(work, min(AT_ONCE, len(once)), stop)
        if failed:
            raise failed[0]
    return [done[job.target] for job in jobs]


def fetch_text(
    name: str, source: Source, *, most: int, note: Note = lambda text: None, patience: Patience | None = None
) -> bytes:
    """A listing or the like, at most `most` bytes, kept in memory: nothing pins it but who serves it.

    Raises: NotGiven, when it cannot be had; DamagedBundle, when it is longer.
    """
    wanted = Wanted(name, (source,), most=most)
    run = _Run(wanted, patience or Patience(), lambda amount: None, note, threading.Event())
    store = Memory()
    run.fill(store)
    return bytes(store.body)


def _check_room(jobs: Sequence[Job]) -> None:
    """Raises: HostNotReady, when the disk cannot hold what is to be fetched; told before the first byte."""
    missing = [job for job in jobs if not job.target.is_file()]
    if not missing:
        return
    need = sum(job.wanted.size or 0 for job in missing)
    for job in missing:
        with suppress(FileNotFoundError):  # most have no part; another bundler may just finish one
            need -= part_path(job.target).stat().st_size
    folder = next(parent for parent in missing[0].target.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < need:
        needed, there = amount_text(need, "B"), amount_text(free, "B")
        raise HostNotReady(
            "There is too little room for the downloads.",
            why=f"{needed} are needed on the disk of {folder}, {there} are free",
            next_step="Free space there, or give --cache on another disk.",
        )


def _side_by_side(work: Callable[[], None], count: int, stop: threading.Event) -> None:
    """Run `work` in threads to its end; an interrupt reaches us, stops them and is not held up by them."""
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(timeout=0.5)
    finally:
        stop.set()


class _Run:
    """One fetch."""

    def __init__(
        self, wanted: Wanted, patience: Patience, advance: Advance, note: Note, stop: threading.Event
    ) -> None:
        self._wanted = wanted
        self._patience = patience
        self._advance = advance
        self._note = note
        self._stop = stop
        self._digest = Digest(wanted)
        self._waited = False
        self._in_pieces = False
        """Whether what is held came by more than one answer."""
        self._validator = ""

    def held(self, target: Path) -> Got | None:
        """The file at `target`, if it is the wanted one; one that is not is removed."""
        if not self._wanted.is_pinned or not target.is_file():
            return None
        digest, size = Digest(self._wanted), 0
        with target.open("rb", buffering=0) as file:
            while (piece := file.read(CHUNK_BYTES)) and not self._stop.is_set():
                digest.update(piece)
                size += len(piece)
                self._advance(len(piece))
        if digest.problem() is None and self._wanted.size in (None, size):
            return Got(digest.sha256, size)
        self._advance(-size)
        if not self._stop.is_set():
            target.unlink(missing_ok=True)
        return None

    def fill(self, store: Store) -> Got:
        """Bring the whole file into `store`. Raises: as `fetch`."""
        self._take_up(store)
        reasons: list[str] = []
        last = Failure("there is no address for it", again=False)
        sources = self._wanted.sources if isinstance(self._wanted.sources, tuple) else self._wanted.sources()
        for source in sources:
            self._validator = ""
            try:
                return self._from(source, store)
            except Failure as failure:
                last = failure
                reasons.append(f"{shown(source.url)}: {failure.why}")
            except DamagedBundle:
                if source is sources[-1]:
                    raise
                reasons.append(f"{shown(source.url)}: wrong bytes")
        raise NotGiven(
            f"{self._wanted.name} could not be fetched.",
            why="; ".join(reasons) or last.why,
            next_step=NEXT_STEP,
            status=last.status,
            code=last.code,
        )

    def _take_up(self, store: Store) -> None:
        """Go on from what an earlier fetch left, where its bytes can be judged at the end."""
        if not store.size:
            return
        if not self._wanted.is_pinned or store.size > (self._wanted.size or self._wanted.most):
            store.clear()
            return
        self._in_pieces = True
        for piece in store.read_all():
            self._check_stop()
            self._digest.update(piece)
            self._advance(len(piece))

    def _from(self, source: Source, store: Store) -> Got:
        """The file by this address. Raises: Failure, DamagedBundle."""
        failures, farthest, once_more = 0, store.size, True
        while True:
            self._check_stop()
            try:
                if store.size != self._wanted.size:
                    self._receive(source, store)
                problem = self._digest.problem()
                if problem is None:
                    return Got(self._digest.sha256, store.size)
                whole = not self._in_pieces
                self._restart(store)
                if whole or not once_more:
                    raise self._wrong(source, *problem)
                once_more = False
            except Failure as failure:
                if failure.status in (206, 416):
                    self._restart(store)
                forward = store.size - farthest >= FORWARD_BYTES
                farthest = max(farthest, store.size)
                failures = 0 if forward else failures + failure.cost
                if not failure.again or failures >= self._patience.attempts:
                    raise
                self._wait(failures, failure)

    def _receive(self, source: Source, store: Store) -> None:
        """One answer, appended to `store`. Raises: Failure; DamagedBundle, when it is too long."""
        timeout_s = self._patience.timeout_s
        if not (self._wanted.is_pinned or self._validator):
            self._restart(store)  # no hash would tell if the rest were another file's
        start, validator = store.size, self._validator
        with opened(source, start=start, validator=validator, timeout_s=timeout_s) as answer:
            if answer.start != start:  # the server sends all of it, or has another file by now
                self._restart(store)
            self._in_pieces = store.size > 0
            self._validator = answer.validator
            expected = self._wanted.size if self._wanted.size is not None else answer.total
            if answer.total not in (None, expected):
                self._restart(store)
                raise self._wrong(source, f"{expected} bytes", f"{answer.total} bytes", answer)
            self._copy(source, answer, store, expected)
            if expected is not None and store.size < expected and not answer.encoding:
                raise Failure(f"the connection ended after {store.size} of {expected} bytes", again=True)
        problem = self._digest.problem()
        if problem is not None and answer.encoding:  # no second attempt changes how it is sent
            self._restart(store)
            raise self._wrong(source, *problem, answer)

    def _copy(self, source: Source, answer: Answer, store: Store, expected: int | None) -> None:
        """Append the body, no further than one byte beyond what is expected."""
        most = self._wanted.most if expected is None else expected
        since, mark = time.monotonic(), store.size
        while piece := answer.read(min(CHUNK_BYTES, most + 1 - store.size)):
            self._check_stop()
            if store.size + len(piece) > most:
                self._restart(store)
                raise self._wrong(source, f"{most} bytes at most", "more", answer)
            store.write(piece)
            self._digest.update(piece)
            self._advance(len(piece))
            if time.monotonic() - since >= self._patience.slow_s:
                if store.size - mark < self._patience.slow_bytes:
                    raise Failure("the connection all but stands still", again=True)
                since, mark = time.monotonic(), store.size

    def _restart(self, store: Store) -> None:
        """Forget what was received."""
        self._advance(-store.size)
        store.clear()
        self._digest = Digest(self._wanted)
        self._in_pieces = False
        self._validator = ""

    def _wait(self, failures: int, failure: Failure) -> None:
        """Wait before the next attempt, as long as the server asks within bounds."""
        own_s = self._patience.first_wait_s * 2 ** max(failures - 1, 0)
        wait_s = min(max(own_s, failure.wait_s), self._patience.longest_wait_s)
        if failures and wait_s >= 1:  # a line that breaks and still moves shows in the bar
            self._note(f"{self._wanted.name}: {failure.why}; trying again in {wait_s:.0f} s")
        self._stop.wait(wait_s)

    def wait_for_other(self) -> None:
        """Wait a moment for another bundler that fetches the same file."""
        if not self._waited:
            self._note(f"{self._wanted.name}: another bundler is fetching it; waiting for that")
            self._waited = True
        self._stop.wait(LOCK_POLL_S)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StepFailed(
                f"{self._wanted.name} was not fetched to its end.",
                why="another file could not be fetched, or the command was interrupted",
                next_step="Run the same command: it goes on where it stopped.",
            )

    def _wrong(self, source: Source, expected: str, got: str, answer: Answer | None = None) -> DamagedBundle:
        encoded = f", sent with the encoding {answer.encoding}" if answer and answer.encoding else ""
        return DamagedBundle(
            f"The source served wrong bytes for {self._wanted.name}.",
            why=f"expected {expected}, got {got}{encoded}, from {shown(source.url)}",
            next_step="Fetch again: run the same command. If it stays so, lock again or ask its owner.",
        )
