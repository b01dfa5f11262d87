"""A run from plan to adapter: the worker, what it tells, how it stops and goes on, what it refuses."""

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import BadInput, HostNotReady, StepFailed
from appliance.model.base import check_base, load_base, load_tokenizer, resolve_base
from appliance.run.events import Event, EventLog
from appliance.run.folder import RunFolder, read_base
from appliance.run.lock import find_worker, start_time, worker_lock
from appliance.run.plan import TrainingChoice, read_plan
from appliance.sentence import from_document
from appliance.training.checkpoint import newest_checkpoint
from appliance.training.control import start_detached, stop, train, watch
from appliance.training.session import train_run
from appliance.training.stopping import StopRequest
from appliance.training.trainer import warmup_steps
from tests.runs import events_of, losses_of, make_run
from tests.tiny import make_tiny_model


def train_here(run: RunFolder, stop_request: StopRequest | None = None) -> bool:
    """Train in this process, without a worker."""
    events = EventLog(run.events)
    return train_run(
        run,
        read_plan(run.plan),
        read_base(run),
        events,
        stop_request or StopRequest(),
        adapter=run.adapter,
    )


def weights(run: RunFolder) -> bytes:
    return (run.adapter / "adapter_model.safetensors").read_bytes()


def test_two_epochs_on_a_few_rows_leave_an_adapter_and_the_story_of_how(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=24, held_out_share=0.2, checkpoint_every_steps=4)
    assert train_here(run)
    (data,) = events_of(run, "data")
    assert (data["rows"], data["held_out"], data["refused"]) == (20, 4, 0)
    losses = losses_of(run)
    assert sorted(losses) == list(range(1, 2 * data["packs"] + 1))
    assert losses[max(losses)] < losses[1] - 0.3
    assert [fields["step"] for fields in events_of(run, "checkpoint")] == [4, 6]
    held_out = [fields["loss"] for fields in events_of(run, "held_out")]
    assert held_out[-1] < held_out[0]
    last = events_of(run, "progress")[-1]
    assert (last["step"], last["steps"], last["eta_s"], last["epoch"]) == (6, 6, 0.0, 2.0)
    check = json.loads((run.data / "check.json").read_text())
    assert (check["rows_in"], check["train_rows"], check["held_out_rows"]) == (24, 20, 4)


def test_the_adapter_is_float32_and_names_no_path_of_this_box(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    base = make_tiny_model(tmp_path / "models" / "islet" / "tiny", dtype="bfloat16")
    run = make_run(tmp_path, base=base, steps=2)
    assert train_here(run)
    assert {str(each.dtype) for each in load_file(run.adapter / "adapter_model.safetensors").values()} == {
        "torch.float32"
    }
    config = (run.adapter / "adapter_config.json").read_text()
    assert json.loads(config)["base_model_name_or_path"] == "islet/tiny"
    assert str(tmp_path) not in config


@pytest.mark.slow
def test_a_stop_after_any_step_and_a_second_start_end_in_the_same_adapter(tmp_path: Path) -> None:
    settings = {"steps": 7, "dropout": 0.1, "packs_per_step": 2, "checkpoint_every_steps": 100}
    whole = make_run(tmp_path / "whole", **settings)
    assert train_here(whole)
    halves = make_run(tmp_path / "halves", **settings)
    asked = StopRequest()

    class StopAfterThree(EventLog):
        """Asks for the end once three steps were reported: what a signal does, at a step that is known."""

        def append(self, kind: str, **fields: object) -> None:
            super().append(kind, **fields)
            if kind == "state" and fields.get("state") == "training":
                asked.ask()

    run = halves
    assert not train_run(
        run, read_plan(run.plan), read_base(run), StopAfterThree(run.events), asked, adapter=run.adapter
    )
    assert [fields["step"] for fields in events_of(run, "checkpoint")] == [1]
    assert not run.adapter.exists()
    assert train_here(run)
    assert [fields["step"] for fields in events_of(run, "resumed")] == [1]
    assert losses_of(run) == losses_of(whole)
    assert weights(run) == weights(whole)


def test_a_run_that_goes_on_sees_the_rows_it_saw_before_also_when_the_file_was_edited(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=2)
    request = StopRequest()
    request.ask()
    assert not train_here(run, request)
    (tmp_path / "rows.json").write_text("[]")
    assert train_here(run)
    assert events_of(run, "data")[-1]["rows"] == 24


def test_broken_rows_stop_the_run_with_the_rows_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=2)
    rows = json.loads((tmp_path / "rows.json").read_text())
    del rows[4]["output"]
    rows[7]["output"] = "很长" * 300
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    with pytest.raises(BadInput) as refused:
        train_here(run)
    assert refused.value.what == "2 of 24 rows cannot be used."
    assert "rows.json, row 5, output: is missing" in refused.value.why
    assert "rows.json, row 8, row: is 1825 tokens long, more than 256" in refused.value.why
    assert not (run.data / "check.json").exists()


