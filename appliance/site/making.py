"""What an installation makes before it switches: the store filled, the release's folder, its runtime.

A part of its own because the same release again needs none of it. Nothing here vouches for anything: what was
made counts when `install` has had it on the disk and written `installed.json`.
"""

import shutil
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.medium import Medium
from appliance.bundle.release import Release
from appliance.bundle.sums import wheel_name
from appliance.bundle.verify import check_contents, left_out_runtime
from appliance.progress import Progress
from appliance.site.damage import mend_links
from appliance.site.delta import check_required
from appliance.site.layout import Site
from appliance.site.preflight import check_box
from appliance.site.releases import runtime_entry
from appliance.site.runtime import install_wheels, relocate, try_imports
from appliance.site.runtime_sums import record_runtime
from appliance.site.store import fill_store, keep_runtime, link_file, link_release


def make_release(
    site: Site,
    medium: Medium,
    release: Release,
    hashes: dict[str, str],
    quarantine: Path,
    progress: Progress,
) -> None:
    """Everything of a release but the file that says that it is whole.

    Raises: DamagedBundle, UntrustedBundle, for volumes that are not the signed ones; HostNotReady, when this
    box is not ready or files that a delta leaves out are not here; StepFailed, when a program of the runtime
    fails; OSError, when the disk does.
    """
    folder = site.release(release.number)
    contents = check_contents((quarantine / names.CONTENTS).read_bytes(), hashes)
    check_required(site, release, contents, None, progress)  # install.sh copied the runtime
    check_box(site, release, contents, [folder, quarantine])
    fill_store(site, medium, contents, hashes, quarantine, progress)
    keep_runtime(site, medium, hashes[names.RUNTIME], quarantine)
    link_release(site, contents, folder)
    link_file(site, runtime_entry(hashes[names.RUNTIME], quarantine), folder)
    relocate(folder / "runtime")
    own = quarantine / wheel_name(hashes)
    install_wheels(folder, contents, own, hashes[own.name], quarantine, progress)
    try_imports(folder / "runtime", contents, progress)
    record_runtime(folder, progress)
    mend_links(site)
    for name in (names.CONTENTS, names.INSTALLER):
        shutil.copyfile(quarantine / name, folder / name)


def mend_store(
    site: Site,
    medium: Medium,
    release: Release,
    hashes: dict[str, str],
    quarantine: Path,
    progress: Progress,
) -> None:
    """Take from the medium what the store lost of a release that is here; have its names lead there again.

    Raises: as `make_release`.
    """
    contents = check_contents((quarantine / names.CONTENTS).read_bytes(), hashes)
    check_required(site, release, contents, left_out_runtime(medium, hashes, contents), progress)
    fill_store(site, medium, contents, hashes, quarantine, progress)
    keep_runtime(site, medium, hashes[names.RUNTIME], quarantine)
    mend_links(site)
