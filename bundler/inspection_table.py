"""An inspection as a person reads it on a terminal."""

from rich.table import Table

from appliance.progress import amount_text
from bundler.accept_notes import lines
from bundler.advisory_table import print_advisories
from bundler.console import PlainConsole
from bundler.delta import carried_words
from bundler.inspection import Inspection, kinds, largest, licences

TARGET_WORDS = {"platform": "", "python": "Python ", "glibc": "glibc ", "cuda": "CUDA "}


def print_inspection(found: Inspection) -> None:
    """What is inside, by kind; licences; the largest files; who signed; what is missing."""
    console = PlainConsole(soft_wrap=True)
    release = found.release
    console.print(f"{release.product}, release {release.number}")
    console.print(f"  made {release.created}, may be installed until {release.expires}")
    target = [f"{word}{found.target[key]}" for key, word in TARGET_WORDS.items() if key in found.target]
    console.print(f"  for  {', '.join(target) or 'a target that it does not state'}")
    console.print(f"  room {amount_text(release.disk_bytes, 'B')} on the box")
    console.print(f"  {carried_words(found.contents)}")
    console.print()
    PlainConsole().print(_kinds(found))
    if found.packages:
        console.print(f"and {len(found.packages)} conda packages, unpacked into runtime.tar.gz")
    console.print("\nLicences, as their sources state them")
    for licence, count in licences(found):
        console.print(f"  {count:>4}  {licence}")
    console.print("\nLargest files")
    for entry in largest(found.contents):
        console.print(
            f"  {amount_text(entry.size, 'B'):>9}  {entry.path}{'' if entry.parts else '  (left out)'}"
        )
    if found.accepted:
        console.print("\nExceptions from the content policy, and why")
        for line in lines(found.accepted):
            console.print(f"  {line}")
    if found.advisories is not None:
        print_advisories(found.advisories)
    console.print("\nSignatures")
    for line in _signers(found):
        console.print(f"  {line}")
    if found.missing:
        console.print("\nMissing before a site accepts it")
        for line in found.missing:
            console.print(f"  - {line}")
    if found.refusal is None:
        console.print("\nA site that believes this root accepts it.")


def _kinds(found: Inspection) -> Table:
    view = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    view.add_column("kind")
    for title in ("components", "files", "size", "carried"):
        view.add_column(title, justify="right", no_wrap=True)
    for row in kinds(found.contents):
        size, carried = amount_text(row.size, "B"), amount_text(row.size - row.left_out, "B")
        view.add_row(row.kind, str(row.components), str(row.files), size, carried)
    return view


def _signers(found: Inspection) -> list[str]:
    if found.root is None:
        return ["none can be judged: there is no root.N that can be read"]
    lines = []
    for signature in found.signatures:
        word = "valid" if signature.valid else "DOES NOT VERIFY"
        lines.append(f"{signature.keyid}  {word if signature.known else 'NOT A RELEASE KEY'}")
    needed = found.root.release_threshold
    return [*lines, f"{found.valid} of {needed} needed, by the release keys of {found.root.name}"]
