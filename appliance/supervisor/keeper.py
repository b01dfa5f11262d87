"""The runs that a supervisor has in hand: a queue, what is at work, and what becomes of it.

What is in hand stands in `STATE/supervisor/runs.json`, root's alone, written whole at each change and before
what it tells of is done. So a supervisor that is killed at any point, and comes back, knows what was meant:

- a run that is at work is adopted: by process number, start time and boot, and asked to end by these alone;
- one that ended meanwhile is recorded as its events tell;
- one that was at work when the box went down, or died with it, goes on from its newest checkpoint;
- one that waits, waits on.

A run that dies under a living supervisor is not started again: what killed it may do so again.
"""

import os
import subprocess
import threading
from contextlib import suppress

import msgspec

from appliance.durable import write_whole
from appliance.errors import ApplianceError, HostNotReady, StepFailed
from appliance.run.lock import start_time
from appliance.sentence import reason, say
from appliance.site import approval, audit, roles
from appliance.site.audit import Who
from appliance.site.layout import Site
from appliance.supervisor import guarded, process
from appliance.supervisor.protocol import Line, RunState

DEEDS: dict[str, roles.Deed] = {
    "evaluate": "train",
    "export": "train",
    "dataset": "train",
    "retention": "train",
    "removal": "train",
    "report": "report",
    "approve": "approve",
    "override": "override",
}
"""What one must be allowed to, to have an event recorded."""

