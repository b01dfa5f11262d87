"""What can go wrong for an operator, and the exit code each has.

One class for each thing the operator does next, never for the module that raised it. The
same three lines and codes stand in `install.sh`. Standard library only.
"""

from appliance.sentence import Sentence, as_sentence, say


class ApplianceError(Exception):
    """A failure that says what happened, why, and what to do next.

    The text is three lines: what, `why: …`, `next: …`. One place at the top prints it and exits.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str, next_step: str) -> None:
        super().__init__(what)
        self.what = as_sentence(what)
        self.why = as_sentence(why)
        self.next_step = as_sentence(next_step)

    def sentence(self) -> Sentence:
        """The three lines, for any language."""
        return say(
            "{what}\nwhy: {why}\nnext: {next_step}",
            what=self.what,
            why=self.why,
            next_step=self.next_step,
        )

    def __str__(self) -> str:
        return str(self.sentence())


class UntrustedBundle(ApplianceError):
    """Do not install; call the sender."""

    exit_code = 3


class UntrustedRecord(ApplianceError):
    """Change nothing; show the file as it is to the security officer."""

    exit_code = 3


class DamagedBundle(ApplianceError):
    """Copy the medium again."""

    exit_code = 4


class HostNotReady(ApplianceError):
    """Free space, load a driver, install a tool."""

    exit_code = 5


class BadInput(ApplianceError):
    """Edit the file named."""

    exit_code = 6


class StepFailed(ApplianceError):
    """A step failed; its last lines are shown."""

    exit_code = 7
