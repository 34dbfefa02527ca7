"""The environment of DS-1000's libraries: its Python, its example tables, and what a library's problems import."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from magicoder_repro import environment, records
from magicoder_repro.errors import UsageError

ENVIRONMENT = "ds1000"
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+([\w., \t]+)", re.MULTILINE)
_TABLE = re.compile(r"load_dataset\(\s*[\"'](\w+)|(fetch_california_housing)\(")
_QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "Agg",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}


class Home:
    """The environment that the programs run in."""

    def __init__(self, name: str) -> None:
        if not environment.ready(name):
            raise UsageError(f"the environment {name!r} is not built from its lock: run `make .envs/{name}/.ready`")
        self.python = environment.interpreter(name)
        ask = "import sys, sysconfig; print(sys.prefix, sys.base_prefix, sysconfig.get_path('purelib'), sep='\\n')"
        told = subprocess.run([self.python, "-c", ask], capture_output=True, text=True, check=True).stdout
        self.prefix, base, self.packages = (Path(line) for line in told.splitlines())
        self.readonly = (self.prefix, base)
        self.tables = self.prefix / "share"

    def missing_table(self, task: records.Record) -> str | None:
        """The name of an example table that this problem's test loads and that is not there, or None."""
        for match in _TABLE.finditer(task["code_context"]):
            name = match[1] or "cal_housing"
            place = f"seaborn-data/{name}.csv" if match[1] else "scikit-learn/cal_housing_py3.pkz"
            if not (self.tables / place).is_file():
                return name
        return None

    def variables(self, modules: Sequence[str] = ()) -> dict[str, str]:
        """The environment variables of an interpreter that has `modules` imported when it starts."""
        return {
            **_QUIET,
            "DS1000_PACKAGES": str(self.packages),
            "DS1000_WARM": " ".join(modules),
            "SEABORN_DATA": str(self.tables / "seaborn-data"),
            "SCIKIT_LEARN_DATA": str(self.tables / "scikit-learn"),
        }


def modules(contexts: Sequence[str]) -> list[str]:
    """What these programs import, in the order of their first import; some names may be of functions, not of modules."""
    found: dict[str, None] = {}
    for context in contexts:
        for package, names in _IMPORT.findall(context):
            plain = [name.split()[0] for name in names.split(",") if name.strip()]
            found |= dict.fromkeys([package, *(f"{package}.{name}" for name in plain)] if package else plain)
    return list(found)
