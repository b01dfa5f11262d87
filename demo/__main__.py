"""`make demo`: the whole path, from a manifest to a model that answers in another engine.

On the connected side: a tiny model is made and published on a loopback hub, locked, built and
signed. At the "site", in a network namespace without interfaces and under a system-call trace: the
bundle is verified and installed, the model is tuned on a made-up clinic's questions, evaluated,
merged, converted, and compared in another engine.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from appliance.progress import Terminal, amount_text
from bundler.anchor import anchor_text, read_anchor
from demo import hub_server
from demo.channel import build_channel
from demo.clinic import write_clinic
from demo.model import make_model
from demo.stages import Stages, say
from demo.torch_wheel import fetch_torch, index_options
from demo.trace import CALLS, connects

HERE = Path(__file__).parent
WORK = HERE.parent / "build" / "demo"
CACHE = HERE.parent / "build" / "cache"
BUNDLER = [Path(sys.prefix) / "bin" / "islet-bundle"]
MODEL = "islet-demo/clinic-tiny"


def main() -> None:
    """Run every stage; exit code 0 only when all of it holds."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    stages = Stages()
    with stages.stage("A tiny model of the Qwen3 architecture, with a little general training"):
        make_model(WORK / "model", progress=Terminal())
    with stages.stage("A conda channel made of this machine's own Python"):
        build_channel(WORK / "channel")
        shutil.copyfile(HERE.parent / "manifests" / "demo.toml", WORK / "demo.toml")
    with stages.stage("The torch of this machine as a wheel"):
        fetch_torch(WORK / "torch", CACHE)
    with hub_server.serve({MODEL: WORK / "model"}) as hub:
        connected_side(stages, hub)
    with stages.stage("Carried to the site; from here on without a network"):
        medium = WORK / "disk"
        shutil.copytree(WORK / "bundle", medium)
        write_clinic(WORK / "site" / "clinic")
        shutil.copyfile(HERE / "plan.toml", WORK / "site" / "clinic" / "plan.toml")
    with stages.stage("The site: verify, install, tune, evaluate, export"):
        isolated_side(medium)
    sys.exit(conclude(stages))


def connected_side(stages: Stages, hub: str) -> None:
    """Keys, root, lock, build, sign, anchor sheet."""
    keys, roots = WORK / "keys", WORK / "roots"
    sources = ["--cache", CACHE, "--hub", hub, *index_options()]
    keys.mkdir()
    with stages.stage("Keys and the first root"):
        for name in ("root", "release"):
            say([*BUNDLER, "keygen", "--no-passphrase", keys / f"{name}.pem"])
        public = ["--root-key", keys / "root.pem.pub", "--release-key", keys / "release.pem.pub"]
        say([*BUNDLER, "root", "init", roots, *public])
        say([*BUNDLER, "root", "sign", roots, "--key", keys / "root.pem", "--yes"])
    with stages.stage("Lock: exactly which bytes"):
        say([*BUNDLER, "lock", WORK / "demo.toml", *sources])
    with stages.stage("Build"):
        out = ["--out", WORK / "bundle", "--number", "1", "--roots", roots]
        say([*BUNDLER, "build", WORK / "demo.toml", *out, *sources])
    with stages.stage("Sign, and judge as a site will"):
        who = ["--key", keys / "release.pem", "--roots", roots, "--yes"]
        say([*BUNDLER, "sign", WORK / "bundle", *who])
        say([*BUNDLER, "verify", WORK / "bundle"])
        print(anchor_text(read_anchor(WORK / "bundle")))


def isolated_side(medium: Path) -> None:
    """demo/site.sh in a namespace, traced."""
    anchor = sha256_from_sheet()
    unshare = ["unshare", "-n", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-n", "-m"]
    strace = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "signal=none",
        "-e",
        f"trace={CALLS}",
        "-o",
        WORK / "trace",
    ]
    script = ["sh", HERE / "site.sh", medium, WORK / "site", anchor, *hidden_paths()]
    say(
        [*strace, *unshare, *script],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/nonexistent",
            "TERM": os.environ.get("TERM", "dumb"),
        },
    )


