"""BUNDLE.md: one page for the person who lets media in, in English and then in Chinese.

It follows from the lock and the contents alone, so its bytes are the same for everybody. It says only what
holds for every such bundle or stands in these two: who signed is not known yet when it is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.bundle import names
from appliance.bundle.contents import Contents, Entry
from appliance.bundle.cuda import CAME_WITH, oldest_driver
from appliance.bundle.release import Release
from appliance.progress import amount_text
from bundler import accept_notes, advisory_notes
from bundler.advisory_notes import AdvisoryWords, advisory_list, advisory_paragraph
from bundler.licence import is_stated, shown
from bundler.lock import Lock
from bundler.policy import is_card, is_licence_text
from bundler.sources.hub import LockedModel
from bundler.wrapping import WIDTH, cells, wrapped

PAGES = Path(__file__).parent / "pages"
BIGGEST = 20


@dataclass(frozen=True)
class Words:
    """What the page's lists and tables say in one language."""

    page: str
    kinds: dict[str, str]
    columns: tuple[str, str, str, str]
    unstated: str
    no_models: str
    no_sender: str
    model: tuple[str, ...]
    """Lines below a model's name."""
    no_card: str
    no_licence_text: str
    datasets: str
    extras: str
    """Title and first sentence of the extras' section."""
    advisories: AdvisoryWords
    accepted: tuple[str, str]
    """Heading and paragraph of the exceptions from the content policy."""
    complete: str
    delta: str
    no_gpu: str
    gpu: str
    driver: str
    medium: str
    no_runtime: str
    """Paragraph on a runtime.tar.gz that a delta leaves to the site."""


ENGLISH = Words(
    page="BUNDLE.en.md",
    kinds={
        "model": "models",
        "dataset": "data sets",
        "tool": "tools",
        "extra": "extras",
        "conda": "conda packages",
        "wheel": "Python wheels",
        "appliance": "the appliance",
    },
    columns=("kind", "count", "files", "size"),
    unstated="not stated by its source",
    no_models="None.",
    no_sender="not named",
    model=("licence       {licence}", "commit        {commit}", "size          {size} in {files} files"),
    no_card="model card    none among its files",
    no_licence_text="licence text  none among its files",
    datasets="### Data sets",
    extras="### Extras\n\nFiles for people, carried as they are in `extras/`; nothing opens or runs them.\n",
    advisories=advisory_notes.ENGLISH,
    accepted=accept_notes.ENGLISH,
    complete="complete: installs on a box that has nothing",
    delta="delta: the box must already hold other files ({count}, {size})",
    no_gpu="none needed and none used: works on the processor",
    gpu="NVIDIA, with a driver for CUDA {cuda}",
    driver="; driver {advised} is advised, {oldest} the oldest",
    medium="{size} in payload volumes ({count}), {rest} beside them",
    no_runtime="""
`runtime.tar.gz` is in the list and not in this folder: the box has it from an
earlier release, takes it from there and compares it with this list. Each other
file must be here; do not use `--ignore-missing`, which passes over any that is
not. Plain `sha256sum -c --strict SHA256SUMS` says, of that one file alone, that
it cannot be read.
""",
)

CHINESE = Words(
    page="BUNDLE.zh_CN.md",
    kinds={
        "model": "模型",
        "dataset": "数据集",
        "tool": "工具",
        "extra": "附加文件",
        "conda": "conda 软件包",
        "wheel": "Python wheel 包",
        "appliance": "本软件",
    },
    columns=("种类", "数量", "文件", "大小"),
    unstated="来源未说明",
    no_models="无。",
    no_sender="未写明",
    model=("许可证        {licence}", "提交          {commit}", "大小          {size}，{files} 个文件"),
    no_card="模型卡        其文件中没有",
    no_licence_text="许可证文本    其文件中没有",
    datasets="### 数据集",
    extras="### 附加文件\n\n供人使用的文件，原样放在 `extras/` 下；不会被打开或运行。\n",
    advisories=advisory_notes.CHINESE,
    accepted=accept_notes.CHINESE,
    complete="完整：可装在没有任何旧发布的主机上",
    delta="增量：主机上须已有其他文件（{count} 个，{size}）",
    no_gpu="不需要也不使用：在处理器上运行",
    gpu="NVIDIA，驱动须支持 CUDA {cuda}",
    driver="；建议驱动 {advised}，最低 {oldest}",
    medium="{count} 个卷共 {size}，另有 {rest}",
    no_runtime="""
`runtime.tar.gz` 在清单中，但不在本文件夹中：主机已从较早的发布得到它，会从自身
取用并与这份清单核对。其他文件必须全部在此；不要使用 `--ignore-missing`，它会放过
任何缺失的文件。直接运行 `sha256sum -c --strict SHA256SUMS` 时，只应有这一个文件
提示无法读取。
""",
)


