"""sbom.cdx.json: what a release holds, in CycloneDX 1.6, for the programs that read such lists.

It follows from the lock, the contents and the locked bytes alone: the time in it is the lock's and its
serial number is computed from the rest of the document. A component is what a person would name (a model,
a wheel); files stand below it. Dependencies are given where the bytes state them: the requirements that
wheels declare, judged for the target. What a conda package or a model needs is not stated: by the format's
rules, a component that the graph leaves out is one whose dependencies are unknown.

Specification: https://cyclonedx.org/docs/1.6/json/
"""

import hashlib
import json
import re
import uuid
import zipfile
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from appliance.bundle import names
from appliance.bundle.contents import Contents, Entry
from appliance.bundle.release import Release
from bundler import accept_notes
from bundler.advisories import Finding
from bundler.advisory_table import properties
from bundler.converter import PACKAGE
from bundler.licence import is_stated, spdx
from bundler.lock import Lock
from bundler.manifest import Target
from bundler.policy import is_card, is_licence_text
from bundler.sources import file_sha256
from bundler.sources.conda import LockedPackage
from bundler.sources.extras import LockedExtra
from bundler.sources.hub import LockedModel
from bundler.sources.wheels import LockedWheel
from bundler.wheel_policy import read_headers

Json = dict[str, Any]

CONFIG_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings")
"""Keys of config.json that tell how large a model is."""
_SINGLE_LICENCE = re.compile(r"(?!LicenseRef-)[A-Za-z0-9.-]+")


def format_sbom(
    lock: Lock, release: Release, contents: Contents, sources: Mapping[str, Path], folder: Path
) -> bytes:
    """sbom.cdx.json as it is written; the same lock and the same bytes give the same document.

    sources: the files by their path in `contents`; read for what wheels require and what models are.
    folder: where install.sh and the appliance's own wheel lie.
    """
    own = next(path for path in sorted(folder.iterdir()) if names.WHEEL.fullmatch(path.name))
    metadata = {w.filename: wheel_metadata(sources[f"wheels/{w.filename}"]) for w in lock.wheels}
    appliance = _appliance(own)
    components = [
        appliance,
        _file("file:install.sh", names.INSTALLER, file_sha256(folder / names.INSTALLER)),
        *(_model(model, sources) for model in lock.models),
        *(_dataset(entry) for entry in contents.entries if entry.kind == "dataset"),
        *(_extra(extra) for extra in lock.extras),
        *_tools(lock, contents),
        *(_conda(package) for package in lock.runtime.packages),
        *(_wheel(wheel) for wheel in lock.wheels),
    ]
    refs: dict[str, str] = {canonicalize_name(p.name): _conda_ref(p) for p in lock.runtime.packages}
    refs |= {canonicalize_name(w.name): _wheel_ref(w) for w in lock.wheels}
    needed: dict[str, list[str] | None] = {}
    needed |= {_wheel_ref(w): _requirements(metadata[w.filename], lock.target, refs) for w in lock.wheels}
    needed[appliance["bom-ref"]] = _requirements(wheel_metadata(own), lock.target, refs)
    vulnerabilities = [_vulnerability(each, refs) for each in lock.advisories.found]
    needed["release"] = [component["bom-ref"] for component in components]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": _metadata(lock, release, appliance["version"]),
        "components": components,
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(needed.items()) if on is not None
        ],
        **({"vulnerabilities": vulnerabilities} if vulnerabilities else {}),
    }
    body = json.dumps(document, sort_keys=True).encode()
    serial = uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(body).hexdigest())
    return _a_line_each({**document, "serialNumber": f"urn:uuid:{serial}"}).encode("ascii")


def _a_line_each(document: Mapping[str, Any]) -> str:
    """JSON with a line for each component: a quarter smaller than indented; two compare by line."""
    write = json.JSONEncoder(separators=(",", ":")).encode
    lines = (
        f'"{name}":[\n' + ",\n".join(map(write, value)) + "\n]"
        if isinstance(value, list)
        else f'"{name}":{write(value)}'
        for name, value in document.items()
    )
    return "{" + ",\n".join(lines) + "}\n"


