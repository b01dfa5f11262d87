"""BUNDLE.md: what is inside, for the person who lets media in."""

from appliance.bundle.release import Release
from appliance.progress import amount_text
from bundler.lock import Lock, table


def bundle_notes(lock: Lock, release: Release) -> str:
    """BUNDLE.md; the same lock gives the same text."""
    rows = table(lock)
    lines = [
        f"| {r.component} | {r.name} | {r.version} | {r.licence} | {amount_text(r.size, 'B')} |" for r in rows
    ]
    target = lock.target
    return NOTES.format(
        product=release.product,
        number=release.number,
        created=release.created,
        expires=release.expires,
        target=f"Python {target.python}, {target.platform}, glibc {target.glibc}+, CUDA {target.cuda}",
        room=amount_text(release.disk_bytes, "B"),
        total=amount_text(sum(row.size for row in rows), "B"),
        rows="\n".join(lines),
    )


NOTES = """\
# {product}, release {number}

Made {created}; may be installed until {expires}. What is installed never stops for age.

- For: {target}
- Room needed at the site: {room}
- Components: {total}

## Check it with stock tools

    openssl base64 -d -A <<< "THE KEY'S BASE64 FROM root.N" | openssl pkey -pubin -inform DER -out key.pem
    openssl dgst -sha256 -verify key.pem -signature SHA256SUMS.sig.KEYID SHA256SUMS
    sha256sum -c --strict SHA256SUMS

`sh install.sh --check FOLDER` does this and the rest (exact set of files, roots, expiry); it changes nothing.

## What is inside

`contents.json` lists every file with its SHA-256 and the place of its bytes.

| kind | name | version | licence | size |
|---|---|---|---|---|
{rows}
"""
