"""What lies on the wizard's desk: the site, the person's draft, and what was found out so far.

Nothing here waits: what takes time goes on in a thread or a process of its own, and `tick` looks how far
it is. Steps read the desk; the session changes it.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from appliance.data.first_look import FirstLook, look_first
from appliance.errors import ApplianceError
from appliance.locale import Language
from appliance.run.folder import open_run
from appliance.run.overview import RunLine, list_runs
from appliance.run.plan import DataFile, Plan, TrainingChoice, read_plan
from appliance.site.health.finding import Finding
from appliance.site.layout import Site
from appliance.site.preflight import look_at_box
from appliance.training.looked import Look, Looking, LookState, Trial, start_look
from appliance.wizard.draft import Draft, draft_folder, draft_stamp, read_draft, with_value, write_draft
from appliance.wizard.models import ModelFacts, read_models
from appliance.wizard.presets import Fitted, fit, preset_settings
from appliance.wizard.running import RunView

Found = TypeVar("Found")
NOT_STARTED = LookState()
SHOWN_ROWS = 3
FIRST_LOOK_S = 0.3
"""How long a page may wait for the first rows of a file before it says that it waits."""
RUNS_FRESH_S = 1.0
"""How old the list of runs may be that a page shows."""


class Later(Generic[Found]):
    """A value that a thread is finding out. `value` is None until it is there."""

    def __init__(self, find: Callable[[], Found]) -> None:
        self.value: Found | None = None
        self.error: Exception | None = None
        self._find = find
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self.value = self._find()
        except Exception as error:  # told on the page that needs the value
            self.error = error

    def wait(self, seconds: float) -> None:
        """Come back when it is done, or after so long."""
        self._thread.join(seconds)

    @property
    def done(self) -> bool:
        """Whether it was found, or cannot be."""
        return self.value is not None or self.error is not None


class Desk:
    """Everything that pages are made of."""

    def __init__(self, site: Site, folder: Path | None = None) -> None:
        """folder: where the answers are kept; None: where this user's are."""
        self.site = site
        self.folder = folder or draft_folder(site.state)
        self._kept_as = draft_stamp(self.folder)
        self.draft, self.set_aside = read_draft(self.folder)
        self.local: dict[str, Any] = {}
        """What need not survive the program: which preview is shown, what is chosen at home."""
        self.health: Later[list[Finding]] = Later(lambda: look_at_box(site))
        self.models: Later[tuple[ModelFacts, ...]] = Later(lambda: read_models(site))
        self.view: RunView | None = None
        self._runs: list[RunLine] = []
        self._runs_read_at = float("-inf")
        self._first_looks: dict[bytes, Later[FirstLook]] = {}
        self._looking: Looking | None = None
        self._look_of: object = None
        self._look = NOT_STARTED
        self._trying: Looking | None = None
        self._trial_of: object = None
        self._trial = NOT_STARTED
        if self.draft.run:
            with contextlib.suppress(ApplianceError, OSError):  # gone, or not readable any more
                self.open_run(self.draft.run)

        # the draft
        self._seen = self._sight()

    def changed(self, **fields: Any) -> Draft:
        """The draft with some fields changed; nothing is kept yet."""
        return msgspec.structs.replace(self.draft, **fields)

    def keep(self, draft: Draft) -> None:
        """Make `draft` the one that counts, on disk first.

        Where another wizard of this person has kept something since, only what is changed now is replaced.

        Raises: HostNotReady, when it cannot be written.
        """
        if draft == self.draft:
            return
        before = self.draft
        if self.take_news():
            changes = {
                name: value
                for name in draft.__struct_fields__
                if (value := getattr(draft, name)) != getattr(before, name)
            }
            draft = self.changed(**changes)
        write_draft(draft, self.folder)
        self.draft, self._kept_as = draft, draft_stamp(self.folder)

    def keep_if_possible(self, draft: Draft) -> None:
        """Make `draft` the one that counts, also where it cannot be written down: a full or closed disk must
        not keep anybody from reading his language, and from seeing and stopping a run.
        """
        try:
            self.keep(draft)
        except ApplianceError:
            self.draft = draft

    def take_news(self) -> bool:
        """Take over what another wizard of this person has kept; whether there was something."""
        stamp = draft_stamp(self.folder)
        if stamp is None or stamp == self._kept_as:
            return False
        found, aside = read_draft(self.folder)
        self._kept_as = stamp
        if aside is not None or found == self.draft:
            return False
        self.draft = found
        return True

    @property
    def language(self) -> Language:
        """The person's language; English until one is chosen."""
        return self.draft.language or "en"

    def answer_file(self) -> Path:
        """Where the answers are saved as a plan."""
        return self.site.state / "plans" / f"{self.draft.plan.name}.toml"

    # the box

    def look_at_box_again(self) -> None:
        """Have the box looked at anew."""
        self.health = Later(lambda: look_at_box(self.site))

    def model(self, name: str | None = None) -> ModelFacts | None:
        """The model of the draft's plan, or the one named; None while unknown or not installed."""
        wanted = self.draft.plan.model.base if name is None else name
        return next((each for each in self.models.value or () if each.name == wanted), None)

    # the data, as its files are

    def first_look(self, file: DataFile) -> Later[FirstLook]:
        """What `file` is taken for."""
        key = msgspec.json.encode(file)
        if key not in self._first_looks:
            self._first_looks[key] = Later(lambda: look_first(file))
            self._first_looks[key].wait(FIRST_LOOK_S)  # most files: no page between two questions
        return self._first_looks[key]

    # the data, as the model sees it

    def look(self) -> LookState:
        """How far the look at the draft's data is; begins one where the answers ask for it."""
        plan = self.draft.plan
        training, data = plan.training, plan.data
        key = (plan.model, data, training.pack_tokens, training.seed)
        if key != self._look_of:
            self._end_look()
            self._look_of = key
            if plan.model.base and plan.data.train:
                self._looking, self._look = self._start(plan, SHOWN_ROWS, trial=False)
        return self._look

    def _start(self, plan: Plan, rows_shown: int, *, trial: bool) -> tuple[Looking | None, LookState]:
        """A look at the rows of `plan`; what keeps it from starting is its outcome."""
        try:
            looking = start_look(plan, self.site.models, rows_shown=rows_shown, trial=trial)
        except ApplianceError as error:
            return None, LookState(error=error)
        return looking, looking.poll()

    def look_again(self) -> None:
        """Forget what was seen: the files may have changed."""
        self._look_of = None
        self._first_looks.clear()

    def found(self) -> Look | None:
        """What the look found, once it is through."""
        return self.look().look

    # memory and time

    def settings(self, training: TrainingChoice | None = None) -> Fitted | None:
        """The draft's settings, or `training`, as this box can run them; None while the data is looked at."""
        look, model = self.found(), self.model()
        if look is None or model is None:
            return None
        return fit(training or self.wanted(self.draft), model.shape, look)

    def wanted(self, draft: Draft) -> TrainingChoice:
        """What the preset of `draft` means for its model and rows, whether or not it fits."""
        model = self.model(draft.plan.model.base)
        # Rows that were counted in the tokens of another model say nothing.
        counted = draft.plan.model.base == self.draft.plan.model.base
        return preset_settings(
            draft.preset,
            draft.plan.training,
            context_tokens=model.context_tokens if model else None,
            shape=model.shape if model else None,
            look=self._look.look if counted else None,
        )

    def trial(self) -> LookState:
        """How far a trial of the draft's settings is, as this box can run them; begins one where none is.

        None is begun of what does not fit.
        """
        fitted = self.settings()
        if fitted is None:
            return self._trial
        training = fitted.training
        memory = (training.nf4, training.recompute_activations, training.pack_tokens, training.rank)
        key = (self._look_of, *memory, fitted.fits)
        if key != self._trial_of:
            self._end_trial()
            self._trial_of = key
            if fitted.fits:
                plan = with_value(self.draft.plan, "training", training)
                self._trying, self._trial = self._start(plan, 0, trial=True)
        return self._trial

    def try_again(self) -> None:
        """Forget what was measured: other programs may have taken memory since."""
        self._trial_of = None

    def measured(self) -> Trial | None:
        """What the trial measured, once it is through."""
        return self._trial.trial

    # the runs

    @property
    def known_runs(self) -> list[RunLine]:
        """What `runs` last found."""
        return self._runs

    def runs(self) -> list[RunLine]:
        """All runs, the newest first: by day, which begins the name, then by when their work began."""
        now = time.monotonic()
        if now - self._runs_read_at > RUNS_FRESH_S:
            lines = list_runs(self.site.runs)
            self._runs = sorted(lines, key=lambda line: (line.name[:10], line.started), reverse=True)
            self._runs_read_at = now
        return self._runs

    def open_run(self, name: str) -> None:
        """Have the later pages be about the run `name`.

        Raises: BadInput, when it is gone or its plan cannot be read; OSError, when it is another user's.
        """
        self.view = None
        view = RunView(open_run(self.site.runs / name))
        read_plan(view.run.plan)  # so that no page about it meets a plan that it cannot read
        view.refresh()
        self.view = view

    @property
    def run(self) -> RunView:
        """The run that the later pages are about.

        Raises: RuntimeError, on a page that is not about one.
        """
        if self.view is None:
            raise RuntimeError("this page is about no run")
        return self.view

    # time

    def tick(self) -> bool:
        """Look how far everything is; whether something changed. Never waits."""
        if self._looking is not None:
            self._look = self._looking.poll()
        if self._trying is not None:
            self._trial = self._trying.poll()
        before, self._seen = self._seen, self._sight()
        return before != self._seen or self._run_changed()

    def _sight(self) -> tuple[object, ...]:
        """What is compared from tick to tick: threads end, and new ones begin, between two of them."""
        looked = tuple(each.done for each in self._first_looks.values())
        return self.health, self.health.done, self.models, self.models.done, self._look, self._trial, looked

    def _run_changed(self) -> bool:
        try:
            return self.view is not None and self.view.refresh()
        except OSError:  # what cannot be read has no news
            return False

    def close(self) -> None:
        """End the processes that only serve the screen; never a run."""
        self._end_look()
        self._end_trial()

    def _end_look(self) -> None:
        if self._looking is not None:
            self._looking.close()
        self._looking, self._look = None, NOT_STARTED

    def _end_trial(self) -> None:
        if self._trying is not None:
            self._trying.close()
        self._trying, self._trial = None, NOT_STARTED
