"""What is tuned, and from what: base model, data, and what was found in it."""

from pathlib import Path

from appliance.errors import ApplianceError
from appliance.progress import amount_text
from appliance.run.plan import DataFile
from appliance.sentence import listed, say
from appliance.training.looked import Look
from appliance.training.memory import SHARE, estimate_memory, free_memory_bytes
from appliance.wizard.desk import Desk
from appliance.wizard.draft import Draft, with_value
from appliance.wizard.models import ModelFacts
from appliance.wizard.page import (
    Action,
    Bar,
    Block,
    Fact,
    Facts,
    Heading,
    Histogram,
    Option,
    Paragraph,
    Piece,
    Preview,
    Table,
)
from appliance.wizard.presets import BALANCED, preset_settings
from appliance.wizard.question import (
    Question,
    WrongAnswer,
    percent,
    plan_question,
    show_number,
    whole_number,
    yes_or_no,
)
from appliance.wizard.step import Step, Verdict, error_facts
from appliance.wizard.titles import TITLES

SHOWN_PROBLEMS = 5


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
    training = preset_settings("balanced", BALANCED, model.context_tokens)
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
    draft = desk.changed(plan=plan)
    return desk.changed(plan=with_value(plan, "training", desk.preset(draft)))


def _model_blocks(desk: Desk) -> tuple[Block, ...]:
    blocks: list[Block] = [
        Paragraph("Choose the model to start from. Only models of the signed bundle are listed.")
    ]
    model = desk.model()
    if desk.models.value is None:
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
        return Verdict("busy", "Reading the installed models.", stops=True)
    if not desk.models.value:
        return Verdict("fail", "No model is installed: install a bundle that has one.", stops=True)
    model = desk.model()
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


def _take_files(desk: Desk, text: str) -> Draft:
    paths = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    files = []
    for path in paths:
        absolute = Path(path).expanduser()
        if not absolute.is_absolute():
            absolute = Path(home_folder(desk)) / absolute
        if not absolute.is_file():
            raise WrongAnswer(say("{path} is no file.", path=absolute))
        known = next((file for file in desk.draft.plan.data.train if file.path == str(absolute)), None)
        files.append(known or DataFile(str(absolute)))
    return desk.changed(plan=with_value(desk.draft.plan, "data.train", tuple(files)))


def _files_problem(desk: Desk) -> str:
    gone = next((file.path for file in desk.draft.plan.data.train if not Path(file.path).is_file()), None)
    return say("{path} is not there any more.", path=gone) if gone else ""


def home_folder(desk: Desk) -> str:
    """Where to begin looking for data."""
    chosen = desk.draft.plan.data.train
    inbox = desk.site.state / "datasets"
    if chosen and Path(chosen[0].path).parent.is_dir():
        return str(Path(chosen[0].path).parent)
    return str(inbox if inbox.is_dir() else Path.home())


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
        "Rows of a question and an answer: Alpaca JSON, OpenAI messages (JSON or JSON lines), or a CSV with "
        "the columns prompt and completion. UTF-8 or GB18030.",
        "Choose several files to learn from all of them. The run keeps a copy of the rows; your files stay "
        "as they are.",
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
        ),
    ),
    before=lambda desk: "model",
    after=lambda desk: "check",
)


# Data check


def _check_blocks(desk: Desk) -> tuple[Block, ...]:
    state = desk.look()
    if state.error is not None:
        return _failed(state.error)
    if state.look is None:
        bar = Bar(state.stage or say("reading the files"), state.done, state.total or 0)
        return (Paragraph("The rows are read as the model will see them."), bar)
    if desk.local.get("shown") == "rows":
        return _rows(state.look, int(desk.local.get("row", 0)))
    return _findings(state.look)


def _failed(error: ApplianceError) -> tuple[Block, ...]:
    return (Paragraph("The data cannot be used as it is.", "fail"), error_facts(error))


def _findings(look: Look) -> tuple[Block, ...]:
    files = [
        Fact(
            Path(file.path).name,
            say(
                "{format}, {encoding}, {rows} rows, {used} usable",
                format=file.format,
                encoding=file.encoding,
                rows=file.rows_in,
                used=file.rows_out,
            ),
        )
        for file in look.files
    ]
    counts = [
        Fact("Rows to learn", str(look.rows - look.held_out), "ok" if look.rows else "fail"),
        Fact("Kept for test", str(look.held_out), "ok" if look.held_out else "info"),
        Fact("Too long", str(look.too_long), "warn" if look.too_long else "ok"),
        Fact("Cannot be used", str(look.problem_count), "warn" if look.problem_count else "ok"),
        Fact("Doubled", str(look.duplicates), "warn" if look.duplicates else "ok"),
        Fact("Same question, other answer", str(look.conflicts), "warn" if look.conflicts else "ok"),
        Fact(
            "Tokens",
            say(
                "{tokens:,}, of which {learned:,} are learned",
                tokens=look.tokens,
                learned=look.learned_tokens,
            ),
        ),
    ]
    blocks: list[Block] = [Facts((*files, *counts))]
    if look.problems:
        rows = tuple(
            (str(each.row), each.field, each.what, each.fix) for each in look.problems[:SHOWN_PROBLEMS]
        )
        blocks += [
            Heading("Rows that cannot be used"),
            Table(("Row", "Field", "Problem", "What to do"), rows),
        ]
        if look.problem_count > len(rows):
            more = say(
                "and {count} more: `islet data FILE --json` lists all", count=look.problem_count - len(rows)
            )
            blocks.append(Paragraph(more))
    bounds = tuple((say("up to {tokens:,}", tokens=bound), count) for bound, count in look.lengths)
    blocks.append(Histogram("Length in tokens", bounds))
    return tuple(blocks)


