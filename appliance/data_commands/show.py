"""`islet data show`: rows as the model will see them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from appliance.data_commands.files import How, how_options
from appliance.data_commands.incoming import inputs_argument
from appliance.run.plan import is_path
from appliance.site_commands import json_option, site_of

if TYPE_CHECKING:
    from appliance.locale.voice import Voice
    from appliance.run.rows import Problem, Row
    from appliance.training.document import Document
    from appliance.training.seen import Eyes


@dataclass
class _Counts:
    """What passed by."""

    rows: int = 0
    refused: int = 0
    tokens: int = 0
    learned: int = 0
    longest: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def take(self, item: "Row | Problem", documents: "list[Document] | Problem") -> None:
        """Count one row."""
        if not isinstance(documents, list):
            self.refused += 1
            return
        self.rows += 1
        self.kinds[item.kind] += 1  # type: ignore[union-attr]  # a problem has no documents
        self.tokens += sum(each.tokens for each in documents)
        self.learned += sum(each.learned for each in documents)
        self.longest = max([self.longest, *(each.tokens for each in documents)])


@click.command()
@inputs_argument
@how_options
@click.option("--model", metavar="BASE", help="Show them through this model: an installed one, or a folder.")
@click.option("--row", "numbers", type=int, multiple=True, help="Only rows of this number; may be repeated.")
@click.option("--first", type=click.IntRange(1), default=3, show_default=True, help="How many rows.")
@click.option("--count", "only_count", is_flag=True, help="Show no row, count all of them.")
@json_option
@click.pass_context
def show(
    context: click.Context,
    files: tuple[str, ...],
    how: How,
    model: str | None,
    numbers: tuple[int, ...],
    first: int,
    only_count: bool,
    as_json: bool,
) -> None:
    """Show rows of FILES as the model will see them: what it reads, and what it learns to write.

    Patients' words come to the screen: mind who looks on.
    """
    from appliance.data_commands.incoming import choose, stream_all
    from appliance.data_view import print_json, voice

    if as_json and not only_count:
        raise click.UsageError("--json needs --count: rows are for the screen alone.")
    chosen, eyes, tell = choose(context, files, how), _eyes(context, model), voice()
    items = stream_all(chosen)
    if not only_count:
        _print_rows(_picked(items, numbers, first), eyes, tell)
        return
    counts = _Counts()
    for item in items:
        counts.take(item, _documents(item, eyes))
    if as_json:
        print_json({name: value for name, value in vars(counts).items() if eyes or name in _WITHOUT_MODEL})
    else:
        _print_counts(counts, eyes is not None, tell)


_WITHOUT_MODEL = ("rows", "refused", "kinds")


def _eyes(context: click.Context, model: str | None) -> "Eyes | None":
    if model is None:
        return None
    from pathlib import Path

    from appliance.model.base import resolve_base
    from appliance.model.offline import go_offline

    go_offline()
    from appliance.training.seen import Eyes

    return Eyes(resolve_base(model, Path() if is_path(model) else site_of(context).models))


def _picked(
    items: "Iterable[Row | Problem]", numbers: tuple[int, ...], first: int
) -> "Iterable[Row | Problem]":
    """The rows that were asked for, and no more are read than that takes."""
    left = first
    for item in items:
        if not numbers:
            yield item
            left -= 1
            if not left:
                return
        elif item.row in numbers:
            yield item


def _documents(item: "Row | Problem", eyes: "Eyes | None") -> "list[Document] | Problem":
    from appliance.run.rows import Problem
    from appliance.training.document import unseen

    if isinstance(item, Problem):
        return item
    return eyes.documents(item) if eyes else unseen(item)


def _print_rows(items: "Iterable[Row | Problem]", eyes: "Eyes | None", tell: "Voice") -> None:
    from appliance.data_commands.shown import legend, problem_lines, row_lines, width
    from appliance.errors import BadInput

    cells, shown = width(), 0
    for item in items:
        documents = _documents(item, eyes)
        if isinstance(documents, list):
            lines = row_lines(item, documents, tell, cells, eyes.specials if eyes else ())  # type: ignore[arg-type]
        else:
            lines = problem_lines(documents, tell, cells)
        for line in lines:
            print(line)
        shown += 1
    if not shown:
        raise BadInput(
            "There is no such row in these files.",
            why="no row has that number",
            next_step="Give a number that `islet data check` names, or leave --row out.",
        )
    for line in legend(tell, cells):
        print(line)


def _print_counts(counts: _Counts, measured: bool, tell: "Voice") -> None:
    from appliance.data_view import kinds_text

    print(tell("rows: {rows:,}", rows=counts.rows), f"({kinds_text(counts.kinds, tell)})")
    print(tell("cannot be used: {count:,}", count=counts.refused))
    if measured:
        print(
            tell(
                "tokens: {tokens:,}, learned: {learned:,}, longest row: {longest:,}",
                tokens=counts.tokens,
                learned=counts.learned,
                longest=counts.longest,
            )
        )
