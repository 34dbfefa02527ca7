"""`magicoder audit`: a set of training records against what the paper says of it (PROTOCOL sections 3 and 6)."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicoder_repro import errors, records
from magicoder_repro.data import benchmark_texts, kinds, token_counts
from magicoder_repro.data.decontaminate import Matcher
from magicoder_repro.data.deduplicate import deduplicate
from magicoder_repro.errors import UsageError, listed
from magicoder_repro.progress import each, say, tell

RECORDS = 75_197
"""Of OSS-Instruct, as released."""
_ENCODING = "cl100k_base"
_SEED = 666  # of the cleaning's order
_MOST_TOKENS = 2_500  # of one reply of the teacher
_UNFINISHED = re.compile(r"\bpass\b|NotImplemented")
_NAMED = 5  # lines in a fault


@dataclass(frozen=True)
class Expected:
    """What the set should hold; a bound is (least, most), None where nothing is known. The paper's 43K records with "```python", and
    the 68K without `pass` or `NotImplemented` (Table 10), whose exact pattern it does not give."""

    records: int = RECORDS
    python: tuple[int, int] | None = (42_500, 43_499)
    finished: tuple[int, int] | None = (66_000, 70_000)


@dataclass(frozen=True)
class Check:
    """One count. `fault`: one line, None where nothing is off."""

    name: str
    count: int
    wanted: str
    fault: str | None = None


@dataclass(frozen=True)
class Audit:
    """What was counted. `tokens`: of each field its median, 95th percentile and most; `notes`: what could not be looked at."""

    data: str
    checks: list[Check]
    tokens: dict[str, dict[str, int]]
    notes: list[str]

    @property
    def faults(self) -> list[str]:
        """One line for each check that something is off with."""
        return [check.fault for check in self.checks if check.fault]

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        checks = [{**vars(check), "ok": check.fault is None} for check in self.checks]
        return {"version": 1, "data": self.data, "checks": checks, "tokens": self.tokens, "notes": self.notes}


@dataclass(frozen=True)
class _Row:
    line: int
    problem: str
    solution: str
    seed: str | None


def command(data: Path, expect: int | None, as_json: bool) -> int:
    """Prints the audit of a JSONL file or a data artifact; exit code 1 when something is off."""
    expected = Expected() if expect in (None, RECORDS) else Expected(int(expect or 0), None, None)
    try:
        count: Callable[[str], int] | None = token_counts.of_tiktoken(_ENCODING, "audit")
        note = []
    except UsageError as error:
        count, note = None, [f"tokens were not counted: {error}"]
    found = audit(data, expected, count)
    found.notes.extend(note)
    if as_json:
        tell(records.dumps(found.to_json()))
    else:
        _tell(found)
    for line in found.faults:
        say(f"off: {line}")
    return errors.EXIT_BAD_RESULT if found.faults else errors.EXIT_DONE


def audit(data: Path, expected: Expected, count: Callable[[str], int] | None) -> Audit:
    """Everything that is counted of a set. `count`: tokens of a text; None: lengths are left out."""
    path = data / "records.jsonl" if data.is_dir() else data
    rows = [_row(row, number, path) for number, row in enumerate(kinds.rows(path), 1)]
    if not rows:
        raise UsageError(f"{path}: no record in it")
    lists = benchmark_texts.load()
    checks = [
        _records(rows, expected.records),
        _empty(rows),
        _duplicates(rows),
        _contaminated(rows, lists),
        _within("with ```python", sum("```python" in f"{row.problem} {row.solution}" for row in rows), expected.python),
        _within(
            "without `pass` or NotImplemented",
            sum(not _UNFINISHED.search(row.solution) for row in rows),
            expected.finished,
        ),
    ]
    tokens = {}
    if count is not None:
        lengths = [(count(row.problem), count(row.solution)) for row in each(rows, len(rows), "audit", "records")]
        checks.append(_long(rows, lengths))
        tokens = {name: _spread([pair[at] for pair in lengths]) for at, name in enumerate(("problem", "solution"))}
    missing = ", ".join(item.name for item in lists if item.source is None)
    notes = [f"contamination: without {missing}: put their files under MAGICODER_DATA"] if missing else []
    return Audit(str(data), checks, tokens, notes)


def _row(row: records.Record, line: int, path: Path) -> _Row:
    pair = kinds.Pair.of(row, f"{path}:{line}")
    seed = row.get("seed")
    if seed is not None and not isinstance(seed, str):
        raise UsageError(f"{path}:{line}: the field 'seed' is not text")
    return _Row(line, pair.question, pair.answer, seed)


def _records(rows: Sequence[_Row], wanted: int) -> Check:
    fault = None if len(rows) == wanted else f"{len(rows):,} records, not {wanted:,}"
    return Check("records", len(rows), f"{wanted:,}", fault)


def _empty(rows: Sequence[_Row]) -> Check:
    return _none("empty fields", [row.line for row in rows if not all(map(str.strip, _texts(row)))])


def _texts(row: _Row) -> tuple[str, ...]:
    return (row.problem, row.solution) if row.seed is None else (row.seed, row.problem, row.solution)


def _duplicates(rows: Sequence[_Row]) -> Check:
    """By the rule of the cleaning; records without a seed repeat none."""
    given = [{**vars(row), "seed": f"\0{row.line}" if row.seed is None else row.seed} for row in rows]
    _, dropped = deduplicate(given, _SEED)
    reasons = Counter(row["reason"].removeprefix("duplicate ") for row in dropped)
    return _none("duplicates", sorted(row["line"] for row in dropped), reasons)


def _contaminated(rows: Sequence[_Row], lists: Sequence[benchmark_texts.TextList]) -> Check:
    matcher = Matcher(lists)
    found = {row.line: match[0] for row in rows if (match := matcher.find(row.problem, row.solution))}
    return _none("with a benchmark's text", list(found), Counter(found.values()))


def _none(name: str, lines: Sequence[int], reasons: Counter[str] | None = None) -> Check:
    why = f" ({', '.join(f'{count} {reason}' for reason, count in reasons.items())})" if reasons else ""
    where = f"line{'s' if len(lines) > 1 else ''} {listed([str(line) for line in lines], _NAMED)}"
    return Check(name, len(lines), "0", f"{name}: {len(lines):,}{why}: {where}" if lines else None)


def _within(name: str, count: int, bounds: tuple[int, int] | None) -> Check:
    if bounds is None:
        return Check(name, count, "")
    wanted = f"{bounds[0]:,} to {bounds[1]:,}"
    return Check(name, count, wanted, None if bounds[0] <= count <= bounds[1] else f"{name}: {count:,}, not {wanted}")


def _long(rows: Sequence[_Row], lengths: Sequence[tuple[int, int]]) -> Check:
    name = f"longer than the teacher's {_MOST_TOKENS:,} tokens"
    return _none(name, [row.line for row, both in zip(rows, lengths, strict=True) if sum(both) > _MOST_TOKENS])


def _spread(lengths: Sequence[int]) -> dict[str, int]:
    cuts = statistics.quantiles(lengths, n=20, method="inclusive") if len(lengths) > 1 else [*lengths] * 19
    return {"median": round(cuts[9]), "95%": round(cuts[18]), "most": max(lengths)}


def _tell(found: Audit) -> None:
    width = max(len(check.name) for check in found.checks)
    tell(f"{found.data}:")
    tell(f"  {'':{width}}  {'found':>8}  {'expected':>16}")
    for check in found.checks:
        mark = "OFF" if check.fault else "ok" if check.wanted else ""
        tell(f"  {check.name:{width}}  {check.count:>8,}  {check.wanted:>16}  {mark}".rstrip())
    for name, spread in found.tokens.items():
        numbers = ", ".join(f"{key} {value:,}" for key, value in spread.items())
        tell(f"  {f'tokens of a {name} ({_ENCODING})':{width}}  {numbers}")
    for note in found.notes:
        tell(f"  {note}")
