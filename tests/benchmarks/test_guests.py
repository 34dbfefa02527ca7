"""What runs inside the sandbox finds nothing there but the standard library of the interpreter at hand."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import vermin

from magicoder_repro.environment import ROOT

PACKAGE = ROOT / "src" / "magicoder_repro"
GUESTS = sorted({*PACKAGE.glob("**/guest/**/*.py"), *PACKAGE.glob("**/guest.py")})
ASIDE = {"guest"}
"""What the warm interpreter imports is put beside `sandbox/guest/` under this name."""
TARGETS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["per-file-target-version"]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _target(path: Path) -> tuple[int, int]:
    """The Python that ruff holds a file to."""
    (text,) = (version for pattern, version in TARGETS.items() if path in set(ROOT.glob(pattern)))
    return int(text[2]), int(text[3:])


def _at_import(node: ast.AST) -> Iterator[str]:
    """The modules that are imported when a file is, whatever the branch; what functions import comes later."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.Import):
            yield from (alias.name for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            assert inner.level == 0 and inner.module, "a relative import"
            yield inner.module
        elif not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _at_import(inner)


def test_the_guests_are_found() -> None:
    assert {"benchmarks/evalplus/guest.py", "benchmarks/ds1000/guest/main.py", "sandbox/guest/pid1.py"} <= {
        str(path.relative_to(PACKAGE)) for path in GUESTS
    }


@pytest.mark.parametrize("path", GUESTS, ids=_name)
def test_a_guest_imports_the_standard_library_and_its_neighbours(path: Path) -> None:
    beside = {other.stem for other in path.parent.glob("*.py")} if path.parent.name == "guest" else set()
    imported = {name.partition(".")[0] for name in _at_import(ast.parse(path.read_text()))}
    assert imported <= {*sys.stdlib_module_names, *beside, *ASIDE}


@pytest.mark.parametrize("path", GUESTS, ids=_name)
def test_a_guest_keeps_to_the_syntax_of_the_oldest_python_it_meets(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=_target(path))


@pytest.mark.parametrize("path", GUESTS, ids=_name)
def test_a_guest_keeps_to_the_library_of_the_oldest_python_it_meets(path: Path) -> None:
    """`zip(..., strict=True)` is no error of syntax. A line with `# novm` runs only where it can."""
    _, oldest = vermin.visit(path.read_text(), vermin.Config()).minimum_versions()
    assert oldest <= _target(path)


def test_the_oldest_python_is_the_environment_s() -> None:
    """An environment that goes back to an older one is noticed here."""
    pinned = [tuple(map(int, path.read_text().split("."))) for path in ROOT.glob("docker/*/python.txt")]
    assert all(_target(path) <= min(pinned) for path in GUESTS)
