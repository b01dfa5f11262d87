"""Who signed: strangers, retired keys, keys of another role, too few, one twice, one bad among good ones."""

import shutil

from bundler.signer import write_signature
from tests.attacks.case import (
    Attack,
    Change,
    flip,
    keyid,
    not_allowed,
    not_verifying,
    nothing,
    signature,
    too_few,
)
from tests.attacks.chain import both, founded, offered, rotated
from tests.bundles import Workshop

SUMS = "SHA256SUMS"
TWO_OF_THREE = founded(
    root=["root", "root-b", "root-c"],
    release=["release", "release-b", "release-c"],
    signers=["root", "root-b"],
    thresholds=(2, 2),
)


def signed_by(*names: str) -> Change:
    """The list is signed by these keys and no others."""
    return lambda shop: shop.resign(*names)


def also_by(name: str) -> Change:
    """One signature more."""
    return lambda shop: write_signature(shop.bundle / SUMS, shop.signer(name))


def under_name(maker: str, named: str) -> Change:
    """The signature of one key in a file named for another."""

    def change(shop: Workshop) -> None:
        made = write_signature(shop.bundle / SUMS, shop.signer(maker))
        made.replace(shop.bundle / f"{SUMS}.sig.{keyid(shop, named)}")

    return change


def over_another_list(shop: Workshop) -> None:
    """A genuine signature by the release key, over the list of another release of theirs."""
    other = shop.root / "other"
    other.write_bytes((shop.bundle / SUMS).read_bytes().replace(b"0", b"1", 1))
    write_signature(other, shop.signer("release")).replace(signature(shop))


def over_release(shop: Workshop) -> None:
    """A genuine signature by the release key, over RELEASE."""
    other = shop.root / "RELEASE"
    shutil.copy(shop.bundle / "RELEASE", other)
    write_signature(other, shop.signer("release")).replace(signature(shop))


def spoiled(name: str) -> Change:
    """One of several signatures has a flipped bit."""
    return lambda shop: flip(shop.bundle / f"{SUMS}.sig.{keyid(shop, name)}")


def two_of_three(change: Change, exit_code: int, what: str, why: str) -> Attack:
    """At a site whose root asks for two of three."""
    honest = both(TWO_OF_THREE, signed_by("release", "release-b"))
    return Attack(change, exit_code, what, why, had=1, before=honest)


