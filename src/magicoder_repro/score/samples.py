"""Samples as people have them, read into one form: `task_id` (or `problem_id`) and the text, under the name that says what it is.

Taken are EvalPlus' JSONL (packed or not) and its folders of `.py` files, the `generations.json` of bigcode-evaluation-harness,
MultiPL-E's folders of `.json` and `.json.gz` files, DS-1000's answer files (`id` and `code`) and the folders of the paper's script.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.benchmarks.base import Benchmark, Dataset
from magicoder_repro.errors import UsageError, listed

Rows = list[records.Record]
_MOST_BYTES = 1 << 30  # of an unpacked file
_PART = 1 << 20
_MOST_SOURCE = 16 << 20  # bytes of a .py file


@dataclass(frozen=True)
class Given:
    """What was read, and what it was taken for."""

    rows: Rows
    form: str


def read(path: Path, benchmark: Benchmark, subset: str | None, load: Callable[[str | None], Dataset]) -> Given:
    """The samples in a file or folder. `load` gives a subset's tasks, for a form that has no names or short ones."""
    if path.is_dir():
        given = _folder(path, benchmark, load)
    elif path.suffix == ".json":
        given = _generations(path, benchmark, subset, load)
    else:
        given = _lines(path, benchmark)
    if not given.rows:
        raise UsageError(f"{path}: no sample in it")
    return given


def _lines(path: Path, benchmark: Benchmark) -> Given:
    """JSONL, one sample a line; an answer file of DS-1000 has `code`, a text or a list of texts."""
    packed = path.suffix == ".gz"
    texts = ("task_id",) if benchmark.id_field == "task_id" else ()
    if packed:
        rows = list(records.parse_jsonl(path, _unpacked(path).split(b"\n"), texts=texts))
    else:
        rows = list(records.read_jsonl(path, texts=texts))
    if rows and benchmark.id_field == "problem_id" and all("code" in row and "completion" not in row for row in rows):
        return Given([_answer(path, row, text) for row in rows for text in _texts(path, row)], "DS-1000's answers")
    return Given(rows, "JSONL, packed" if packed else "JSONL")


def _answer(path: Path, row: records.Record, text: str) -> records.Record:
    if "id" not in row and "problem_id" not in row:
        raise UsageError(f"{path}: an answer with 'code' has no 'id': give the problem's number")
    return {"problem_id": row.get("problem_id", row.get("id")), "completion": text}


def _texts(path: Path, row: records.Record) -> Sequence[str]:
    code = row["code"]
    texts = code if isinstance(code, list) else [code]
    if not texts or not all(isinstance(text, str) for text in texts):
        name = row.get("problem_id", row.get("id"))
        raise UsageError(f"{path}: the field 'code' of {name!r:.80} is no text and no list of texts")
    return texts


def _unpacked(path: Path) -> bytes:
    """The content of a gzip file; one that unpacks to more than `_MOST_BYTES` is refused."""
    parts, size = [], 0
    try:
        with records.open_file(path) as raw, gzip.open(raw) as file:
            while part := file.read(_PART):
                parts.append(part)
                size += len(part)
                if size > _MOST_BYTES:
                    raise UsageError(f"{path}: unpacks to more than {_MOST_BYTES >> 30} GB: not samples")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path}: not a whole gzip file ({error})") from None
    return b"".join(parts)


def _json(path: Path) -> Any:
    if path.suffix != ".gz":
        return records.read_json(path)
    try:
        return records.loads(_unpacked(path))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error})") from None


def _generations(path: Path, benchmark: Benchmark, subset: str | None, load: Callable[[str | None], Dataset]) -> Given:
    """bigcode-evaluation-harness: a list of the texts of each task, in the tasks' order; each begins with the prompt."""
    content = records.read_json(path)
    lists = content if isinstance(content, list) else None
    if not lists or not all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in lists
    ):
        raise UsageError(f"{path}: neither JSONL nor generations.json (a list of a list of texts for each task)")
    if benchmark.generation is None:
        raise UsageError(
            f"{path}: generations.json has no names, and its order for {benchmark.name} is not known: give JSONL"
        )
    benchmark.check_subset(subset)
    tasks = load(subset).tasks
    if len(lists) > len(tasks):
        raise UsageError(
            f"{path}: {len(lists)} tasks, the set has {len(tasks)}: generations.json has no names, so that it must be of this very set"
        )
    pairs = list(zip(tasks, lists, strict=False))
    own = all(text.strip().startswith(task["prompt"].strip()) for task, texts in pairs for text in texts)
    if len(lists) < len(tasks) and not own:
        raise UsageError(
            f"{path}: {len(lists)} tasks, the set has {len(tasks)}, and the texts do not begin with the prompts of its first ones: "
            "generations.json has no names, so that it must be of this very set"
        )
    rows = [
        {"task_id": benchmark.task_id(task), **benchmark.generation(task, text)}
        for task, texts in pairs
        for text in texts
    ]
    return Given(rows, "generations.json of bigcode-evaluation-harness")


