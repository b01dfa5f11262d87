"""What BUNDLE.md says of known vulnerabilities: how many, in both languages; which, once, in the lists."""

import re
from collections import Counter
from dataclasses import dataclass

from bundler.advisories import NOT_GIVEN, ORDER, Advisories, Finding
from bundler.wrapping import wrapped


@dataclass(frozen=True)
class AdvisoryWords:
    """The sentences of one language."""

    not_checked: str
    not_given: str
    none: str
    some: str
    unread: str
    reach: str
    severities: dict[str, str]
    gap: str
    """Between two sentences."""


ENGLISH = AdvisoryWords(
    not_checked="Not checked against known vulnerabilities, because {reason}.",
    not_given=NOT_GIVEN,
    none="No known vulnerability: the {compared} Python packages were compared with {read} advisories "
    "({source}, the newest of {newest}) when the bundle was locked.",
    some="{count} known vulnerabilities ({severities}), listed at the end of this page: the {compared} "
    "Python packages were compared with {read} advisories ({source}, the newest of {newest}) when the "
    "bundle was locked.",
    unread="{unread} files could not be read as advisories.",
    reach="What was found later is not known here. Programs and libraries in runtime.tar.gz, and models, "
    "are in no such list.",
    severities={"critical": "critical", "high": "high", "medium": "medium", "low": "low", "": "not rated"},
    gap=" ",
)

CHINESE = AdvisoryWords(
    not_checked="未与已知漏洞比对，原因：{reason}。",
    not_given="锁定时没有给出漏洞通告（islet-bundle lock --advisories）",
    none="没有已知漏洞：锁定时将 {compared} 个 Python 软件包与 {read} 条漏洞通告"
    "（{source}，最新一条为 {newest}）作了比对。",
    some="有 {count} 个已知漏洞（{severities}），列在本页末尾：锁定时将 {compared} 个 Python 软件包"
    "与 {read} 条漏洞通告（{source}，最新一条为 {newest}）作了比对。",
    unread="有 {unread} 个文件不能作为漏洞通告读取。",
    reach="此后发现的漏洞这里并不知道。runtime.tar.gz 中的程序和库以及模型不在此类清单之内。",
    severities={"critical": "严重", "high": "高", "medium": "中", "low": "低", "": "未评级"},
    gap="",
)


def advisory_paragraph(words: AdvisoryWords, found: Advisories) -> str:
    """How it stands with known vulnerabilities."""
    if found.not_checked:
        reason = words.not_given if found.not_checked == NOT_GIVEN else found.not_checked
        return wrapped(words.not_checked.format(reason=reason))
    counts = Counter(finding.severity for finding in found.found)
    sentences = [words.some if found.found else words.none]
    if found.unread:
        sentences.append(words.unread)
    return wrapped(
        words.gap.join([*sentences, words.reach]).format(
            count=len(found.found),
            severities=", ".join(f"{counts[s]} {words.severities[s]}" for s in ORDER if counts[s]),
            compared=found.compared,
            read=found.read,
            unread=found.unread,
            source=found.source,
            newest=found.newest,
        )
    )


def advisory_list(found: Advisories) -> str:
    """Every vulnerability, the worst first; empty when there is none."""
    if not found.found:
        return ""
    lines = [f"## Known vulnerabilities 已知漏洞 ({len(found.found)})", ""]
    return "\n".join([*lines, *(_line(finding) for finding in found.found), "", ""])


def _line(finding: Finding) -> str:
    names = ", ".join([finding.id, *finding.aliases])
    fixed = f"; fixed in {', '.join(finding.fixed)}" if finding.fixed else ""
    severity = finding.severity or ENGLISH.severities[""]
    plain = re.sub(r"[*_`<>|\[\]]", "", finding.summary)  # a summary is text of others, not our page's form
    text = f"- **{severity}** {finding.package} {finding.version}: {plain} ({names}{fixed})"
    return wrapped(text, indent="  ")
