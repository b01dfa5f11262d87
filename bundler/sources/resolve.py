"""uv chooses versions: for the target, from metadata, with this machine's settings out of sight."""

import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput, StepFailed
from appliance.process import run
from bundler.manifest import Target
from bundler.sources.indexes import Indexes
from bundler.sources.router import Router, routed
from bundler.sources.tags import uv_platform


@dataclass(frozen=True)
class Pin:
    """A package at one version."""

    name: str
    """Canonical."""
    version: str


def resolve(
    requirements: Sequence[str],
    target: Target,
    indexes: Indexes,
    *,
    cache: Path,
    python: str,
    provided: Mapping[str, str],
    constraints: Iterable[str] = (),
) -> list[Pin]:
    """What `requirements` and all that they need come to on the target, without what is `provided`.

    python: the target's Python, as exactly as it is known. provided: canonical names of packages that the
    conda environment brings, with their versions. constraints: lines such as `torch==2.10.0`.

    Raises: BadInput, when it cannot be met; StepFailed, DamagedBundle, when an index cannot be read.
    """
    folder = cache / "resolve"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        routed(indexes, cache, provided) as router,
    ):
        work = Path(name)
        (work / "wanted.in").write_text("".join(f"{line}\n" for line in requirements))
        (work / "pinned.in").write_text("".join(f"{line}\n" for line in constraints))
        try:
            run(
                _command(work, target, python, router.url),
                next_step="",
                env={"PATH": "/usr/bin:/bin", "HOME": str(work), "TMPDIR": str(work)},
            )
        except StepFailed as error:
            if router.failed:
                raise router.failed[0] from error
            raise _unmet(error, router, indexes, python) from error
        lines = (work / "chosen.txt").read_text().splitlines()
    pins = [Pin(*line.split("==", 1)) for line in lines if line and not line.startswith("#")]
    return [pin for pin in pins if pin.name not in provided]


def _command(work: Path, target: Target, python: str, url: str) -> list[str | Path]:
    from uv import find_uv_bin

    return [
        find_uv_bin(),
        *("--no-config", "pip", "compile"),
        *("--python", sys.executable, "--no-python-downloads", "--python-version", python),
        *("--python-platform", uv_platform(target)),
        *("--only-binary", ":all:", "--default-index", f"{url}/", "--cache-dir", work / "cache"),
        *("--keyring-provider", "disabled", "--color", "never", "--no-progress", "--quiet"),
        *("--no-header", "--no-annotate", "--output-file", work / "chosen.txt"),
        *("--constraints", work / "pinned.in", work / "wanted.in"),
    ]


def _unmet(error: StepFailed, router: Router, indexes: Indexes, python: str) -> BadInput:
    """What uv said, with what it could not know: where each package was looked for, and what conda brings."""
    text = str(error.why).replace(router.url, "INDEX")
    text = re.sub(r"^its last lines:\s*", "", text)
    facts = [
        f"{indexes.place(indexes.name_for(name)).title} does not have {name}"
        for name in sorted(set(router.not_found))
    ]
    facts += [
        f"the conda environment brings {name} {version}"
        for name, version in sorted(router.provided.items())
        if re.search(rf"\b{re.escape(name)}\b", text)
    ]
    if "requires Python" in text:
        facts.append(f"the Python of the target is {python}")
    return BadInput(
        "The requirements cannot be met by wheels.",
        why="; ".join([*facts, text]),
        next_step="Correct wheels.requirements, wheels.index or target in the manifest.",
    )