def _folder(path: Path, benchmark: Benchmark, load: Callable[[str | None], Dataset]) -> Given:
    packed = sorted(file for file in path.iterdir() if file.name.endswith((".json", ".json.gz")))
    completions = [file for file in packed if ".results.json" not in file.name]
    twice = [file.name for file in completions if file.with_name(f"{file.name}.gz") in completions]
    if benchmark.subsets and twice:
        raise UsageError(f"{path}: packed and not packed: {listed(twice)}: remove one of each")
    if benchmark.subsets and completions:
        return Given([row for file in completions for row in _of_multipl_e(file, load)], "MultiPL-E's folder")
    if benchmark.subsets:
        raise UsageError(f"{path}: no .json or .json.gz file of a task in it")
    if benchmark.id_field == "problem_id" and list(path.glob("*/Completion/q*")):
        return Given(list(_of_ds1000(path, benchmark, load(None))), "a folder of DS-1000's completions")
    if "solution" not in benchmark.sample_fields:
        raise UsageError(
            f"{path}: a folder of .py files holds whole programs, which {benchmark.name} does not take: give JSONL"
        )
    names = {benchmark.task_id(task).replace("/", "_"): benchmark.task_id(task) for task in load(None).tasks}
    rows, unknown = [], []
    for file in sorted(path.rglob("*.py"), key=_by_number):
        name = file.stem if file.parent == path else file.relative_to(path).parts[0]
        if name not in names:
            unknown.append(str(file.relative_to(path)))
            continue
        rows.append({"task_id": names[name], "solution": _source(file)})
    if unknown:
        raise UsageError(
            f"{path}: {len(unknown)} files are of no task (TASK.py or TASK/N.py, as {next(iter(names))}.py): {listed(unknown)}"
        )
    return Given(rows, "a folder of .py files")


def _of_ds1000(path: Path, benchmark: Benchmark, dataset: Dataset) -> Iterator[records.Record]:
    """What the paper's script writes: LIBRARY/Completion/qN/K.py, N the problem's number in its library."""
    names = {
        (about["library"], str(about["library_problem_id"])): benchmark.task_id(task)
        for task in dataset.tasks
        if (about := task["metadata"])
    }
    unknown = []
    for file in sorted(path.glob("*/Completion/q*/*.py"), key=_by_number):
        key = (file.parts[-4], file.parent.name.removeprefix("q"))
        if key not in names:
            unknown.append(str(file.relative_to(path)))
            continue
        yield {"problem_id": names[key], "completion": _source(file)}
    if unknown:
        raise UsageError(
            f"{path}: {len(unknown)} files are of no problem (LIBRARY/Completion/qN/K.py): {listed(unknown)}"
        )


def _source(file: Path) -> str:
    if file.is_symlink() or file.stat().st_size > _MOST_SOURCE:
        raise UsageError(f"{file}: a link, or more than {_MOST_SOURCE >> 20} MB: put a file of a program there")
    with records.open_file(file) as opened:
        text: str = opened.read().decode("utf-8", "replace")
    return text


def _by_number(path: Path) -> tuple[str, int, str]:
    """`2.py` before `10.py`."""
    return str(path.parent), int(path.stem) if path.stem.isdecimal() else 0, path.name


def _of_multipl_e(path: Path, load: Callable[[str | None], Dataset]) -> Iterator[records.Record]:
    """MultiPL-E's completions of one task: its prompt, theirs, and the tests of the pinned set."""
    content = _json(path)
    wanted: Mapping[str, type] = {"name": str, "language": str, "prompt": str, "completions": list}
    if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in wanted.items()):
        raise UsageError(f"{path}: not a file of MultiPL-E: 'name', 'language', 'prompt' and 'completions' are wanted")
    try:
        tests = {task["name"]: task["tests"] for task in load(content["language"]).tasks}
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    for text in content["completions"]:
        if not isinstance(text, str):
            raise UsageError(f"{path}: a completion is no text")
        program = f"{content['prompt']}{text}\n{tests.get(content['name'], '')}"
        yield {"task_id": content["name"], "language": content["language"], "program": program}


def verdicts_of_multipl_e(folder: Path) -> dict[str, list[tuple[bool, bool | None]]]:
    """The published verdicts in a folder's `.results.json.gz` files, by language and task: `passed` of each completion."""
    found: dict[str, list[tuple[bool, bool | None]]] = {}
    for path in sorted(folder.glob("*.results.json*")):
        content = _json(path)
        results = content.get("results") if isinstance(content, dict) else None
        name, language = (content.get(key) for key in ("name", "language")) if results else (None, None)
        if not isinstance(results, list) or not isinstance(name, str):
            raise UsageError(f"{path}: not a file of MultiPL-E: 'name' and 'results' are wanted")
        if not all(isinstance(row, dict) and "exit_code" in row for row in results):
            raise UsageError(f"{path}: a result has no 'exit_code'")
        passed: list[tuple[bool, bool | None]] = [
            (row.get("status") == "OK" and row["exit_code"] == 0, None) for row in results
        ]
        found[f"{language}/{name}" if isinstance(language, str) else name] = passed
    if not found:
        raise UsageError(f"{folder}: no .results.json or .results.json.gz file in it")
    return found