def sha256_from_sheet() -> str:
    """The root's SHA-256, read off the anchor sheet as a person does."""
    lines = anchor_text(read_anchor(WORK / "bundle")).splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip() == "root.1")
    return "".join(lines[at + 1].split() + lines[at + 2].split())


def hidden_paths() -> list[Path]:
    """What the builder has and an isolated box has not: its Python, its environment, its caches."""
    hidden = [Path(sys.prefix), CACHE, WORK / "bundle", WORK / "channel", WORK / "torch", WORK / "model"]
    base = Path(sys.base_prefix)
    if base == Path("/usr"):
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        hidden += [Path("/usr/lib") / version, Path("/usr/bin") / version]
    else:
        hidden.append(base)
    hidden += [Path.home() / ".cache"]
    return [path for path in hidden if path.exists()]


def conclude(stages: Stages) -> int:
    """The table at the end; 0 when everything that the demo promises holds."""
    outside, loopback = connects(WORK / "trace")
    run = next((WORK / "site" / "state" / "runs").iterdir())
    sets = {s["name"]: s for s in json.loads((run / "evaluation" / "summary.json").read_text())["sets"]}
    parity = json.loads((run / "export" / "parity.json").read_text())
    console = Console()
    console.print()
    table = Table(title="What came out", show_header=False, box=None, padding=(0, 2))
    for name, text in (
        ("trained", "trained questions right"),
        ("paraphrased", "same facts, other words, never trained"),
        ("unknown", "unknown questions declined"),
    ):
        s = sets[name]
        table.add_row(text, f"before {share(s['right_before'], s)}", f"after {share(s['right_after'], s)}")
    table.add_row(
        "adapter = merged = GGUF",
        "yes" if parity["first_difference"] is None else "NO",
        "judged by llama.cpp",
    )
    table.add_row("connects beyond loopback", str(sum(outside.values())), f"{loopback} to loopback")
    table.add_row("bundle", amount_text(folder_bytes(WORK / "bundle"), "B"), "")
    table.add_row(
        "installed", amount_text(folder_bytes(WORK / "site" / "opt"), "B"), "hard links counted once"
    )
    console.print(table)
    times = Table(title="Time", box=None, header_style="bold")
    times.add_column("stage", no_wrap=True, overflow="ellipsis", max_width=68)
    times.add_column("seconds", justify="right")
    for name, took_s in stages.took_s.items():
        times.add_row(name, f"{took_s:.0f}")
    for line in (WORK / "site" / "times").read_text().splitlines():
        took, command = line.split("\t")
        times.add_row("   " + command, took)
    times.add_row("all", f"{sum(stages.took_s.values()):.0f}")
    console.print(times)
    console.print("\nOn a machine that has Ollama:\n", highlight=False)
    console.print(
        f"  cd {run / 'export'}\n  ollama create clinic-tiny -f Modelfile\n  ollama run clinic-tiny\n",
        highlight=False,
    )
    console.print(
        f"The report, to print and sign:\n\n  {run / 'report' / 'report.html'}\n",
        highlight=False,
        soft_wrap=True,
    )
    return judge(sets, parity["first_difference"] is None, sum(outside.values()))


def judge(sets: dict[str, dict[str, int]], passed: bool, outside: int) -> int:
    """0 when the figures are what the demo promises; says which are not."""
    trained, unknown = sets["trained"], sets["unknown"]
    promises = {
        "at most 10 % of the trained questions right before": trained["right_before"]
        <= 0.1 * trained["questions"],
        "at least 90 % of the trained questions right after": trained["right_after"]
        >= 0.9 * trained["questions"],
        "unknown questions declined no less than before": unknown["right_after"] >= unknown["right_before"],
        "adapter = merged = GGUF": passed,
        "no connect beyond loopback": outside == 0,
    }
    for promise, held in promises.items():
        if not held:
            print(f"NOT HELD: {promise}", file=sys.stderr)
    return 0 if all(promises.values()) else 1


def share(right: int, counted: dict[str, int]) -> str:
    """`12/50 (24%)`."""
    return f"{right}/{counted['questions']} ({right / counted['questions']:.0%})"


def folder_bytes(folder: Path) -> int:
    """Bytes on disk under `folder`, each inode once."""
    seen = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            seen[status.st_ino] = status.st_size
    return sum(seen.values())


if __name__ == "__main__":
    main()
