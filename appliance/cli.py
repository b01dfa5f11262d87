"""`islet`: the appliance's commands. A command parses, calls one function, prints.

torch and its friends are imported by what a command calls, never here: `islet --help` is quick.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from appliance.approval_commands import approve
from appliance.audit_commands import audit
from appliance.commands import Commands, language_option
from appliance.data_commands import data
from appliance.errors import ApplianceError
from appliance.retention_commands import keep, remove
from appliance.role_commands import roles
from appliance.run.failure import failure_fields
from appliance.run.folder import RunFolder
from appliance.site.layout import Site
from appliance.site_commands import SITE_COMMANDS, json_option, site_of
from appliance.wizard.terminal import UIS

FILE = click.Path(path_type=Path, dir_okay=False)


class _SiteCommands(Commands):
    """The commands of a site, which keeps traces of what should not have failed."""

    def find_logs(self, ctx: click.Context) -> Path | None:
        """`logs/` in the site's state folder."""
        try:
            return site_of(ctx).state / "logs"
        except ApplianceError:
            return None


@click.group(
    cls=_SiteCommands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@language_option
@click.option("--prefix", type=click.Path(path_type=Path), help="Where the software is; by default, found.")
@click.option("--state", type=click.Path(path_type=Path), help="Where data and runs are; by default, found.")
@click.option("--ui", type=click.Choice(UIS), default="auto", show_default=True, help="How the wizard shows.")
@click.option("--plan", "plan_file", type=FILE, help="Answer file: the whole journey without a question.")
@click.pass_context
def main(
    context: click.Context, prefix: Path | None, state: Path | None, ui: str, plan_file: Path | None
) -> None:
    """Tune a model on this box, without a network. Without a command: the wizard."""
    # What root runs must not add to an installed runtime: of a file that Python compiled and nobody synced,
    # a power cut may leave a half that Python trusts.
    sys.dont_write_bytecode = True
    context.obj = Site(prefix.absolute(), state.absolute()) if prefix and state else None
    if context.invoked_subcommand is None:
        _wizard(context, ui, plan_file)


def _wizard(context: click.Context, ui: str, plan_file: Path | None) -> None:
    """The journey on this site: by an answer file, or with whatever front this terminal can show."""
    if plan_file is not None:
        from appliance.model.offline import go_offline
        from appliance.wizard.unattended import run_plan

        go_offline()
        click.echo(run_plan(site_of(context), plan_file))
        return
    from appliance.wizard.open import open_wizard

    context.exit(open_wizard(site_of(context), ui))


def _run(context: click.Context, name: str) -> RunFolder:
    """A run by its name under the site, or by its path. Raises: BadInput."""
    from appliance.run.folder import open_run

    path = Path(name)
    if "/" in name:
        return open_run(path)
    of_site = site_of(context).runs / name  # first: a folder here may be called the same
    return open_run(path if path.is_dir() and not of_site.is_dir() else of_site)


@main.command()
@click.option(
    "--quick", is_flag=True, help="Hash nothing and train nothing: a look at the box and its files."
)
@click.option("--full", is_flag=True, help="Hash everything anew, from the disk itself.")
@click.option("--support", type=FILE, help="Also write a file for whoever helps, with nothing private in it.")
@json_option
@click.pass_context
def doctor(context: click.Context, quick: bool, full: bool, support: Path | None, as_json: bool) -> None:
    """Examine this site: box, installed files, imports, audit log, two training steps.

    Cut off, it goes on where it was; it leaves processor and disk to whatever else wants them.
    """
    from appliance.doctor.examine import examine
    from appliance.show import print_findings
    from appliance.spoken_progress import spoken

    if quick and full:
        raise click.UsageError("--quick and --full exclude each other.")
    site = site_of(context)
    findings = examine(site, spoken(), "quick" if quick else "full" if full else "ordinary")
    print_findings(findings, as_json=as_json)
    if support is not None:
        from appliance.doctor.support import write_support

        write_support(site, findings, support)
    if not all(finding.good for finding in findings):
        raise click.exceptions.Exit(5)


for _command in SITE_COMMANDS:
    main.add_command(_command)


main.add_command(audit)
main.add_command(roles)


main.add_command(data)


@main.command()
@click.option(
    "--plan",
    "plan_file",
    type=FILE,
    required=True,
    help="All choices of the run (TOML); the wizard saves one before it starts.",
)
@click.option("--detach", is_flag=True, help="Return at once; the run goes on by itself.")
@json_option
@click.pass_context
def train(context: click.Context, plan_file: Path, detach: bool, as_json: bool) -> None:
    """Make a run from a plan and train it. Ctrl-C stops it with a checkpoint."""
    from appliance.model.offline import go_offline

    go_offline()
    from appliance.export.package import plan_modelfile
    from appliance.job.train import start_training
    from appliance.job.train import train as train_to_end
    from appliance.show import TrainingView
    from appliance.site.roles import check_may, owner_of
    from appliance.training import control

    site = site_of(context)
    try:
        check_may(os.getuid(), "train", owner_of(site))  # before a folder is made
        run = control.prepare_run(
            plan_file, site.runs, site.models, judge=lambda plan, base: plan_modelfile(plan, base).text()
        )
        if detach:
            start_training(run, site)
        else:
            with TrainingView() as view:
                train_to_end(run, site, view.show)
    except ApplianceError as error:
        if not as_json:
            raise
        click.echo(json.dumps(failure_fields(error), ensure_ascii=False))
        context.exit(error.exit_code)
    click.echo(json.dumps({"run": str(run.root)}) if as_json else run.root)


@main.group(cls=Commands)
def runs() -> None:
    """List, watch, stop and continue runs."""


@runs.command("list")
@json_option
@click.pass_context
def list_runs(context: click.Context, as_json: bool) -> None:
    """All runs of this site, with their state and step."""
    from appliance.show import print_runs
    from appliance.supervisor import client

    site = site_of(context)
    supervised = client.status(site.state) if client.is_supervised(site.state) else ()
    print_runs(site.runs, {line.run: line.state for line in supervised}, as_json=as_json)


@runs.command()
@click.argument("run")
@click.pass_context
def watch(context: click.Context, run: str) -> None:
    """Follow RUN until it ends; leaving this does not stop it."""
    from appliance.show import TrainingView
    from appliance.training import control

    with TrainingView() as view:
        control.watch(_run(context, run), view.show)


@runs.command()
@click.argument("run")
@click.pass_context
def stop(context: click.Context, run: str) -> None:
    """Have RUN write a checkpoint and end."""
    from appliance.job.train import stop_training
    from appliance.show import print_stopped
    from appliance.supervisor.client import is_supervised

    site = site_of(context)
    # An administrator may stop what he may not look into.
    folder = RunFolder(site.runs.resolve() / run) if is_supervised(site.state) else _run(context, run)
    print_stopped(stop_training(folder, site))


@runs.command("continue")
@click.argument("run")
@click.option("--detach", is_flag=True, help="Return at once; the run goes on by itself.")
@click.pass_context
def continue_run(context: click.Context, run: str, detach: bool) -> None:
    """Go on with a RUN that was stopped or killed, from its newest checkpoint that verifies."""
    from appliance.job.train import start_training, train
    from appliance.show import TrainingView

    folder, site = _run(context, run), site_of(context)
    if detach:
        start_training(folder, site)
    else:
        with TrainingView() as view:
            train(folder, site, view.show)
    click.echo(folder.root)


runs.add_command(keep)
runs.add_command(remove)


@main.command("eval")
@click.argument("run")
@json_option
@click.pass_context
def evaluate_run(context: click.Context, run: str, as_json: bool) -> None:
    """Ask the plan's questions before and after RUN, and count the right answers."""
    from appliance.model.offline import go_offline

    go_offline()
    from appliance.job.work import evaluate_run as evaluate
    from appliance.show import print_summary
    from appliance.spoken_progress import spoken

    print_summary(evaluate(_run(context, run), site_of(context), spoken()), as_json=as_json)


@main.command()
@click.argument("run")
@json_option
@click.pass_context
def export(context: click.Context, run: str, as_json: bool) -> None:
    """Merge RUN's adapter, convert it to GGUF, write the Modelfile and compare all stages."""
    from appliance.model.offline import go_offline

    go_offline()
    from appliance.job.work import export_run
    from appliance.show import print_export
    from appliance.spoken_progress import spoken

    made = export_run(_run(context, run), site_of(context), spoken())
    if as_json:
        click.echo(json.dumps(asdict(made), default=str, indent=1))
    else:
        print_export(made)


@main.command()
@click.argument("run")
@click.pass_context
def report(context: click.Context, run: str) -> None:
    """Write RUN's report: report.md, and report.html to print and sign."""
    from appliance.job.work import report_run
    from appliance.spoken_progress import spoken

    click.echo(report_run(_run(context, run), site_of(context), spoken()))


main.add_command(approve)


if __name__ == "__main__":
    main()
