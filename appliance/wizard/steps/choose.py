"""What is tuned, and from what: base model and data."""

from pathlib import Path

import msgspec

from appliance.errors import BadInput
from appliance.export.modelfile import check_quotable
from appliance.model.memory import free_memory_bytes
from appliance.progress import amount_text
from appliance.run.plan import DataFile
from appliance.sentence import listed, say
from appliance.training.memory import SHARE, estimate_memory
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, with_value
from appliance.wizard.files import expanded, file_problem, is_file, is_folder
from appliance.wizard.models import ModelFacts
from appliance.wizard.page import (
    Block,
    Fact,
    Facts,
    Option,
    Paragraph,
)
from appliance.wizard.presets import BALANCED, preset_settings
from appliance.wizard.question import (
    Question,
    WrongAnswer,
    plan_question,
)
from appliance.wizard.step import Step, Verdict, as_failure, error_facts
from appliance.wizard.titles import TITLES

# Base model


def _model_options(desk: Desk) -> tuple[Option, ...]:
    return tuple(
        Option(
            model.name,
            say(
                "{name}\t{parameters}\t{size}\t{licence}\t{fit}",
                name=model.name,
                parameters=parameters_text(model.parameters),
                size=amount_text(model.size, "B"),
                licence=model.licence or "-",
                fit=_fit_word(model),
            ),
            problem=listed([model.refused.what, model.refused.why], " ") if model.refused else "",
        )
        for model in desk.models.value or ()
    )


def parameters_text(parameters: int) -> str:
    """How many weights a model has, as people say it: `8.0 B`, `1.5 M`."""
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e8 else f"{parameters / 1e6:.1f} M"


def _fit_word(model: ModelFacts) -> str:
    """Whether the balanced preset fits what is free now, before anything is known of the data."""
    if model.refused is not None:
        return say("cannot be tuned")
    if model.shape is None:
        return say("not known")
    training = preset_settings("balanced", BALANCED, context_tokens=model.context_tokens, shape=model.shape)
    tokens = training.pack_tokens
    free = SHARE * free_memory_bytes()
    need = estimate_memory(training, model.shape, tokens=tokens, learned_tokens=tokens).total_bytes
    if need <= free:
        return say("fits")
    return say("tight: {need}", need=amount_text(need, "B"))


def _take_model(desk: Desk, text: str) -> Draft:
    model = desk.model(text)
    if model is None:
        raise WrongAnswer("Choose one of the models listed.")
    if model.refused is not None:
        raise WrongAnswer(listed([model.refused.what, model.refused.why], " "))
    plan = with_value(desk.draft.plan, "model.base", text)
    training = desk.wanted(desk.changed(plan=plan))
    # Own values may come from a model that reads more: no page before the plan's could mend that.
    tokens = min(training.pack_tokens, model.context_tokens or training.pack_tokens)
    training = msgspec.structs.replace(training, pack_tokens=tokens)
    return desk.changed(plan=with_value(plan, "training", training))


def _model_blocks(desk: Desk) -> tuple[Block, ...]:
    blocks: list[Block] = [
        Paragraph("Choose the model to start from. Only models of the signed bundle are listed.")
    ]
    model = desk.model()
    if desk.models.error is not None:
        blocks.append(error_facts(as_failure(desk.models.error)))
    elif desk.models.value is None:
        blocks.append(Paragraph("The installed models are being read.", "busy"))
    elif model is not None and model.refused is None:
        context = say("{tokens} tokens", tokens=model.context_tokens or "?")
        blocks.append(
            Facts(
                (
                    Fact("Reads at once", context),
                    Fact("Licence", model.licence or say("not recorded: ask who sent the bundle")),
                    Fact("Before use", "It is not a medical device; a clinician must review what it writes."),
                )
            )
        )
    return tuple(blocks)


def _model_verdict(desk: Desk) -> Verdict:
    if desk.models.value is None:
        if desk.models.error is not None:
            return Verdict("fail", "The installed models cannot be read: run `islet doctor`.", stops=True)
        return Verdict("busy", "Reading the installed models.", stops=True)
    if not desk.models.value:
        return Verdict("fail", "No model is installed: install a bundle that has one.", stops=True)
    model = desk.model()
    if model is None and desk.draft.plan.model.base:
        told = say("{model} is not installed: choose another.", model=desk.draft.plan.model.base)
        return Verdict("fail", told, stops=True)
    if model is None:
        return Verdict("info", "Choose a model.", stops=True)
    return Verdict("ok", say("Chosen: {model}", model=model.name))


