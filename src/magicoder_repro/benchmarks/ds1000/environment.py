"""The environment of DS-1000's libraries: its Python, its example tables, and what a library's problems import."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from magicoder_repro import environment, records
from magicoder_repro.errors import UsageError

ENVIRONMENT = "ds1000"
ORIGINAL_ENVIRONMENT = "ds1000-original"
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+([\w., \t]+)", re.MULTILINE)
_TABLE = re.compile(r"load_dataset\(\s*[\"'](\w+)|(fetch_california_housing)\(")
_BRINGS = {
    **{name: {"numpy"} for name in ("pandas", "matplotlib", "scipy", "torch", "tensorflow")},
    "sklearn": {"numpy", "scipy", "scipy.sparse"},
    "seaborn": {"numpy", "pandas", "scipy", "scipy.stats", "matplotlib", "matplotlib.pyplot"},
}
"""What importing a package imports as well."""
_STANDARD = {*sys.stdlib_module_names, "parser"}  # the latter until Python 3.9
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
        self.name, self.python = name, environment.interpreter(name)
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


def packages(names: Iterable[str]) -> list[str]:
    """The packages that modules lie in, in the order of their first one."""
    return list(dict.fromkeys(name.partition(".")[0] for name in names if name))


def closed(names: Iterable[str]) -> frozenset[str]:
    """Modules with those that are imported when they are: the packages that they lie in, and what those bring."""
    parts = [name.split(".") for name in names]
    found = {".".join(one[: count + 1]) for one in parts for count in range(len(one))}
    return frozenset(found.union(*(_BRINGS.get(one[0], ()) for one in parts)))


def fewest(names: Iterable[str]) -> tuple[str, ...]:
    """The names that bring all others, in one order: interpreters that have imported the same are the same."""
    plain = {name for name in names if name and name.partition(".")[0] not in _STANDARD}
    return tuple(sorted(name for name in plain if name not in closed(plain - {name})))