ATTACKS = {
    "a stranger signed": Attack(signed_by("stranger"), *not_allowed(SUMS, "{stranger}")),
    "a stranger signed under the release key's name": Attack(
        both(lambda shop: signature(shop).unlink(), under_name("stranger", "release")),
        *not_verifying(SUMS, "release"),
    ),
    "a stranger signed too": Attack(also_by("stranger"), *not_allowed(SUMS, "{stranger}")),
    "a root key signed the release": Attack(signed_by("root"), *not_allowed(SUMS, "{root}")),
    "a root key signed the release too": Attack(also_by("root"), *not_allowed(SUMS, "{root}")),
    "the release key signed another list": Attack(over_another_list, *not_verifying(SUMS, "release")),
    "the release key signed RELEASE and not the list": Attack(over_release, *not_verifying(SUMS, "release")),
    "the root's signature stands in for the list's": Attack(
        lambda shop: shutil.copy(
            shop.bundle / f"root.1.sig.{keyid(shop, 'root')}",
            shop.bundle / f"{SUMS}.sig.{keyid(shop, 'root')}",
        ),
        *not_allowed(SUMS, "{root}"),
    ),
    "the list's signature stands in for the root's": Attack(
        lambda shop: shutil.copy(signature(shop), shop.bundle / f"root.1.sig.{keyid(shop, 'root')}"),
        *not_verifying("root.1", "root"),
    ),
    "the release key signed the root too": Attack(
        lambda shop: write_signature(shop.bundle / "root.1", shop.signer("release")),
        *not_allowed("root.1", "{release}"),
    ),
    "the key that a new root dropped": Attack(
        both(rotated(), signed_by("release")), *not_allowed(SUMS, "{release}"), had=1
    ),
    "the key that a new root dropped, beside the new one": Attack(
        both(rotated(), signed_by("release2", "release")), *not_allowed(SUMS, "{release}"), had=1
    ),
    "a key that comes with a later root than the medium has": Attack(
        signed_by("release2"), *not_allowed(SUMS, "{release2}"), had=1
    ),
    "a release key that became a root key": Attack(
        both(offered(root=("root2", "release"), signers=("root", "root2")), signed_by("release2", "release")),
        *not_allowed(SUMS, "{release}"),
        had=1,
    ),
    "a new root that raised its threshold, and one signature": Attack(
        offered(release=("release", "release2"), thresholds=(1, 2), then=("release",)),
        *too_few(SUMS, "release", "root.2", 1, 2),
        had=1,
    ),
    "two of three: one signed": two_of_three(signed_by("release"), *too_few(SUMS, "release", "root.1", 1, 2)),
    "two of three: none signed": two_of_three(
        lambda shop: [path.unlink() for path in shop.bundle.glob(f"{SUMS}.sig.*")],
        *too_few(SUMS, "release", "root.1", 0, 2),
    ),
    "two of three: one signed twice, under two names": two_of_three(
        both(signed_by("release"), under_name("release", "release-b")), *not_verifying(SUMS, "release-b")
    ),
    "two of three: two signed, one signature is spoiled": two_of_three(
        spoiled("release-b"), *not_verifying(SUMS, "release-b")
    ),
    "two of three: three signed, one signature is spoiled": two_of_three(
        both(signed_by("release", "release-b", "release-c"), spoiled("release-c")),
        *not_verifying(SUMS, "release-c"),
    ),
    "two of three: two signed, and a stranger": two_of_three(
        also_by("stranger"), *not_allowed(SUMS, "{stranger}")
    ),
    "two of three: one signed, and a stranger": two_of_three(
        both(signed_by("release"), also_by("stranger")), *not_allowed(SUMS, "{stranger}")
    ),
    "two of three: one signed, and a root key": two_of_three(
        both(signed_by("release"), also_by("root")), *not_allowed(SUMS, "{root}")
    ),
    "two of three: a signature is empty": two_of_three(
        lambda shop: (shop.bundle / f"{SUMS}.sig.{keyid(shop, 'release-b')}").write_bytes(b""),
        *not_verifying(SUMS, "release-b"),
    ),
    "two of three: a new root that one of the old keys signed": two_of_three(
        offered(signers=("root", "root2")), *too_few("root.2", "root", "root.1", 1, 2)
    ),
    "two of three: a new root that one of the old keys signed, in two files": two_of_three(
        both(
            offered(signers=("root", "root2")),
            lambda shop: shutil.copy(
                shop.bundle / f"root.2.sig.{keyid(shop, 'root')}",
                shop.bundle / f"root.2.sig.{keyid(shop, 'root-b')}",
            ),
        ),
        *not_verifying("root.2", "root-b"),
    ),
    "two of three: a new root that an old release key signed": two_of_three(
        offered(signers=("root", "root-b", "release", "root2")), *not_allowed("root.2", "{release}")
    ),
    "two of three: a new root asks for three and two of its own signed": two_of_three(
        offered(root=("root", "root-b", "root2"), signers=("root", "root-b"), thresholds=(3, 1)),
        *too_few("root.2", "root", "root.2", 2, 3),
    ),
    "two of three: a new root asks for one, and one of the old keys is in it": two_of_three(
        offered(root=("root", "root2"), signers=("root", "root2")), *too_few("root.2", "root", "root.1", 1, 2)
    ),
    "two of three at the first install: root.1 has one signature": Attack(
        lambda shop: (shop.bundle / f"root.1.sig.{keyid(shop, 'root-b')}").unlink(),
        *too_few("root.1", "root", "root.1", 1, 2),
        before=both(TWO_OF_THREE, signed_by("release", "release-b")),
    ),
    "two of three at the first install: one signed": Attack(
        signed_by("release-c"),
        *too_few(SUMS, "release", "root.1", 1, 2),
        before=both(TWO_OF_THREE, nothing),
    ),
}
