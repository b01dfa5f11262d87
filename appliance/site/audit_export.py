"""A copy of the audit log for somebody else, with all that is needed to judge it by hand.

The folder holds the log, the statement that was signed, its signature as `openssl` reads it, the public key,
and how to check them, in both languages. A file's name that ends in `.tar` gives the same as one plain tar.
"""

import io
import shutil
import tarfile
from pathlib import Path

from appliance.durable import sync_folder, write_whole
from appliance.errors import BadInput, HostNotReady
from appliance.sentence import reason, say
from appliance.site.audit_check import Checked, check
from appliance.site.audit_sign import parse_checkpoint, public_path, signed_path

README = """\
Islet audit log / Islet 审计日志

entries 条数    {entries}
head 链首哈希   {head}
key 签名公钥    {key}

How to check it with openssl and sha256sum, on any Linux:
如何在任何 Linux 上用 openssl 与 sha256sum 校验：

1. The SHA-256 of the key is what was written down at the installation (it also stands in the first entry):
   公钥的 SHA-256 应与安装时记录的一致（安装时曾显示，也在日志第一条中）：

     openssl pkey -pubin -in audit.pub -outform DER | sha256sum

2. The statement was signed by that key; "Verified OK":
   声明由该密钥签名，应显示 "Verified OK"：

     openssl dgst -sha256 -verify audit.pub -signature statement.sig statement.txt

3. The log is what the statement says; "OK":
   日志与声明一致，应显示 "OK"：

     n=$(sed -n 's/^bytes: //p' statement.txt); s=$(sed -n 's/^sha256: //p' statement.txt)
     head -c "$n" audit.jsonl | sha256sum | grep -q "^$s" && echo OK

4. Each line names the SHA-256 of the line before it; nothing is printed when all do:
   每一行都写有上一行的 SHA-256；全部相符时没有输出：

     before=$(printf '0%.0s' $(seq 64)); number=0
     while IFS= read -r line; do
       number=$((number + 1))
       case $line in *"$before"*) ;; *) echo "line $number does not follow" ;; esac
       before=$(printf '%s' "$line" | sha256sum | cut -c1-64)
     done <audit.jsonl

   A line that a power cut tore is no entry; the entry after it says so ("event": "torn").
   断电时未写完的一行不是记录，其后一条会注明（"event": "torn"）。

5. Heads printed on reports are hashes of single lines; a head of before must be among them:
   报告上印的链首哈希是某一行的哈希，以前的链首应在其中：

     while IFS= read -r line; do printf '%s' "$line" | sha256sum; done <audit.jsonl

Who has the private key, which is root on the box, can write everything anew. The heads on paper show that.
持有私钥者（即本机 root）可以重写全部内容；纸面上的链首哈希可以揭示这一点。
"""


def export_log(log: Path, target: Path) -> Checked:
    """Write the copy of `log` to `target`, a new folder or a new file ending in .tar; what was judged.

    Raises: UntrustedRecord, when it does not hold; BadInput, when `target` is there; HostNotReady, when it
    cannot be written or the log cannot be signed.
    """
    checked = check(log)
    checkpoint = parse_checkpoint(signed_path(log).read_bytes()) if checked.key else None
    if checkpoint is None:
        raise HostNotReady(
            "The audit log is not signed yet.",
            why=say("no entry was written since this box has a key"),
            next_step="Do what is to be exported first, or copy the file itself.",
        )
    head = checkpoint.head
    files = {
        "audit.jsonl": log.read_bytes()[: checkpoint.size],
        "statement.txt": checkpoint.statement,
        "statement.sig": checkpoint.signature,
        "audit.pub": public_path(log).read_bytes(),
        "README.txt": README.format(entries=checkpoint.lines, head=head, key=checked.key).encode(),
    }
    if target.exists() or target.is_symlink():
        raise BadInput(
            say("{path} is there already.", path=target),
            why=say("nothing is written over"),
            next_step="Name a new folder, or a new file that ends in .tar.",
        )
    try:
        _write(files, target)
    except OSError as error:
        raise HostNotReady(
            say("{path} could not be written.", path=target),
            why=reason(error),
            next_step="Name a folder where you may write and where there is room.",
        ) from error
    return checked


def _write(files: dict[str, bytes], target: Path) -> None:
    if target.suffix == ".tar":
        write_whole(target, _tar(files), mode=0o640)
        return
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, mode=0o750)
    for name, content in files.items():
        write_whole(aside / name, content, mode=0o640)
    aside.rename(target)
    sync_folder(target.parent)


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"islet-audit/{name}")
            entry.size = len(content)
            entry.mode = 0o640
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
