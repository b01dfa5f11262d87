"""The files for Ollama, and the report."""

import msgspec

from appliance.report.facts import Parity
from appliance.run.plan import read_plan
from appliance.sentence import say
from appliance.wizard.desk import Desk
from appliance.wizard.page import (
    Action,
    Block,
    Fact,
    Facts,
    Heading,
    Paragraph,
    Table,
    Verbatim,
)
from appliance.wizard.step import Step, Verdict
from appliance.wizard.steps.jobs import begin_job, end_job, job_blocks, stop_action
from appliance.wizard.titles import TITLES


def _is_exported(desk: Desk) -> bool:
    return (desk.run.run.export / "Modelfile").is_file()


def _export_blocks(desk: Desk) -> tuple[Block, ...]:
    state = desk.run.job("export")
    plan = read_plan(desk.run.run.plan)
    facts = Facts(
        (
            Fact("Name in Ollama", plan.export.name),
            Fact("Model file", ", ".join(plan.export.gguf)),
            Fact("Written to", str(desk.run.run.export)),
        )
    )
    lead = Paragraph(
        "Base and adapter become one model; it is converted for Ollama, and all forms are asked the same."
    )
    if state.state == "running" or not _is_exported(desk):
        return (lead, facts, *job_blocks(state))
    return (facts, *_parity(desk), *(job_blocks(state) if state.state == "failed" else ()))


def _read_parity(desk: Desk) -> Parity | None:
    """How alike the forms of the exported model are; None where that cannot be read."""
    try:
        return msgspec.json.decode((desk.run.run.export / "parity.json").read_bytes(), type=Parity)
    except (OSError, msgspec.MsgspecError):
        return None


def _parity(desk: Desk) -> tuple[Block, ...]:
    parity = _read_parity(desk)
    if parity is None:
        return (Paragraph("The comparison of the forms cannot be read.", "warn"),)
    rows = tuple(
        (
            each.compared,
            str(each.positions),
            f"{each.largest_difference:.2g}",
            f"{each.allowed_difference:.2g}",
            say("same") if each.passed else say("DIFFERENT"),
        )
        for each in parity.comparisons
    )
    head = Heading("The same prompts through the model in each of its forms")
    return (
        head,
        Table(("Compared", "Places", "Difference", "Allowed", ""), rows, right=frozenset({1, 2, 3})),
    )


def _export_verdict(desk: Desk) -> Verdict:
    state = desk.run.job("export")
    if state.state == "running":
        return Verdict("busy", "This goes on when you leave.", stops=True)
    if state.state == "failed" and not _is_exported(desk):
        return Verdict("fail", "The export failed; read above what to do.", stops=True)
    if not _is_exported(desk):
        return Verdict("info", "Press Export now.", stops=True)
    if state.state == "failed":
        return Verdict("warn", "The last export ended by an error; the files in its folder are whole.")
    if (parity := _read_parity(desk)) is None or not all(each.passed for each in parity.comparisons):
        return Verdict("warn", "It is not shown that all forms answer the same: export again.")
    return Verdict("ok", "All forms of the model answer the same.")


def _export_actions(desk: Desk) -> tuple[Action, ...]:
    if desk.run.job("export").state == "running":
        return (stop_action("export"),)
    if _is_exported(desk):
        return (Action("export", "Export again", key="f5"),)
    return (Action("export", "Export now", key="f5", default=True),)


EXPORT = Step(
    name="export",
    number=10,
    title=TITLES["export"],
    help=(
        "Merges base and adapter, converts to GGUF, writes the Modelfile, and sends fixed prompts through "
        "every form. If one differs, nothing leaves the run.",
        "Models that Ollama has now are not touched.",
    ),
    blocks=_export_blocks,
    verdict=_export_verdict,
    before=lambda desk: "compare",
    after=lambda desk: "done",
    actions=_export_actions,
    takes={
        "export": lambda desk: begin_job(desk, "export"),
        "stop-export": lambda desk: end_job(desk, "export"),
    },
    trouble=lambda desk: desk.run.job("export").error,
    live=lambda desk: desk.run.job("export").state == "running",
)


# Done


def _done_blocks(desk: Desk) -> tuple[Block, ...]:
    run = desk.run.run
    plan = read_plan(run.plan)
    report = run.root / "report" / "report.html"
    state = desk.run.job("report")
    lines = (
        "sha256sum -c SHA256SUMS",
        f"ollama create {plan.export.name} -f Modelfile",
        f"ollama run {plan.export.name}",
    )
    facts = [
        Fact("Run", run.root.name),
        Fact("Files", str(run.export)),
        Fact(
            "Report",
            str(report) if report.is_file() else say("not written yet"),
            "ok" if report.is_file() else "warn",
        ),
    ]
    return (
        Facts(tuple(facts)),
        Heading("Copy that folder to the machine that has Ollama; there, in the folder:"),
        Verbatim(lines),
        Paragraph("The report is for the quality officer, to print and sign. It shows rows of your data."),
        *(job_blocks(state) if state.state in ("running", "failed") else ()),
    )


def _done_verdict(desk: Desk) -> Verdict:
    if desk.run.job("report").state == "running":
        return Verdict("busy", "The model is exported; the report is being written.")
    if not (desk.run.run.root / "report" / "report.html").is_file():
        return Verdict("warn", "The model is exported; its report is not written yet.")
    return Verdict("ok", "All done. Nothing left this machine.")


def _done_actions(desk: Desk) -> tuple[Action, ...]:
    return (
        Action("report", "Write the report again", key="f5"),
        Action("home", "Home", default=True),
    )


DONE = Step(
    name="done",
    number=0,
    title=TITLES["done"],
    help=(
        "README.md in the export folder has the same lines. Everything about the run stays in its folder.",
    ),
    blocks=_done_blocks,
    verdict=_done_verdict,
    before=lambda desk: "export",
    actions=_done_actions,
    takes={"report": lambda desk: begin_job(desk, "report"), "home": lambda desk: "home"},
    live=lambda desk: desk.run.job("report").state == "running",
)
