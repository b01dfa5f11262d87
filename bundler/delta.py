"""What a delta is, in words: how much it carries and how much it requires of the site."""

from appliance.bundle.contents import Contents
from appliance.progress import amount_text


def carried_words(contents: Contents) -> str:
    """What is in the volumes and, of a delta, what is not: `62 files, 408.5 MB` or `a delta: 1 file …`."""
    carried = {entry.sha256: entry.size for entry in contents.entries if entry.parts}
    required = {entry.sha256: entry.size for entry in contents.required}
    if not contents.requires:
        return f"{_files(len(contents.entries))}, {amount_text(sum(e.size for e in contents.entries), 'B')}"
    runtime = " and runtime.tar.gz" if contents.requires_runtime else ""
    return (
        f"a delta: carries {_files(len(carried))}, {amount_text(sum(carried.values()), 'B')}; "
        f"requires {_files(len(required))}, {amount_text(sum(required.values()), 'B')},{runtime} of the site"
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