def test_rows_that_are_for_another_method_stop_the_run_and_say_what_they_are_for(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=2)
    rows = json.loads((tmp_path / "rows.json").read_text())
    rows[4] = {"instruction": "a", "chosen": "b", "rejected": "c"}
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    with pytest.raises(BadInput) as refused:
        train_here(run)
    assert refused.value.what == "1 of 24 rows cannot be used."
    assert "row 5, row: is a pair of a better and a worse answer, which DPO learns from" in refused.value.why


@pytest.mark.slow
def test_a_cell_of_a_million_characters_is_refused_with_its_length_and_the_others_are_learned(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, steps=2)
    rows = json.loads((tmp_path / "rows.json").read_text())
    rows[3]["output"] = "星" * 1_000_000
    rows[9]["output"] = " \n"
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    text = run.plan.read_text().replace("max_bad_share = 0.0", "max_bad_share = 0.1")
    run.plan.write_text(text)
    assert train_here(run)
    check = json.loads((run.data / "check.json").read_text())
    assert (check["rows_in"], check["train_rows"], check["refused_rows"]) == (24, 22, 2)
    short, long = check["problems"]
    assert (short["row"], short["field"], short["what"]) == (10, "output", "is empty")
    assert (long["row"], long["fix"]) == (4, "shorten it, or raise training.pack_tokens")
    assert re.fullmatch(r"is [1-3]\d{6} tokens long, more than 256", from_document(long["what"]))


def test_refuses_packs_longer_than_the_models_context_before_a_run_is_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        make_run(tmp_path, pack_tokens=4097)
    assert "`training.pack_tokens` is 4097" in refused.value.why
    assert "made for 4096 tokens" in refused.value.why
    assert not (tmp_path / "runs").exists()
    make_run(tmp_path, pack_tokens=4096)


@pytest.mark.parametrize("same_question", [False, True])
def test_refuses_a_held_out_share_that_no_row_can_be_spared_for(tmp_path: Path, same_question: bool) -> None:
    run = make_run(tmp_path, rows=3 if same_question else 1, held_out_share=0.5)
    rows = json.loads((tmp_path / "rows.json").read_text())
    questions = [{**row, "instruction": "几楼？"} for row in rows]
    (tmp_path / "rows.json").write_text(json.dumps(questions if same_question else rows))
    with pytest.raises(BadInput, match="No row can be held out") as refused:
        train_here(run)
    assert "`data.held_out_share` is 0.5" in refused.value.why
    assert not run.data.exists()


def test_refuses_a_warm_up_as_long_as_the_passes_make_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, warmup_steps=50)
    with pytest.raises(BadInput, match="contradicts itself") as refused:
        train_here(run)
    assert re.search("`training.warmup_steps` is 50, and the run has [0-9]+ steps", refused.value.why)
    assert not any(run.checkpoints.iterdir())


def test_the_default_warm_up_is_ten_steps_or_a_tenth() -> None:
    assert [warmup_steps(TrainingChoice(), steps) for steps in (1, 9, 50, 100, 5000)] == [0, 0, 5, 10, 10]
    assert warmup_steps(TrainingChoice(warmup_steps=49), 50) == 49


