"""What the graphics cards of this box can do for a release; a box without one is slow, not broken."""

from appliance.bundle.cuda import CAME_WITH, is_older, oldest_driver
from appliance.progress import amount_text
from appliance.sentence import Sentence, listed, say
from appliance.site.health.driver import Card, Driver, Holder, ask_driver, has_card, program_of
from appliance.site.health.finding import Finding
from appliance.site.health.needs import Needs
from appliance.site.health.nvml import NO_LIBRARY, SUCCESS

NO_PERMISSION, DRIVER_NOT_LOADED, IS_LOST, RESET_REQUIRED, BLOCKED, MISMATCH = 4, 9, 15, 16, 17, 18
"""nvmlReturn_t, from nvml.h."""

SHOWN_PROGRAMS = 3


def look_at_gpu(needs: Needs | None) -> list[Finding]:
    """The driver, every card, and who else computes on them.

    needs: what the release asks for; None where no release is known.
    """
    return judge_gpu(ask_driver(), needs, has_card())


def judge_gpu(driver: Driver, needs: Needs | None, is_on_bus: bool) -> list[Finding]:
    """The findings about what the driver said."""
    if driver.error != SUCCESS:
        return [_no_driver(driver.error, is_on_bus)]
    cuda = needs.cuda if needs else None
    found = [_driver(driver, cuda, has_torch=bool(needs and needs.torch))]
    for card in driver.cards:
        found.append(_broken_card(card) if card.error != SUCCESS else _sound_card(card))
        if card.holders:
            found.append(_held(card))
    return found


def _no_driver(error: int, is_on_bus: bool) -> Finding:
    if error == NO_LIBRARY and not is_on_bus:
        return Finding("GPU", True, "no driver found: training runs on the processor", code="gpu.driver")
    what, why, next_step = _WRONG.get(error, _UNKNOWN)
    return Finding("GPU", False, what, why, next_step, code="gpu.driver", facts={"nvml": error})


_AS_ROOT = say("Give this account access to /dev/nvidia*, or ask the administrator of this box.")
_RESTART = say("Restart the box. If it is so again, show this line to the maker of the card.")
_UNKNOWN = (
    say("the driver does not answer"),
    say("training runs on the processor, which is slow"),
    say("Load or repair the driver."),
)
_WRONG = {
    NO_LIBRARY: (
        say("an NVIDIA card is in this box, and its driver is not"),
        say("training runs on the processor, which is slow"),
        say("Install the driver; BUNDLE.md says which version the bundle needs."),
    ),
    DRIVER_NOT_LOADED: (
        say("the driver is installed and not loaded"),
        say("the kernel has no module for the card: a new kernel without it, or Secure Boot refuses it"),
        say("Run modprobe nvidia as root and read what it says; else install the driver again."),
    ),
    MISMATCH: (
        say("the driver was replaced and the old one is still loaded"),
        say("its library and its kernel module have different versions"),
        say("Restart the box."),
    ),
    NO_PERMISSION: (
        say("this account may not ask the driver"),
        say("training would run on the processor, which is slow"),
        _AS_ROOT,
    ),
    BLOCKED: (
        say("the card is kept from this account"),
        say("the operating system blocks it (control groups)"),
        _AS_ROOT,
    ),
    IS_LOST: (
        say("the card does not answer any more"),
        say("it fell off the bus: heat, power, or a broken card"),
        _RESTART,
    ),
    RESET_REQUIRED: (say("the card must be reset"), say("an error left it unusable"), _RESTART),
}
"""nvmlReturn_t to what, why and next."""


def _driver(driver: Driver, cuda: str | None, *, has_torch: bool) -> Finding:
    facts = {"driver": driver.version, "driver_cuda": driver.cuda, "bundle_cuda": cuda or "none"}
    what = say(
        "driver {version}, CUDA {cuda}, cards: {count}",
        version=driver.version,
        cuda=driver.cuda or "?",
        count=len(driver.cards),
    )
    code = "gpu.driver"
    if not driver.cards:
        return Finding(
            "GPU",
            False,
            say("driver {version} finds no card", version=driver.version),
            say("training runs on the processor, which is slow"),
            _RESTART,
            code=code,
            facts=facts,
        )
    if cuda is None:
        if has_torch:
            what = say("{driver}; this release trains on the processor only", driver=what)
        return Finding("GPU", True, what, code=code, facts=facts)
    oldest = oldest_driver(cuda)
    if oldest is not None and is_older(driver.version, oldest):
        return Finding(
            "GPU",
            False,
            say("driver {version} is older than {oldest}", version=driver.version, oldest=oldest),
            say("this release was built for CUDA {cuda}; training would run on the processor", cuda=cuda),
            say(
                "Install driver {oldest} or newer, then restart the box.", oldest=CAME_WITH.get(cuda, oldest)
            ),
            code=code,
            facts={**facts, "driver_needed": oldest},
        )
    if oldest is None and driver.cuda and int(driver.cuda.split(".")[0]) < int(cuda.split(".")[0]):
        return Finding(
            "GPU",
            False,
            say(
                "driver {version} knows CUDA {cuda} and nothing newer",
                version=driver.version,
                cuda=driver.cuda,
            ),
            say("this release was built for CUDA {cuda}; training would run on the processor", cuda=cuda),
            say("Install a driver for CUDA {cuda} or newer, then restart the box.", cuda=cuda),
            code=code,
            facts=facts,
        )
    return Finding(
        "GPU", True, say("{driver}; the release needs {cuda}", driver=what, cuda=cuda), code=code, facts=facts
    )


