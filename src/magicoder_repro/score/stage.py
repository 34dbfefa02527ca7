"""Stage `score`: every model's samples -> verdicts and pass@1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from magicoder_repro import benchmarks, environment, records, sandbox
from magicoder_repro.artifact import Work
from magicoder_repro.errors import UsageError
from magicoder_repro.generate import complete
from magicoder_repro.profile import Scoring
from magicoder_repro.progress import say
from magicoder_repro.score import ds1000, evalplus
from magicoder_repro.score.multipl_e import driver as multipl_e


def build(work: Work) -> None:
    """`generate-*` folders -> `MODEL/BENCHMARK.json` each, and `summary.jsonl` with one row a result or a gap."""
    config = Scoring.model_validate(work.config["scoring"])
    backend = sandbox.choose(config.sandbox)
    say(f"score: model-written code runs in the sandbox, back end {backend}")
    summary: list[records.Record] = []
    for model, folder in work.inputs.items():
        protocol = _asked(folder / "benchmarks.json")
        several = _Languages(model, folder, protocol, config, work.private)
        for name, about in protocol.items():
            row: records.Record = {
                "model": model,
                "benchmark": name,
                "tasks": about["tasks"],
                "of": about["of"],
                "prompt": about["prompt"],
            }
            gap = _gap(about, several)
            if gap is not None:
                summary.append({**row, "metrics": {}, "gap": gap})
                continue
            result_path = work.private / model / f"{name}.json"
            if not result_path.is_file():
                if about["language"] is not None:
                    found = multipl_e.of_language(several.result(about), about["language"])
                else:
                    samples = list(records.read_jsonl(folder / f"{name}.jsonl", texts=("task_id",)))
                    judging = work.private / model / f"{name}.work"
                    found = _result(about, samples, config, f"score {model} {name}", judging)
                records.write_json(result_path, _untimed(found, about))
            result = records.read_json(result_path)
            records.write_json(work.out / model / f"{name}.json", result)
            row |= {"metrics": result["metrics"], "scorer": result["scorer"], "gap": None}
            if "libraries" in result:
                row["libraries"] = result["libraries"]
            summary.append(row)
    summary += _means(summary)
    records.write_jsonl(work.out / "summary.jsonl", summary)
    work.counts.update(
        results=sum(row["gap"] is None for row in summary),
        gaps=sum(row["gap"] is not None for row in summary),
        sandbox=backend,
        scorers=sorted({row["scorer"] for row in summary if row["gap"] is None}),
    )


class _Asked(BaseModel):
    """What a model was asked: one entry of `benchmarks.json`."""

    model_config = ConfigDict(strict=True)

    benchmark: str
    language: str | None
    tasks: Annotated[int, Field(gt=0)]
    of: Annotated[int, Field(gt=0)]
    prompt: str
    decoding: dict[str, Any]


def _asked(path: Path) -> dict[str, dict[str, Any]]:
    """The content of a `benchmarks.json`; each name is that of a samples file beside it."""
    content = records.read_json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not what `generate` writes: an object with an entry a benchmark")
    for name, about in content.items():
        try:
            asked = _Asked.model_validate(about)
            benchmarks.key(asked.benchmark, asked.language)
        except (ValidationError, UsageError) as error:
            reason = (
                f"{error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
                if isinstance(error, ValidationError)
                else error
            )
            raise UsageError(f"{path}: {name!r}: not what `generate` writes ({reason})") from None
        if name != complete.file_name(asked.benchmark, asked.language) or asked.tasks > asked.of:
            raise UsageError(f"{path}: {name!r}: not what `generate` writes (name, tasks and of do not go together)")
    return content


def _gap(about: dict[str, Any], several: _Languages) -> str | None:
    """Why a benchmark cannot be judged here, or None."""
    if about["language"] is not None:
        reason: str | None = several.result(about)["gaps"].get(about["language"])
        return reason
    if about["benchmark"].endswith("ds1000") and not environment.ready(ds1000.ENVIRONMENT):
        return "the environment ds1000 is not built: make .envs/ds1000/.ready, then the same command again"
    return None


def _means(summary: list[records.Record]) -> list[records.Record]:
    """The task-weighted mean over MultiPL-E's languages, of each model for which all six were judged."""
    found = []
    for family in ("multipl-e", f"{benchmarks.MINIBENCH}multipl-e"):
        names = [f"{family}-{language}" for language in benchmarks.MULTIPL_E_LANGUAGES]
        for model in dict.fromkeys(row["model"] for row in summary):
            rows = [
                row for row in summary if row["model"] == model and row["benchmark"] in names and row["gap"] is None
            ]
            if len(rows) < len(names):
                continue
            tasks = sum(row["tasks"] for row in rows)
            mean = sum(row["metrics"]["pass@1"] * row["tasks"] for row in rows) / tasks
            whole = {"benchmark": family, "tasks": tasks, "of": sum(row["of"] for row in rows)}
            found.append({**rows[0], **whole, "metrics": {"pass@1": round(mean, 4)}})
    return found


class _Languages:
    """MultiPL-E's languages of one model, judged together."""

    def __init__(self, model: str, folder: Path, protocol: dict[str, Any], config: Scoring, private: Path) -> None:
        self._model, self._folder, self._protocol, self._config, self._private = (
            model,
            folder,
            protocol,
            config,
            private,
        )
        self._results: dict[str, dict[str, Any]] = {}

    def result(self, about: dict[str, Any]) -> dict[str, Any]:
        """The result of all languages of the benchmark that `about` is of."""
        family = about["benchmark"]
        if family not in self._results:
            found = {name: one for name, one in self._protocol.items() if one["benchmark"] == family}
            datasets, samples = {}, {}
            for name, one in found.items():
                dataset = benchmarks.load(family, language=one["language"])
                datasets[one["language"]] = replace(dataset, tasks=dataset.tasks[: one["tasks"]])
                samples[one["language"]] = list(records.read_jsonl(self._folder / f"{name}.jsonl", texts=("task_id",)))
            label, judging = f"score {self._model} {family}", self._private / self._model / f"{family}.work"
            self._results[family] = multipl_e.score(family, datasets, samples, self._config, "paper", label, judging)
        return self._results[family]


def _result(
    about: dict[str, Any], samples: list[records.Record], config: Scoring, label: str, work: Path
) -> dict[str, Any]:
    dataset = benchmarks.load(about["benchmark"], language=about["language"])
    chosen = replace(dataset, tasks=dataset.tasks[: about["tasks"]])
    if about["benchmark"].endswith("ds1000"):
        return ds1000.score(about["benchmark"], chosen, samples, config, label, work)
    sanitized = about["benchmark"].endswith("mbpp")  # as in the paper
    return evalplus.score(about["benchmark"], chosen, samples, config, "paper", label, sanitized)


def _untimed(result: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """The result without what the clock says, which would make two equal runs differ, and with the way it was decoded."""
    for task in result["tasks"]:
        for sample in task["samples"]:
            del sample["seconds"]
    return {**result, "decoding": about["decoding"], "prompt": about["prompt"]}
