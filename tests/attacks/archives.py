"""runtime.tar.gz with every trick that is known of archives: correctly hashed, listed and signed.

It is the one archive that a site unfolds, by the system's tar. Both judges refuse these before tar unpacks a
byte. CVE numbers name the parser in which a trick worked.
"""

from tests.attacks.case import Attack
from tests.attacks.tarballs import (
    END,
    LIBRARY,
    TIME,
    Raw,
    base256,
    before,
    folder,
    hard,
    holds,
    link,
    long,
    member,
    padded,
    pax,
    raw_header,
)

OUT = b"../../../../../../../../../../opt/escape"
FAKE = "a\n-rw-r--r-- 0/0               0 2023-11-14 22:13 lib/b"

NAMES: dict[str, str | bytes] = {
    "an absolute name": "/opt/escape",
    "an absolute name with two slashes": "//opt/escape",
    "a name that leads out": OUT,
    "a name that leads out from the middle": "lib/../../../../../opt/escape",
    "a name that leads out at its end": "lib/x/../../..",
    "a name that leads out and back": "lib/../lib/b",
    "a dot before a name": "./lib/b",
    "a dot within a name": "lib/./b",
    "a name that is a dot": ".",
    "a name that is two dots": "..",
    "an empty step": "lib//b",
    "a slash at a file's end": "lib/b/",
    "no name": "",
    "a backslash": "lib\\..\\..\\b",
    "a drive": "C:\\b",
    "a line end": "lib/b\nc",
    "a line that looks like tar's own list": FAKE,
    "a carriage return": "lib/b\rc",
    "a tab": "lib/b\tc",
    "an escape": "lib/\x1b[2Jb",
    "a DEL": "lib/b\x7f",
    "a byte that is no UTF-8": b"lib/b\xff",
    "a composed letter (NFC)": "lib/caf\u00e9",
    "a decomposed letter (NFD, CVE-2021-37701)": "lib/cafe\u0301",
    "an overlong slash": b"lib\xc0\xaf..\xc0\xafb",
    "a division slash": "lib\u2215b",
    "letters turned round": "lib/\u202eb",
    "Chinese": "lib/模型",
    "a quote": 'lib/"b',
    "a back quote": "lib/`id`",
    "a star": "lib/*",
    "a question mark": "lib/?",
    "a pipe sign": "lib/a|b",
    "an arrow": "lib/b -> c",
    "a less-than sign": "lib/<b",
    "a blank at its start": "lib/ b",
    "a blank at its end": "lib/b ",
    "a blank before all": " b",
}

TARGETS: dict[str, tuple[str, str | bytes]] = {
    "to an absolute place": ("lib/b", "/etc/passwd"),
    "to the top of all": ("lib/b", "/"),
    "to the folder above, from the top": ("b", ".."),
    "out of the top": ("b", "../../etc/passwd"),
    "one step too far up": ("lib/deep/b", "../../../x"),
    "far out": ("lib/b", OUT),
    "down and up again": ("lib/b", "deep/../../../x"),
    "down and up to where it is": ("lib/b", "../lib/../lib/a.txt"),
    "up by way of a dot": ("b", "./../x"),
    "to nothing": ("lib/b", ""),
    "with an empty step": ("lib/b", "..//x"),
    "with a slash at its end": ("lib/b", "deep/"),
    "with a line end": ("lib/b", "a\n/etc/passwd"),
    "with a backslash": ("lib/b", "..\\..\\x"),
    "with a byte that is no text": ("lib/b", b"\xff"),
    "with an arrow": ("lib/b", "c -> /etc/passwd"),
    "with a tab": ("lib/b", "\t/etc/passwd"),
}

KINDS: dict[str, bytes] = {
    "a character device": b"3",
    "a block device": b"4",
    "a pipe": b"6",
    "a file of an unknown kind": b"Z",
    "a folder dump": b"D",
    "a continued file": b"M",
    "a label": b"V",
    "an inode's data": b"I",
    "a file of old names": b"N",
}

