"""How long judging DS-1000 takes: `magicoder score ds1000` against fresh interpreters, same machine, one run, either release.

    .envs/core/bin/python benchmarks/score_ds1000.py [--every 10] [--protocol paper --protocol current]

Both judge reference solutions with as many workers as there are cores. Ours: the whole command, all 1,000 problems, in the
sandbox. The benchmark's own way, without a sandbox: every tenth problem of each library (`--every`), its wall seconds times that
number; a fresh interpreter a program (`current`, the simplified release), or one for the program of each test case and one for its
test, in a copy of the problem's folder (`paper`, the original release). Needs the data (MAGICODER_DATA) and the environments
.envs/ds1000 and .envs/ds1000-original. Writes score_ds1000.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, environment, records, sandbox
from magicoder_repro.benchmarks.base import PROTOCOLS, Dataset
from magicoder_repro.benchmarks.ds1000.environment import ENVIRONMENT, ORIGINAL_ENVIRONMENT, Home
from magicoder_repro.benchmarks.ds1000.judge import task_id
from magicoder_repro.benchmarks.ds1000.original_judge import without_ends

CORES = len(os.sched_getaffinity(0))


TEST = """
import pickle, sys, test_code
try:
    wanted = pickle.load(open(f"ans/ans{sys.argv[1]}.pkl", "rb"))
except Exception:
    wanted = None
sys.exit(test_code.test(pickle.load(open(f"result/result_{sys.argv[1]}.pkl", "rb")), wanted) != 1)
"""


def ours(dataset: Dataset, protocol: str, folder: Path) -> dict[str, Any]:
    """Wall seconds of the command and how many problems passed."""
    samples = [
        {"problem_id": task["metadata"]["problem_id"], "completion": task["reference_code"]} for task in dataset.tasks
    ]
    records.write_jsonl(folder / "samples.jsonl", samples)
    command = [
        str(Path(sys.prefix, "bin", "magicoder")),
        "score",
        "ds1000",
        str(folder / "samples.jsonl"),
        "--protocol",
        protocol,
    ]
    begun = time.monotonic()
    done = subprocess.run([*command, "-o", str(folder / "out.json")], capture_output=True, text=True)
    seconds = time.monotonic() - begun
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result = records.read_json(folder / "out.json")
    return {"seconds": round(seconds, 1), "problems": len(samples), "passed": result["statuses"]["passed"]}


def fresh(dataset: Dataset, protocol: str, every: int, folder: Path) -> dict[str, Any]:
    """Wall seconds of a sample of the problems, each in a fresh interpreter and a folder of its own."""
    chosen = [
        task
        for library in dict.fromkeys(task["metadata"]["library"] for task in dataset.tasks)
        for task in _of(dataset, library)[::every]
    ]
    home = Home(ORIGINAL_ENVIRONMENT if protocol == "paper" else ENVIRONMENT)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    variables = {**os.environ, **home.variables(), **one_thread, "PYTHONDONTWRITEBYTECODE": "1"}

    def run_original(task: records.Record) -> bool:
        about, place = task["metadata"], folder / task_id(task)
        shutil.copytree(dataset.path / about["library"] / "Completion" / f"q{about['library_problem_id']}", place)
        (place / "result").mkdir()
        program = task["code_context"].replace("[insert]", without_ends(task["reference_code"]))
        (place / "program.py").write_text(program)
        (place / "test.py").write_text(TEST)
        passed = True
        for case in range(1, about["test_case_cnt"] + 1):
            for command in (["program.py", "--test_case", str(case)], ["test.py", str(case)]):
                done = subprocess.run([str(home.python), *command], cwd=place, env=variables, capture_output=True)
                passed = passed and (done.returncode == 0 or command[0] == "program.py")
        return passed

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
        passed = sum(pool.map(run_original if protocol == "paper" else run, chosen))
    seconds = time.monotonic() - begun
    whole = seconds * len(dataset.tasks) / len(chosen)
    return {"seconds": round(seconds, 1), "problems": len(chosen), "passed": passed, "all": round(whole, 1)}


def _of(dataset: Dataset, library: str) -> list[records.Record]:
    return [task for task in dataset.tasks if task["metadata"]["library"] == library]


def main() -> None:
    """Times both, and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=10, help="how many of a library's problems one stands for")
    parser.add_argument("--protocol", action="append", choices=PROTOCOLS, help="default: both")
    options = parser.parse_args()
    rows = []
    for protocol in options.protocol or PROTOCOLS:
        dataset = benchmarks.get("ds1000").load(protocol)
        with tempfile.TemporaryDirectory() as name:
            own = ours(dataset, protocol, Path(name))
            theirs = fresh(dataset, protocol, options.every, Path(name))
        ratio = round(theirs["all"] / own["seconds"], 1)
        rows.append({"protocol": protocol, "ours": own, "fresh": {"every": options.every, **theirs}, "ratio": ratio})
        print(json.dumps(rows[-1]), flush=True)
    about = {"device": environment.device(), "commit": environment.git_commit(), "workers": CORES}
    path = Path(__file__).with_suffix(".json")
    records.write_json(path, {**about, "sandbox": sandbox.choose("auto"), "rows": rows})


if __name__ == "__main__":
    main()