def bundle_notes(lock: Lock, release: Release, contents: Contents, folder: Path) -> str:
    """BUNDLE.md. `folder`: where everything but the control files lies already."""
    pages = [_page(words, lock, release, contents, folder) for words in (ENGLISH, CHINESE)]
    return "\n".join([*pages, _lists(lock, contents)])


def _page(words: Words, lock: Lock, release: Release, contents: Contents, folder: Path) -> str:
    own = next(path for path in sorted(folder.iterdir()) if names.WHEEL.fullmatch(path.name))
    left_out = {entry.sha256: entry.size for entry in contents.entries if not entry.parts}
    beside = [own, *(folder / name for name in (names.INSTALLER, names.CONTENTS))]
    if contents.requires_runtime:
        left_out[names.RUNTIME] = (folder / names.RUNTIME).stat().st_size
    else:
        beside.append(folder / names.RUNTIME)
    kind = words.complete
    if left_out:
        kind = words.delta.format(count=len(left_out), size=amount_text(sum(left_out.values()), "B"))
    medium = words.medium.format(
        size=amount_text(sum(volume.size for volume in contents.volumes), "B"),
        count=len(contents.volumes),
        rest=amount_text(sum(path.stat().st_size for path in beside), "B"),
    )
    components = _components(lock, contents)
    return (
        (PAGES / words.page)
        .read_text(encoding="utf-8")
        .format(
            product=release.product,
            number=release.number,
            created=release.created,
            expires=release.expires,
            root=release.root_version,
            room=amount_text(release.disk_bytes, "B"),
            medium=medium,
            kind=kind,
            key_lines=KEY_LINES.format(root=release.root_version),
            check_lines=CHECK_LINES.format(sums=SUMS_OF_DELTA if contents.requires_runtime else SUMS),
            no_runtime=words.no_runtime if contents.requires_runtime else "",
            kinds=_kinds(words, lock, contents, own),
            models="\n\n".join(_model(words, model) for model in lock.models) or words.no_models,
            datasets=_datasets(words, contents) + _extras(words, lock),
            accepted=accept_notes.section(words.accepted, lock.accept),
            advisories=advisory_paragraph(words.advisories, lock.advisories),
            sender=lock.sender or words.no_sender,
            stated=sum(is_stated(licence) for _, licence in components),
            unstated=sum(not is_stated(licence) for _, licence in components),
            wheel=own.name,
            glibc=lock.target.glibc,
            python=lock.target.python,
            gpu=_gpu(words, lock.target.cuda),
        )
    )


KEY_LINES = """\
    sed -n 's/^key release //p' root.{root} | while read -r key; do
      printf %s "$key" | openssl base64 -d -A >~/key.der
      id=$(openssl dgst -sha256 -r ~/key.der | cut -c1-16)
      openssl pkey -pubin -inform DER -in ~/key.der -out ~/$id.pem
    done"""

CHECK_LINES = """\
    openssl dgst -sha256 -verify ~/KEYID.pem \\
      -signature SHA256SUMS.sig.KEYID SHA256SUMS
    {sums}"""
SUMS = "sha256sum -c --strict SHA256SUMS"
SUMS_OF_DELTA = "grep -v '  runtime.tar.gz$' SHA256SUMS | sha256sum -c --strict -"
"""Every file but the one that may be absent; --ignore-missing would pass over any."""