def wheel_metadata(wheel: Path) -> Message:
    """The headers of METADATA in the wheel at that path; none, if it has no such file."""
    with zipfile.ZipFile(wheel) as archive:
        found = [n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
        return read_headers(archive.read(found[0]) if found else b"")


def purl(kind: str, name: str, version: str, **qualifiers: str) -> str:
    """A package URL. `name` may hold a namespace: `organisation/name`. Source: ECMA-427."""
    path = "/".join(quote(step, safe="") for step in name.split("/"))
    rest = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(qualifiers.items()))
    return f"pkg:{kind}/{path}@{quote(version, safe='')}{'?' + rest if rest else ''}"


def _metadata(lock: Lock, release: Release, version: str) -> Json:
    target = lock.target
    facts = {
        "expires": release.expires,
        **properties(lock.advisories),
        **accept_notes.properties(lock.accept),
        "lock:manifest-sha256": lock.manifest_sha256,
        "target:cuda": target.cuda,
        "target:glibc": target.glibc,
        "target:platform": target.platform,
        "target:python": target.python,
    }
    return {
        "timestamp": lock.created,
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [{"type": "application", "name": "islet-bundle", "version": version}]},
        "component": {
            "type": "application",
            "bom-ref": "release",
            "name": release.product,
            "version": str(release.number),
            "description": "Signed bundle for a site without a network.",
        },
        "properties": _properties(facts),
    }


def _appliance(own: Path) -> Json:
    stated = wheel_metadata(own)
    return {
        "type": "application",
        "bom-ref": "islet",
        "name": "islet",
        "version": str(stated["Version"]),
        "description": str(stated["Summary"]),
        "hashes": _hashes(file_sha256(own)),
        "licenses": _licences(str(stated["License-Expression"])),
        "properties": _properties({"file": own.name}),
    }


def _model(model: LockedModel, sources: Mapping[str, Path]) -> Json:
    ref, folder = f"model:{model.hub}", f"models/{model.hub}"
    files = [_file(f"{ref}/{f.path}", f"{folder}/{f.path}", f.sha256) for f in model.files]
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "group": model.hub.split("/")[0],
        "name": model.hub.split("/")[1],
        "version": model.commit,
        "licenses": _licences(model.licence),
        "purl": purl("huggingface", model.hub, model.commit),
        "externalReferences": _documents(folder, [file.path for file in model.files]),
        "modelCard": _model_card(sources.get(f"{folder}/config.json")),
        "components": files,
    }


def _model_card(config: Path | None) -> Json:
    """What the model's own config.json says of it; nothing in it is our judgement."""
    stated = json.loads(config.read_bytes()) if config is not None else {}
    if not isinstance(stated, dict):
        return {}
    parameters: Json = {}
    architectures = stated.get("architectures")
    if isinstance(stated.get("model_type"), str):
        parameters["architectureFamily"] = stated["model_type"]
    if isinstance(architectures, list) and architectures:
        parameters["modelArchitecture"] = str(architectures[0])
        if str(architectures[0]).endswith("ForCausalLM"):
            text = [{"format": "text"}]
            parameters |= {"task": "text-generation", "inputs": text, "outputs": text}
    sizes = {f"config:{key}": str(stated[key]) for key in CONFIG_SIZES if isinstance(stated.get(key), int)}
    return {"modelParameters": parameters, "properties": _properties(sizes)}


def _documents(folder: str, paths: list[str]) -> list[Json]:
    """The model's own card and licence texts, where they lie in the bundle."""
    kinds = [("model-card", is_card), ("license", is_licence_text)]
    return [
        {"type": kind, "url": f"{folder}/{quote(path)}"}
        for kind, holds in kinds
        for path in paths
        if holds(path)
    ]


def _dataset(entry: Entry) -> Json:
    return {
        "type": "data",
        "bom-ref": f"dataset:{entry.component}",
        "name": entry.component,
        "version": entry.sha256[:12],
        "hashes": _hashes(entry.sha256),
        "licenses": _licences(entry.licence),
        "data": [{"type": "dataset", "name": entry.path}],
    }


def _extra(extra: LockedExtra) -> Json:
    stated: Json = {"description": extra.note} if extra.note else {}
    if extra.url:
        stated["externalReferences"] = [{"type": "distribution", "url": extra.url}]
    return {
        "type": "file",
        "bom-ref": f"extra:{extra.name}",
        "name": f"extras/{extra.name}/{extra.file}",
        "version": extra.sha256[:12],
        "hashes": _hashes(extra.sha256),
        "licenses": _licences(extra.licence),
        **stated,
    }


