"""Roots: chains with gaps, without the old or the new threshold, backwards, expired.

The scenarios of TUF's conformance tests for root rotation are here, by other names, and those that follow
from the form of our roots.
"""

import shutil

from tests.attacks.case import Attack, Change, keyid, malformed, not_allowed, not_verifying, too_few
from tests.attacks.chain import both, founded, offered, rotated, write_root
from tests.attacks.files import swap
from tests.bundles import PAST, Workshop

GAP = "a root between is missing"
OTHER_BYTES = "its bytes differ"


def own_chain(shop: Workshop) -> None:
    """The attacker's own root.1, with own keys, everything validly signed by them."""
    founded(root=["evil-root"], release=["evil"], signers=["evil-root"])(shop)
    for old in shop.bundle.glob("SHA256SUMS.sig.*"):
        old.unlink()
    shop.resign("evil")


def without(*versions: int) -> Change:
    def change(shop: Workshop) -> None:
        for version in versions:
            for path in [*shop.bundle.glob(f"root.{version}"), *shop.bundle.glob(f"root.{version}.sig.*")]:
                path.unlink()

    return change


def _chains() -> dict[str, Attack]:
    return {
        "a root two higher than the believed one": Attack(
            offered(3), 3, "root.3 does not follow root.1.", GAP, had=1
        ),
        "a root far higher than the believed one": Attack(
            offered(9999), 3, "root.9999 does not follow root.1.", GAP, had=1
        ),
        "a medium whose roots have a gap, at a first install": Attack(
            offered(3), 3, "root.3 does not follow root.1.", GAP, sheet="after"
        ),
        "a chain of five whose third is missing": Attack(
            both(rotated(4), without(3)), 3, "root.4 does not follow root.2.", GAP, had=1
        ),
        "a chain of five whose third lost its signatures": Attack(
            both(rotated(4), lambda shop: [path.unlink() for path in shop.bundle.glob("root.3.sig.*")]),
            *too_few("root.3", "root", "root.3", 0, 1),
            had=1,
        ),
        "a chain of five whose third lost the older signature": Attack(
            both(rotated(4), lambda shop: (shop.bundle / f"root.3.sig.{keyid(shop, 'root2')}").unlink()),
            *too_few("root.3", "root", "root.2", 0, 1),
            had=1,
        ),
        "a chain of five, two of whose roots are swapped": Attack(
            both(rotated(4), swap("root.3", "root.4")),
            *malformed("root.3", "its version is not the one in its name"),
            had=1,
        ),
        "a chain of five, one of whose roots is another's copy": Attack(
            both(rotated(4), lambda shop: shutil.copy(shop.bundle / "root.4", shop.bundle / "root.5")),
            *malformed("root.5", "its version is not the one in its name"),
            had=1,
        ),
        "another root with its own keys": Attack(
            own_chain, 3, "root.1 is not the one on the anchor sheet.", "its SHA-256 is another"
        ),
        "another root, at a site that believes one": Attack(
            own_chain, 3, "root.1 is not the one this site believes.", OTHER_BYTES, had=1
        ),
        "another second root by the same keys": Attack(
            offered(expires="2098-01-01T00:00:00Z", signers=("root", "root2")),
            3,
            "root.2 is not the one this site believes.",
            OTHER_BYTES,
            had=1,
            before=rotated(),
        ),
        "the newest root taken away, at a first install": Attack(
            both(without(2), lambda shop: shop.resign("release"), without(2)),
            3,
            "root.1 is not the one on the anchor sheet.",
            "its SHA-256 is another",
            before=rotated(),
        ),
        "an older sheet's root, and a newer root on the medium": Attack(
            rotated(), 3, "root.2 is not the one on the anchor sheet.", "its SHA-256 is another"
        ),
        "a medium from before a rotation that dropped its key": Attack(
            both(lambda shop: shop.resign("release"), without(2)),
            *not_allowed("SHA256SUMS", "{release}"),
            had=1,
            before=rotated(),
        ),
        "a medium from before three rotations": Attack(
            both(lambda shop: shop.resign("release"), without(2, 3, 4)),
            *not_allowed("SHA256SUMS", "{release}"),
            had=1,
            before=rotated(3),
        ),
        "a medium that lacks the root before the believed one": Attack(
            without(1), *not_allowed("root.2", "{root}"), had=1, before=rotated()
        ),
        "a medium that has the newest root alone, at a first install": Attack(
            without(1), *not_allowed("root.2", "{root}"), before=rotated()
        ),
        "the attacker's root.1 under a believed root.2": Attack(
            both(own_chain, without(2)), *not_allowed("SHA256SUMS", "{evil}"), had=1, before=rotated()
        ),
        "a root that goes on from the attacker's root.1, under a believed root.2": Attack(
            both(
                own_chain,
                lambda shop: write_root(
                    shop, shop.bundle, 2, release=("evil",), signers=("evil-root", "root2")
                ),
            ),
            3,
            "root.2 is not the one this site believes.",
            OTHER_BYTES,
            had=1,
            before=rotated(),
        ),
    }


ATTACKS = {
    **_chains(),
    "a new root that nobody signed": Attack(
        offered(signers=()), *too_few("root.2", "root", "root.2", 0, 1), had=1
    ),
    "a new root that only its own keys signed": Attack(
        offered(signers=("root2",)), *too_few("root.2", "root", "root.1", 0, 1), had=1
    ),
    "a new root that only the old keys signed": Attack(
        offered(signers=("root",)), *too_few("root.2", "root", "root.2", 0, 1), had=1
    ),
    "a new root that the old release key signed": Attack(
        offered(signers=("release", "root2")), *not_allowed("root.2", "{release}"), had=1
    ),
    "a new root that its own release key signed": Attack(
        offered(signers=("root", "release2")), *not_allowed("root.2", "{release2}"), had=1
    ),
    "a new root that a stranger signed too": Attack(
        offered(signers=("root", "root2", "stranger")), *not_allowed("root.2", "{stranger}"), had=1
    ),
    "a new root with the old root's signature": Attack(
        both(
            offered(signers=("root2",)),
            lambda shop: shutil.copy(
                shop.bundle / f"root.1.sig.{keyid(shop, 'root')}",
                shop.bundle / f"root.2.sig.{keyid(shop, 'root')}",
            ),
        ),
        *not_verifying("root.2", "root"),
        had=1,
    ),
    "a new root that has expired": Attack(
        offered(expires=PAST), 3, "root.2 has expired.", f"it was good until {PAST}", had=1
    ),
    "a new root that has expired, and a clock that was set back": Attack(
        offered(expires="2090-01-01T00:00:00Z"),
        3,
        "root.2 has expired.",
        "it was good until 2090-01-01T00:00:00Z",
        had=1,
        seen="2090-01-01T00:00:01Z",
    ),
    "a new root that has expired, at a first install": Attack(
        offered(expires=PAST), 3, "root.2 has expired.", f"it was good until {PAST}", sheet="after"
    ),
    "the only root has expired": Attack(
        lambda shop: None,
        3,
        "root.1 has expired.",
        f"it was good until {PAST}",
        before=both(
            founded(root=["root"], release=["release"], signers=["root"], expires=PAST),
            lambda shop: shop.resign(),
        ),
    ),
    "the believed root has expired": Attack(
        lambda shop: None,
        3,
        "root.1 has expired.",
        f"it was good until {PAST}",
        had=1,
        before=both(
            founded(root=["root"], release=["release"], signers=["root"], expires=PAST),
            lambda shop: shop.resign(),
        ),
    ),
}
