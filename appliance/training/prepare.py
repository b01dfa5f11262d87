"""From the plan's files to examples ready for training, with everything that was refused on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.data.canonical import Check, read_check, read_rows, write_check, write_rows
from appliance.data.kinds import of_kind
from appliance.data.read import read_files
from appliance.data.registry.reference import check_unchanged
from appliance.data.split import split_held_out
from appliance.data.tally import check_bad_share
from appliance.errors import BadInput
from appliance.run.folder import RunFolder
from appliance.run.plan import Plan
from appliance.run.rows import Problem, Row
from appliance.sentence import say
from appliance.training.encode import Encoder, Example


@dataclass(frozen=True)
class Prepared:
    """What is trained on and what is held out."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    check: Check


def prepare(run: RunFolder, plan: Plan, tokenizer: Any) -> Prepared:
    """The run's examples; read from the plan's files the first time, from the run's own `data/` after.

    A run that goes on must see what it saw before, also when somebody edited the files since.

    Raises: BadInput, when more rows are refused than the plan allows, or none can be held out.
    """
    encoder = Encoder(tokenizer, max_tokens=plan.training.pack_tokens)
    paths = run.data / "train.parquet", run.data / "held_out.parquet", run.data / "check.json"
    if not paths[2].is_file():
        _check_files(run, plan, encoder)
    sides = []
    for path in paths[:2]:
        encoded, _ = encoder.encode(read_rows(path))
        sides.append(tuple(example for _, examples in encoded for example in examples))
    return Prepared(sides[0], sides[1], read_check(paths[2]))


def _check_files(run: RunFolder, plan: Plan, encoder: Encoder) -> None:
    """Read, judge, split and write; the report comes last, so that its presence says that all is there."""
    check_unchanged(plan.data.train)
    reading = of_kind(read_files(plan.data.train, system=plan.model.system), "chat")
    encoded, too_long = encoder.encode(reading.rows)
    problems = [*reading.problems, *too_long]
    train, held_out = split_rows([row for row, _ in encoded], problems, plan)
    run.data.mkdir(exist_ok=True)
    write_rows(run.data / "train.parquet", train)
    write_rows(run.data / "held_out.parquet", held_out)
    check = Check(
        rows_in=len(reading.rows) + len(reading.problems),
        train_rows=len(train),
        held_out_rows=len(held_out),
        refused_rows=len(problems),
        files=reading.files,
        problems=tuple(problems),
    )
    write_check(run.data / "check.json", check)


def split_rows(
    rows: Sequence[Row], problems: Sequence[Problem], plan: Plan
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """(train, held out) of the usable `rows`, judged beside the `problems` of those that are not.

    Raises: BadInput, when more rows are refused than the plan allows, or none can be held out.
    """
    remedy = say("Correct these rows, or allow a larger share in the plan (data.max_bad_share).")
    check_bad_share(len(rows), len(problems), problems, plan.data.max_bad_share, remedy=remedy)
    train, held_out = split_held_out(rows, plan.data.held_out_share, seed=plan.training.seed)
    if plan.data.held_out_share > 0 and not held_out:
        raise BadInput(
            "No row can be held out.",
            why=say(
                "`data.held_out_share` is {share}, and {count} rows with "
                "{questions} different questions leave none to spare",
                share=plan.data.held_out_share,
                count=len(rows),
                questions=len({row.question for row in rows}),
            ),
            next_step="Add rows, or set data.held_out_share to 0.",
        )
    return train, held_out