def _vulnerability(finding: Finding, refs: Mapping[str, str]) -> Json:
    """One known vulnerability of a package. `refs`: canonical name to reference."""
    stated: Json = {"ratings": [{"severity": finding.severity}]} if finding.severity else {}
    if finding.fixed:
        stated["recommendation"] = f"Fixed in {', '.join(finding.fixed)}."
    versions = [{"version": finding.version, "status": "affected"}]
    return {
        "bom-ref": f"vulnerability:{finding.package}:{finding.id}",
        "id": finding.id,
        "source": {"name": "OSV"},
        "references": [{"id": name, "source": {"name": "OSV"}} for name in finding.aliases],
        "description": finding.summary,
        "affects": [{"ref": refs.get(finding.package, "release"), "versions": versions}],
        **stated,
    }


def _tools(lock: Lock, contents: Contents) -> list[Json]:
    found: dict[str, list[Entry]] = {}
    for entry in contents.entries:
        if entry.kind == "tool":
            found.setdefault(entry.component, []).append(entry)
    tools = []
    for name, entries in sorted(found.items()):
        tool: Json = {
            "type": "application",
            "bom-ref": f"tool:{name}",
            "name": name,
            "licenses": _licences(entries[0].licence),
            "components": [_file(f"tool:{name}/{e.path}", e.path, e.sha256) for e in entries],
        }
        if lock.converter is not None and all(e.path.startswith("tools/llama.cpp/") for e in entries):
            taken = lock.converter
            tool["pedigree"] = {
                "ancestors": [
                    {
                        "type": "library",
                        "name": PACKAGE,
                        "version": taken.version,
                        "hashes": _hashes(taken.sha256),
                        "purl": purl("pypi", PACKAGE, taken.version, file_name=taken.sdist_name),
                    }
                ],
                "notes": "The files were taken out of this source package.",
            }
        tools.append(tool)
    return tools


def _conda(package: LockedPackage) -> Json:
    return {
        "type": "library",
        "bom-ref": _conda_ref(package),
        "name": package.name,
        "version": package.version,
        "hashes": _hashes(package.sha256),
        "licenses": _licences(package.licence),
        "purl": purl(
            "conda",
            package.name,
            package.version,
            build=package.build,
            subdir=package.subdir,
            type="conda" if package.file_name.endswith(".conda") else "tar.bz2",
        ),
        "properties": _properties({"carried-in": names.RUNTIME, "package": package.file_name}),
    }


def _conda_ref(package: LockedPackage) -> str:
    return f"conda:{package.name}"


def _wheel(wheel: LockedWheel) -> Json:
    name = canonicalize_name(wheel.name)
    return {
        "type": "library",
        "bom-ref": _wheel_ref(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "hashes": _hashes(wheel.sha256),
        "licenses": _licences(wheel.licence),
        "purl": purl("pypi", name, wheel.version, file_name=wheel.filename),
        "properties": _properties({"file": f"wheels/{wheel.filename}"}),
    }


def _wheel_ref(wheel: LockedWheel) -> str:
    return f"wheel:{canonicalize_name(wheel.name)}"


def _file(ref: str, path: str, sha256: str) -> Json:
    return {"type": "file", "bom-ref": ref, "name": path, "hashes": _hashes(sha256)}


def _hashes(sha256: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": sha256}]


def _licences(text: str) -> list[Json]:
    """One SPDX licence, one SPDX expression, or the source's own words; empty when it says nothing."""
    if not is_stated(text):
        return []
    expression = spdx(text)
    if expression is None:
        return [{"license": {"name": text, "acknowledgement": "declared"}}]
    if _SINGLE_LICENCE.fullmatch(expression):
        return [{"license": {"id": expression, "acknowledgement": "declared"}}]
    return [{"expression": expression, "acknowledgement": "declared"}]


def _properties(facts: Mapping[str, str]) -> list[Json]:
    return [{"name": f"islet:{name}", "value": value} for name, value in sorted(facts.items())]


def _requirements(metadata: Message, target: Target, refs: Mapping[str, str]) -> list[str] | None:
    """What a wheel requires on the target, as far as it is carried; None if it cannot be read."""
    place = {
        "extra": "",
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
    }
    if "Name" not in metadata:
        return None
    try:
        stated = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
        wanted = {canonicalize_name(r.name) for r in stated if r.marker is None or r.marker.evaluate(place)}
    except ValueError:  # what packaging raises for a line or a marker that is none
        return None
    return [refs[name] for name in wanted if name in refs]
