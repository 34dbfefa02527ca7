"""Commands over a profile: its plan, its run, what was made, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magicoder_repro import errors, interrupts, processes, temporary
from magicoder_repro.commands.options import Nodes, Profile, Runs, run_of, shown
from magicoder_repro.progress import say, tell


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
) -> None:
    """Make what is not up to date, with everything it depends on.

    Nothing is done twice: a node is made again when its settings or inputs changed, or when one of its files is damaged. A killed run
    goes on where it was. Exit code 1 when a number left its tolerance.

    \b
    magicoder run --profile smoke
    magicoder run score/base --profile my.yaml
    magicoder run report --refresh oss-instruct
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import run as pipeline
    from magicoder_repro.report.build import print_table
    from magicoder_repro.train import nodes

    loaded, where = profiles.load(profile), run_of(profile, runs)
    if only and nodes.here().number:
        pipeline.join(loaded, where, stages or ())
        return
    made = pipeline.run_all(loaded, where, stages or (), refresh or (), verify, only)
    if not made:
        say(f"nothing to do: everything in {shown(where.folder)} is up to date (profile {profile})")
    if not stages or "report" in stages:
        print_table(where.folder / "report", quiet=not made)


def stage(
    names: list[str],
    runs: Annotated[Path, typer.Option()],
    store: Annotated[Path, typer.Option()],
    profile: Profile = "smoke",
    frozen: Annotated[int | None, typer.Option(help="A descriptor of the profile, in its place.")] = None,
    parent: Annotated[int | None, typer.Option(help="Process with which this one ends.")] = None,
    again: Annotated[list[str] | None, typer.Option("--again")] = None,
) -> None:
    """Make nodes in this process (what `run` starts for each, or for several that share a model)."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import plan
    from magicoder_repro.pipeline import run as pipeline
    from magicoder_repro.pipeline.store import Run

    if parent is not None:
        processes.end_with(parent)
    try:
        with temporary.own_folder():
            path = Path(f"/proc/self/fd/{frozen}")  # opened anew: from the beginning
            loaded = profiles.load(profile) if frozen is None else profiles.thawed(path.read_bytes())
            for node in plan.exactly(plan.expand(loaded), names):
                pipeline.make(node, Run(runs, store), node.name in (again or ()))
    except errors.Stopped as stop:  # `run` says so
        interrupts.end(stop.code)


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
) -> None:
    """Print the nodes of a profile: up to date, stale and why, what is missing and the mend. Nothing is made.

    \b
    magicoder plan --profile paper-cl
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import run as pipeline

    pipeline.show(profiles.load(profile), run_of(profile, runs), stages or (), verify)


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
