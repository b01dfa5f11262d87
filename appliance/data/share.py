"""Shares of rows, reckoned with as they were written."""

from fractions import Fraction


def written_share(share: float) -> Fraction:
    """A share as a person wrote it: 0.29 of 100 is 29, though the nearest float times 100 is below that."""
    return Fraction(str(share))
