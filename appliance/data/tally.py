"""Counting rows while they stream by: how many, of what kind, from where, and what is wrong with others."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from appliance.data.share import written_share
from appliance.errors import BadInput
from appliance.run.rows import Problem, Row
from appliance.sentence import listed, say

SHOWN_PROBLEMS = 5

BY_OPTION = say("Correct them (`islet data check` lists all), or allow some with --max-bad-share.")


@dataclass
class Tally:
    """What passes on its way into a version."""

    most_problems: int = 20
    rows: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)
    """The first of them."""
    kinds: Counter[str] = field(default_factory=Counter)
    steps: dict[str, None] = field(default_factory=dict)
    origins: Counter[tuple[str, str]] = field(default_factory=Counter)
    groups: set[str] = field(default_factory=set)
    of_none: int = 0
    """Rows that name no group."""

    def through(self, items: Iterable[Row | Problem]) -> Iterator[Row]:
        """The rows; the problems are counted."""
        for item in items:
            if isinstance(item, Problem):
                self.refused += 1
                if len(self.problems) < self.most_problems:
                    self.problems.append(item)
                continue
            self.rows += 1
            self.kinds[item.kind] += 1
            self.steps.update(dict.fromkeys(item.steps))
            self.origins[item.file, item.source_sha256] += 1
            if item.group:
                self.groups.add(item.group)
            else:
                self.of_none += 1
            yield item

    def again(self, items: Iterable[Row | Problem]) -> Iterator[Row]:
        """The rows once more, which passed before; at their end, it is judged whether they are still those.

        Raises: BadInput, when the bytes of a file are others, or other rows of it could be used.
        """
        second = Tally()
        yield from second.through(items)
        if second.origins != self.origins:
            raise files_changed()

    def checked(self, items: Iterable[Row | Problem], max_bad_share: float) -> Iterator[Row]:
        """The rows; at their end, it is judged whether enough of them can be used.

        Raises: BadInput, when more are refused than may be, or none is left.
        """
        yield from self.through(items)
        check_bad_share(self.rows, self.refused, self.problems, max_bad_share, remedy=BY_OPTION)


def files_changed() -> BadInput:
    """The error for files that a second look found otherwise: what the first told is of other rows."""
    return BadInput(
        "The files changed while they were read.",
        why=say("their rows are not those that were counted a moment ago"),
        next_step="Run the command again when nobody writes to them.",
    )


def check_bad_share(
    rows: int, refused: int, problems: Sequence[Problem], max_bad_share: float, *, remedy: str
) -> None:
    """Pass if enough rows can be used.

    problems: of those that cannot, some or all
    max_bad_share: of all rows, 0 to 1
    remedy: what to do where more are refused

    Raises: BadInput, when more are refused than may be, or none is left.
    """
    total = rows + refused
    if rows and refused <= written_share(max_bad_share) * total:
        return
    if not total:
        raise BadInput("There are no rows.", why="the files hold no rows", next_step="Name files with rows.")
    lines: list[str] = [problem.sentence() for problem in problems[:SHOWN_PROBLEMS]]
    if refused > len(lines):
        lines.append(say("and {count} more", count=refused - len(lines)))
    shown = listed(lines, "\n  ")
    raise BadInput(
        say("{count} of {total} rows cannot be used.", count=refused, total=total),
        why=say("at most {share:.0%} may be refused:\n  {problems}", share=max_bad_share, problems=shown)
        if rows
        else say("none is left:\n  {problems}", problems=shown),
        next_step=remedy,
    )
