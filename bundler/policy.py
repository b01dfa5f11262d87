"""What a model repository may hold: weights as safetensors or GGUF, text beside them, nothing that runs.

Names are judged before the download, content after it, each file for what its bytes are and not only for
what it is called. Loaders have let configuration files bring in code again and again (CVE-2026-4372,
CVE-2026-5241, CVE-2025-66448 and others), so such keys are refused where they stand, whatever their value.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from appliance.bundle.contents import is_path
from appliance.bundle.gguf import read_gguf
from appliance.bundle.safetensors import read_safetensors
from appliance.errors import BadInput
from bundler.disclosure import find_credential, find_private_address, is_local_path
from bundler.disguise import HEAD_BYTES, find_sign, is_pickle, is_text, is_vocabulary
from bundler.rules import Breach, Exceptions, Rule

IGNORED = frozenset({".gitattributes", ".gitignore"})
"""The hub's own housekeeping: never carried."""

WEIGHTS_SUFFIXES = frozenset({".safetensors", ".gguf"})
TEXT_SUFFIXES = frozenset({".json", ".txt", ".model", ".jinja", ".md"})
PICKLE_SUFFIXES = frozenset(
    {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".mar", ".dill", ".npy", ".npz"}
)
"""What is unpickled when it is loaded, or may be."""
CODE_SUFFIXES = frozenset({".py", ".pyc", ".pyd", ".so", ".sh", ".dll", ".dylib", ".exe", ".jar", ".whl"})
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
MODULE_KEYS = {"parent_library": ("transformers.", "peft."), "megatron_core": ("megatron.core",)}
"""Settings of an adapter whose value PEFT imports (`auto_mapping`, LoRA's `megatron_core`), and what they may
begin with."""
PLACE_KEYS = frozenset({"_name_or_path", "name_or_path", "base_model_name_or_path", "tokenizer_file"})
"""Settings that say where a model once lay."""


def check_names(hub: str, paths: Iterable[str], exceptions: Exceptions | None = None) -> None:
    """Pass if every file of the model `hub` is of a kind that is carried.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    seen: dict[str, str] = {}
    for path in paths:
        check_name(hub, path, exceptions)
        other = seen.get(path.casefold())
        if other is not None:
            why = "it is listed twice" if other == path else f"its name differs from {other} in case only"
            _judge(hub, path, "path", why, exceptions)
        seen[path.casefold()] = path
    if not any(PurePosixPath(path).suffix in WEIGHTS_SUFFIXES for path in seen.values()):
        raise BadInput(
            f"The model {hub} is refused.",
            why="there are no weights in the safetensors or GGUF format (rule weights)",
            next_step="Take a model that has them, or convert it where its maker is trusted.",
        )


def check_name(hub: str, path: str, exceptions: Exceptions | None = None) -> None:
    """Pass if the file `path` of the model `hub` is of a kind that is carried.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    if not is_path(f"models/{hub}/{path}", "model"):
        why = "its path is too long, hidden, or has other characters than letters, digits and ._-+@="
        _judge(hub, path, "path", why, exceptions)
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in WEIGHTS_SUFFIXES | TEXT_SUFFIXES or is_licence_text(path):
        return
    if suffix in PICKLE_SUFFIXES:
        why = "a pickle can run any code when it is loaded; weights come as safetensors only"
        _judge(hub, path, "pickle", why, exceptions)
    if suffix in CODE_SUFFIXES:
        _judge(hub, path, "code", "a model brings no code", exceptions)
    _judge(hub, path, "file-kind", "files of this kind are not carried", exceptions)


def is_card(path: str) -> bool:
    """Whether a model's file is its card."""
    return path == CARD


def is_licence_text(path: str) -> bool:
    """Whether a model's file is the text of a licence, or goes with one."""
    return LICENCE_TEXT.fullmatch(path.upper()) is not None


def check_content(hub: str, path: str, file: Path, exceptions: Exceptions | None = None) -> None:
    """Pass if what is in `file`, which is `path` of the model `hub`, keeps the rules for its kind.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in WEIGHTS_SUFFIXES:
        check_weights(hub, path, file, exceptions)
    elif suffix == ".json":
        check_document(hub, path, file, exceptions)
    elif suffix in TEXT_SUFFIXES or is_licence_text(path):
        check_text(hub, path, file, exceptions)
    elif (sign := find_sign(file)) is not None:
        _judge(hub, path, sign[0], f"it is {sign[1]}", exceptions)


def check_extra(name: str, path: str, file: Path) -> None:
    """Pass if the extra `name`, the file `path`, is sound weights where its name says that it is weights.

    Whatever else an extra is, nothing here or at the site loads it.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in WEIGHTS_SUFFIXES:
        return
    try:
        (read_safetensors if suffix == ".safetensors" else read_gguf)(file)
    except BadInput as error:
        raise BadInput(
            f"The extra {name} is refused because of {path}.",
            why=f"{error.why} (rule weights)",
            next_step="Take it from another publisher, or leave it out of the manifest.",
        ) from error


