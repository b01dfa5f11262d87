"""The plan: every choice of one run, written by the wizard or by hand, read by `islet train --plan`.

Read once, strictly: an unknown field or a wrong type is refused with its name. Never changed
after the run has started. PEFT and Trainer settings are derived from it, each in one place.
"""

import math
import re
from pathlib import Path
from typing import Literal

import msgspec
import tomli_w

from appliance.durable import write_whole
from appliance.errors import BadInput
from appliance.sentence import say

RUN_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
EXPORT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,78}[a-z0-9])?")
"""What Ollama takes as a model's name, without a tag and without a namespace."""

PLAN_LIMIT_BYTES = 1_000_000

ONE_LENGTH = say("one of them says how long the run is; leave the other out")

FormatName = Literal["auto", "alpaca", "sharegpt", "messages", "pairs", "text"]
"""Names of the shapes of rows: how a file writes conversations, pairs of answers, or texts."""

FieldName = Literal[
    "prompt", "query", "response", "thinking", "history", "system", "tools", "messages",
    "chosen", "rejected", "kto_tag", "text", "images", "videos", "audios",
]  # fmt: skip
"""What a column can be. Source: LLaMA-Factory, data/README.md; `thinking` and `text` are ours."""

TagName = Literal[
    "role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag"
]
"""Names for the parts of a turn, and for who speaks. Source: the same."""


class ModelChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model is tuned, and how it is addressed."""

    base: str
    """Name of an installed model (`org/name`), or the path of a folder that holds one."""
    system: str = ""
    """System prompt, trained with every row that has none of its own and written into the Modelfile."""


class DataFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of training rows, or a folder or an archive of them."""

    path: str
    """Absolute, or relative to the plan file; `dataset:NAME@VERSION` names rows of the site's own."""
    format: FormatName = "auto"
    """How the rows are written; `auto` detects it and the report says what was found."""
    sheet: str = ""
    """Of a workbook with several: which one."""
    dataset: str = ""
    """Name of an entry, where `path` is a `dataset_info.json` or the folder of one."""
    columns: dict[FieldName, str] = {}
    """The file's column for a field, where its name does not say it; "": that field is not read."""
    tags: dict[TagName, str] = {}
    """How the turns of a conversation are written, where that is neither ShareGPT's nor OpenAI's way."""
    registered: str = ""
    """`NAME@VERSION`, where `path` was made of such a name; filled in when a run is made."""
    sha256: str = ""
    """What the file's bytes must be; filled in with `registered`. "": whatever they are."""


class DataChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is learned from."""

    train: tuple[DataFile, ...]
    held_out_share: float = 0.0
    """Share of the rows, 0 to 0.5, kept out of training for the validation loss."""
    max_bad_share: float = 0.0
    """Share of rows, 0 to 1, that may be refused before the run stops."""


class TrainingChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is learned. Defaults are the preset *balanced*."""

    method: Literal["lora", "qlora"] = "lora"
    """`lora`: over the base as it is stored. `qlora`: over the base in four bits (NF4, double quantisation),
    which takes about a quarter of the memory of a 16-bit one."""
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    learning_rate: float = 2e-4
    epochs: float = 3.0
    """Passes over the training rows; left out where `steps` is set."""
    steps: int = 0
    """Optimizer steps; 0: as many as `epochs` makes."""
    warmup_steps: int = -1
    """Optimizer steps in which the learning rate rises to its value; -1: 10, or a tenth of all steps where
    that is less."""
    pack_tokens: int = 2048
    """Longest packed sequence, in tokens; a longer row is reported and refused, never cut."""
    packs_per_step: int = 1
    """Packed sequences an optimizer step (gradient accumulation)."""
    recompute_activations: bool = False
    """Keep less for the way back and compute it again: much less memory, slower by a third or more."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    checkpoint_every_steps: int = 50
    keep_checkpoints: int = 2
    seed: int = 1
    threads: int = 0
    """CPU threads; 0: as many as the box has. Fixed threads make a run repeatable to the bit."""

    @property
    def nf4(self) -> bool:
        """Whether the base is quantised to four bits, in training and wherever the adapter is tried."""
        return self.method == "qlora"


class QuestionSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Questions with the answers expected, asked before and after."""

    name: str
    path: str
    """Rows of questions and answers in any shape: a path or a name as of `DataFile`."""
    judge: Literal["exact", "contains"] = "exact"
    """`exact`: the answer is the expected text, `contains`: it holds it; outer spaces and thoughts aside."""
    registered: str = ""
    """As of `DataFile`; so is the hash."""
    sha256: str = ""


class EvaluationChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked before and after."""

    sets: tuple[QuestionSet, ...] = ()
    max_new_tokens: int = 128


class ExportChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What leaves the run."""

    name: str = "islet-model"
    """Name of the model in Ollama and of the files."""
    gguf: tuple[Literal["f16", "bf16", "f32", "q8_0"], ...] = ("f16",)
    """Types of the GGUF files to write; the Modelfile names the first."""
    merge_into: Literal["dequantised", "original"] = "dequantised"
    """For an adapter trained over a quantised base: into that base's values as they were in training, or
    into the unquantised ones. Any other adapter is merged into the base as it is."""
    num_ctx: int = 0
    """Context length in tokens written into the Modelfile; 0: the model's own, at most 8192."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All choices of one run."""

    format: Literal["islet-plan-1"]
    name: str
    """Short name of the run: lower-case letters, digits and `-`."""
    model: ModelChoice
    data: DataChoice
    training: TrainingChoice = msgspec.field(default_factory=TrainingChoice)
    evaluation: EvaluationChoice = msgspec.field(default_factory=EvaluationChoice)
    export: ExportChoice = msgspec.field(default_factory=ExportChoice)


def read_plan(path: Path) -> Plan:
    """The plan in the file at `path`, judged; its paths are as written.

    Raises: BadInput, when the file cannot be read, a field is unknown or has a wrong type, or a value
    is out of range; the message names the field.
    """
    try:
        with path.open("rb") as file:
            content = file.read(PLAN_LIMIT_BYTES + 1)
    except OSError as error:
        raise _bad(path, say("it cannot be read: {error}", error=error.strerror)) from error
    if len(content) > PLAN_LIMIT_BYTES:
        raise _bad(path, say("it is larger than {most} bytes", most=PLAN_LIMIT_BYTES))
    try:
        document = msgspec.toml.decode(content)
        plan = msgspec.convert(document, type=Plan)
    except msgspec.ValidationError as error:
        raise _bad(path, in_words(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(path, say("it is no TOML: {error}", error=error)) from error
    if plan.training.steps and "epochs" in document["training"]:
        raise _bad(path, say("`training.steps` and `training.epochs` contradict: {rule}", rule=ONE_LENGTH))
    check_plan(plan, source=path)
    return plan


def write_plan(plan: Plan, path: Path) -> None:
    """Write `plan` as TOML, whole or not at all; `read_plan` gives an equal value back."""
    document = msgspec.to_builtins(plan)
    if plan.training.steps:
        del document["training"]["epochs"]  # it says nothing there, and a plan with both is refused
    write_whole(path, tomli_w.dumps(document).encode())


def absolute(plan: Plan, beside: Path) -> Plan:
    """`plan` with every path absolute; relative ones start at the folder `beside`.

    A base that names an installed model stays a name: only one that begins with `.` or `/` is a path.
    """

    def placed(path: str) -> str:
        return str((beside / Path(path).expanduser()).resolve())

    replace = msgspec.structs.replace
    files = tuple(replace(file, path=placed(file.path)) for file in plan.data.train)
    sets = tuple(replace(questions, path=placed(questions.path)) for questions in plan.evaluation.sets)
    base = placed(plan.model.base) if is_path(plan.model.base) else plan.model.base
    return replace(
        plan,
        model=replace(plan.model, base=base),
        data=replace(plan.data, train=files),
        evaluation=replace(plan.evaluation, sets=sets),
    )


def is_path(base: str) -> bool:
    """Whether a plan's base is the path of a folder and not the name of an installed model."""
    return base.startswith((".", "/", "~"))


def check_plan(plan: Plan, *, source: Path | str = "") -> None:
    """Judge what types alone cannot.

    Raises: BadInput, naming the first field that is out of range.
    """
    for field, holds, rule in _rules(plan):
        if not holds:
            raise _bad(source or say("the plan"), say("`{field}` {rule}", field=field, rule=rule))


def field_problem(plan: Plan, field: str) -> str:
    """What is wrong with one field of `plan`, by its name in the file (`training.rank`); "" if nothing is."""
    return next((rule for name, holds, rule in _rules(plan) if name == field and not holds), "")


def _rules(plan: Plan) -> list[tuple[str, bool, str]]:
    """(field, whether it is in order, what it must be), cheap enough to judge all of them at once."""
    data, training, evaluation, export = plan.data, plan.training, plan.evaluation, plan.export
    names = [questions.name for questions in evaluation.sets]
    return [
        (
            "name",
            bool(RUN_NAME.fullmatch(plan.name)),
            say("must be 1 to 40 lower-case letters, digits and `-`"),
        ),
        ("model.base", bool(plan.model.base.strip()), say("must name a model or a folder")),
        ("data.train", len(data.train) > 0, say("must list at least one file")),
        ("data.train.path", all(file.path for file in data.train), say("must not be empty")),
        ("data.held_out_share", 0 <= data.held_out_share <= 0.5, say("must be from 0 to 0.5")),
        ("data.max_bad_share", 0 <= data.max_bad_share <= 1, say("must be from 0 to 1")),
        ("training.rank", 1 <= training.rank <= 1024, say("must be from 1 to 1024")),
        ("training.alpha", 0 < training.alpha <= 4096, say("must be above 0, at most 4096")),
        ("training.dropout", 0 <= training.dropout < 1, say("must be at least 0 and below 1")),
        ("training.learning_rate", 0 < training.learning_rate <= 1, say("must be above 0, at most 1")),
        ("training.epochs", 0 < training.epochs <= 10_000, say("must be above 0, at most 10000")),
        ("training.steps", 0 <= training.steps <= 10_000_000, say("must be from 0 to 10000000")),
        (
            "training.steps",
            not training.steps or training.epochs == 3.0,
            say("and `epochs` contradict: {rule}", rule=ONE_LENGTH),
        ),
        ("training.warmup_steps", training.warmup_steps >= -1, say("must be 0 or more, or -1")),
        (
            "training.warmup_steps",
            not training.steps or training.warmup_steps < training.steps,
            say(
                "must be fewer than the {steps} of `training.steps`, or the full rate is never reached",
                steps=training.steps,
            ),
        ),
        ("training.pack_tokens", 16 <= training.pack_tokens <= 1_048_576, say("must be from 16 to 1048576")),
        ("training.packs_per_step", 1 <= training.packs_per_step <= 4096, say("must be from 1 to 4096")),
        ("training.weight_decay", 0 <= training.weight_decay <= 1, say("must be from 0 to 1")),
        (
            "training.max_grad_norm",
            training.max_grad_norm > 0 and math.isfinite(training.max_grad_norm),
            say("must be above 0"),
        ),
        ("training.checkpoint_every_steps", training.checkpoint_every_steps >= 1, say("must be 1 or more")),
        ("training.keep_checkpoints", 1 <= training.keep_checkpoints <= 100, say("must be from 1 to 100")),
        ("training.seed", 0 <= training.seed < 2**32, say("must be from 0 to 4294967295")),
        ("training.threads", 0 <= training.threads <= 1024, say("must be from 0 to 1024")),
        (
            "evaluation.sets.name",
            all(RUN_NAME.fullmatch(name) for name in names),
            say("must be letters, digits, `-`"),
        ),
        ("evaluation.sets.name", len(set(names)) == len(names), say("must be different for every set")),
        (
            "evaluation.sets.path",
            all(questions.path for questions in evaluation.sets),
            say("must not be empty"),
        ),
        (
            "evaluation.max_new_tokens",
            1 <= evaluation.max_new_tokens <= 32_768,
            say("must be from 1 to 32768"),
        ),
        (
            "export.name",
            bool(EXPORT_NAME.fullmatch(export.name)),
            say("must be 1 to 80 lower-case letters, digits, `.`, `_` and `-`"),
        ),
        ("export.gguf", 0 < len(export.gguf) == len(set(export.gguf)), say("must list types, each once")),
        ("export.num_ctx", export.num_ctx >= 0, say("must be 0 or more")),
    ]


def in_words(message: str) -> str:
    """msgspec's message with the field in front: ``… - at `$.training.rank` `` becomes `training.rank: …`."""
    text, _, where = message.partition(" - at ")
    place = where.removeprefix("`key` in ").strip("`").removeprefix("$").removeprefix(".")
    words = _said(text)
    return say("`{field}`: {words}", field=place, words=words) if place else words


def _said(message: str) -> str:
    """msgspec's message as a sentence, where it is of a kind that a plan can meet."""
    if match := re.fullmatch(r"Expected `(.+)`, got `(.+)`", message):
        return say("Expected `{wanted}`, got `{there}`", wanted=match[1], there=match[2])
    if match := re.fullmatch(r"Object contains unknown field `(.+)`", message):
        return say("Object contains unknown field `{name}`", name=match[1])
    if match := re.fullmatch(r"Object missing required field `(.+)`", message):
        return say("Object missing required field `{name}`", name=match[1])
    if match := re.fullmatch(r"Invalid enum value (.+)", message):
        return say("Invalid enum value {value}", value=match[1])
    return message


def _bad(source: Path | str, why: str) -> BadInput:
    return BadInput(
        say("{source} is no usable plan.", source=source),
        why=why,
        next_step="Correct that field in the plan and start again.",
    )
