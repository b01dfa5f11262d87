"""Before and after: the same questions to the base alone and to the base with the run's adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from appliance.data.read import check_bad_share, read_file
from appliance.durable import write_whole
from appliance.errors import BadInput, HostNotReady
from appliance.evaluation.ask import ask
from appliance.evaluation.judge import is_right
from appliance.model.base import check_base, load_base, load_tokenizer, stop_ids
from appliance.progress import Progress, Silent
from appliance.run.folder import RunFolder, read_base
from appliance.run.plan import Plan, QuestionSet, read_plan
from appliance.run.rows import Row


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of before.jsonl and after.jsonl."""

    set: str
    row: int
    """Row in the set's file."""
    question: str
    """The last thing that the user said."""
    expected: str
    answer: str
    right: bool


class SetResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One set of questions, counted."""

    name: str
    judge: Literal["exact", "contains"]
    questions: int
    right_before: int
    right_after: int


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`summary.json`."""

    sets: tuple[SetResult, ...]
    max_new_tokens: int


@dataclass(frozen=True)
class _Set:
    """A set of questions, read."""

    choice: QuestionSet
    rows: tuple[Row, ...]


def evaluate(run: RunFolder, progress: Progress | None = None) -> Summary:
    """Ask every set of the run's plan before and after; the counts, which also stand in `evaluation/`.

    Whoever starts the process calls `appliance.model.offline.set_offline` before any library is imported.

    Raises: BadInput, when the plan has no sets, a set has a bad row, the base cannot be used, or the run
    has no adapter yet; HostNotReady, when the answers cannot be written.
    """
    plan = read_plan(run.plan)
    sets = _read_sets(plan)
    if not (run.adapter / "adapter_model.safetensors").is_file():
        raise BadInput(
            f"{run.root} has no adapter yet.",
            why="there is nothing to compare the base with before training has ended",
            next_step="Train the run to its end first.",
        )
    before, after = _answers(run, plan, sets, progress or Silent())
    results = tuple(
        SetResult(
            each.choice.name,
            each.choice.judge,
            len(each.rows),
            _right(before, each.choice.name),
            _right(after, each.choice.name),
        )
        for each in sets
    )
    summary = Summary(results, plan.evaluation.max_new_tokens)
    _write(run.evaluation, before, after, summary)
    return summary


def read_summary(run: RunFolder) -> Summary:
    """The summary that `evaluate` wrote.

    Raises: BadInput, when the run was not evaluated.
    """
    try:
        return msgspec.json.decode((run.evaluation / "summary.json").read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(
            f"{run.root} has no evaluation.", why=str(error), next_step="Run `islet eval` on it first."
        ) from error


def _read_sets(plan: Plan) -> list[_Set]:
    if not plan.evaluation.sets:
        raise BadInput(
            "The plan has no questions.",
            why="`evaluation.sets` is empty",
            next_step="Add a set of questions with the answers expected to the plan, and make a new run.",
        )
    sets = []
    for choice in plan.evaluation.sets:
        reading = read_file(Path(choice.path), system=plan.model.system)
        check_bad_share(len(reading.rows), reading.problems, 0.0)
        sets.append(_Set(choice, reading.rows))
    return sets


def _answers(
    run: RunFolder, plan: Plan, sets: Sequence[_Set], progress: Progress
) -> tuple[list[Answer], list[Answer]]:
    """Everything that the base, and then the base with the adapter on it, answers."""
    import torch
    from peft import PeftModel

    if plan.training.threads:
        torch.set_num_threads(plan.training.threads)
    base = read_base(run)
    check_base(base)
    tokenizer = load_tokenizer(base)
    stops = stop_ids(base, tokenizer)
    model = load_base(base).to("cuda" if torch.cuda.is_available() else "cpu")
    limit = plan.evaluation.max_new_tokens
    before = _asked("asking the base", model, tokenizer, stops, sets, limit, progress)
    tuned = PeftModel.from_pretrained(model, run.adapter).eval()
    after = _asked("asking the tuned model", tuned, tokenizer, stops, sets, limit, progress)
    return before, after


def _asked(
    what: str,
    model: Any,
    tokenizer: Any,
    stops: Sequence[int],
    sets: Sequence[_Set],
    max_new_tokens: int,
    progress: Progress,
) -> list[Answer]:
    pairs = [(each.choice, row) for each in sets for row in each.rows]
    with progress.stage(what, total=len(pairs), unit="questions") as advance:
        texts = ask(
            model,
            tokenizer,
            [row.question for _, row in pairs],
            stop_ids=stops,
            max_new_tokens=max_new_tokens,
            advance=advance,
        )
    return [
        Answer(
            choice.name,
            row.row,
            row.question[-1].content,
            row.answer,
            text,
            is_right(text, row.answer, choice.judge),
        )
        for (choice, row), text in zip(pairs, texts, strict=True)
    ]


def _right(answers: Sequence[Answer], name: str) -> int:
    return sum(answer.right for answer in answers if answer.set == name)


def _write(folder: Path, before: Sequence[Answer], after: Sequence[Answer], summary: Summary) -> None:
    """The summary comes last: it stands only beside the answers that it counts."""
    encode = msgspec.json.encode
    try:
        folder.mkdir(exist_ok=True)
        (folder / "summary.json").unlink(missing_ok=True)
        for name, answers in (("before.jsonl", before), ("after.jsonl", after)):
            write_whole(folder / name, b"".join(encode(answer) + b"\n" for answer in answers), mode=0o640)
        write_whole(folder / "summary.json", msgspec.json.format(encode(summary), indent=2) + b"\n")
    except OSError as error:
        raise HostNotReady(
            "The answers could not be written.",
            why=f"{folder}: {error.strerror or error}",
            next_step="Free some space there and evaluate again.",
        ) from error
