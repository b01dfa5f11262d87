"""The anchor sheet: what two people at the site compare, sent by another road than the disk.

The sheet makes a site believe what stands on it, so it is made only of what enough people have signed.
"""

import hashlib
import html
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.medium import Medium
from appliance.bundle.release import Release
from appliance.errors import DamagedBundle, UntrustedBundle
from bundler.sign import grouped, verify_lists


@dataclass(frozen=True)
class Anchor:
    """What the sheet says."""

    release: Release
    hashes: dict[str, str]
    """SHA-256 of install.sh and of the newest root, by name."""
    root: str
    """The newest root's name."""


def read_anchor(folder: Path) -> Anchor:
    """What the sheet of a signed folder says.

    Raises: BadInput, when nobody has signed it; UntrustedBundle, DamagedBundle, when its roots, signatures,
    list, RELEASE or install.sh are not what a site takes.
    """
    medium = Medium(folder)
    try:
        judged = verify_lists(folder, medium)
        medium.read_checked(names.INSTALLER, judged.hashes[names.INSTALLER], names.SMALL_BYTES)
        root = medium.read_small(judged.root.name, names.SMALL_BYTES)
    except (UntrustedBundle, DamagedBundle) as error:
        raise type(error)(
            error.what,
            why=error.why,
            next_step="Send no sheet of it. `islet-bundle verify` judges it whole; build or sign it again.",
        ) from None
    hashes = {
        names.INSTALLER: judged.hashes[names.INSTALLER],
        judged.root.name: hashlib.sha256(root).hexdigest(),
    }
    return Anchor(judged.release, hashes, judged.root.name)


def anchor_text(anchor: Anchor) -> str:
    """The sheet as plain text to print."""
    rows = []
    for name, sha256 in anchor.hashes.items():
        first, second = grouped(sha256)
        rows.append(f"  {name}\n      {first}\n      {second}\n")
    release = anchor.release
    return _TEXT.format(
        product=release.product,
        number=release.number,
        created=release.created,
        hashes="\n".join(rows),
        root=anchor.root,
    )


def anchor_page(anchor: Anchor) -> str:
    """The sheet as one HTML page for A4 or letter paper; it loads nothing."""
    release = anchor.release
    rows = []
    for name, sha256 in anchor.hashes.items():
        groups = " ".join(grouped(sha256)).split()
        cells = ["".join(f"<td>{group}</td>" for group in half) for half in (groups[:4], groups[4:])]
        rows.append(
            f"<h2>{html.escape(name)}</h2>\n<table><tr>{cells[0]}</tr>\n<tr>{cells[1]}</tr></table>\n"
            '<p class="tick"><span></span> every group is the same</p>'
        )
    return _PAGE.format(
        product=html.escape(release.product),
        number=release.number,
        created=release.created,
        hashes="\n".join(rows),
        root=html.escape(anchor.root),
        sha256=" ".join(grouped(anchor.hashes[anchor.root])),
    )


_TEXT = """\
ISLET ANCHOR SHEET                                    send this by another road than the disk
{product}, release {number}, made {created}

{hashes}
At the site, before the first installation, two people:

  1. copy both files from the medium to the box:     cp MEDIUM/install.sh MEDIUM/{root} /root/
  2. have the box hash its own copies:               sha256sum /root/install.sh /root/{root}
  3. compare every group with this sheet, aloud;
  4. run the copy:                                   sh /root/install.sh --anchor "ROOT'S SHA-256" MEDIUM

If one group differs, stop, and call the sender at a number that you already had.

Compared by ______________________   and ______________________   on ______________
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Islet anchor sheet: {product}, release {number}</title>
<style>
@page {{ margin: 18mm }}
body {{ font: 11pt/1.45 sans-serif; color: #000; background: #fff;
  max-width: 44em; margin: 1.5em auto; padding: 0 1em }}
header {{ border-bottom: 2pt solid #000; margin-bottom: 1.2em }}
h1 {{ font-size: 18pt; margin: 0 }}
h2 {{ font: bold 13pt monospace; margin: 1.2em 0 .3em }}
table {{ border-collapse: collapse; break-inside: avoid }}
td {{ border: .5pt solid #000; padding: .35em .8em; font: 15pt monospace; letter-spacing: .04em }}
code {{ font: 10pt monospace; overflow-wrap: anywhere }}
.tick {{ margin: .4em 0 0 }}
.tick span {{ display: inline-block; width: .8em; height: .8em; border: 1pt solid #000 }}
.stop {{ border: 1.5pt solid #000; padding: .5em .8em; font-weight: bold }}
.sign {{ width: 100%; margin-top: 2.5em }}
.sign td {{ border: 0; border-top: .7pt solid #000; font: 9.5pt sans-serif; letter-spacing: 0;
  width: 40%; padding: .3em }}
.sign td.gap {{ border: 0; width: 3% }}
.sign td.date {{ width: 18% }}
</style>
</head>
<body>
<header>
<h1>Islet anchor sheet</h1>
<p>{product}, release {number}, made {created}.
Send this page by another road than the disk.</p>
</header>
{hashes}
<p>At the site, before the first installation, two people:</p>
<ol>
<li>copy both files from the medium to the box: <code>cp MEDIUM/install.sh MEDIUM/{root} /root/</code></li>
<li>have the box hash its own copies: <code>sha256sum /root/install.sh /root/{root}</code></li>
<li>compare every group with this sheet, aloud: one reads, the other follows on the paper;</li>
<li>run the copy, with the SHA-256 of {root}:<br>
<code>sh /root/install.sh --anchor "{sha256}" MEDIUM</code></li>
</ol>
<p class="stop">If one group differs, stop, and call the sender at a number that you already had.</p>
<table class="sign">
<tr><td>Compared by (name, signature)</td><td class="gap"></td><td>and by (name, signature)</td>
<td class="gap"></td><td class="date">date</td></tr>
</table>
</body>
</html>
"""
