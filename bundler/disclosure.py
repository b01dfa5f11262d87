"""What a document gives away: credentials, and paths and addresses that only its maker's network knows.

Pure functions over text. Nothing found is repeated in a message: it would land in logs.
"""

import ipaddress
import re
from urllib.parse import urlsplit

TOKENS = re.compile(
    r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20}"
    r"|\bA[KS]IA[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\bpypi-AgE[\w-]{20,}|\bnpm_[A-Za-z0-9]{36}"
    r"|\bxox[abprs]-[\w-]{10,}|\bsk-[A-Za-z0-9_-]{32,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""Forms that the services which hand them out publish for secret scanners."""
ADDRESS = re.compile(
    r"\b(?:https?|ftp|s3|gs|oci|conda|git\+https|git\+ssh|ssh)://[^\s\"'<>\\)\]}]+", re.IGNORECASE
)
LOGIN = re.compile(r"\bpassword\b[ \t]*[=: \t][ \t]*(\S+)", re.IGNORECASE)
"""As `.netrc` (`password WORD`) and `.pypirc` (`password = WORD`) write it."""
SECRET_PARAMETER = re.compile(
    r"[?&](?:[a-z_-]*(?:token|signature)|api_?key|password|sig)=[^&]{6,}", re.IGNORECASE
)
CONDA_TOKEN = re.compile(r"/t/[A-Za-z0-9][\w.-]{5,}/")
LOCAL_PATH = re.compile(r"(?:[/~\\]|[A-Za-z]:[/\\]|file:|\.\./)")
PRIVATE_DOMAINS = ("local", "localhost", "lan", "internal", "intranet", "corp", "home", "private")
PLACEHOLDER = re.compile(r"(?i)[<{$].*|x+|\*+|your.*|user(name)?|pass(word|wd)?|token|secret|example.*|")
"""What stands for a password in examples."""


def find_credential(text: str) -> str | None:
    """What kind of credential `text` holds; None if none is found."""
    if TOKENS.search(text):
        return "it holds an access token or a private key"
    for found in ADDRESS.finditer(text.replace("\\/", "/")):
        if _has_credential(found[0]):
            return "it holds an address with a password or a token in it"
    return None


def find_login(text: str) -> str | None:
    """As `find_credential`, for a file whose purpose is to hold passwords."""
    if any(not PLACEHOLDER.fullmatch(found[1]) for found in LOGIN.finditer(text)):
        return "it holds a password"
    return find_credential(text)


def _has_credential(address: str) -> bool:
    try:
        parts = urlsplit(address)
        secret, user = parts.password, parts.username
    except ValueError:
        return False
    if secret is not None and not PLACEHOLDER.fullmatch(secret):
        return True
    if secret is None and user is not None and TOKENS.search(user):
        return True
    return bool(CONDA_TOKEN.search(parts.path) or SECRET_PARAMETER.search(f"?{parts.query}"))


def find_private_address(text: str) -> str | None:
    """The host of the first address in `text` that the open internet does not know; None if there is none."""
    for found in ADDRESS.finditer(text.replace("\\/", "/")):
        try:
            host = urlsplit(found[0]).hostname or ""
        except ValueError:
            continue
        if is_private_host(host):
            return host
    return None


def is_private_host(host: str) -> bool:
    """Whether a host can be reached from its owner's network only."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host != "" and ("." not in host or host.rpartition(".")[2].lower() in PRIVATE_DOMAINS)


def is_local_path(value: str) -> bool:
    """Whether a setting that names a model names a place on somebody's machine or share."""
    return LOCAL_PATH.match(value) is not None