MODES: dict[str, Raw] = {
    "a setuid file": member("lib/b", b"x", mode=0o4755),
    "a setgid file": member("lib/b", b"x", mode=0o2755),
    "a sticky file": member("lib/b", b"x", mode=0o1644),
    "a setuid file that nobody may run": member("lib/b", b"x", mode=0o4644),
    "a file that all may write": member("lib/b", b"x", mode=0o666),
    "a file that the group may write": member("lib/b", b"x", mode=0o664),
    "a file that its owner alone may read": member("lib/b", b"x", mode=0o600),
    "a file of mode 0": member("lib/b", b"x", mode=0),
    "a folder that all may write": folder("lib/b", 0o777),
    "a sticky folder that all may write": folder("lib/b", 0o1777),
    "a setgid folder": folder("lib/b", 0o2755),
    "a folder that nobody may enter": folder("lib/b", 0o644),
    "a link of another mode": link("lib/b", "a.txt", mode=0o644),
    "a setuid link": link("lib/b", "a.txt", mode=0o4777),
    "a file of another owner": member("lib/b", b"x", uid=b"0001750\0"),
    "a file of another group": member("lib/b", b"x", gid=b"0001750\0"),
    "a file of an owner by name": member("lib/b", b"x", owner=b"daemon"),
    "a file of an owner below 0": member("lib/b", b"x", uid=b"\xff" * 8),
    "a file of another time": member("lib/b", b"x", time=TIME + 86_400),
    "a file of a time below 0": member("lib/b", b"x", time_field=base256(-86_400)),
    "a file of the year 9999": member("lib/b", b"x", time_field=base256(253_370_764_800)),
}

SIZES: dict[str, Raw] = {
    "a file that is longer than the archive": member("lib/b", b"x", size=5_000),
    "a file of 8 GiB that is not there": member("lib/b", b"x", size=8**11 - 1),
    "a file of 2^62 bytes that are not there": member("lib/b", b"x", size_field=base256(2**62)),
    "a file of -1 bytes (CVE-2025-8194)": member("lib/b", b"x", size_field=base256(-1)),
    "a file of -512 bytes": member("lib/b", b"x", size_field=base256(-512)),
    "a size of letters": member("lib/b", b"x", size_field=b"abcdefghijk\0"),
    "a size with a minus": member("lib/b", b"x", size_field=b"-0000000001\0"),
    "a link with bytes": Raw(
        b"lib/b", raw_header(b"lib/b", kind=b"2", link=b"a.txt", mode=0o777, size=600) + bytes(1024)
    ),
    "a folder with bytes": Raw(
        b"lib/b/", raw_header(b"lib/b/", kind=b"5", mode=0o755, size=600) + bytes(1024)
    ),
}