def _rows(look: Look, index: int) -> tuple[Block, ...]:
    row = look.shown[index % len(look.shown)]
    label = say("{file}, row {row}", file=row.file, row=row.row)
    pieces = tuple(Piece(piece.text, piece.learned) for piece in row.pieces)
    return (
        Paragraph("A row as the model sees it. What is marked is what it learns to write."),
        Preview(label, pieces),
    )


def _check_verdict(desk: Desk) -> Verdict:
    state = desk.look()
    if state.error is not None:
        return Verdict("fail", "Go back and choose other files, or mend these and check again.", stops=True)
    look = state.look
    if look is None:
        return Verdict("busy", "Checking the data.", stops=True)
    if not look.rows:
        return Verdict("fail", _nothing_left(look), stops=True)
    if _refused_stop(desk, look):
        told = "Mend these rows and check again, or answer that the others are used."
        return Verdict("fail", told, stops=True)
    if _none_held_out(desk):
        told = "No row is left to test with: too few different questions. Add rows, or keep 0 %."
        return Verdict("fail", told, stops=True)
    if look.problem_count or look.duplicates or look.conflicts:
        return Verdict("warn", "The data can be used; read what is marked.")
    return Verdict("ok", "The data can be used.")


def _nothing_left(look: Look) -> str:
    if not look.too_long:
        return say("There is no row to learn from.")
    return say(
        "Every row is too long: let longer ones in, the longest has {tokens:,} tokens.",
        tokens=look.longest_refused_tokens,
    )


def _refused_stop(desk: Desk, look: Look) -> bool:
    share = desk.draft.plan.data.max_bad_share
    return look.problem_count > share * (look.rows + look.problem_count)


def _needed_share(look: Look) -> float:
    """The smallest share, in thousandths, that lets these rows be refused."""
    total = look.rows + look.problem_count
    return min(1.0, -(-1000 * look.problem_count // total) / 1000)


def _take_skip(desk: Desk, text: str) -> Draft:
    look = desk.found()
    share = _needed_share(look) if look is not None and yes_or_no(text) else 0.0
    return desk.changed(plan=with_value(desk.draft.plan, "data.max_bad_share", share))


def _has_refused(desk: Desk) -> bool:
    look = desk.found()
    return look is not None and look.problem_count > 0 and look.rows > 0


def _none_held_out(desk: Desk) -> bool:
    """Whether rows were to be kept for test, and none can be."""
    look = desk.found()
    return (
        look is not None and look.rows > 0 and not look.held_out and desk.draft.plan.data.held_out_share > 0
    )


def _too_long(desk: Desk) -> bool:
    """Whether rows were refused that the model could read if the plan let them in."""
    look, model = desk.found(), desk.model()
    if look is None or not look.too_long or model is None:
        return False
    return model.context_tokens is None or look.pack_tokens < model.context_tokens


def _check_actions(desk: Desk) -> tuple[Action, ...]:
    again = Action("again", "Check again", key="f5")
    look = desk.found()
    if look is None or not look.shown:
        return (again,)
    if desk.local.get("shown") == "rows":
        return (Action("findings", "Findings", key="f3"), Action("another", "Another row", key="f6"), again)
    return (Action("rows", "See rows", key="f3"), again)


def _show(desk: Desk, what: str) -> None:
    desk.local["shown"] = what


def _another(desk: Desk) -> None:
    desk.local["row"] = int(desk.local.get("row", 0)) + 1


CHECK = Step(
    name="check",
    number=4,
    title=TITLES["check"],
    help=(
        "Every row is read, rendered with the chat template of the chosen model and counted. Nothing is "
        "dropped without being listed.",
        "A row that is longer than the model reads at once is refused, never cut.",
        "Rows are shown to you only: they are in no log, and cannot be selected or copied.",
    ),
    blocks=_check_blocks,
    verdict=_check_verdict,
    questions=(
        Question(
            name="data.max_bad_share",
            label="Go on without the rows that cannot be used",
            help="They are listed in the run's check report; the others are used.",
            kind="yesno",
            show=lambda desk: "yes" if desk.draft.plan.data.max_bad_share > 0 else "no",
            take=_take_skip,
            asked=_has_refused,
        ),
        plan_question(
            "training.pack_tokens",
            "Longest row (tokens)",
            "Some rows are longer than this and are refused. Longer takes more memory.",
            kind="number",
            read=whole_number,
            asked=_too_long,
        ),
        plan_question(
            "data.held_out_share",
            "Keep for test (%)",
            "Rows that the model never learns from: they show whether it has understood or only repeats. "
            "0 to 50.",
            kind="number",
            read=percent,
            show=lambda share: show_number(100 * share),
            asked=_none_held_out,
        ),
    ),
    before=lambda desk: "data",
    after=lambda desk: "plan",
    actions=_check_actions,
    takes={
        "again": lambda desk: desk.look_again(),
        "rows": lambda desk: _show(desk, "rows"),
        "findings": lambda desk: _show(desk, "findings"),
        "another": _another,
    },
    live=lambda desk: desk.look().look is None,
    private=lambda desk: desk.local.get("shown") == "rows",
)
