"""The manifest: what a bundle shall hold, written by a person, read once and strictly.

It names things by what people know them by (a model, a requirement, a branch); the lock beside it says
exactly which bytes those are. An unknown field or a wrong type is refused with its name.
"""

import re
import urllib.parse
from pathlib import Path
from typing import Literal

import msgspec
from packaging.requirements import InvalidRequirement, Requirement

from appliance.bundle.contents import is_path
from appliance.errors import BadInput
from bundler.rules import Accept, accept_problems

LOCAL = "local"
"""As `target.python`: the version of the Python that runs the bundler. As `target.cuda`: what the torch of
that Python was built for."""


MOST_DAYS = 3650
"""How long a release may be installed at most, in days."""


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
    """The newest CUDA version that the box's driver supports, `12.8`; `none`; or `local`."""


class Runtime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The conda environment."""

    channels: tuple[str, ...]
    """Names (`conda-forge`), addresses, or folders relative to the manifest (`./channel`)."""
    packages: tuple[str, ...] = ()
    """Beside python and pip, which are always there: `ollama`, `llama.cpp >=0.0.6000`."""


class WheelIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An index that some packages are bound to: they come from nowhere else, and nothing else from it."""

    name: str
    """For `--index NAME=URL` and for messages: `torch-cu128`."""
    url: str
    """Address of a simple index, without credentials, or a folder of wheels relative to the manifest
    (`./wheels`)."""
    packages: tuple[str, ...]
    """Names, or patterns of names: `torch`, `nvidia-*`. What they need in turn is not bound by that."""


class Wheels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Python packages installed into the environment at the site."""

    requirements: tuple[str, ...] = ()
    """As pip takes them, without addresses: `torch==2.13.0`."""
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


class Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that a site needs and that is carried as it is: an installer, an archive, a document."""

    name: str
    """Lower-case letters, digits and `-`; the file lies under `extras/NAME/` at the site."""
    url: str = ""
    """Where it is fetched, without credentials; either this or `path`."""
    path: str = ""
    """A file relative to the manifest."""
    sha256: str = ""
    """As its publisher states it; needed with `url`."""
    file: str = ""
    """What it is called at the site, where that is not the address's last step."""
    licence: str = ""
    note: str = ""
    """What it is for, in one line."""

    @property
    def file_name(self) -> str:
        """What the file is called at the site."""
        path = self.path or urllib.parse.unquote(urllib.parse.urlsplit(self.url).path)
        return self.file or path.rsplit("/", 1)[-1]


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
    extras: tuple[Extra, ...] = ()
    tools: Tools = msgspec.field(default_factory=Tools)
    accept: tuple[Accept, ...] = ()
    """Exceptions from the content policy, one file and one rule each."""


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
        (
            1 <= bundle.valid_days <= MOST_DAYS,
            f"bundle.valid_days: {bundle.valid_days} is not within 1 to {MOST_DAYS}",
        ),
        (
            target.python == LOCAL or re.fullmatch(r"3\.\d{1,2}", target.python) is not None,
            f"target.python: {target.python!r} is neither a version like '3.12' nor '{LOCAL}'",
        ),
        (
            re.fullmatch(r"2\.\d{1,2}", target.glibc) is not None,
            f"target.glibc: {target.glibc!r} is not a version like '2.28'",
        ),
        (
            target.cuda in ("none", LOCAL) or re.fullmatch(r"\d{2}\.\d", target.cuda) is not None,
            f"target.cuda: {target.cuda!r} is neither 'none', '{LOCAL}' nor a version like '12.8'",
        ),
        (len(manifest.runtime.channels) > 0, "runtime.channels: at least one is needed"),
    ]
    checks += [
        (problem == "", f"wheels.requirements[{at}]: {requirement!r} {problem}")
        for at, requirement in enumerate(manifest.wheels.requirements)
        for problem in [_requirement_problem(requirement)]
    ]
    checks += [check for at, index in enumerate(manifest.wheels.index) for check in _index_checks(at, index)]
    named = [index.name for index in manifest.wheels.index]
    checks += [(len(set(named)) == len(named), "wheels.index: two have the same name")]
    checks += [
        (
            re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", model.hub, re.ASCII) is not None,
            f"models[{at}].hub: {model.hub!r} is not 'organisation/name'",
        )
        for at, model in enumerate(manifest.models)
    ]
    names = [model.hub.lower() for model in manifest.models]
    checks += [(len(set(names)) == len(names), "models: a model is named twice")]
    checks += [check for at, each in enumerate(manifest.datasets) for check in _dataset_checks(at, each)]
    files = [Path(dataset.path).name.lower() for dataset in manifest.datasets]
    checks += [(len(set(files)) == len(files), "datasets: two files have the same name, or but for case")]
    checks += [check for at, extra in enumerate(manifest.extras) for check in _extra_checks(at, extra)]
    named = [extra.name for extra in manifest.extras]
    checks += [(len(set(named)) == len(named), "extras: two have the same name")]
    return [*(problem for holds, problem in checks if not holds), *accept_problems(manifest.accept)]


