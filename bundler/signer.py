"""Who signs: a key file, or a command that has the key (an HSM, a smart card, a colleague's script).

A signature is the DER form that `openssl dgst -sha256 -sign` makes. None is written before it was
verified with the public key that it is said to be by.
"""

import hashlib
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.bundle import names
from appliance.bundle.root import PublicKey
from appliance.bundle.signature import verifies
from appliance.durable import write_whole
from appliance.errors import BadInput, StepFailed
from bundler.keys import public_of, read_private, read_public

COMMAND_WITHIN_S = 300.0
"""How long a command may take unless told otherwise: a person may have to find the card and type a PIN."""
_RAW_BYTES = 64
"""Length of r and s side by side, what tools of PKCS #11 give unless asked for DER."""


class Signer(Protocol):
    """Somebody who can sign."""

    @property
    def public(self) -> PublicKey:
        """The public half, by which a root names this signer."""

    def sign(self, document: bytes) -> bytes:
        """A DER signature over the SHA-256 of `document`, as the signer gives it: not judged yet."""


class KeyFile:
    """A private key in a file."""

    def __init__(self, path: Path, passphrase: bytes | None) -> None:
        """Open the key. Raises: BadInput, when it is none or the passphrase does not open it."""
        self._private = read_private(path, passphrase)

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return public_of(self._private.public_key())

    def sign(self, document: bytes) -> bytes:
        """The signature, made here."""
        return self._private.sign(document, ec.ECDSA(hashes.SHA256()))


class Command:
    """A program that gets what is to be signed on its stdin and gives the signature on its stdout."""

    def __init__(
        self,
        words: Sequence[str],
        public_key: Path,
        *,
        digest: bool = False,
        within_s: float = COMMAND_WITHIN_S,
    ) -> None:
        """Take the program and its arguments; with `digest` it gets the 32 bytes of the SHA-256 only.

        Raises: BadInput, when `public_key` is not a public key.
        """
        self._words = list(words)
        self._public = read_public(public_key)
        self._digest = digest
        self._within_s = within_s

    @property
    def public(self) -> PublicKey:
        """The public half, as given."""
        return self._public

    def sign(self, document: bytes) -> bytes:
        """What the command answered.

        Its stderr and its terminal are this one's, so that it can ask for a PIN.

        Raises: StepFailed, when it does not start, fails, takes too long or says too much.
        """
        # A file, not a pipe: a command that never reads must not block us.
        with tempfile.TemporaryFile() as given:
            given.write(hashlib.sha256(document).digest() if self._digest else document)
            given.seek(0)
            try:
                child = subprocess.Popen(self._words, stdin=given, stdout=subprocess.PIPE)
            except OSError as error:
                raise self._failed("could not be started", error.strerror or str(error)) from None
            with child:
                try:
                    answer = self._answer(child)
                except BaseException:
                    child.kill()
                    if child.stdout is not None:
                        child.stdout.close()  # what it started itself may still hold the other end
                    raise
        return answer

    def _answer(self, child: "subprocess.Popen[bytes]") -> bytes:
        """Everything the command writes, up to its end."""
        if child.stdout is None:
            raise RuntimeError("a pipe was asked for")
        until, answer = time.monotonic() + self._within_s, b""
        while len(answer) <= _MOST_BYTES:
            if not select.select([child.stdout], [], [], max(until - time.monotonic(), 0))[0]:
                raise self._failed("does not end", f"it was given {self._within_s:g} s")
            chunk = os.read(child.stdout.fileno(), _MOST_BYTES + 1)
            if not chunk:
                break
            answer += chunk
        else:
            raise self._failed("says too much", "a signature has at most 72 bytes")
        try:
            code = child.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            raise self._failed("does not end", f"it was given {self._within_s:g} s") from None
        if code != 0:
            raise self._failed("failed", f"its exit code is {code}; what it said stands above")
        return answer

    def _failed(self, how: str, why: str) -> StepFailed:
        return StepFailed(
            f"The signing command {how}.",
            why=f"{self._words[0]}: {why}",  # its arguments may hold a PIN
            next_step="Nothing was signed. Try the command by hand, then start again.",
        )


_MOST_BYTES = 4096
"""More than any signature in any form; what a command says beyond is not read."""


def signature_by(signer: Signer, document: bytes) -> bytes:
    """A signature over `document` that was verified with the signer's public key.

    Raises: BadInput, when what the signer gave is none. StepFailed, when a command fails.
    """
    signature = signer.sign(document)
    if len(signature) <= names.SIGNATURE_BYTES and verifies(signer.public, signature, document):
        return signature
    if not signature:
        why = "it gave nothing"
    elif len(signature) == _RAW_BYTES and signature[0] != 0x30:
        why = (
            "64 bytes look like r and s side by side; DER is needed (pkcs11-tool: --signature-format openssl)"
        )
    elif signature[0] == 0x30 and len(signature) <= names.SIGNATURE_BYTES:
        why = f"it was made by another key than {signer.public.keyid}, or over other bytes (see --digest)"
    else:
        why = f"{len(signature)} bytes that are no DER signature of ECDSA P-256"
    raise BadInput(
        "What the signer gave does not verify.",
        why=why,
        next_step="Nothing was signed. Give the key and the public key that belong together.",
    )


def write_signature(document: Path, signer: Signer) -> Path:
    """Sign the file `document` into `document`.sig.KEYID, beside it; the signature's path.

    Raises: BadInput, StepFailed.
    """
    signature = signature_by(signer, document.read_bytes())
    path = document.with_name(f"{document.name}.sig.{signer.public.keyid}")
    write_whole(path, signature)
    return path
