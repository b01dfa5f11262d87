"""One thing that was looked at, for people and for scripts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    what: str
    why: str = ""
    next_step: str = ""
    blocking: bool = False
    """Whether nothing can be done here before it is mended: the wizard does not go on. What only makes work
    slow, or a later step doubtful, does not block."""
    code: str = ""
    """The same word in every language and release: `gpu.driver`."""
    facts: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    """What was measured, for scripts; units are in the names."""