def _requirement_problem(text: str) -> str:
    """What is wrong with a requirement; empty if nothing is."""
    if text.lstrip().startswith("-") or "\n" in text:
        return "is an option, not a requirement"
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        return f"is not a requirement: {str(error).splitlines()[0]}"
    if requirement.url is not None:
        return "names an address; put the wheel into a folder, and name that in wheels.index"
    return ""


def _index_checks(at: int, index: WheelIndex) -> list[tuple[bool, str]]:
    """Whether each rule for an index holds, and the problem if it does not."""
    field, web = f"wheels.index[{at}]", re.match(r"https?://", index.url) is not None
    return [
        (
            re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", index.name) is not None,
            f"{field}.name: {index.name!r} is not lower-case letters, digits, '.', '_' and '-'",
        ),
        (
            web or (index.url != "" and "://" not in index.url),
            f"{field}.url: {index.url!r} is neither an https address nor a folder",
        ),
        (
            not (web and "@" in urllib.parse.urlsplit(index.url).netloc),
            f"{field}.url: it holds credentials; give the address with them as --index {index.name}=URL",
        ),
        (len(index.packages) > 0, f"{field}.packages: at least one is needed"),
        *(
            (
                re.fullmatch(r"[A-Za-z0-9*][A-Za-z0-9._*-]*", pattern) is not None,
                f"{field}.packages: {pattern!r} is neither a name nor a pattern like 'nvidia-*'",
            )
            for pattern in index.packages
        ),
    ]


def _dataset_checks(at: int, dataset: Dataset) -> list[tuple[bool, str]]:
    """Whether each rule for a data set holds, and the problem if it does not."""
    field, name = f"datasets[{at}].path", Path(dataset.path).name
    return [
        _is_beside(field, dataset.path),
        (
            is_path(f"datasets/{name}", "dataset"),
            f"{field}: {name!r} is not a plain file name (letters, digits and . _ + @ = -); rename the file",
        ),
    ]


def _is_beside(field: str, path: str) -> tuple[bool, str]:
    """The rule for a file beside the manifest: its path stands in the lock, and may stand in BUNDLE.md."""
    return not path.startswith(("/", "~")), f"{field}: {path!r} is not relative to the manifest"


def _extra_checks(at: int, extra: Extra) -> list[tuple[bool, str]]:
    """Whether each rule for an extra holds, and the problem if it does not."""
    field, web = f"extras[{at}]", re.match(r"https?://[^/]", extra.url) is not None
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,148}[A-Za-z0-9_+=-]", extra.file_name) is not None
    return [
        (
            re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", extra.name) is not None,
            f"{field}.name: {extra.name!r} is not lower-case letters, digits and '-'",
        ),
        (bool(extra.url) != bool(extra.path), f"{field}: either url or path is needed, and not both"),
        _is_beside(f"{field}.path", extra.path),
        (extra.url == "" or web, f"{field}.url: it begins with neither https:// nor http://"),
        (
            not ("@" in urllib.parse.urlsplit(extra.url).netloc or "?" in extra.url),
            f"{field}.url: it holds credentials or a query; fetch such a file by hand and give its path",
        ),
        (
            re.fullmatch(r"[0-9a-f]{64}", extra.sha256) is not None or (extra.sha256 == "" and not extra.url),
            f"{field}.sha256: {extra.sha256!r} is no SHA-256; take it from who publishes the file",
        ),
        (plain, f"{field}.file: {extra.file_name!r} is not a plain file name; give one with file"),
        (
            len(extra.note) <= 200 and (extra.note + "x").isprintable(),
            f"{field}.note: it must be one line of at most 200 characters",
        ),
    ]
