"""The manifest: what a bundle shall hold, written by a person, read once and strictly.

It names things by what people know them by (a model, a requirement, a branch); the lock beside it says
exactly which bytes those are. An unknown field or a wrong type is refused with its name.
"""

import re
from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import BadInput

LOCAL = "local"
"""As `target.python`: the version of the Python that runs the bundler."""


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bundle is called and how long it may be installed."""

    product: str
    """Lower-case letters, digits and `-`. A site installs releases of one product only."""
    valid_days: int = 400
    """Days from the lock's time to the release's expiry."""
    sender: str = ""
    """Who makes it, for the person who lets media in: `Clinic IT, tel. 123`. A claim; signatures prove it."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The isolated box, not the machine that runs the bundler."""

    python: str
    """`3.12`, or `local`."""
    platform: Literal["linux-64"] = "linux-64"
    glibc: str = "2.28"
    """The oldest C library the box may have."""
    cuda: str = "none"
    """The newest CUDA version that the box's driver supports, `12.8`, or `none`."""


class Runtime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The conda environment."""

    channels: tuple[str, ...]
    """Names (`conda-forge`), addresses, or folders relative to the manifest (`./channel`)."""
    packages: tuple[str, ...] = ()
    """Beside python and pip, which are always there: `ollama`, `llama.cpp >=0.0.6000`."""


class WheelIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An index that some packages are bound to."""

    name: str
    url: str
    packages: tuple[str, ...]


class Wheels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Python packages installed into the environment at the site."""

    requirements: tuple[str, ...] = ()
    """As pip takes them: `torch==2.13.0`."""
    index: tuple[WheelIndex, ...] = ()


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model repository of a hub."""

    hub: str
    """`organisation/name`."""
    revision: str = "main"
    """Branch, tag or commit; the lock pins the commit."""
    licence: str = ""
    """Overrides what the model's card says."""
    leave_out: tuple[str, ...] = ()
    """Patterns of files that are not wanted: `original/*`, `*.png`."""


class Dataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of rows that travels with the bundle."""

    path: str
    """Relative to the manifest."""
    licence: str = ""


class Tools(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tools that are neither conda packages nor wheels."""

    converter: bool = True
    """llama.cpp's converter to GGUF."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle shall hold."""

    bundle: Bundle
    target: Target
    runtime: Runtime
    wheels: Wheels = msgspec.field(default_factory=Wheels)
    models: tuple[Model, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    tools: Tools = msgspec.field(default_factory=Tools)


def read_manifest(path: Path) -> Manifest:
    """The manifest in the file at `path`, judged.

    Raises: BadInput, when the file cannot be read, a field is unknown, missing or has a wrong type, or a
    value cannot be right; the message names the field.
    """
    try:
        manifest = msgspec.toml.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise BadInput(
            f"The manifest {path} cannot be read.", why=str(error), next_step="Give the path of a manifest."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refused(path, str(error)) from error
    for problem in _problems(manifest):
        raise _refused(path, problem)
    return manifest


def _refused(path: Path, why: str) -> BadInput:
    return BadInput(
        f"The manifest {path.name} is not valid.",
        why=why,
        next_step=f"Edit {path}; every field is described in manifests/README.md.",
    )


def _problems(manifest: Manifest) -> list[str]:
    """What types cannot say, each with the field it is about."""
    bundle, target = manifest.bundle, manifest.target
    checks = [
        (
            re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", bundle.product) is not None,
            f"bundle.product: {bundle.product!r} is not lower-case letters, digits and '-'",
        ),
        (
            len(bundle.sender) <= 100 and (bundle.sender + "x").isprintable(),
            "bundle.sender: it must be one line of at most 100 characters",
        ),
        (1 <= bundle.valid_days <= 3650, f"bundle.valid_days: {bundle.valid_days} is not within 1 to 3650"),
        (
            target.python == LOCAL or re.fullmatch(r"3\.\d{1,2}", target.python) is not None,
            f"target.python: {target.python!r} is neither a version like '3.12' nor '{LOCAL}'",
        ),
        (
            re.fullmatch(r"2\.\d{1,2}", target.glibc) is not None,
            f"target.glibc: {target.glibc!r} is not a version like '2.28'",
        ),
        (
            target.cuda == "none" or re.fullmatch(r"\d{2}\.\d", target.cuda) is not None,
            f"target.cuda: {target.cuda!r} is neither 'none' nor a version like '12.8'",
        ),
        (len(manifest.runtime.channels) > 0, "runtime.channels: at least one is needed"),
        (
            not manifest.wheels.index,
            "wheels.index: binding packages to an index is not supported yet; set the index in pip's "
            "configuration",
        ),
    ]
    checks += [
        (
            not requirement.lstrip().startswith("-") and "\n" not in requirement,
            f"wheels.requirements[{at}]: {requirement!r} is an option, not a requirement",
        )
        for at, requirement in enumerate(manifest.wheels.requirements)
    ]
    checks += [
        (
            re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", model.hub, re.ASCII) is not None,
            f"models[{at}].hub: {model.hub!r} is not 'organisation/name'",
        )
        for at, model in enumerate(manifest.models)
    ]
    names = [model.hub.lower() for model in manifest.models]
    checks += [(len(set(names)) == len(names), "models: a model is named twice")]
    files = [Path(dataset.path).name for dataset in manifest.datasets]
    checks += [(len(set(files)) == len(files), "datasets: two files have the same name")]
    return [problem for holds, problem in checks if not holds]
