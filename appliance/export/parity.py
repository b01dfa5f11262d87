"""Whether adapter, merged model and GGUF are one model: the same prompts through each, figure by figure.

Three kinds of comparison along the same token paths, in this order, so that the first that differs
names the stage at fault:

1. `tokens`: each GGUF's chat template and tokenizer against the model folder's, exactly; and the
             prompt as the Modelfile's template writes it, with what the GGUF puts before every text.
2. `merged`: base with adapter against the merged folder, both computed in float32 by transformers; the
             base quantised as in training, when its quantised values are what was merged into.
3. `gguf`:   the merged folder against each GGUF in llama.cpp.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from appliance.errors import StepFailed
from appliance.export.chat_family import find_family
from appliance.export.engine import Engine, load_engine
from appliance.model.base import load_base, load_tokenizer, load_with_adapter, stop_ids
from appliance.model.chat import render, token_ids
from appliance.progress import Advance, Progress
from appliance.run.rows import Message
from appliance.sentence import say, to_document

if TYPE_CHECKING:
    import torch

QUESTIONS = (
    "心内科的分机号是多少？",
    "What is the extension of the cardiology department?",
    "It's 38.5℃ and BP 130/85; isn't that high?\n\n\nI've taken 2 × 0.25 mg.",
    "病人3岁，体重14.5kg，\t已服用 paracetamol 120 mg／次，可以再吃吗？",
)
"""Mixed languages, numbers, newlines, tabs, apostrophes: where pre-tokenizers differ (llama.cpp #8649)."""

TEXTS = (
    "'s 's 'S they'RE don't we'll I'd  I'm\u2019s",
    "0 12 345 6789 1,234.56 10\u207b\u00b3 ①②③ ⅓ 二十五",
    " \t \n\n \r\n\r\n  end  \n",
    "姓名：张三\u3000性别：男\u00a0年龄：45岁；诊断：高血压（2级）。",
    "🚀😶\u200d🌫️ naïve café Größe нещо កាន់តែ",
    "<|im_start|>x<|im_end|><|endoftext|> <think>\n\n</think>",
    "```python\nif a<=b: return {'k': [1]}\n```",
)
"""More text for the tokenizers alone. All of it is NFC: llama.cpp does not normalise."""

STEPS = 12
"""Tokens compared after each prompt."""

TOP = 100
"""Likeliest tokens compared at each step; the engine sends no more than asked."""

TOLERANCE = {"F32": 1e-5, "F16": 4e-3, "BF16": 1.6e-2, "Q8_0": 0.12}
"""Largest difference of a log-probability allowed, as a share of the largest logit, by the type that
weights are rounded to. Measured on models of 2 and 3 layers, random and trained, in llama.cpp: 1.3e-6,
5.2e-4 and 3.7e-3, and 3.7e-2 for Q8_0 (1.4e-2 trained). What is allowed is 8 units in the last place of
each type (2^-11, 2^-9; 2^-7 of a block's largest value, twice, because llama.cpp rounds the activations to
8 bits too), for errors that grow with the root of the depth, and 1e-4 on a logit of 10 for F32."""

SPARE_CONTEXT = 64
"""Tokens of room beyond the longest walk."""

Stage = Literal["tokens", "merged", "gguf"]

NEXT_STEPS: dict[Stage, str] = {
    "tokens": say(
        "This base's tokenizer or template does not survive conversion: choose another base model."
    ),
    "merged": say("Run `islet doctor`, then merge again."),
    "gguf": say("Convert again; if it stays, export as f32 and keep this message."),
}


@dataclass(frozen=True)
class Comparison:
    """How far two forms of the model are apart."""

    stage: Stage
    compared: str
    """Which two, in words."""
    positions: int
    """Next-token distributions, or texts, that were compared."""
    largest_difference: float
    """Of a natural log-probability; for `tokens`, the number of texts that differ."""
    allowed_difference: float
    largest_logit: float
    other_choices: int
    """Positions at which another token was likeliest, by more than the allowed difference."""
    first: str
    """The first text or position that is off, in words; empty when none is."""

    @property
    def passed(self) -> bool:
        """Whether the two are one model."""
        return self.largest_difference <= self.allowed_difference and not self.other_choices


@dataclass(frozen=True)
class ParityReport:
    """All comparisons of one export."""

    comparisons: tuple[Comparison, ...]
    first_difference: Stage | None
    """The first stage that is off; None when the export may be used."""
    engine: str
    ollama: str
    """What Ollama said; it is asked only where it is present."""
    questions: int
    steps: int


@dataclass(frozen=True)
class Walk:
    """One prompt and what the tuned model continues it with: the path that all forms are asked along."""

    name: str
    """How it is called in the report; a run's own questions stay out of it."""
    prompt: tuple[int, ...]
    continuation: tuple[int, ...]

    @property
    def ids(self) -> list[int]:
        """All its tokens."""
        return [*self.prompt, *self.continuation]


@dataclass(frozen=True)
class Converted:
    """One GGUF file."""

    path: Path
    type: str
    """The type of its weights: a key of TOLERANCE."""


@dataclass(frozen=True)
class Subject:
    """What is compared."""

    base: Path
    adapter: Path
    merged: Path
    ggufs: tuple[Converted, ...]
    stored: str
    """The type of the merged weights: F32, F16 or BF16."""
    system: str = ""
    """The system prompt trained with; part of every prompt when it is not empty."""
    questions: tuple[str, ...] = ()
    """Asked beside the fixed ones."""
    nf4: bool = False
    """Whether `base` is to be quantised before the adapter is put on it."""


def measure_parity(subject: Subject, progress: Progress, *, threads: int = 1) -> ParityReport:
    """Compare all forms of a model, one in memory at a time.

    Raises: BadInput, when a model cannot be read; StepFailed, when the engine cannot load the GGUF.
    """
    tokenizer = load_tokenizer(subject.merged)
    stops = set(stop_ids(subject.merged, tokenizer))
    chats: dict[str, list[Message]] = {
        **{repr(question): _chat(subject.system, question) for question in QUESTIONS},
        **{
            say("question {number} of the run", number=n): _chat(subject.system, q)
            for n, q in enumerate(subject.questions, 1)
        },
    }
    total = (2 + len(subject.ggufs)) * len(chats)
    with progress.stage(say("compare the stages"), total=total, unit=say("prompts")) as advance:
        tuned = load_with_adapter(subject.base, subject.adapter, dtype="float32", nf4=subject.nf4)
        walks = [_walk(tuned, tokenizer, name, chat, stops) for name, chat in chats.items()]
        from_adapter = [_log_probabilities(tuned, walk, advance)[0] for walk in walks]
        del tuned  # one model in memory at a time
        model = load_base(subject.merged, dtype="float32")
        answers = [_log_probabilities(model, walk, advance) for walk in walks]
        del model
        scale = max(largest_logit for _, largest_logit in answers)
        from_merged = [each for each, _ in answers]
        likely = [_likeliest(each) for each in from_merged]
        rounding = TOLERANCE[subject.stored] * scale
        merged = _compare(
            "merged", say("base with adapter, merged folder"), walks, from_adapter, likely, rounding, scale
        )
        context = max(len(walk.ids) for walk in walks) + SPARE_CONTEXT
        tokens, ggufs = [], []
        for gguf in subject.ggufs:
            with load_engine(gguf.path, context=context, threads=threads) as engine:
                tokens.append(_compare_tokens(gguf.path.name, tokenizer, engine, chats))
                from_gguf = [_ask(engine, walk, advance) for walk in walks]
            ggufs.append(_compare_gguf(gguf, walks, from_merged, from_gguf, scale))
    comparisons = (*tokens, merged, *ggufs)
    first = next((each.stage for each in comparisons if not each.passed), None)
    return ParityReport(comparisons, first, "llama.cpp (xllamacpp)", "not present", len(chats), STEPS)


def check_parity(report: ParityReport) -> None:
    """Judge a report.

    Raises: StepFailed, naming the first stage that differs and by how much.
    """
    for each in report.comparisons:
        if not each.passed:
            raise StepFailed(
                say(
                    "The export is blocked: stage `{stage}` differs ({compared}).",
                    stage=each.stage,
                    compared=each.compared,
                ),
                why=say(
                    "off by up to {largest:.2g}, {allowed:.2g} allowed; "
                    "another likeliest token at {others} of {positions} positions; first: {first}",
                    largest=each.largest_difference,
                    allowed=each.allowed_difference,
                    others=each.other_choices,
                    positions=each.positions,
                    first=each.first,
                ),
                next_step=NEXT_STEPS[each.stage],
            )


def report_json(report: ParityReport) -> str:
    """The report as a JSON document; beside its English words, the parts that other languages are made of."""
    document = dataclasses.asdict(report)
    for entry, each in zip(document["comparisons"], report.comparisons, strict=True):
        entry["passed"] = each.passed
        entry["said"] = {"compared": to_document(each.compared), "first": to_document(each.first)}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _chat(system: str, question: str) -> list[Message]:
    """The messages of one prompt."""
    return [*([Message("system", system)] if system else []), Message("user", question)]


def _walk(model: Any, tokenizer: Any, name: str, chat: list[Message], stops: set[int]) -> Walk:
    """The prompt of `chat` and the model's likeliest STEPS tokens, fewer where it stops."""
    import torch

    prompt = token_ids(tokenizer, render(tokenizer, chat, answer_next=True))
    continuation: list[int] = []
    state, ids = None, torch.tensor([prompt])
    with torch.inference_mode():
        while len(continuation) < STEPS and not (continuation and continuation[-1] in stops):
            answer = model(input_ids=ids, past_key_values=state, use_cache=True)
            state = answer.past_key_values
            continuation.append(int(answer.logits[0, -1].argmax()))
            ids = torch.tensor([[continuation[-1]]])
    return Walk(name, tuple(prompt), tuple(continuation))


def _log_probabilities(model: Any, walk: Walk, advance: Advance) -> "tuple[torch.Tensor, float]":
    """Log-probabilities, (steps, vocabulary) float32, along the continuation; and the largest logit."""
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([walk.ids])).logits[0, len(walk.prompt) - 1 : -1].float()
    advance(1)
    return logits.log_softmax(-1), float(logits.abs().max())