def check_weights(hub: str, path: str, file: Path, exceptions: Exceptions | None = None) -> None:
    """Pass if the header of `file` describes exactly the bytes that follow it.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    try:
        (read_safetensors if path.lower().endswith(".safetensors") else read_gguf)(file)
    except BadInput as error:
        sign = find_sign(file)
        why = f"it is {sign[1]}" if sign is not None else str(error.why)
        _judge(hub, path, sign[0] if sign is not None else "weights", why, exceptions)


def check_text(hub: str, path: str, file: Path, exceptions: Exceptions | None = None) -> None:
    """Pass if `file` is text, or a SentencePiece vocabulary where its name says so.

    Raises: BadInput, naming the file, the rule and the remedy.
    """
    if file.stat().st_size > HEAD_BYTES:
        _judge(hub, path, "document", f"it is larger than {HEAD_BYTES >> 20} MiB", exceptions)
    data = file.read_bytes()
    if path.endswith(".model") and is_vocabulary(data):
        return
    sign = find_sign(file)
    if sign is not None:
        _judge(hub, path, sign[0], f"it is {sign[1]}", exceptions)
    if not is_text(data):
        _judge(hub, path, "text", "it is called a text and holds control characters", exceptions)
    if path.endswith(".jinja") and (problem := find_credential(data.decode("utf-8", "replace"))) is not None:
        _judge(hub, path, "credential", problem, exceptions)


def check_document(hub: str, path: str, file: Path, exceptions: Exceptions | None = None) -> None:
    """Pass if the JSON in `file` is JSON, asks for no code and gives no secret and no private place away.

    Raises: BadInput, naming the file, the key and the remedy.
    """
    if file.stat().st_size > HEAD_BYTES:
        _judge(hub, path, "document", f"it is larger than {HEAD_BYTES >> 20} MiB", exceptions)
    data = file.read_bytes()
    if is_pickle(data):
        _judge(hub, path, "pickle", "it is a pickle: it can run any code when it is loaded", exceptions)
    if PurePosixPath(path).name in VOCABULARIES:
        _check_syntax(hub, path, data, exceptions)
        return
    pairs: list[tuple[str, Any]] = []

    def look(found: list[tuple[str, Any]]) -> dict[str, Any]:
        # Every pair is seen, also one that a later pair of the same name hides.
        pairs.extend(found)
        return dict(found)

    said = ""
    try:
        # Addresses as they are, also where some signs of them are written as \u0026 and the like.
        said = json.dumps(json.loads(data, object_pairs_hook=look), ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        _judge(hub, path, "document", f"it is not JSON: {error}", exceptions)
    for key, value in pairs:
        if _asks_for_code(key, value):
            why = f"the key {key!r} makes a loader run or fetch code"
            _judge(hub, path, "remote-code", why, exceptions)
    _check_disclosure(hub, path, f"{data.decode('utf-8', 'replace')}\n{said}", pairs, exceptions)


def _check_syntax(hub: str, path: str, data: bytes, exceptions: Exceptions | None = None) -> None:
    """Pass if `data` is JSON; nothing is built of it: a vocabulary of 30 MB would take ten times as much."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        _judge(hub, path, "document", f"it is not JSON: {error}", exceptions)


def _check_disclosure(
    hub: str, path: str, text: str, pairs: list[tuple[str, Any]], exceptions: Exceptions | None
) -> None:
    problem = find_credential(text)
    if problem is not None:
        _judge(hub, path, "credential", problem, exceptions)
    for key, value in pairs:
        if key in PLACE_KEYS and isinstance(value, str) and is_local_path(value):
            why = f"the value of {key!r} is a path of the machine that it was made on"
            _judge(hub, path, "private-address", why, exceptions)
    host = find_private_address(text)
    if host is not None:
        why = f"it holds an address on {host}, which its maker's network alone knows"
        _judge(hub, path, "private-address", why, exceptions)


def _asks_for_code(key: str, value: object) -> bool:
    if key in HUB_NAMED_KEYS:
        return "/" in json.dumps(value, default=str)
    if key in MODULE_KEYS:
        return value is not None and not str(value).startswith(MODULE_KEYS[key])
    return key in FORBIDDEN_KEYS or key.startswith("custom_")


def _judge(hub: str, path: str, rule: Rule, why: str, exceptions: Exceptions | None = None) -> None:
    (exceptions or Exceptions()).check(
        Breach(rule, f"models/{hub}/{path}", why),
        what=f"The model {hub} is refused because of {path}.",
        remedy="Leave the file out (models.leave_out in the manifest), or take a model without it.",
    )
