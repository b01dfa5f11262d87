"""What a model repository may hold: weights as safetensors, text beside them, nothing that runs.

Pure rules over names, documents and headers; whoever fetches calls them, names before the download,
content after it. Loaders have let configuration files bring in code again and again (CVE-2026-4372,
CVE-2026-5241, CVE-2025-66448 and others), so such keys are refused where they stand, whatever their value.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from appliance.bundle.safetensors import read_safetensors
from appliance.errors import BadInput

IGNORED = frozenset({".gitattributes", ".gitignore"})
"""The hub's own housekeeping: never carried."""

TEXT_SUFFIXES = frozenset({".json", ".txt", ".model", ".jinja", ".md"})
CARD = "README.md"
"""The model's card, as hubs show it."""
LICENCE_TEXT = re.compile(
    r"(.*/)?(MODEL[-_])?(LICENSE|LICENCE|NOTICE|COPYING|COPYRIGHT|USE_POLICY)([-_][A-Z0-9_-]+)?(\.(TXT|MD|RST))?"
)
"""Licences and what goes with them, in capitals: `LICENSE`, `LICENSE-MODEL`, `NOTICE.TXT`."""
VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})
"""JSON whose keys are tokens, not settings."""

FORBIDDEN_KEYS = frozenset({"auto_map", "trust_remote_code", "_attn_implementation_internal"})
HUB_NAMED_KEYS = frozenset({"attn_implementation", "_attn_implementation", "experts_implementation"})
"""Settings that fetch a kernel from a hub when their value names one (`organisation/name`)."""

MAX_DOCUMENT_BYTES = 64 << 20


def check_names(hub: str, paths: Iterable[str]) -> None:
    """Pass if every file of the model `hub` is of a kind that is carried.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    seen: dict[str, str] = {}
    for path in paths:
        check_name(hub, path)
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            raise _refused(hub, path, f"its name differs from {other} in case only")
    if not any(path.endswith(".safetensors") for path in seen.values()):
        raise _refused(hub, "(no file)", "there are no weights in the safetensors format")


def check_name(hub: str, path: str) -> None:
    """Pass if the file `path` of the model `hub` is of a kind that is carried.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    parts = path.split("/")
    if any(not part or part.startswith(".") or len(part) > 200 for part in parts):
        raise _refused(hub, path, "a part of its path is empty, hidden or too long")
    if not all(char.isascii() and (char.isalnum() or char in "._-+/ ()") for char in path):
        raise _refused(hub, path, "its name has characters other than letters, digits and ._-+() ")
    name = PurePosixPath(path)
    if name.suffix == ".safetensors" or name.suffix in TEXT_SUFFIXES:
        return
    if is_licence_text(path):
        return
    if name.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"):
        raise _refused(
            hub, path, "a pickle can run any code when it is loaded; weights come as safetensors only"
        )
    if name.suffix in (".py", ".pyc", ".so", ".sh"):
        raise _refused(hub, path, "a model brings no code")
    raise _refused(hub, path, "files of this kind are not carried")


def is_card(path: str) -> bool:
    """Whether a model's file is its card."""
    return path == CARD


def is_licence_text(path: str) -> bool:
    """Whether a model's file is the text of a licence, or goes with one."""
    return LICENCE_TEXT.fullmatch(path.upper()) is not None


def check_content(hub: str, path: str, file: Path) -> None:
    """Pass if what is in `file`, which is `path` of the model `hub`, keeps the rules for its kind.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    if path.endswith(".safetensors"):
        check_safetensors(hub, path, file)
    elif path.endswith(".json"):
        check_document(hub, path, file)


def check_document(hub: str, path: str, file: Path) -> None:
    """Pass if the JSON in `file` is JSON and asks for no code.

    Raises: BadInput, naming the file, the key and the remedy.
    """
    if file.stat().st_size > MAX_DOCUMENT_BYTES:
        raise _refused(hub, path, f"it is larger than {MAX_DOCUMENT_BYTES >> 20} MiB")
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Every pair is seen, also one that a later pair of the same name hides.
        found.extend(key for key, value in pairs if _asks_for_code(key, value))
        return dict(pairs)

    vocabulary = PurePosixPath(path).name in VOCABULARIES
    try:
        json.loads(file.read_bytes(), object_pairs_hook=None if vocabulary else look)
    except (ValueError, RecursionError) as error:
        raise _refused(hub, path, f"it is not JSON: {error}") from error
    if found:
        raise _refused(hub, path, f"the key {found[0]!r} makes a loader run or fetch code")


def _asks_for_code(key: str, value: object) -> bool:
    if key in HUB_NAMED_KEYS:
        return "/" in json.dumps(value, default=str)
    return key in FORBIDDEN_KEYS or key.startswith("custom_")


def check_safetensors(hub: str, path: str, file: Path) -> None:
    """Pass if the header of `file` describes exactly the bytes that follow it.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    try:
        read_safetensors(file)
    except BadInput as error:
        raise _refused(hub, path, error.why) from error


def _refused(hub: str, path: str, rule: str) -> BadInput:
    return BadInput(
        f"The model {hub} is refused because of {path}.",
        why=rule,
        next_step="Leave the file out (models.leave_out in the manifest), or take a model without it.",
    )