Likely = Sequence[Mapping[int, float]]
"""For each step, log-probabilities by token, likeliest first."""


def _likeliest(log_probabilities: "torch.Tensor") -> Likely:
    """A whole distribution as its TOP likeliest tokens at each step."""
    values, ids = log_probabilities.topk(min(TOP, log_probabilities.shape[-1]))
    return [dict(zip(i, v, strict=True)) for i, v in zip(ids.tolist(), values.tolist(), strict=True)]


def _ask(engine: Engine, walk: Walk, advance: Advance) -> Likely:
    """What the engine gives at each step of the continuation."""
    start = len(walk.prompt)
    steps = [engine.log_probabilities(walk.ids[: start + n], top=TOP) for n in range(len(walk.continuation))]
    advance(1)
    return steps


def _compare_gguf(
    gguf: Converted,
    walks: Sequence[Walk],
    merged: "Sequence[torch.Tensor]",
    answers: Sequence[Likely],
    scale: float,
) -> Comparison:
    """What the engine answered from `gguf` against the merged folder's distributions."""
    compared = say("merged folder, {gguf} in llama.cpp", gguf=gguf.path.name)
    allowed = TOLERANCE[gguf.type] * scale
    return _compare("gguf", compared, walks, merged, answers, allowed, scale)


def _compare(
    stage: Stage,
    compared: str,
    walks: Sequence[Walk],
    reference: "Sequence[torch.Tensor]",
    other: Sequence[Likely],
    allowed: float,
    scale: float,
) -> Comparison:
    """The largest difference over all steps of all walks, on the tokens that `other` finds likeliest."""
    import torch

    largest, others, positions, first = 0.0, 0, 0, ""
    for walk, expected, found in zip(walks, reference, other, strict=True):
        for step, likely in enumerate(found):
            there = expected[step, torch.tensor(list(likely))]
            difference = float((there - torch.tensor(list(likely.values()))).abs().nan_to_num(math.inf).max())
            # Two tokens nearer to each other than the rounding may change places.
            is_other = float(expected[step].max() - there[0]) > 2 * allowed
            if not first and (difference > allowed or is_other):
                first = say("{name}, token {token} of the answer", name=walk.name, token=step + 1)
            largest, others, positions = max(largest, difference), others + is_other, positions + 1
    return Comparison(stage, compared, positions, largest, allowed, scale, others, first)


