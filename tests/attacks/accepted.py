"""What looks odd and is in order: both judges must accept it, or the tables above prove nothing."""

from tests.attacks.case import Attack, Change, nothing
from tests.attacks.chain import both, edited, founded, offered, rotated
from tests.attacks.release import fields
from tests.attacks.roots import without
from tests.attacks.signers import TWO_OF_THREE, signed_by
from tests.attacks.sums import edited as list_edited
from tests.bundles import PAST, Workshop


def fine(change: Change, *, had: int = 0, before: Change = nothing, **fields: str) -> Attack:
    """No attack at all."""
    return Attack(change, 0, "", "", had=had, before=before, **fields)  # type: ignore[arg-type]


def _expired_between(shop: Workshop) -> None:
    """root.2 has expired long ago; root.3 has not."""
    offered(2, expires=PAST)(shop)
    offered(3, root=("root3",), release=("release3",), signers=("root2", "root3"), then=("release3",))(shop)


def _turned(text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    return b"".join([*lines[:5], *reversed(lines[5:])])


ACCEPTED = {
    "the honest bundle": fine(nothing),
    "the honest bundle, at a site that has had the release before": fine(nothing, had=1),
    "the release that is installed, again": fine(nothing, had=2),
    "the last number there can be": fine(fields(number=999_999_999), had=1),
    "a number that is bigger and smaller as text": fine(fields(number=10), had=9),
    "a release that expires in this very second of the newest date": fine(
        fields(expires="2036-01-01T00:00:00Z"), had=1, seen="2036-01-01T00:00:00Z"
    ),
    "a list in another order": fine(list_edited(lambda data: b"\n".join(data.split(b"\n")[-2::-1]) + b"\n")),
    "a file more, that is listed and signed": fine(
        lambda shop: ((shop.bundle / "LICENCES-and_more.v1.txt").write_text("x"), shop.list_and_sign())
    ),
    "a rotation that both sets of keys signed": fine(rotated(), had=1),
    "twenty rotations at once": fine(rotated(20), had=1),
    "a late site, from the newest root": fine(nothing, before=rotated(3)),
    "a root between that has expired": fine(_expired_between, had=1),
    "a site with the newest root, and a medium with all": fine(nothing, had=1, before=rotated(3)),
    "a medium from before a rotation that kept its release key": fine(
        without(2), had=1, before=rotated(keep_release=True)
    ),
    "a new root with the same keys": fine(
        offered(root=("root",), release=("release",), signers=("root",), then=("release",)), had=1
    ),
    "a new root whose key lines are in another order": fine(edited(_turned), had=1),
    "two of three signed": fine(nothing, had=1, before=both(TWO_OF_THREE, signed_by("release-c", "release"))),
    "three of three signed": fine(
        nothing, before=both(TWO_OF_THREE, signed_by("release", "release-b", "release-c"))
    ),
    "two of three: one key goes, one comes, two old ones sign": fine(
        offered(
            root=("root", "root-b", "root2"),
            release=("release2",),
            signers=("root", "root-b"),
            thresholds=(2, 1),
        ),
        had=1,
        before=both(TWO_OF_THREE, signed_by("release", "release-b")),
    ),
    "a new root that lowers the thresholds, signed by the old ones": fine(
        offered(root=("root",), release=("release",), signers=("root", "root-c"), then=("release",)),
        had=1,
        before=both(TWO_OF_THREE, signed_by("release", "release-b")),
    ),
    "nine of nine": fine(
        nothing,
        before=both(
            founded(
                root=["root"],
                release=[f"release-{i}" for i in range(9)],
                signers=["root"],
                thresholds=(1, 9),
            ),
            signed_by(*(f"release-{i}" for i in range(9))),
        ),
    ),
}
