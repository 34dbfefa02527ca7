"""How long judging takes: `magicoder score` against `evalplus.evaluate` of the same version, same samples, same machine, one run.

    .envs/core/bin/python benchmarks/score_evalplus.py HUMANEVAL.jsonl MBPP.jsonl [--protocol paper --protocol current]

Whole-command wall seconds on all cores. Cold: no ground truth from before; warm: the second run. evalplus gets an environment and
a cache of its own (made in a temporary folder, from the package index), as many workers as there are cores, and its own limits.
Needs the data files of both sets (MAGICODER_DATA). Writes score_evalplus.json beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from magicoder_repro import benchmarks, environment, records
from magicoder_repro.benchmarks.base import Dataset
from magicoder_repro.benchmarks.evalplus.benchmark import VERSIONS

PACKAGES = {"0.2.0": ["evalplus==0.2.0", "numpy==1.26.4"], "0.3.1": ["evalplus==0.3.1", "numpy==2.2.6"]}
CORES = str(len(os.sched_getaffinity(0)))


def timed(command: list[str], **variables: str) -> float:
    """Wall seconds of a command that must end well."""
    begun = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return round(time.monotonic() - begun, 1)


def ours(benchmark: str, protocol: str, samples: Path, folder: Path) -> float:
    """Seconds of one run of `magicoder score`: cold the first time in this folder, then warm."""
    command = [str(Path(sys.prefix, "bin", "magicoder")), "score", benchmark, str(samples), "--protocol", protocol]
    return timed(
        [*command, "-o", str(folder / "ours.json")], MAGICODER_CACHE=str(folder / f"cache-{benchmark}-{protocol}")
    )


def theirs(benchmark: str, version: str, dataset: Dataset, samples: Path, folder: Path) -> float:
    """Seconds of one run of `evalplus.evaluate`: cold the first time in this folder, then warm."""
    prefix = folder / f"evalplus-{version}"
    if not prefix.exists():
        uv = str(Path(sys.prefix, "bin", "uv"))
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(prefix)], check=True)
        wanted = [*PACKAGES[version], "setuptools<81"]
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(prefix / "bin/python"), *wanted], check=True)
    home = folder / f"home-{benchmark}-{version}"
    (home / ".cache" / "evalplus").mkdir(parents=True, exist_ok=True)  # it does not make this folder itself
    data = folder / f"{benchmark}-{version}.jsonl"
    data.write_bytes(gzip.decompress(dataset.path.read_bytes()))
    override = "HUMANEVAL_OVERRIDE_PATH" if benchmark == "humaneval" else "MBPP_OVERRIDE_PATH"
    copy = folder / f"samples-{benchmark}-{version}.jsonl"
    copy.write_bytes(samples.read_bytes())
    copy.with_name(f"{copy.stem}_eval_results.json").unlink(missing_ok=True)  # it would read on there
    command = [
        str(prefix / "bin/evalplus.evaluate"),
        "--dataset",
        benchmark,
        "--samples",
        str(copy),
        "--parallel",
        CORES,
    ]
    variables = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), override: str(data)}
    return timed(command, **variables)


def main() -> None:
    """Times both and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("humaneval", type=Path)
    parser.add_argument("mbpp", type=Path)
    parser.add_argument("--protocol", action="append", choices=["paper", "current"])
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for protocol in options.protocol or ("current", "paper"):
            for benchmark in ("humaneval", "mbpp"):
                dataset = benchmarks.get(benchmark).load(protocol)
                known = {task["task_id"] for task in dataset.tasks}
                samples = folder / f"{benchmark}-{protocol}.jsonl"
                rows_in = records.read_jsonl(getattr(options, benchmark), ("task_id",))
                records.write_jsonl(samples, [row for row in rows_in if row["task_id"] in known])
                version = VERSIONS[protocol]
                found: dict[str, dict[str, float]] = {"ours": {}, "evalplus": {}}
                for name in (
                    "cold",
                    "warm",
                ):  # side by side: a machine's speed changes over the minutes that this takes
                    found["ours"][name] = ours(benchmark, protocol, samples, folder)
                    found["evalplus"][name] = theirs(benchmark, version, dataset, samples, folder)
                ratios = {name: round(found["evalplus"][name] / found["ours"][name], 1) for name in ("cold", "warm")}
                rows.append(
                    {"set": f"{dataset.name} {dataset.version}", "evalplus_version": version, **found, "ratio": ratios}
                )
                print(json.dumps(rows[-1]), flush=True)
    path = Path(__file__).with_suffix(".json")
    records.write_json(path, {"device": environment.device(), "commit": environment.git_commit(), "rows": rows})
    print(
        f"{'':24}{'evalplus':>9} {'cold: theirs':>13} {'ours':>6} {'ratio':>6} {'warm: theirs':>13} {'ours':>6} {'ratio':>6}"
    )
    for row in rows:
        cells = [f"{row[side][name]:.1f}" for name in ("cold", "warm") for side in ("evalplus", "ours")]
        print(
            f"{row['set']:24}{row['evalplus_version']:>9} {cells[0]:>13} {cells[1]:>6} {row['ratio']['cold']:>6}"
            f" {cells[2]:>13} {cells[3]:>6} {row['ratio']['warm']:>6}"
        )


if __name__ == "__main__":
    main()
