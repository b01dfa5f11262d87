"""Making the unpacked conda environment into this release's runtime, at its final place.

conda-unpack rewrites the placeholder prefix once and in place, so this happens under
releases/N/runtime before the switch. The wheels follow, by hash, from the release's own links.
"""

import os
import re
import stat
from pathlib import Path

from appliance.bundle.contents import Contents
from appliance.process import run
from appliance.progress import Progress
from appliance.sentence import say

_ENV_PYTHON = re.compile(rb"\A#!/usr/bin/env python[0-9.]*(?=\s)")
_RETRY = say(
    "Free space if the disk is full, then run install.sh again; else send these lines to the sender."
)


def clean_environment() -> dict[str, str]:
    """What programs of the runtime may see of this session: no user's Python, no pip settings, no proxy."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "PYTHONNOUSERSITE": "1",
    }


def relocate(runtime: Path) -> None:
    """Rewrite the environment's prefix to where it lies now. Raises: StepFailed."""
    python = runtime / "bin" / "python"
    unpack = runtime / "bin" / "conda-unpack"
    if unpack.exists():
        # -I would hide the script's own folder, which conda-unpack needs.
        run([python, "-E", "-s", unpack], env=clean_environment(), next_step=_RETRY)
        unpack.unlink()
    for script in (runtime / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            _fix_shebang(script, python)


def _fix_shebang(script: Path, python: Path) -> None:
    """`#!/usr/bin/env python` would find another Python, or none."""
    with script.open("rb") as file:
        start = file.read(64)
        if not _ENV_PYTHON.match(start):
            return
        rest = file.read()
    mode = stat.S_IMODE(script.stat().st_mode)
    script.write_bytes(_ENV_PYTHON.sub(b"#!" + os.fsencode(python), start) + rest)
    script.chmod(mode)


def install_wheels(
    release: Path, contents: Contents, own_wheel: Path, own_sha256: str, work: Path, progress: Progress
) -> None:
    """Install the release's wheels and the appliance's own into the runtime, offline, by hash.

    Raises: StepFailed, with pip's last lines.
    """
    wheels = [(release / entry.path, entry.sha256) for entry in contents.entries if entry.kind == "wheel"]
    requirements = work / "requirements.txt"
    requirements.write_text(
        "".join(
            f"{path.as_uri()} --hash=sha256:{sha256}\n" for path, sha256 in [*wheels, (own_wheel, own_sha256)]
        ),
        encoding="utf-8",
    )
    flags = [
        "--no-index",
        "--no-deps",
        "--no-cache-dir",
        "--no-compile",
        "--require-hashes",
        "--disable-pip-version-check",
    ]
    pip: list[str | Path] = [
        release / "runtime/bin/python",
        "-I",
        "-m",
        "pip",
        "install",
        "--root-user-action=ignore",
    ]
    with progress.stage(say("installing {count} wheels", count=len(wheels) + 1), total=None):
        run(
            [*pip, *flags, "-r", requirements],
            env=clean_environment() | {"TMPDIR": str(work)},
            next_step=_RETRY,
        )


def try_imports(runtime: Path, contents: Contents, progress: Progress) -> None:
    """Import what this release is for, in the runtime itself: the commands; with torch aboard, training,
    evaluation and export too. A bundle without torch carries models or tools only.

    A runtime that cannot is not switched to. What is imported is compiled on the way, for users who
    may not write here; compiling everything takes five times as long and serves nobody.

    Raises: StepFailed, with Python's last lines.
    """
    wheels = {entry.component.split()[0] for entry in contents.entries if entry.kind == "wheel"}
    imports = _COMMANDS + (_WIZARD if "textual" in wheels else "") + (_TRAINING if "torch" in wheels else "")
    with progress.stage(say("trying the runtime"), total=None):
        run(
            [runtime / "bin/python", "-I", "-c", imports],
            env=clean_environment(),
            next_step="Compare the box with the target in BUNDLE.md, and send these lines to the sender.",
        )


_COMMANDS = """
from appliance.model.offline import go_offline
go_offline()
import appliance.cli, appliance.show
"""
_WIZARD = """
import appliance.wizard.open, appliance.wizard.unattended, appliance.wizard.lines
import appliance.wizard.full.program
"""
_TRAINING = """
import appliance.training.worker, appliance.training.session
import appliance.evaluation.compare, appliance.export.package, xllamacpp
from transformers import AutoModelForCausalLM, AutoTokenizer
"""