MODEL = Step(
    name="model",
    number=2,
    title=TITLES["model"],
    help=(
        "The base model is what you start from; it is never changed. A larger one knows more and takes more "
        "memory and time.",
        "The last column says whether the balanced settings fit into what is free on this machine now.",
    ),
    blocks=_model_blocks,
    verdict=_model_verdict,
    questions=(
        Question(
            name="model.base",
            label="Base model",
            help="Begin with the smallest that fits, to see that everything works.",
            kind="choice",
            show=lambda desk: desk.draft.plan.model.base,
            take=_take_model,
            options=_model_options,
            columns=("Model", "Size", "On disk", "Licence", "On this machine"),
            asked=lambda desk: bool(desk.models.value),
        ),
    ),
    before=lambda desk: "health",
    after=lambda desk: "data",
    live=lambda desk: not desk.models.done,
)


# Training data


def _system_prompt(text: str) -> str:
    """What was typed, if a Modelfile can hold it: else it would be refused after hours of training."""
    text = text.strip()
    try:
        check_quotable(text, say("the system prompt"))
    except BadInput as error:
        raise WrongAnswer(listed([error.what, error.why], " ")) from error
    return text


def _take_files(desk: Desk, text: str) -> Draft:
    paths = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    known = {file.path: file for file in desk.draft.plan.data.train}
    files = []
    for path in paths:
        absolute = Path(home_folder(desk)) / expanded(path)
        if is_file(absolute):
            if str(absolute) not in known and (problem := file_problem(absolute)):
                raise WrongAnswer(say("{path} cannot be taken: {problem}.", path=absolute, problem=problem))
            files.append(known.get(str(absolute)) or DataFile(str(absolute)))
        elif str(absolute) not in known:  # one that has gone since is left out: nobody could take it back
            raise WrongAnswer(say("{path} is no file.", path=absolute))
    return desk.changed(plan=with_value(desk.draft.plan, "data.train", tuple(files)))


def _files_problem(desk: Desk) -> str:
    gone = next((file.path for file in desk.draft.plan.data.train if not is_file(Path(file.path))), None)
    return say("{path} is not there any more. Choose again: it is left out then.", path=gone) if gone else ""


def home_folder(desk: Desk) -> str:
    """Where to begin looking for data."""
    chosen = desk.draft.plan.data.train
    inbox = desk.site.state / "datasets"
    if chosen and is_folder(Path(chosen[0].path).parent):
        return str(Path(chosen[0].path).parent)
    return str(inbox if is_folder(inbox) else expanded("~"))


def _data_verdict(desk: Desk) -> Verdict:
    files = desk.draft.plan.data.train
    if not files:
        return Verdict("info", "Choose one file or more with questions and answers.", stops=True)
    return Verdict("ok", say("Files chosen: {count}. They are read only, never changed.", count=len(files)))


DATA = Step(
    name="data",
    number=3,
    title=TITLES["data"],
    help=(
        "Rows of a question and an answer: Excel, CSV, JSON, JSON lines, Parquet or a zip of these; tables "
        "with any names of columns, Alpaca, ShareGPT, OpenAI messages, or a dataset_info.json. UTF-8, "
        "GB18030 or UTF-16.",
        "Choose several files to learn from all of them. The run keeps a copy of the rows; your files stay "
        "as they are.",
        "Rows that may name patients: `islet data privacy FILE --out NEW.parquet` counts what does, and "
        "writes them without it. Choose the new file here.",
    ),
    blocks=lambda desk: (Paragraph("Choose the files with questions and answers to learn from."),),
    verdict=_data_verdict,
    questions=(
        Question(
            name="data.train",
            label="Files",
            help="Enter opens a folder or takes a file; take it again to leave it out.",
            kind="files",
            show=lambda desk: "\n".join(file.path for file in desk.draft.plan.data.train),
            take=_take_files,
            problem=_files_problem,
            folder=home_folder,
        ),
        plan_question(
            "model.system",
            "System prompt",
            "What the model is told before every question, in training and in Ollama: who it is and how it "
            "should answer. May be left empty.",
            read=_system_prompt,
        ),
    ),
    before=lambda desk: "model",
    after=lambda desk: "check",
)
