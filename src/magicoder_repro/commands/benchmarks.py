"""Commands over one benchmark: its prompts and files, verdicts of samples, what a model's completions hang on."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magicoder_repro import benchmarks, errors, outputs, temporary
from magicoder_repro.commands.options import Data, Language, Out, Runs, run_of, shown
from magicoder_repro.progress import tell

if TYPE_CHECKING:
    from magicoder_repro.benchmarks.base import Style
    from magicoder_repro.score.workers import Workers


def prompts(
    benchmark: Annotated[str, typer.Argument(help=f"One of {', '.join(benchmarks.NAMES)}.")],
    out: Out,
    language: Language = None,
    data: Data = None,
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
        tell(shown(base.fetch(benchmarks.get(name), protocol, data or base.data_folder())))
        return
    from magicoder_repro.generate import at_hand
    from magicoder_repro.pipeline import rescore as rescoring

    for key, one in rescoring.archives_named(name, profile).items():
        tell(shown(at_hand.fetch(key, one, data)))


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
    runs: Runs = None,
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
    rescoring.rescore(asked, run_of(asked.run_name, runs), if_possible)


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
    data: Data = None,
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
    name: Annotated[str | None, typer.Option(help="What the model is called; its folder's name without it.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The same as JSON, which `report.noise` of a profile may name.")
    ] = None,
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
        found = measurement.measure(model, name or model.resolve().name, asked, measurement.ways())
        if out is not None:
            write_json(out, found.model_dump(mode="json"))


def _style(name: str) -> Style:
    if name not in ("magicoder", "completion"):
        raise errors.UsageError(f"--style {name}: one of magicoder, completion")
    return "completion" if name == "completion" else "magicoder"


def _early(benchmark: str, protocol: str, workers: int | None) -> AbstractContextManager[Workers | None]:
    """The processes that judge this benchmark's samples, started, where they take long to start."""
    from magicoder_repro.score.workers import Workers

    spec = benchmarks.get(benchmark).early(protocol)
    if spec is None:
        return nullcontext()
    return Workers(spec.environment, spec.factory, workers or len(os.sched_getaffinity(0)), early=True)
