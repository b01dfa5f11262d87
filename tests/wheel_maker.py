"""Wheels made in a moment, right or with one thing wrong."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path


def digest(body: bytes) -> str:
    """A hash as RECORD writes it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def write_wheel(
    folder: Path,
    files: Mapping[str, bytes] | None = None,
    *,
    name: str = "x",
    version: str = "1.0",
    tag: str = "py3-none-any",
    needs: tuple[str, ...] = (),
    summary: str = "",
    unlisted: tuple[str, ...] = (),
    invented: tuple[str, ...] = (),
    wrong: tuple[str, ...] = (),
) -> Path:
    """A wheel that holds `files`; its RECORD leaves out, invents or gets wrong the names given."""
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
    metadata += f"Summary: {summary}\n" if summary else ""
    bodies = {
        f"{name}/__init__.py": b"",
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        **(files or {}),
    }
    record = [
        f"{file},{digest(b'other' if file in wrong else body)},{len(body)}"
        for file, body in bodies.items()
        if file not in unlisted
    ]
    record += [f"{file},{digest(b'')},0" for file in invented] + [f"{info}/RECORD,,"]
    with zipfile.ZipFile(path, "w") as archive:
        for file, body in bodies.items():
            archive.writestr(zipfile.ZipInfo(file), body)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "\n".join(record) + "\n")
    return path
