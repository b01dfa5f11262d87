"""Islet: a plan, a run folder and its worker, as `islet train` starts it, in this process."""

from pathlib import Path
from typing import Any

import msgspec
from meter import Meter, read_job

from appliance.model.offline import set_offline
from appliance.run.plan import DataChoice, DataFile, ModelChoice, Plan, TrainingChoice, write_plan


def main() -> int:
    """Train, and write what was measured; the worker's exit code."""
    job = read_job()
    set_offline()  # before the meter imports what it measures, as the worker would
    meter = Meter(job)
    from appliance.training import worker
    from appliance.training.control import prepare_run

    plan_file = Path(job.scratch) / "plan.toml"
    write_plan(_plan(job), plan_file)
    run = prepare_run(plan_file, Path(job.scratch) / "runs", Path(job.scratch) / "models")
    exit_code = worker.main([str(run.root)])
    if exit_code == 0:
        meter.write()
    return exit_code


def _plan(job: Any) -> Plan:
    training = msgspec.convert(job.options, type=TrainingChoice)
    return Plan(
        format="islet-plan-1",
        name="throughput",
        model=ModelChoice(base=job.base),
        data=DataChoice(train=(DataFile(path=job.rows, format="alpaca"),)),
        training=msgspec.structs.replace(
            training,
            rank=job.rank,
            alpha=job.alpha,
            dropout=0.0,
            learning_rate=job.learning_rate,
            epochs=job.epochs,
            warmup_steps=0,
            checkpoint_every_steps=10_000,
            seed=job.seed,
            threads=1,
        ),
    )


if __name__ == "__main__":
    raise SystemExit(main())
