"""The command that writes a profile's jobs for a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magicoder_repro.commands.options import Nodes, Profile, Runs, run_of, shown
from magicoder_repro.errors import listed
from magicoder_repro.progress import say, tell


def slurm(
    stages: Nodes = None,
    profile: Profile = "smoke",
    runs: Runs = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the scripts; runs/PROFILE/slurm without it.")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Of all jobs; the cluster's own without it.")] = None,
    account: Annotated[str | None, typer.Option(help="Of all jobs.")] = None,
    time: Annotated[
        str | None, typer.Option(help="Of each job, as 12:00:00; it goes on in the queue after that.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="Of each job's node, as 64G.")] = None,
    cpus: Annotated[str | None, typer.Option(help="Of each job's node.")] = None,
    gpus: Annotated[
        str | None, typer.Option(help="Of each node of sft and generate, as 4 or a100:4; 0 for none.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.KEY=VALUE",
            help="Of one stage's jobs: partition, account, qos, constraint, nodes, cpus, gpus, memory or time.",
        ),
    ] = None,
    container: Annotated[
        str, typer.Option(help="apptainer:FILE.sif, pyxis:IMAGE, or none: the environments under .envs/.")
    ] = "none",
) -> None:
    """Write what is not up to date as jobs for Slurm: a script for each node, or an array for several, and `submit.sh`.

    The checkout, the run and the data must lie where all nodes see them. A job that is pre-empted or out of time goes on where it was.

    \b
    magicoder slurm --profile paper-cl --partition gpu --account me --set sft.gpus=8 --set sft.time=2-00:00:00
    runs/paper-cl/slurm/submit.sh
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import slurm as jobs

    common = {
        "partition": partition,
        "account": account,
        "time": time,
        "memory": memory,
        "cpus": cpus,
        "gpus": gpus,
    }
    where = run_of(profile, runs)
    folder = out or where.folder / "slurm"
    written = jobs.write(
        profiles.load(profile), where, stages or (), jobs.Asked(common, settings or (), container), folder
    )
    if not written:
        say(f"nothing to do: everything in {shown(where.folder)} is up to date (profile {profile})")
        return
    say(
        f"{len(written)} jobs, {sum(len(job.nodes) for job in written)} nodes: {shown(folder / 'submit.sh')} submits them"
    )
    for job in written:
        after = f" after {listed(list(job.after), 3)}" if job.after else ""
        tell(f"{job.name}: {', '.join(node.name for node in job.nodes)}{after}")
