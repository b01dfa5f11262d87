"""The section on parity: whether the exported files are the model that was trained. Pure."""

from appliance.locale.voice import Voice
from appliance.report.blocks import Block, Column, Paragraph, Section, Table, shortened
from appliance.report.facts import Facts, Parity
from appliance.report.gaps import Missing, gap

SHOWN_CHARACTERS = 200


def parity_section(facts: Facts, say: Voice) -> Section:
    """Every comparison, and the first place that is off in each."""
    parity = facts.parity
    if isinstance(parity, Missing):
        return Section(say("Parity"), (gap(say("the parity report"), parity, say),))
    said = say(
        "The same prompts through adapter, merged model and GGUF. Differences are of natural "
        "log-probabilities; for templates and tokenizers, the number of texts that differ. Engine: {engine}. "
        "Ollama: {ollama}.",
        engine=say.again(parity.engine),
        ollama=say.again(parity.ollama),
    )
    blocks: list[Block] = [Paragraph(said)]
    if facts.parity_blocked:
        blocked = say(
            "The export was blocked: the forms of the model differ. First at: {stage}.",
            stage=parity.first_difference,
        )
        blocks.append(Paragraph(blocked, "caution"))
    if facts.merged_elsewhere:
        said = say(
            "The adapter was trained, and the model evaluated, over the base in four bits; the exported "
            "files hold it over the unquantised base, as the plan asks (export.merge_into), and were "
            "compared with that. They may answer otherwise than the model that was evaluated."
        )
        blocks.append(Paragraph(said, "caution"))
    blocks.append(_table(parity, say))
    for each in parity.comparisons:
        if each.first:
            place = shortened(say.again(each.first), SHOWN_CHARACTERS, say)
            off = say("First that is off in {stage}: {place}.", stage=each.stage, place=place)
            blocks.append(Paragraph(off))
    return Section(say("Parity"), tuple(blocks))


def _table(parity: Parity, say: Voice) -> Table:
    columns = (
        *(Column(say("Compared")), Column(say("Places"), "number")),
        *(Column(say("Largest difference"), "number"), Column(say("Allowed"), "number")),
        *(Column(say("Other likeliest token"), "number"), Column(say("Verdict"), "short")),
    )
    rows = (
        (
            say.again(each.compared),
            str(each.positions),
            f"{each.largest_difference:.2g}",
            f"{each.allowed_difference:.2g}",
            str(each.other_choices),
            say("same") if each.passed else say("DIFFERS"),
        )
        for each in parity.comparisons
    )
    return Table(columns, tuple(rows))
