"""What an evaluation leaves in a run's `evaluation/`: the summary, and every answer before and after."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from appliance.durable import write_whole
from appliance.errors import BadInput, HostNotReady
from appliance.run.folder import RunFolder
from appliance.sentence import reason, say

SUMMARY = "summary.json"
BEFORE = "before.jsonl"
AFTER = "after.jsonl"


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of before.jsonl and after.jsonl; both have the same rows in the same order."""

    set: str
    file: str
    """Name of the file that the row was read from."""
    row: int
    """Row in that file."""
    question: str
    """The last thing that the user said."""
    expected: str
    """Thoughts included, which are not judged; calls of tools as the model's template writes them."""
    answer: str
    right: bool
    bleu: float
    """0 to 100."""
    rouge_1: float
    """F1, 0 to 1; so are the two that follow."""
    rouge_2: float
    rouge_l: float
    perplexity: float | None
    """Of the expected answer; None where it is no finite number."""


class Scores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One set under one model."""

    exact: float
    """Share of answers equal to the expected text, outer white space and thoughts aside, whatever the set's
    judge is."""
    bleu: float
    """Of all answers together, 0 to 100."""
    rouge_1: float
    """Mean of the rows' F1, 0 to 1; so are the two that follow."""
    rouge_2: float
    rouge_l: float
    perplexity: float | None
    """Over the tokens of all expected answers; None where it is no finite number."""


class SetResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One set of questions, counted and measured."""

    name: str
    judge: Literal["exact", "contains"]
    file: str
    """The file asked from: a set of the plan, or a file in the run's `data/`."""
    sha256: str
    """64 lower-case hex digits, over that file's bytes; of a folder, over the list of its files as sha256sum
    writes it."""
    rows: int
    """Rows in that file."""
    questions: int
    """How many of them were asked."""
    right_before: int
    right_after: int
    before: Scores
    after: Scores
    trained_on: int = 0
    """How many of the questions asked stand, word for word, among the rows that the run was trained on."""


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`summary.json`."""

    sets: tuple[SetResult, ...]
    max_new_tokens: int


def write_results(
    run: RunFolder, before: Sequence[Answer], after: Sequence[Answer], summary: Summary
) -> None:
    """Write all three files; the summary comes last: it stands only beside the answers that it counts.

    Raises: HostNotReady, when they cannot be written.
    """
    folder, encode = run.evaluation, msgspec.json.encode
    try:
        folder.mkdir(exist_ok=True)
        (folder / SUMMARY).unlink(missing_ok=True)
        for name, answers in ((BEFORE, before), (AFTER, after)):
            write_whole(folder / name, b"".join(encode(answer) + b"\n" for answer in answers), mode=0o640)
        write_whole(folder / SUMMARY, msgspec.json.format(encode(summary), indent=2) + b"\n")
    except OSError as error:
        raise HostNotReady(
            "The answers could not be written.",
            why=say("{folder}: {error}", folder=folder, error=error.strerror or error),
            next_step="Free some space there and evaluate again.",
        ) from error


def read_summary(run: RunFolder) -> Summary:
    """The summary that `write_results` wrote.

    Raises: BadInput, when the run was not evaluated.
    """
    try:
        return msgspec.json.decode((run.evaluation / SUMMARY).read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError) as error:
        raise _none(run, error) from error


def read_answers(run: RunFolder) -> list[tuple[Answer, Answer]]:
    """Every row's answers (before, after), in the order asked.

    Raises: BadInput, when the run was not evaluated, or the two files are not of one evaluation.
    """
    try:
        before, after = (
            [msgspec.json.decode(line, type=Answer) for line in path.read_bytes().splitlines()]
            for path in (run.evaluation / BEFORE, run.evaluation / AFTER)
        )
        pairs = list(zip(before, after, strict=True))
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise _none(run, error) from error
    for one, other in pairs:
        if (one.set, one.file, one.row) != (other.set, other.file, other.row):
            raise _none(
                run, ValueError(say("{before} and {after} hold different rows", before=BEFORE, after=AFTER))
            )
    return pairs


def _none(run: RunFolder, error: Exception) -> BadInput:
    return BadInput(
        say("{folder} has no evaluation.", folder=run.root),
        why=reason(error),
        next_step="Run `islet eval` on it first.",
    )