TOGETHER: dict[str, tuple[Raw, ...]] = {
    "a link, and a file through it": (link("lib/b", "/opt"), member("lib/b/escape", b"x")),
    "a link inside, and a file through it": (link("lib/b", "../bin"), member("lib/b/python3", b"x")),
    "a link, and a folder through it": (link("lib/b", "/opt"), folder("lib/b/escape")),
    "a chain of links, and a file through it": (
        link("lib/b", "c"),
        member("lib/b/escape", b"x"),
        link("lib/c", "/opt"),
    ),
    "a link to a folder in it, that leads out": (
        folder("lib/b"),
        link("lib/b/c", "../../.."),
        member("lib/b/c/escape", b"x"),
    ),
    "links that lead up one by one (CVE-2001-1267)": (
        link("lib/b", "."),
        link("lib/b/c", ".."),
        link("lib/b/c/d", ".."),
    ),
    "a link, and a link through it": (link("lib/b", ".."), link("lib/b/c", "..")),
    "a file below a file": (member("lib/b", b"x"), member("lib/b/c", b"x")),
    "a folder below a file": (member("lib/b", b"x"), folder("lib/b/c")),
    "a file twice": (member("lib/b", b"x"), member("lib/b", b"y")),
    "a link, and a file of its name (node-tar, CVE-2021-37701)": (
        link("lib/b", "/opt/escape"),
        member("lib/b", b"x"),
    ),
    "a file, and a link of its name": (member("lib/b", b"x"), link("lib/b", "/opt")),
    "a folder, and a link of its name (CVE-2021-37712)": (folder("lib/b"), link("lib/b", "/opt")),
    "a link, and a folder of its name": (link("lib/b", "../bin"), folder("lib/b")),
    "a folder twice": (folder("lib/b"), folder("lib/b")),
    "a folder, and a file of its name": (folder("lib/b"), member("lib/b", b"x")),
    "a second interpreter": (member("bin/python", b"#!/bin/sh\nid\n", mode=0o755),),
    "a hard link inside": (hard("lib/b", "lib/a.txt"),),
    "a hard link to a file of the box (CVE-2026-4360)": (hard("lib/b", "/etc/passwd"),),
    "a hard link that leads out": (hard("lib/b", "../../../etc/passwd"),),
    "a hard link to a link (cpython#157190)": (link("lib/b", "/etc/passwd"), hard("lib/c", "lib/b")),
    "a hard link to what comes later": (hard("lib/b", "lib/z"), member("lib/z", b"x")),
    "a hard link to itself": (hard("lib/b", "lib/b"),),
    "a hard link, and a file of its name": (hard("lib/b", "/etc/passwd"), member("lib/b", b"x")),
    "a hard link with bytes": (
        Raw(b"lib/b", raw_header(b"lib/b", kind=b"1", link=b"lib/a.txt", size=600) + bytes(1024)),
    ),
    "names that together are too long (CVE-2025-4517)": tuple(
        one
        for depth in range(1, 17)
        for one in (
            folder("/".join(["lib", *["d" * 14] * depth])),
            link("/".join(["lib", *["d" * 14] * (depth - 1), "l"]), "d" * 14),
        )
    )
    + (link("lib/z", "l/" * 16 + "../" * 20 + "tmp"),),
    "a link without a name (cpython#149486)": (link("", "/opt"), member("/escape", b"x")),
    "a prefix that leads out": (Raw(b"../x", raw_header(b"x", prefix=b"..")),),
    "an absolute prefix": (Raw(b"/opt/escape", raw_header(b"escape", prefix=b"/opt")),),
    "a folder in the old way": (member("lib/b/", kind=b"\0"),),
}

