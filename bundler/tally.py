"""How many of the signatures that a document needs are there, and who may still sign."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.root import PublicKey
from appliance.bundle.signature import verifies
from appliance.errors import BadInput


@dataclass(frozen=True)
class Tally:
    """The signatures over one document by one set of keys."""

    document: str
    """The file's name."""
    by: str
    """Whose: `release keys of root.1`."""
    needed: int
    signed: tuple[PublicKey, ...]
    """The different keys whose signature is there and verifies."""
    others: tuple[PublicKey, ...]
    """The keys that may sign too."""

    @property
    def complete(self) -> bool:
        """Whether enough have signed."""
        return len(self.signed) >= self.needed

    def lines(self, people: Mapping[str, str]) -> list[str]:
        """The count in words; `people` gives the name of a key id."""
        more = "" if self.complete else f"; {self.needed - len(self.signed)} more wanted"
        lines = [f"{self.document}: {len(self.signed)} of {self.needed} signatures by {self.by}{more}"]
        lines += [f"  signed    {_shown(key, people)}" for key in self.signed]
        lines += [f"  may sign  {_shown(key, people)}" for key in self.others]
        return lines


def count(document: Path, keys: tuple[PublicKey, ...], *, by: str, needed: int) -> Tally:
    """The tally of the signatures beside `document`; one that does not verify counts as not there."""
    signed = tuple(key for key in keys if has_signed(document, key))
    return Tally(document.name, by, needed, signed, tuple(key for key in keys if key not in signed))


def has_signed(document: Path, key: PublicKey) -> bool:
    """Whether the signature of `key` is beside `document` and verifies."""
    path = signature_path(document, key)
    if not path.is_file() or path.stat().st_size > names.SIGNATURE_BYTES:
        return False
    return verifies(key, path.read_bytes(), document.read_bytes())


def signature_path(document: Path, key: PublicKey) -> Path:
    """Where the signature of `key` over `document` lies."""
    return document.with_name(f"{document.name}.sig.{key.keyid}")


def check_may_sign(document: Path, key: PublicKey, keys: tuple[PublicKey, ...], *, by: str) -> None:
    """Raises: BadInput, when `key` is not one of `keys`, or its signature is there and verifies."""
    if key not in keys:
        raise BadInput(
            f"The key {key.keyid} may not sign {document.name}.",
            why=f"it is not one of the {by}",
            next_step="Sign with one of these keys: " + ", ".join(known.keyid for known in keys),
        )
    if has_signed(document, key):
        raise BadInput(
            f"The key {key.keyid} has signed {document.name}.",
            why="a second signature by the same key counts for nothing",
            next_step="Have another key sign.",
        )


def check_others(document: Path, signer: PublicKey, keys: tuple[PublicKey, ...]) -> None:
    """Raises: BadInput, when a signature that is there would make every site refuse the document."""
    allowed = {key.keyid: key for key in keys}
    for path in sorted(document.parent.glob(f"{document.name}.sig.*")):
        key = allowed.get(path.name.removeprefix(f"{document.name}.sig."))
        if key == signer or (key is not None and has_signed(document, key)):
            continue
        raise BadInput(
            f"{path.name} {'is by a key that may not sign' if key is None else 'does not verify'}.",
            why="a site refuses a signature that fails, even when others suffice",
            next_step=f"Find out who put it there, remove {path}, and sign again.",
        )


def _shown(key: PublicKey, people: Mapping[str, str]) -> str:
    name = people.get(key.keyid)
    return f"{key.keyid}  {name}" if name else key.keyid