def test_refuses_a_base_whose_template_never_stops_before_anything_is_learned(tmp_path: Path) -> None:
    endless = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    run = make_run(tmp_path, base=make_tiny_model(tmp_path / "base", template=endless), steps=2)
    with pytest.raises(BadInput, match="does not end an answer with a stop token"):
        train_here(run)
    assert not run.data.exists()
    assert not run.adapter.exists()


def test_a_loss_that_is_no_number_stops_the_run_before_a_checkpoint(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    base = make_tiny_model(tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"] = torch.full_like(tensors["model.norm.weight"], float("nan"))
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    run = make_run(tmp_path, base=base, steps=3, checkpoint_every_steps=1)
    with pytest.raises(StepFailed, match="went astray"):
        train_here(run)
    assert list(run.checkpoints.iterdir()) == []


def damage_with(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def merge_into(name: str, **more: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**document, **more}))

    return change


def second_weights(folder: Path) -> None:
    (folder / "other.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    damage_with("model.safetensors.index.json", b'{"weight_map": {"a": "other.safetensors"}}')(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (damage_with("pytorch_model.bin", b"x"), "pytorch_model.bin holds pickled data"),
        (damage_with("training_args.BIN", b"x"), "training_args.BIN holds pickled data"),
        (merge_into("config.json", auto_map={"AutoModel": "evil.Model"}), "`auto_map`"),
        (merge_into("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]}), "`auto_map`"),
        (merge_into("config.json", quantization_config={"bits": 4}), "quantised already"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no safetensors weights"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (damage_with("config.json", b"{"), "no JSON"),
        (
            damage_with("model.safetensors.index.json", b'{"weight_map": {"a": "model-2.safetensors"}}'),
            "the shard model-2.safetensors is missing",
        ),
        (
            damage_with("model.safetensors.index.json", b'{"weight_map": {"a": "../a.safetensors"}}'),
            "names ../a.safetensors, which is no weights",
        ),
        (second_weights, "model.safetensors lies beside an index that does not name it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses_a_base_model(tmp_path: Path, change: Callable[[Path], None], why: str) -> None:
    folder = make_tiny_model(tmp_path / "model")
    check_base(folder)
    change(folder)
    with pytest.raises(BadInput) as refused:
        check_base(folder)
    assert why in refused.value.why


@pytest.mark.parametrize(
    ("change", "load"),
    [
        (damage_with("tokenizer.json", b'{"version": "1.0"}'), load_tokenizer),
        (merge_into("config.json", hidden_size=128), load_base),
        (damage_with("model.safetensors", b"x" * 100), load_base),
    ],
    ids=["tokenizer", "shapes", "weights"],
)
def test_a_base_that_a_library_cannot_read_is_bad_input(
    tmp_path: Path, change: Callable[[Path], None], load: Callable[[Path], Any]
) -> None:
    folder = make_tiny_model(tmp_path / "model")
    change(folder)
    with pytest.raises(BadInput, match="is not usable"):
        load(folder)


def test_refuses_a_template_whose_end_token_generation_does_not_stop_at(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    load_tokenizer(folder)
    (folder / "generation_config.json").write_text("{}")
    merge_into("tokenizer_config.json", eos_token="<|endoftext|>")(folder)  # noqa: S106
    with pytest.raises(BadInput, match="not usable") as refused:
        load_tokenizer(folder)
    assert "<|im_end|>" in refused.value.why


def test_an_unknown_base_is_refused_with_the_names_of_those_installed(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "islet" / "tiny")
    assert resolve_base("islet/tiny", tmp_path) == tmp_path / "islet" / "tiny"
    with pytest.raises(BadInput) as refused:
        resolve_base("islet/huge", tmp_path)
    assert "installed: islet/tiny" in refused.value.why
    with pytest.raises(BadInput):
        resolve_base("../islet/tiny", tmp_path)


@pytest.mark.slow
def test_only_one_worker_owns_a_run_and_its_id_counts_only_while_it_lives(tmp_path: Path) -> None:
    lock = tmp_path / "worker.lock"
    assert find_worker(lock) is None
    with worker_lock(lock):
        assert find_worker(lock) == os.getpid()
        with pytest.raises(HostNotReady, match="being trained already"), worker_lock(lock):
            pass
        # An id that was given to another process since is nobody's.
        lock.write_text(json.dumps({"pid": os.getpid(), "started": (start_time(os.getpid()) or 0) + 1}))
        assert find_worker(lock) is None
    assert find_worker(lock) is None


OFFLINE = """
import socket
from appliance.model.offline import go_offline
refused = go_offline()
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
left, right = socket.socketpair()
for target in ("192.0.2.1", "2001:db8::1", "example.invalid"):
    try:
        socket.create_connection((target, 80), timeout=1)
    except ConnectionRefusedError:
        pass
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    udp.sendto(b"x", ("192.0.2.7", 53))
except ConnectionRefusedError:
    pass
for look_up in (lambda: socket.gethostbyaddr("192.0.2.8"), lambda: socket.getnameinfo(("192.0.2.9", 80), 0)):
    try:
        look_up()
    except ConnectionRefusedError:
        pass
import huggingface_hub.constants
print(huggingface_hub.constants.HF_HUB_OFFLINE, sorted({each.address for each in refused}))
"""


def test_every_address_but_loopback_is_refused_and_recorded() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    output = subprocess.run(
        [sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert (
        output
        == "True ['192.0.2.1', '192.0.2.7', '192.0.2.8', '192.0.2.9', '2001:db8::1', 'example.invalid']\n"
    )


def test_starting_and_watching_a_run_imports_no_torch() -> None:
    code = (
        "import sys, appliance.training.control, appliance.evaluation.compare, appliance.data.read\n"
        "print(sorted({'torch', 'transformers', 'peft', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_very_bits_of_one_left_alone(tmp_path: Path) -> None:
    settings = {"rows": 48, "steps": 120, "dropout": 0.1, "checkpoint_every_steps": 10, "pack_tokens": 1024}
    whole = make_run(tmp_path / "whole", **settings)
    train(whole)
    broken = make_run(tmp_path / "broken", **settings)

    def kill_after_step_20(event: Event) -> None:
        if event.kind == "checkpoint" and event.fields["step"] >= 20:
            pid = find_worker(broken.lock)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(StepFailed, match="ended without a word"):
        train(broken, kill_after_step_20)
    assert not broken.adapter.exists()
    train(broken)
    (resumed,) = events_of(broken, "resumed")
    assert resumed["step"] >= 20
    assert losses_of(broken) == losses_of(whole)
    assert weights(broken) == weights(whole)
    assert events_of(broken, "network")[-1] == {"refused": 0}


@pytest.mark.slow
def test_stop_checkpoints_ends_the_worker_and_a_new_start_goes_on(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=48, steps=100_000, checkpoint_every_steps=100_000, pack_tokens=1024)
    pid = start_detached(run)
    assert os.getsid(pid) == pid  # a session of its own: closing the terminal does not reach it
    with pytest.raises(HostNotReady, match="being trained already"):
        start_detached(run)
    seen: list[int] = []

    def stop_at_the_first_step(event: Event) -> None:
        if event.kind == "progress" and not seen:
            seen.append(event.fields["step"])
            assert stop(run)

    watch(run, stop_at_the_first_step)
    assert events_of(run, "state")[-1]["state"] == "stopped"
    (checkpoint,) = events_of(run, "checkpoint")
    assert not stop(run)

    def stop_at_once(event: Event) -> None:
        if event.kind == "progress":
            stop(run)

    with pytest.raises(StepFailed, match="stopped before its end"):
        train(run, stop_at_once)
    assert events_of(run, "resumed") == [checkpoint]


@pytest.mark.slow
def test_no_room_for_a_checkpoint_ends_the_run_with_the_one_before_intact(tmp_path: Path) -> None:
    settings = {"steps": 40, "checkpoint_every_steps": 2, "pack_tokens": 1024, "rows": 48, "dropout": 0.1}
    whole = make_run(tmp_path / "whole", **settings)
    train(whole)
    run = make_run(tmp_path / "run", **settings)

    def leave_no_room(event: Event) -> None:
        pid = find_worker(run.lock)
        if event.kind == "checkpoint" and pid is not None:
            # No file may grow beyond 40 kB: less than the adapter takes.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (40_000, 40_000))

    with pytest.raises(HostNotReady, match="could not be written") as refused:
        train(run, leave_no_room)
    assert refused.value.next_step.startswith("Free some space there")
    assert events_of(run, "failed")[0]["exit_code"] == 5
    newest, damaged = newest_checkpoint(run.checkpoints)
    assert newest is not None
    assert newest.step == events_of(run, "checkpoint")[-1]["step"]
    assert damaged == []
    assert not list(run.checkpoints.glob(".*"))
    train(run)
    assert [each["step"] for each in events_of(run, "resumed")] == [newest.step]
    assert weights(run) == weights(whole)


@pytest.mark.slow
def test_a_disk_that_is_really_full_ends_the_run_with_exit_code_5(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=6, checkpoint_every_steps=2, keep_checkpoints=9)
    place = run.checkpoints
    # One checkpoint of this model takes about 440 kB: the second does not fit.
    script = (
        f"mount -t tmpfs -o size=700k none {place}; "
        f"{sys.executable} -m appliance.training.worker {run.root}; "
        f"code=$?; ls -A {place}; exit $code"
    )
    worker = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in worker.stderr or "mount:" in worker.stderr:
        pytest.skip(f"no small disk can be made here: {worker.stderr.strip()}")
    assert worker.returncode == HostNotReady.exit_code, worker.stderr
    assert "The checkpoint of step 4 could not be written.\nwhy: " in worker.stderr
    assert "No space left on device\nnext: Free some space" in worker.stderr
    assert worker.stdout.split() == ["step-00000002"]


@pytest.mark.slow
def test_of_two_commands_that_start_one_run_at_once_one_trains_and_the_other_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=48, steps=100_000, checkpoint_every_steps=100_000, pack_tokens=1024)
    with ThreadPoolExecutor(2) as starters:
        outcomes = [starters.submit(start_detached, run) for _ in range(2)]
    refusals = [each.exception() for each in outcomes]
    (refused,) = [each for each in refusals if each is not None]
    (pid,) = [each.result() for each in outcomes if each.exception() is None]
    assert isinstance(refused, HostNotReady)
    assert "being trained already" in str(refused)
    assert find_worker(run.lock) == pid
    assert stop(run)
    assert [each["state"] for each in events_of(run, "state")].count("preparing") == 1


STARTER = """
import sys
from appliance.run.folder import open_run
from pathlib import Path
from appliance.training.control import train
train(open_run(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_closing_the_terminal_that_started_a_run_changes_nothing(tmp_path: Path) -> None:
    settings = {"rows": 48, "steps": 60, "dropout": 0.1, "pack_tokens": 1024}
    whole = make_run(tmp_path / "whole", **settings)
    train(whole)
    run = make_run(tmp_path / "run", **settings)
    starter, terminal = pty.fork()
    if starter == 0:
        os.execv(sys.executable, [sys.executable, "-c", STARTER, str(run.root)])  # noqa: S606
    while not events_of(run, "progress"):
        time.sleep(0.05)
    os.close(terminal)  # the kernel hangs up on everything in the terminal's session
    _, status = os.waitpid(starter, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGHUP
    watch(run, lambda event: None)
    assert events_of(run, "state")[-1]["state"] == "finished"
    assert events_of(run, "resumed") == []
    assert weights(run) == weights(whole)


@pytest.mark.slow
def test_the_workers_refusal_reaches_whoever_started_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=2)
    (tmp_path / "rows.json").write_text('[{"instruction": "a"}]')
    with pytest.raises(BadInput, match="1 of 1 rows cannot be used"):
        train(run)
    assert events_of(run, "state")[-1]["state"] == "failed"