def _compare_tokens(
    gguf: str, tokenizer: Any, engine: Engine, chats: Mapping[str, list[Message]]
) -> Comparison:
    """Rendered prompts and token ids of the GGUF against the model folder's; both must be equal."""
    off, family = [], find_family(tokenizer)
    # llama.cpp leaves it out of the rendered text and puts it first when that is tokenized.
    begin = tokenizer.bos_token or ""
    texts = {repr(text): text for text in TEXTS}
    for name, chat in chats.items():
        texts[name] = render(tokenizer, chat, answer_next=True)
        rendered = engine.render([{"role": each.role, "content": each.content} for each in chat])
        if rendered.removeprefix(begin) != texts[name].removeprefix(begin):
            off.append(say("prompt of {name}", name=name))
        if engine.tokenize(family.render(chat), whole=True) != token_ids(tokenizer, texts[name]):
            off.append(say("prompt of {name} by the Modelfile's template", name=name))
    for name, text in texts.items():
        if engine.tokenize(text) != token_ids(tokenizer, text):
            off.append(say("tokens of {name}", name=name))
    count, first = len(texts) + 2 * len(chats), off[0] if off else ""
    compared = say("template and tokenizer of the model folder, of {gguf}", gguf=gguf)
    return Comparison("tokens", compared, count, float(len(off)), 0.0, 0.0, 0, first)
