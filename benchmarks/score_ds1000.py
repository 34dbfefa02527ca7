"""How long judging DS-1000 takes: `magicoder score ds1000` against a fresh interpreter a program, same machine, one run.

    .envs/core/bin/python benchmarks/score_ds1000.py [--every 10]

Both judge reference solutions with as many workers as there are cores. Ours: the whole command, all 1,000 problems, in the
sandbox. The benchmark's own way, a fresh interpreter a program without a sandbox: every tenth problem of each library
(`--every`), its wall seconds times that number. Needs ds1000/ds1000.jsonl (MAGICODER_DATA) and .envs/ds1000. Writes
score_ds1000.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, environment, records, sandbox
from magicoder_repro.benchmarks.base import Dataset
from magicoder_repro.benchmarks.ds1000.environment import ENVIRONMENT, Home
from magicoder_repro.benchmarks.ds1000.judge import task_id

CORES = len(os.sched_getaffinity(0))


def ours(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Wall seconds of the command and how many problems passed."""
    samples = [
        {"problem_id": task["metadata"]["problem_id"], "completion": task["reference_code"]} for task in dataset.tasks
    ]
    records.write_jsonl(folder / "samples.jsonl", samples)
    command = [str(Path(sys.prefix, "bin", "magicoder")), "score", "ds1000", str(folder / "samples.jsonl")]
    begun = time.monotonic()
    done = subprocess.run([*command, "-o", str(folder / "out.json")], capture_output=True, text=True)
    seconds = time.monotonic() - begun
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result = records.read_json(folder / "out.json")
    return {"seconds": round(seconds, 1), "problems": len(samples), "passed": result["statuses"]["passed"]}


def fresh(dataset: Dataset, every: int, folder: Path) -> dict[str, Any]:
    """Wall seconds of a sample of the problems, each in a fresh interpreter and a folder of its own."""
    chosen = [
        task
        for library in dict.fromkeys(task["metadata"]["library"] for task in dataset.tasks)
        for task in _of(dataset, library)[::every]
    ]
    home = Home(ENVIRONMENT)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    variables = {**os.environ, **home.variables(), **one_thread, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(task: records.Record) -> bool:
        place = folder / task_id(task)
        place.mkdir()
        program = f"{task['code_context']}\ncode = {task['reference_code']!r}\ntest_execution(code)\n"
        if "def test_string(" in task["code_context"]:
            program += "test_string(code)\n"
        (place / "program.py").write_text(program)
        command = [str(home.python), "program.py"]
        return subprocess.run(command, cwd=place, env=variables, capture_output=True).returncode == 0

    begun = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        passed = sum(pool.map(run, chosen))
    seconds = time.monotonic() - begun
    whole = seconds * len(dataset.tasks) / len(chosen)
    return {"seconds": round(seconds, 1), "problems": len(chosen), "passed": passed, "all": round(whole, 1)}


def _of(dataset: Dataset, library: str) -> list[records.Record]:
    return [task for task in dataset.tasks if task["metadata"]["library"] == library]


def main() -> None:
    """Times both and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=10)
    options = parser.parse_args()
    dataset = benchmarks.get("ds1000").load()
    with tempfile.TemporaryDirectory() as name:
        found: dict[str, Any] = {"workers": CORES, "sandbox": sandbox.choose("auto")}
        found["ours"] = ours(dataset, Path(name))
        found["fresh"] = {"every": options.every, **fresh(dataset, options.every, Path(name))}
    found["ratio"] = round(found["fresh"]["all"] / found["ours"]["seconds"], 1)
    about = {"device": environment.device(), "commit": environment.git_commit()}
    records.write_json(Path(__file__).with_suffix(".json"), {**about, **found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