def _broken_card(card: Card) -> Finding:
    what, why, next_step = _WRONG.get(card.error, _UNKNOWN)
    facts = {"index": card.index, "nvml": card.error}
    return Finding(
        say("GPU {index}", index=card.index), False, what, why, next_step, code="gpu.card", facts=facts
    )


def _sound_card(card: Card) -> Finding:
    name = say("GPU {index}", index=card.index)
    what: Sentence = say(
        "{name}, {free} of {total} free",
        name=card.name,
        free=amount_text(card.free_bytes, "B"),
        total=amount_text(card.total_bytes, "B"),
    )
    facts: dict[str, int | float | str | bool] = {
        "index": card.index,
        "card": card.name,
        "total_bytes": card.total_bytes,
        "free_bytes": card.free_bytes,
        "capability": card.capability,
        "ecc": "none" if card.ecc is None else "on" if card.ecc else "off",
        "uncorrected_errors": card.uncorrected,
        "mig": card.slices is not None,
    }
    code = "gpu.card"
    if card.uncorrected:
        return Finding(
            name,
            False,
            say(
                "{card}; {count} memory errors that could not be corrected", card=what, count=card.uncorrected
            ),
            say("numbers on the card may have been wrong since the driver was loaded"),
            _RESTART,
            code=code,
            facts=facts,
        )
    if card.slices == ():
        return Finding(
            name,
            False,
            say("{name} is set to be divided (MIG), and has no slice", name=card.name),
            say("programs see no card at all until a slice is made"),
            say("Make a slice (nvidia-smi mig -cgi ... -C), or switch MIG off (nvidia-smi -mig 0), as root."),
            code=code,
            facts=facts,
        )
    if card.slices is not None:
        sizes = ", ".join(amount_text(size, "B") for size in card.slices)
        return Finding(
            name,
            False,
            say("{name} is divided (MIG): {sizes}", name=card.name, sizes=sizes),
            say("a training sees one slice only"),
            say("Choose a model that fits a slice, or switch MIG off (nvidia-smi -mig 0) as root."),
            code=code,
            facts={**facts, "slices": len(card.slices)},
        )
    correction = {
        None: say("no error correction"),
        True: say("error correction on"),
        False: say("error correction off"),
    }
    return Finding(name, True, listed([what, correction[card.ecc]], "; "), code=code, facts=facts)


def _held(card: Card) -> Finding:
    """Other programs on a card: they may be wanted (a server of models), and take what training needs."""
    held = sum(holder.used_bytes or 0 for holder in card.holders)
    programs = [_holder(holder) for holder in card.holders[:SHOWN_PROGRAMS]]
    if len(card.holders) > SHOWN_PROGRAMS:
        programs.append(say("{count} more", count=len(card.holders) - SHOWN_PROGRAMS))
    return Finding(
        say("programs on GPU {index}", index=card.index),
        False,
        listed(programs),
        say("{held} of its memory is not free for training", held=amount_text(held, "B")),
        say("End them if they are not needed; or leave them, and the plan counts with what is free."),
        code="gpu.programs",
        facts={"index": card.index, "programs": len(card.holders), "held_bytes": held},
    )


def _holder(holder: Holder) -> Sentence:
    used = say("?") if holder.used_bytes is None else amount_text(holder.used_bytes, "B")
    program, owner = program_of(holder.pid)
    if not program:
        return say("process {pid}, not seen from here: {used}", pid=holder.pid, used=used)
    return say(
        "{program} (process {pid}, {owner}): {used}", program=program, pid=holder.pid, owner=owner, used=used
    )
