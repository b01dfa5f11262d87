"""What this site believes: the newest root, and the highest release it has had."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.bundle import names
from appliance.bundle.release import Release
from appliance.durable import make_folder, write_whole
from appliance.errors import DamagedBundle
from appliance.sentence import say
from appliance.site.layout import Site

if TYPE_CHECKING:  # the second judge is not needed to remember what was installed
    from appliance.bundle.verify import Acceptable, Trust

_MEMORY = re.compile(
    f"product: ({names.PRODUCT.pattern})\nnumber: ({names.NUMBER.pattern})\n"
    f"sums-sha256: ({names.SHA256.pattern})\nnewest-date: ({names.DATE.pattern})\n".encode("ascii")
)


@dataclass(frozen=True)
class _State:
    """trust/state, `key: value` lines that install.sh reads too."""

    product: str
    number: int
    sums_sha256: str
    newest_date: str


def read_trust(
    site: Site, anchor: str | None = None, accept: "frozenset[Acceptable]" = frozenset()
) -> "Trust":
    """What to judge the next medium by; before the first install, only `anchor`.

    Raises: DamagedBundle, when what is remembered of the releases that were here cannot be read.
    """
    from appliance.bundle.verify import Trust

    root = site.prefix / "trust" / "root"
    state = _read_state(site)
    return Trust(
        root=root.read_bytes() if root.is_file() else None,
        anchor=anchor,
        product=state.product if state else None,
        number=state.number if state else 0,
        sums_sha256=state.sums_sha256 if state else None,
        newest_date=state.newest_date if state else "0000-00-00T00:00:00Z",
        accept=accept,
    )


def record_trust(site: Site, root: bytes, release: Release, sums_sha256: str) -> None:
    """Remember an installed release. The highest number and the newest date never go back.

    Raises: DamagedBundle, when what is remembered cannot be read.
    """
    folder = site.prefix / "trust"
    make_folder(folder)
    before = _read_state(site)
    newest = max(release.created, before.newest_date if before else release.created)
    older = before is not None and release.number < before.number  # accepted; the highest stays what counts
    lines = {
        "product": release.product,
        "number": str(before.number if before and older else release.number),
        "sums-sha256": before.sums_sha256 if before and older else sums_sha256,
        "newest-date": newest,
    }
    write_whole(folder / "state", "".join(f"{key}: {value}\n" for key, value in lines.items()).encode())
    write_whole(folder / "root", root)


def _read_state(site: Site) -> _State | None:
    """What is remembered; None before the first installation.

    Raises: DamagedBundle: of a site that forgot what it has had, an older release would seem new.
    """
    path = site.prefix / "trust" / "state"
    if not path.is_file() and not path.with_name("root").is_file():
        return None
    match = _MEMORY.fullmatch(path.read_bytes()) if path.is_file() else None
    if match is None:
        raise DamagedBundle(
            "This site's memory of its releases is damaged.",
            why=say("{path} is not written as it must be", path=path),
            next_step=say(
                "Move {folder} away and install as at the first installation, compared with the anchor "
                "sheet: no older release than those here.",
                folder=path.parent,
            ),
        )
    product, number, sums_sha256, newest_date = (field.decode("ascii") for field in match.groups())
    return _State(product, int(number), sums_sha256, newest_date)
