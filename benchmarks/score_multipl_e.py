"""How long judging MultiPL-E takes: `magicoder score multipl-e` against bigcode-evaluation-harness, same programs, one run.

    .envs/core/bin/python benchmarks/score_multipl_e.py PUBLISHED HARNESS [--workers 2] [--every 1]

PUBLISHED: a folder of `humaneval-LANGUAGE-details.json`, whole programs with their published verdicts. HARNESS: a checkout of
bigcode-evaluation-harness; its evaluators run as they are, in threads, as many as there are workers of ours. Wall seconds, ours of the
whole command. Needs the data files (MAGICODER_DATA). Writes score_multipl_e.json beside this file: seconds, ratios, and every verdict
that differs from the published one or the harness's.
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

from magicoder_repro import benchmarks, environment, records
from magicoder_repro.benchmarks.multipl_e import toolchains

LANGUAGES = ("cpp", "java", "js", "php")
MULTIPLE = "bigcode_eval/tasks/custom_metrics"
JAR = "/usr/multiple/javatuples-1.2.jar"  # where the harness has it


def published(folder: Path, language: str) -> dict[str, tuple[str, bool]]:
    """task id -> (program, published verdict)."""
    rows = json.loads((folder / f"humaneval-{language}-details.json").read_text())
    return {name: (found[0][1]["code"], found[0][1]["passed"]) for name, found in rows.items()}


def ours(
    programs: dict[str, dict[str, tuple[str, bool]]], workers: int, folder: Path
) -> tuple[float, dict[tuple[str, str], str]]:
    """Wall seconds of the command, and the statuses."""
    samples, out = folder / "samples.jsonl", folder / "result.json"
    rows = [
        {"task_id": name, "language": language, "program": code}
        for language, found in programs.items()
        for name, (code, _) in found.items()
    ]
    judged = {(row["language"], row["task_id"]) for row in rows}
    for language in programs:  # a task that is left out has a program without tests, which is not run
        tasks = benchmarks.get("multipl-e").load(subset=language).tasks
        rows += [
            {"task_id": task["name"], "language": language, "program": ""}
            for task in tasks
            if (language, task["name"]) not in judged
        ]
    records.write_jsonl(samples, rows)
    command = [str(Path(sys.prefix, "bin", "magicoder")), "score", "multipl-e", str(samples), "--workers", str(workers)]
    begun = time.monotonic()
    subprocess.run([*command, "-o", str(out)], check=True, capture_output=True)
    seconds = time.monotonic() - begun
    result = records.read_json(out)
    statuses = {(task["language"], task["task_id"]): task["samples"][0]["status"] for task in result["tasks"]}
    return seconds, statuses


def theirs(
    harness: Path, programs: dict[str, tuple[str, bool]], language: str, workers: int
) -> tuple[float, dict[str, str]]:
    """Wall seconds of the harness's evaluators, and their statuses."""
    sys.path.insert(0, str(harness / MULTIPLE))
    from multiple_metrics.containerized_eval import eval_string_script

    begun = time.monotonic()
    with ThreadPoolExecutor(workers) as threads:
        found = threads.map(lambda row: eval_string_script(language, row[0])["status"], programs.values())
        statuses = dict(zip(programs, found, strict=True))
    return time.monotonic() - begun, statuses


def main() -> None:
    """Times both, compares the verdicts and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("harness", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--every", type=int, default=1, help="only every N-th program, for a short measurement")
    options = parser.parse_args()
    if not Path(JAR).exists():
        raise SystemExit(f"the harness looks for {JAR}: link {toolchains.find('java').classpath} there")
    toolchains.headers()  # made once a machine
    load = os.getloadavg()[0]
    programs = {
        language: dict(sorted(published(options.published, language).items())[:: options.every])
        for language in LANGUAGES
    }
    rows: list[dict[str, Any]] = []
    differing: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for language in LANGUAGES:
            their_seconds, their_statuses = theirs(options.harness, programs[language], language, options.workers)
            our_seconds, our_statuses = ours({language: programs[language]}, options.workers, Path(name))
            for task, (_, passed) in programs[language].items():
                mine, other = our_statuses[language, task], their_statuses[task]
                if len({mine == "passed", other == "OK", passed}) > 1:
                    differing.append(
                        {"language": language, "task_id": task, "published": passed, "harness": other, "ours": mine}
                    )
            ratio = round(their_seconds / our_seconds, 1)
            row = {"language": language, "programs": len(programs[language]), "harness": round(their_seconds, 1)}
            rows.append({**row, "ours": round(our_seconds, 1), "ratio": ratio})
            print(json.dumps(rows[-1]), flush=True)
        our_seconds, _ = ours(programs, options.workers, Path(name))
    total = sum(row["harness"] for row in rows)
    four = {"programs": sum(row["programs"] for row in rows), "harness": round(total, 1), "ours": round(our_seconds, 1)}
    rows.append({"language": "all four, one command", **four, "ratio": round(total / our_seconds, 1)})
    print(json.dumps(rows[-1]))
    path = Path(__file__).with_suffix(".json")
    about = {
        "device": environment.device(),
        "commit": environment.git_commit(),
        "workers": options.workers,
        "every": options.every,
        "load_before": round(load, 2),
    }
    versions = {language: dict(toolchains.find(language).versions) for language in LANGUAGES}
    records.write_json(path, {**about, "toolchains": versions, "rows": rows, "verdicts_that_differ": differing})
    for one in differing:
        print(json.dumps(one))


if __name__ == "__main__":
    main()