EXTENSIONS: dict[str, Raw] = {
    "another name by pax": before(pax({"path": "../../../opt/escape"}), member("lib/b", b"x")),
    "an absolute name by pax": before(pax({"path": "/opt/escape"}), member("lib/b", b"x")),
    "a good name by pax": before(pax({"path": "lib/c"}), member("lib/b", b"x")),
    "a name with a NUL by pax": before(pax({"path": b"lib/c\0/../../x"}), member("lib/b", b"x")),
    "another target by pax": before(pax({"linkpath": "/etc/passwd"}), link("lib/b", "a.txt")),
    "a file that pax makes a link's target for": before(
        pax({"linkpath": "/etc/passwd"}), member("lib/b", b"x")
    ),
    "a smaller size by pax (CVE-2025-62518)": before(pax({"size": "0"}), member("lib/b", END)),
    "a larger size by pax": before(pax({"size": "2048"}), member("lib/b", b"x" * 512)),
    "a size below 0 by pax": before(pax({"size": "-1"}), member("lib/b", b"x")),
    "a size of 2^64 by pax": before(pax({"size": str(2**64)}), member("lib/b", b"x")),
    "an owner by pax": before(pax({"uid": "1000", "uname": "daemon"}), member("lib/b", b"x")),
    "a time by pax": before(pax({"mtime": "1.5"}), member("lib/b", b"x")),
    "a remark by pax": before(pax({"comment": "x"}), member("lib/b", b"x")),
    "bytes as letters by pax": before(
        pax({"hdrcharset": "BINARY", "path": b"lib/\xff"}), member("lib/b", b"x")
    ),
    "a sparse file by pax": before(
        pax(
            {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": "lib/b",
                "GNU.sparse.realsize": "9",
            }
        ),
        member("lib/GNUSparseFile.0/b", padded(b"1\n0\n1\n") + b"x"),
    ),
    "a sparse name by pax that leads out": before(
        pax(
            {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": "../../x",
                "GNU.sparse.realsize": "9",
            }
        ),
        member("lib/b", padded(b"1\n0\n1\n") + b"x"),
    ),
    "an access list by pax": before(pax({"SCHILY.acl.access": "user::rwx"}), member("lib/b", b"x")),
    "a capability by pax": before(
        pax({"SCHILY.xattr.security.capability": b"\1\0\0\2\0\4"}), member("lib/b", b"x")
    ),
    "a pax record that is none": before(
        raw_header(b"x", size=7, kind=b"x") + padded(b"99 a=b\n"), member("lib/b", b"x")
    ),
    "a pax record without an end": before(
        raw_header(b"x", size=5, kind=b"x") + padded(b"5 a=b"), member("lib/b", b"x")
    ),
    "a pax header of 900,000 bytes": before(pax({"comment": "x" * 900_000}), member("lib/b", b"x")),
    "two pax headers": before(pax({"path": "lib/c"}) + pax({"path": "lib/d"}), member("lib/b", b"x")),
    "a pax header for all": before(pax({"path": "../../../opt/escape"}, b"g"), member("lib/b", b"x")),
    "a harmless pax header for all": before(pax({"comment": "x"}, b"g"), member("lib/b", b"x")),
    "a pax header of Sun's": before(pax({"path": "lib/c"}, b"X"), member("lib/b", b"x")),
    "a long name that leads out": before(long(OUT + b"\0"), member("lib/b", b"x")),
    "a long name that is absolute": before(long(b"/opt/escape\0"), member("lib/b", b"x")),
    "a long name that is honest": before(long(b"lib/" + b"c" * 120 + b"\0"), member("lib/b", b"x")),
    "a long name, and the old kind (CVE-2025-13462)": before(
        long(b"lib/" + b"c" * 110 + b"/\0"), member("lib/b", b"x", kind=b"\0")
    ),
    "two long names": before(long(b"lib/c\0") + long(b"/opt/escape\0"), member("lib/b", b"x")),
    "a long name of nothing": before(long(b""), member("lib/b", b"x")),
    "a long name without an end": before(long(b"lib/" + b"c" * 508), member("lib/b", b"x")),
    "a long target that leads out": before(long(b"/etc/passwd\0", b"K"), link("lib/b", "a.txt")),
    "a long target that is honest": before(long(b"a.txt\0", b"K"), link("lib/b", "x")),
    "a long name and a name by pax": before(
        long(b"lib/c\0") + pax({"path": "/opt/escape"}), member("lib/b", b"x")
    ),
}


def _all() -> dict[str, Attack]:
    found = {f"a runtime with {how} in a name": holds(member(name, b"x")) for how, name in NAMES.items()}
    found |= {f"a runtime with a link {how}": holds(link(name, to)) for how, (name, to) in TARGETS.items()}
    found |= {f"a runtime with {how}": holds(member("lib/b", kind=kind)) for how, kind in KINDS.items()}
    found |= {f"a runtime with {how}": holds(one) for how, one in (MODES | SIZES).items()}
    found |= {f"a runtime with {how}": holds(*members) for how, members in TOGETHER.items()}
    found |= {f"a runtime with {how}": holds(one) for how, one in EXTENSIONS.items()}
    found["a runtime whose names are in no order"] = holds(member("a", b"x"), ordered=False)
    found["a runtime whose file stands twice, apart"] = holds(LIBRARY, ordered=False)
    return found


ATTACKS = _all()