MAX_QUEUED = 64
MAX_RESUMED = 3
"""How often a run goes on by itself, without a person who starts it, before it is left alone."""


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run in hand."""

    run: str
    uid: int
    state: RunState
    pid: int = 0
    started: int = 0
    """Of the process, in clock ticks since boot."""
    boot: str = ""
    resumed: int = 0


class Keeper:
    """Starts, queues, adopts and ends runs of one site; safe to call from several threads."""

    def __init__(self, site: Site, *, at_once: int = 1) -> None:
        """at_once: how many runs may be at work; the others wait in the order in which they came."""
        self._site = site
        self._at_once = at_once
        self._owner = site.state.stat().st_uid
        self._file = site.state / "supervisor" / "runs.json"
        self._lock = threading.RLock()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        self._kept: list[Kept] = []

    def take_up(self) -> None:
        """Once there is no other supervisor: adopt what is at work, and go on with what was cut off.

        Raises: StepFailed, when what was in hand cannot be read.
        """
        with self._lock:
            self._kept = self._read()
            for kept in list(self._kept):
                if kept.state != "queued":
                    self._take_up(kept)
            self.tick()

    def start(self, run: str, who: Who) -> Line:
        """Start the run for its owner, or queue it.

        Raises: HostNotReady, when `who` may not, the run is in hand already, or too many wait; BadInput.
        """
        roles.check_may(who.uid, "train", self._owner)
        with self._lock:
            if self._find(run) is not None:
                raise HostNotReady(
                    say("{run} is being trained already.", run=run),
                    why=say("it is at work, or waits for its turn"),
                    next_step="Watch that one, or stop it first.",
                )
            if len(self._kept) >= MAX_QUEUED:
                raise HostNotReady(
                    "Too many runs are waiting.",
                    why=say("{count} are in hand", count=len(self._kept)),
                    next_step="Wait until one has ended, or stop one.",
                )
            with guarded.opened_run(self._site.runs, run, who.uid) as folder:
                plan = guarded.plan_sha256(folder)
                told = guarded.told_state(folder)
                review = roles.group_id(roles.REVIEW)
                if review is not None and roles.hold(self._owner):
                    guarded.share_run(folder, review, roles.RUN_MODE)
            how = "continued" if told else "new"
            audit.append(self._site.audit, "train", by=who, run=run, how=how, plan_sha256=plan)
            self._put(Kept(run, who.uid, "queued"))
            self.tick()
            kept = self._find(run)
            if kept is None:
                raise StepFailed(
                    "The run could not be started.",
                    why=say("its process ended at once"),
                    next_step="Run `islet doctor`, which checks the installation.",
                )
            return _line(kept)

    def stop(self, run: str, who: Who) -> bool:
        """Have a run end, or take it out of the queue; whether it was in hand.

        Raises: HostNotReady, when it is another's and `who` is no administrator.
        """
        with self._lock:
            kept = self._find(run)
            if kept is None:
                return False
            if kept.uid != who.uid:
                roles.check_may(who.uid, "stop any", self._owner)
            if kept.state == "queued":
                self._record_end(kept, "never begun", by=who)
                self._put(None, was=kept)
                return True
            if kept.uid != who.uid:
                audit.append(self._site.audit, "override", by=who, run=run, deed="stop")
            return process.ask_to_end(kept.pid, kept.started)

    def status(self, who: Who) -> tuple[Line, ...]:
        """What is in hand, as far as `who` may see it: one's own, or all."""
        everything = roles.may(who.uid, "see all", self._owner)
        with self._lock:
            return tuple(_line(kept) for kept in self._kept if everything or kept.uid == who.uid)

    def record(self, event: str, facts: dict[str, str | int], who: Who) -> None:
        """Add an entry of `who`. What is made of a run is said by its trainer, or by root; where there are
        roles, that it is approved is said by somebody else.

        Raises: HostNotReady, when `who` may not; BadInput, when there is no such run.
        """
        roles.check_may(who.uid, DEEDS[event], self._owner)
        run = str(facts.get("run", ""))
        if event in ("evaluate", "export"):
            with guarded.opened_run(self._site.runs, run, who.uid or None):
                pass
        elif event == "approve" and facts.get("decision") != "withdrawn":
            with guarded.opened_run(self._site.runs, run) as folder:
                trainer = os.fstat(folder).st_uid
            if roles.hold(self._owner):
                approval.check_other_person(run, trainer, who)
        audit.append(self._site.audit, event, by=who, **facts)

    def tick(self) -> None:
        """See who has ended, and start who is next."""
        with self._lock:
            for kept in list(self._kept):
                if kept.state == "running" and not self._is_alive(kept):
                    self._end(kept)
            while sum(each.state != "queued" for each in self._kept) < self._at_once:
                waiting = next((each for each in self._kept if each.state == "queued"), None)
                if waiting is None:
                    return
                self._launch(waiting)

    def _launch(self, kept: Kept) -> None:
        starting = msgspec.structs.replace(kept, state="starting", boot=process.boot_id())
        self._put(starting, was=kept)  # first: a kill between here and the next line is found out
        try:
            child = process.launch(self._site.runs / kept.run, kept.uid)
        except (OSError, KeyError, subprocess.SubprocessError):
            self._put(None, was=starting)
            self._record_end(kept, "could not be started")
            return
        self._children[child.pid] = child
        self._put(self._at_work(starting, child.pid), was=starting)

    def _at_work(self, kept: Kept, pid: int) -> Kept:
        return msgspec.structs.replace(
            kept, state="running", pid=pid, started=start_time(pid) or 0, boot=process.boot_id()
        )

    def _take_up(self, kept: Kept) -> None:
        if kept.state == "starting" and kept.boot == process.boot_id():
            pid = process.find_launched(self._site.runs / kept.run, kept.uid)
            if pid is not None:
                self._put(self._at_work(kept, pid), was=kept)
                return
        same_boot = kept.boot == process.boot_id()
        if kept.state == "running" and same_boot and process.is_alive(kept.pid, kept.started):
            audit.append(self._site.audit, "adopt", run=kept.run)
            return
        told = self._told(kept)
        # A worker that the system stopped on its way down says "stopped", as one that a person stopped does.
        ended = told in (("finished", "failed") if not same_boot else guarded.ENDED)
        if ended or kept.resumed >= MAX_RESUMED:
            self._end(kept)
            return
        waiting = Kept(kept.run, kept.uid, "queued", resumed=kept.resumed + 1)
        self._put(waiting, was=kept)
        audit.append(self._site.audit, "resume", run=kept.run, trainer=audit.name_of(kept.uid))

    def _end(self, kept: Kept) -> None:
        self._record_end(kept, self._told(kept) or "nothing")  # first: rather told twice than never
        self._put(None, was=kept)

    def _record_end(self, kept: Kept, outcome: str, by: Who | None = None) -> None:
        trainer = audit.name_of(kept.uid)
        audit.append(self._site.audit, "train-end", by=by, run=kept.run, trainer=trainer, run_tells=outcome)

    def _told(self, kept: Kept) -> str:
        with (
            suppress(ApplianceError, OSError),
            guarded.opened_run(self._site.runs, kept.run, kept.uid) as run,
        ):
            return guarded.told_state(run)
        return ""

    def _is_alive(self, kept: Kept) -> bool:
        child = self._children.get(kept.pid)
        if child is not None and child.poll() is not None:
            del self._children[kept.pid]
            return False
        return process.is_alive(kept.pid, kept.started)

    def _find(self, run: str) -> Kept | None:
        return next((kept for kept in self._kept if kept.run == run), None)

    def _put(self, kept: Kept | None, was: Kept | None = None) -> None:
        """Put a run in hand, in place of what it was, or let it go; on the disk before anything else."""
        now = [kept if each is was else each for each in self._kept]
        if was is None:
            now.append(kept)
        kept_now = [each for each in now if each is not None]
        write_whole(self._file, msgspec.json.encode(kept_now) + b"\n", mode=0o600)
        self._kept = kept_now

    def _read(self) -> list[Kept]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[Kept])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as error:
            raise StepFailed(
                say("{path} cannot be read.", path=self._file),
                why=reason(error),
                next_step="Move it away; runs that are at work go on, and end without an entry.",
            ) from error


def _line(kept: Kept) -> Line:
    return Line(kept.run, kept.uid, kept.state, kept.pid)
