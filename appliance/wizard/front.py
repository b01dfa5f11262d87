"""What a front needs of the flow behind it. Fronts show pages and pass on answers; they decide nothing."""

from typing import Protocol

from appliance.locale import Language
from appliance.wizard.page import Page


class Flow(Protocol):
    """The other side of every front: one person's way through the wizard."""

    @property
    def language(self) -> Language:
        """In which this person reads; saved."""
        ...

    def page(self) -> Page:
        """What to show now. Cheap; never blocks. After every answer and action it may be another."""
        ...

    def answer(self, field: str, value: str) -> str:
        """Keep the answer, also on disk. Returns what is wrong, in English; a wrong one is not kept."""
        ...

    def act(self, action: str) -> bool:
        """Take an action of the page, by name; False: the person leaves. May take seconds.

        Raises: ApplianceError, when it fails; the page stays as it was.
        """
        ...

    def tick(self) -> bool:
        """Look at running work; True: `page` may have something new. Never blocks; for once a second."""
        ...

    def switch_language(self) -> None:
        """The other language; all answers are kept."""
        ...

    def close(self) -> None:
        """At the end: ends what helped the flow; never a training run."""
        ...
