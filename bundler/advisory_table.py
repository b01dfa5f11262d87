"""Known vulnerabilities as a person reads them on a terminal, and as the SBOM has them."""

from typing import Any

import msgspec
from rich.table import Table

from bundler.advisories import Advisories, Finding
from bundler.console import PlainConsole

PREFIX = "islet:advisories:"
"""What the SBOM's properties that tell of the comparison begin with."""


def print_advisories(found: Advisories) -> None:
    """What was found, the worst first, or why nothing was looked for."""
    console = PlainConsole(soft_wrap=True)
    console.print("\nKnown vulnerabilities of Python packages")
    if found.not_checked:
        console.print(f"  not checked, because {found.not_checked}")
        return
    console.print(
        f"  {found.compared} packages compared with {found.read} advisories of {found.source}, the newest of "
        f"{found.newest}: {len(found.found)} found"
    )
    if found.unread:
        console.print(f"  {found.unread} files could not be read as advisories")
    if found.found:
        PlainConsole().print(_table(found))


def properties(found: Advisories) -> dict[str, str]:
    """What the SBOM says of the comparison beside its findings."""
    stated = msgspec.to_builtins(found)
    return {f"advisories:{name}": str(value) for name, value in stated.items() if name != "found" and value}


def from_sbom(document: dict[str, Any]) -> Advisories | None:
    """What `bundler.sbom` wrote of the comparison; None, if it says nothing that can be read."""
    try:
        listed = document["metadata"]["properties"]
        stated = {each["name"]: each["value"] for each in listed if each["name"].startswith(PREFIX)}
        fields: dict[str, Any] = {name.removeprefix(PREFIX): value for name, value in stated.items()}
        fields["found"] = [_finding(each) for each in document.get("vulnerabilities", [])]
        found = msgspec.convert(fields, type=Advisories, strict=False)
    except (KeyError, TypeError, AttributeError, IndexError, msgspec.ValidationError):
        return None
    return found if stated else None


def _finding(stated: dict[str, Any]) -> Finding:
    """The reverse of `bundler.sbom`."""
    fixed = stated.get("recommendation", "").removeprefix("Fixed in ").removesuffix(".")
    _, package, _ = stated["bom-ref"].split(":", 2)
    return Finding(
        package=package,
        version=stated["affects"][0]["versions"][0]["version"],
        id=stated["id"],
        aliases=tuple(each["id"] for each in stated.get("references", [])),
        severity=stated["ratings"][0]["severity"] if "ratings" in stated else "",
        summary=stated["description"],
        fixed=tuple(fixed.split(", ")) if fixed else (),
    )


def _table(found: Advisories) -> Table:
    view = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 2))
    for title in ("severity", "package", "called", "fixed in", "what"):
        view.add_column(title, overflow="fold")
    for finding in found.found:
        view.add_row(
            finding.severity or "not rated",
            f"{finding.package} {finding.version}",
            ", ".join([finding.id, *finding.aliases]),
            ", ".join(finding.fixed) or "no version yet",
            finding.summary,
        )
    return view
