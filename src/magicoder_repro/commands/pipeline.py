"""Commands over a profile: its plan, its run, what was made, what is kept."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magicoder_repro import errors, interrupts, processes, temporary
from magicoder_repro.commands.options import Nodes, Profile, Runner, Runs, run_of, shown
from magicoder_repro.progress import say, tell

if TYPE_CHECKING:
    from magicoder_repro import profile as profiles


def run(
    stages: Nodes = None,
    profile: Profile = "smoke",
    runs: Runs = None,
    refresh: Annotated[
        list[str] | None, typer.Option("--refresh", metavar="STAGE", help="Make this stage or node again in any case.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file's hash, not its size and time alone.")
    ] = False,
    only: Annotated[
        bool, typer.Option("--only", help="Nothing but the nodes that are named: what they need must be up to date.")
    ] = False,
    runner: Runner = "host",
) -> None:
    """Make what is not up to date, with everything it depends on.

    Nothing is done twice: a node is made again when its settings or inputs changed, or when one of its files is damaged. A killed run
    goes on where it was. Exit code 1 when a number left its tolerance.

    \b
    magicoder run --profile smoke
    magicoder run score/base --profile my.yaml
    magicoder run report --refresh oss-instruct
    magicoder run --profile paper-cl --runner podman
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import run as pipeline
    from magicoder_repro.pipeline import runner as runners
    from magicoder_repro.report.build import print_table
    from magicoder_repro.train import nodes

    loaded, where = profiles.load(profile), run_of(profile, runs)
    if only and nodes.here().number:
        pipeline.join(loaded, where, stages or ())
        return
    chosen = runners.choose(runner, lambda: pipeline.images(loaded, stages or ()))
    made = pipeline.run_all(loaded, where, stages or (), refresh or (), verify, only, chosen)
    if not made:
        say(f"nothing to do: everything in {shown(where.folder)} is up to date (profile {profile})")
    if not stages or "report" in stages:
        print_table(where.folder / "report", quiet=not made)


def stage(
    names: list[str],
    runs: Annotated[Path, typer.Option()],
    store: Annotated[Path, typer.Option()],
    profile: Annotated[str | None, typer.Option("--profile", help="In place of the one on standard input.")] = None,
    parent: Annotated[int | None, typer.Option(help="Process with which this one ends.")] = None,
    attended: Annotated[bool, typer.Option("--attended", help="End when standard input does.")] = False,
    again: Annotated[list[str] | None, typer.Option("--again")] = None,
) -> None:
    """Make nodes in this process (what `run` starts for each, or for several that share a model). The profile comes as the first line
    of standard input."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import plan
    from magicoder_repro.pipeline import run as pipeline
    from magicoder_repro.pipeline.store import Run

    if parent is not None:
        processes.end_with(parent)
    loaded = profiles.load(profile) if profile else _told(attended)
    try:
        with temporary.own_folder():
            for node in plan.exactly(plan.expand(loaded), names):
                pipeline.make(node, Run(runs, store), node.name in (again or ()))
    except errors.Stopped as stop:  # `run` says so
        interrupts.end(stop.code)


def look(names: list[str]) -> None:
    """Print what nodes find here, as JSON (what `run` asks an image). The profile comes as the first line of standard input."""
    from magicoder_repro.pipeline import plan, seen

    tell(json.dumps(seen.look(plan.exactly(plan.expand(_told(False)), names))))


def _told(attended: bool) -> profiles.Profile:
    """The profile on standard input, which is empty from then on; when `attended` this process ends as soon as it closes."""
    from magicoder_repro import profile as profiles

    source = os.fdopen(os.dup(0), "rb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 (no file of anybody's)
        os.dup2(nothing.fileno(), 0)
    loaded = profiles.thawed(source.readline())
    if attended:
        threading.Thread(target=lambda: (source.read(), os._exit(128 + signal.SIGKILL)), daemon=True).start()
    return loaded


def rank(
    job: Path,
    parent: Annotated[int, typer.Option(help="Process with which this one ends.")],
) -> None:
    """Work as one process of a training (what the stage `sft` starts for each device)."""
    from magicoder_repro.train import launch

    launch.work(job, parent)


def plan(
    stages: Nodes = None,
    profile: Profile = "smoke",
    runs: Runs = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file's hash.")] = False,
    runner: Runner = "host",
    commands: Annotated[
        bool, typer.Option("--commands", help="The command that makes each node, whether it is up to date or not.")
    ] = False,
) -> None:
    """Print the nodes of a profile: up to date, stale and why, what is missing and the mend. Nothing is made.

    \b
    magicoder plan --profile paper-cl
    magicoder plan --profile paper-cl --runner docker --commands
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import run as pipeline
    from magicoder_repro.pipeline import runner as runners

    loaded, where = profiles.load(profile), run_of(profile, runs)
    chosen = runners.choose(runner, lambda: pipeline.images(loaded, stages or ()))
    if commands:
        pipeline.commands(loaded, where, stages or (), chosen)
    else:
        pipeline.show(loaded, where, stages or (), verify, chosen)


def status(profile: Profile = "smoke", runs: Runs = None) -> None:
    """Print what each node was made with, where that is not what is here now."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import run as pipeline

    pipeline.status(profiles.load(profile), run_of(profile, runs))


def gc(
    runs: Annotated[Path | None, typer.Option("--runs", help="A run's own folder; all of runs/ without it.")] = None,
    interrupted: Annotated[
        bool,
        typer.Option(
            "--interrupted", help="Also what a killed run would go on with (a teacher's replies, checkpoints)."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; not while a run works.")] = False,
) -> None:
    """Say which results no run leads to any more (a value that was changed, an old profile), and what deleting them would free."""
    from magicoder_repro.pipeline import run as pipeline

    pipeline.collect(run_of("all", runs), interrupted, yes)


def rehearse(
    profile: Profile = "paper-cl",
    runs: Runs = None,
    vllm: Annotated[
        bool, typer.Option("--vllm", help="Completions by vLLM on the processor (`make .envs/serve-cpu/.ready`).")
    ] = False,
) -> None:
    """Run every node of a profile, with random models, a few records and a few tasks: minutes, no network, no GPU.

    Its numbers mean nothing: it shows that the code, the environments and the launchers of the real run work on this machine.

    \b
    magicoder rehearse --profile paper-cl
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import rehearse as pipeline

    pipeline.rehearse(profiles.load(profile), run_of(f"rehearse-{Path(profile).stem}", runs), vllm)


def stages() -> None:
    """List the stages in pipeline order."""
    from magicoder_repro.pipeline import plan

    for one in plan.STAGES:
        tell(f"{one.name:16} {one.help}")


def selfcheck(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="core, multipl-e, ...: a folder of docker/.")],
) -> None:
    """Check an environment, of an image or under .envs/: its packages are the lock's, and what it judges has the verdicts that are
    known. One line a check; exit code 1 when one fails. No network; with MAGICODER_DATA it checks more.

    \b
    magicoder selfcheck evalplus-0.2.0
    """
    from magicoder_repro import selfcheck as checks

    with temporary.own_folder():
        raise typer.Exit(checks.command(environment))