def _kinds(words: Words, lock: Lock, contents: Contents, own: Path) -> str:
    """The table of what is inside, by kind."""
    rows = [words.columns]
    carried = {entry.kind for entry in contents.entries}
    for kind in ("model", "dataset", "tool", *(["extra"] if "extra" in carried else [])):
        entries = [entry for entry in contents.entries if entry.kind == kind]
        rows.append(_row(words, kind, len({entry.component for entry in entries}), _sizes(entries)))
    rows.append(_row(words, "conda", len(lock.runtime.packages), [p.size for p in lock.runtime.packages]))
    rows.append(_row(words, "wheel", len(lock.wheels), [wheel.size for wheel in lock.wheels]))
    rows.append(_row(words, "appliance", 1, [own.stat().st_size]))
    widths = [max(cells(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"| {_padded(a, widths[0])} | {_padded(b, widths[1], right=True)} "
        f"| {_padded(c, widths[2], right=True)} | {_padded(d, widths[3], right=True)} |"
        for a, b, c, d in rows
    ]
    rule = f"|{'-' * (widths[0] + 2)}|" + "".join(f"{'-' * (width + 1)}:|" for width in widths[1:])
    return "\n".join([lines[0], rule, *lines[1:]])


def _row(words: Words, kind: str, count: int, sizes: list[int]) -> tuple[str, str, str, str]:
    return words.kinds[kind], str(count), str(len(sizes)), amount_text(sum(sizes), "B")


def _sizes(entries: Iterable[Entry]) -> list[int]:
    return [entry.size for entry in entries]


def _model(words: Words, model: LockedModel) -> str:
    """A model's paragraph."""
    facts = {
        "licence": shown(model.licence, words.unstated),
        "commit": model.commit,
        "size": amount_text(sum(file.size for file in model.files), "B"),
        "files": len(model.files),
    }
    lines = [f"- **{model.hub}**", "", *(f"      {line.format(**facts)}" for line in words.model)]
    for none, holds in ((words.no_card, is_card), (words.no_licence_text, is_licence_text)):
        paths = [file.path for file in model.files if holds(file.path)]
        label = _padded(none.split("  ")[0], 14)
        lines += [f"      {label}models/{model.hub}/{path}" for path in paths] or [f"      {none}"]
    return "\n".join(lines)


def _datasets(words: Words, contents: Contents) -> str:
    entries = [entry for entry in contents.entries if entry.kind == "dataset"]
    lines = [
        f"- **{entry.component}** ({amount_text(entry.size, 'B')}): {shown(entry.licence, words.unstated)}"
        for entry in entries
    ]
    return "\n".join(["", words.datasets, "", *lines, ""]) if lines else ""


def _extras(words: Words, lock: Lock) -> str:
    lines = [
        wrapped(
            f"- **{extra.name}** ({amount_text(extra.size, 'B')}): {shown(extra.licence, words.unstated)}"
            + (f"; {extra.note}" if extra.note else ""),
            indent="  ",
        )
        + f"\n\n      extras/{extra.name}/{extra.file}\n      {extra.url or extra.path}"
        for extra in lock.extras
    ]
    return "\n".join(["", words.extras, *lines, ""]) if lines else ""


def _components(lock: Lock, contents: Contents) -> list[tuple[str, str]]:
    """Every component with the licence that its source states."""
    files = {(e.component, e.licence) for e in contents.entries if e.kind in ("dataset", "extra", "tool")}
    return [
        *((model.hub, model.licence) for model in lock.models),
        *sorted(files),
        *((f"{package.name} {package.version}", package.licence) for package in lock.runtime.packages),
        *((f"{wheel.name} {wheel.version}", wheel.licence) for wheel in lock.wheels),
    ]


def _lists(lock: Lock, contents: Contents) -> str:
    """What is the same in every language: components by licence, what has none first, and big files."""
    unstated = f"{ENGLISH.unstated} {CHINESE.unstated}"
    found: dict[str, set[str]] = {}
    for name, licence in _components(lock, contents):
        found.setdefault(shown(licence, unstated), set()).add(name)
    order = sorted(found, key=lambda licence: (licence != unstated, licence.lower()))
    biggest = sorted(contents.entries, key=lambda entry: (-entry.size, entry.path))[:BIGGEST]
    return (
        (PAGES / "BUNDLE.lists.md")
        .read_text(encoding="utf-8")
        .format(
            advisories=advisory_list(lock.advisories),
            licences="\n".join(_wrapped(each, sorted(found[each], key=str.lower)) for each in order),
            biggest_count=len(biggest),
            biggest="\n".join(f"    {amount_text(entry.size, 'B'):>9}  {entry.path}" for entry in biggest),
        )
    )


def _wrapped(licence: str, members: list[str]) -> str:
    """`- **licence** (count): members`, no name broken."""
    lines = wrapped(f"- **{licence}** ({len(members)}):", indent="  ").split("\n")
    for i, member in enumerate(members):
        text = member + ("," if i < len(members) - 1 else "")
        if cells(f"{lines[-1]} {text}") <= WIDTH:
            lines[-1] += f" {text}"
        else:
            lines.append(f"  {text}")
    return "\n".join(lines)


def _gpu(words: Words, cuda: str) -> str:
    if cuda == "none":
        return words.no_gpu
    oldest = oldest_driver(cuda)
    if oldest is None:
        return words.gpu.format(cuda=cuda)
    return words.gpu.format(cuda=cuda) + words.driver.format(
        advised=CAME_WITH.get(cuda, oldest), oldest=oldest
    )


def _padded(text: str, width: int, *, right: bool = False) -> str:
    gap = " " * (width - cells(text))
    return gap + text if right else text + gap
