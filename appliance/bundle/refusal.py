"""How the two verifiers put a refusal into words.

`install.sh` prints the same three lines with the same exit code; the table of attacks in the
tests holds both to it. Paths of this box never appear, so that the lines can be read out on
the telephone.
"""

from appliance.errors import DamagedBundle, UntrustedBundle
from appliance.sentence import say


def untrusted(what: str, why: str) -> UntrustedBundle:
    """A bundle that nobody may install, whoever copied it."""
    return UntrustedBundle(
        what, why=why, next_step="Do not install it. Call the sender and read these lines out."
    )


def damaged(what: str, why: str) -> DamagedBundle:
    """A bundle that did not arrive whole."""
    return DamagedBundle(what, why=why, next_step="Copy the bundle again, or this one file, and start again.")


def damaged_file(name: str) -> DamagedBundle:
    """A file whose bytes are not the signed ones."""
    return damaged(say("{name} is damaged.", name=name), "its SHA-256 is not the one that was signed")


def unreadable_file(name: str) -> DamagedBundle:
    """A file that is there and whose bytes the medium does not give."""
    return damaged(say("{name} cannot be read.", name=name), "the medium does not give its bytes")


def missing_file(name: str) -> DamagedBundle:
    """A file that every bundle has, or that the signed list names, and the medium lacks."""
    return damaged(say("{name} is missing.", name=name), "the bundle is not whole without it")


def malformed(name: str, why: str) -> UntrustedBundle:
    """A control file that breaks the grammar of its format."""
    return untrusted(say("{name} is not written as it must be.", name=name), why)
