"""Mending what `islet doctor` found damaged and marked: the next installation of that release does it.

A complete release is not copied again, and a disk can spoil a complete one. Of the store's files the medium
brings only those that are damaged; a runtime is made anew.
"""

import os
import shutil

from appliance.bundle.contents import Entry
from appliance.site.layout import Site
from appliance.site.releases import Installed, installed_releases
from appliance.site.store import is_whole


def mend_links(site: Site) -> None:
    """Have every release's names lead to the store's files again: a file that was replaced there left them
    with the damaged one. Raises: OSError.
    """
    for release in installed_releases(site):
        for entry in release.stored():
            if not is_linked(site, release, entry):
                _mend(site, release, entry)


def is_linked(site: Site, release: Installed, entry: Entry) -> bool:
    """Whether a release's name of a file is the store's file itself."""
    try:
        return os.path.samestat((release.folder / entry.path).lstat(), site.stored(entry.sha256).lstat())
    except OSError:
        return False


def _mend(site: Site, release: Installed, entry: Entry) -> None:
    target, stored = release.folder / entry.path, site.stored(entry.sha256)
    mode = 0o444 | entry.mode & 0o111
    same_mode = stored.stat().st_mode & 0o777 == mode
    if not same_mode and is_whole(target, entry.sha256):
        return  # a copy, because one file cannot have two modes
    aside = target.with_name(f".{target.name}.mended")
    aside.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if same_mode:
        aside.hardlink_to(stored)
    else:
        shutil.copyfile(stored, aside)
        aside.chmod(mode)
    aside.replace(target)
