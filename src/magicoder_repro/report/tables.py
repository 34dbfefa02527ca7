"""The paper's tables as the paper lays them out, this run's numbers beside theirs; the same for HTML, Markdown and LaTeX."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from magicoder_repro import benchmarks
from magicoder_repro.generate.complete import file_name
from magicoder_repro.report import cells as outcomes
from magicoder_repro.report import reference
from magicoder_repro.report.cells import Cell, Outcome
from magicoder_repro.terminal import shown

SIGNS: Mapping[Outcome, str] = {
    "reproduced": "✓",
    "consistent": "≈",
    "insufficient evidence": "?",
    "deviates": "✗",
    "not comparable": "≠",
    "missing": "–",
}
"""What stands before an outcome's word: colour is never the only sign."""
COMPARED = ("reproduced", "consistent", "insufficient evidence", "deviates")
_MINUS = "−"


@dataclass(frozen=True)
class Entry:
    """One cell as it is shown; every field is text. `theirs_of`, `ours_of`: of how many tasks; `tasks`: the set in the drill-down."""

    anchor: str
    outcome: Outcome
    sign: str
    theirs: str
    theirs_of: str
    confirmed: bool
    ours: str
    ours_of: str
    difference: str
    interval: str
    reason: str
    command: str
    tasks: str
    where: str
    cell: Cell

    @property
    def is_measured(self) -> bool:
        return bool(self.ours)

    @property
    def is_compared(self) -> bool:
        return self.outcome in COMPARED


@dataclass
class Line:
    """One row of a table: a model, and its entry of each column (None where the paper has none)."""

    label: str
    entries: list[Entry | None]

    @property
    def is_measured(self) -> bool:
        return any(entry is not None and entry.is_measured for entry in self.entries)


@dataclass
class Table:
    """A table of the paper. `folded`: nothing of it was measured; `why`: the reason that most of its cells have."""

    key: str
    title: str
    columns: list[str]
    lines: list[Line] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        return f"table-{self.key}"

    @property
    def entries(self) -> list[Entry]:
        return [entry for line in self.lines for entry in line.entries if entry is not None]

    @property
    def told(self) -> list[Entry]:
        """The cells of which there is more to say than a dash: measured, or asked for and missing."""
        return [entry for entry in self.entries if entry.is_measured or entry.cell.node is not None]

    @property
    def folded(self) -> bool:
        return not any(entry.is_measured for entry in self.entries)

    @property
    def why(self) -> str:
        reasons = Counter(entry.reason for entry in self.told or self.entries)
        return reasons.most_common(1)[0][0] if reasons else ""

    @property
    def unconfirmed(self) -> bool:
        return any(not entry.confirmed for entry in self.entries)


def layout(cells: Sequence[Cell], sets: Sequence[str] = (), later: bool = False) -> list[Table]:
    """The tables in the paper's order; with `later` those that are not the paper's. `sets`: what the drill-down has."""
    found = []
    for key, (title, columns) in reference.LAYOUT.items():
        own = [cell for cell in cells if cell.table == key]
        if own and (key in reference.LATER) == later:
            table = Table(key, title, list(columns.values()))
            for row in dict.fromkeys(cell.row for cell in own):
                table.lines += _lines(row, [cell for cell in own if cell.row == row], list(columns), sets)
            found.append(table)
    return found


def _lines(row: str, cells: Sequence[Cell], metrics: Sequence[str], sets: Sequence[str]) -> list[Line]:
    """A line; where several models of the run stand for the row, one each."""
    models = list(dict.fromkeys(cell.model for cell in cells if cell.node is not None))
    lines = []
    for place, model in enumerate(models or [None]):
        by_metric = {cell.metric: cell for cell in reversed(cells) if place == 0 and cell.node is None}
        by_metric |= {cell.metric: cell for cell in cells if cell.node is not None and cell.model == model}
        suffix = f".{model}" if place else ""
        label = f"{row} ({model})" if len(models) > 1 else row
        entries = [entry(by_metric[metric], suffix, sets) if metric in by_metric else None for metric in metrics]
        lines.append(Line(label, entries))
    return lines


def entry(cell: Cell, suffix: str = "", sets: Sequence[str] = ()) -> Entry:
    """A cell's texts. `suffix`: makes its anchor the only one of this name."""
    single = cell.samples == 1 and cell.passed is not None and cell.tasks is not None
    interval = "" if cell.low is None or cell.high is None else f"{cell.low:.1f}–{cell.high:.1f}"
    if interval and not single:
        interval += f" ({cell.samples} samples)"
    return Entry(
        anchor=f"cell/{re.sub(r'[^A-Za-z0-9._+-]+', '-', cell.id + suffix).strip('-')}",
        outcome=cell.outcome,
        sign=SIGNS[cell.outcome],
        theirs=value(cell.theirs, cell.tasks),
        theirs_of=f"{cell.theirs_passed}/{cell.tasks}" if cell.theirs_passed is not None else "",
        confirmed=cell.status == "confirmed",
        ours="" if cell.ours is None else value(cell.ours, cell.tasks),
        ours_of=f"{round(cell.passed or 0)}/{cell.of}" if single else "",
        difference=_difference(cell),
        interval=interval,
        reason=shown(cell.reason),
        command=shown(cell.command or ""),
        tasks=_set(cell, sets),
        where=shown(f"{reference.LAYOUT[cell.table][0].partition(':')[0]}, {cell.row}, {column(cell)}"),
        cell=cell,
    )


def column(cell: Cell) -> str:
    """What the cell's column is called."""
    return reference.LAYOUT[cell.table][1][cell.metric]


def value(number: float, tasks: int | None) -> str:
    """A percentage with one digit, another number as it is printed."""
    return f"{number:.1f}" if tasks else f"{number:.3g}" if number < 1 else f"{number:g}"


def _difference(cell: Cell) -> str:
    """Ours less theirs in points and tasks."""
    if cell.points is None:
        return ""
    if cell.tasks is None:
        return f"{cell.points:+.3g}".replace("-", _MINUS)
    text = f"{_signed(cell.points, 1)} points"
    if cell.theirs_passed is not None and cell.passed is not None and cell.samples == 1 and cell.of == cell.tasks:
        apart = round(cell.passed) - cell.theirs_passed
        text += f", {_signed(apart, 0)} task{'' if abs(apart) == 1 else 's'}"
    return text


def _signed(number: float, digits: int) -> str:
    """With its sign, also where it rounds to nothing."""
    text = f"{number:+.{digits}f}"
    return f"±{text[1:]}" if float(text) == 0 else text.replace("-", _MINUS)


def _set(cell: Cell, sets: Sequence[str]) -> str:
    """The set of the drill-down that holds the cell's tasks; empty when there is none."""
    if cell.node is None or not cell.node.startswith("score/"):
        return ""
    name = _set_of(cell.metric) or ""
    name = name if cell.protocol == "paper" else f"{name}@{cell.protocol}"
    return name if name in sets else ""


@cache
def _set_of(metric: str) -> str | None:
    """The set that a reference metric is of; of a mean over sets and a library the whole benchmark's."""
    for benchmark in map(benchmarks.get, benchmarks.NAMES):
        for (part, _), name in benchmark.reference.items():
            if name == metric:
                return file_name(benchmark.name, part if part in benchmark.subsets else None)
    return None


def definitions() -> list[tuple[str, str]]:
    """Each outcome with what it means, in the words of `cells`."""
    text = " ".join((outcomes.__doc__ or "").split())
    found = re.split(r"(?:^|\s)(?:- )?\*([a-z ]+)\*: ", text.split("as the page states them: ", 1)[1])
    pairs = list(zip(found[1::2], found[2::2], strict=True))
    name, last = pairs[-1]
    last, closing = last.split(" An unpaired", 1)
    return [*((word, meaning.strip()) for word, meaning in pairs[:-1]), (name, last), ("", f"An unpaired{closing}")]


_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "≈": r"$\approx$"}
_TEX |= {mark: f"\\{mark}" for mark in "&%$#_{}"}
_TEX |= {"±": r"$\pm$"}
_TEX |= {"✓": r"\checkmark{}", "✗": r"$\times$", "≠": r"$\neq$", "–": "--"}


def to_tex(tables: Sequence[Table], sentence: str) -> str:
    """All tables for `\\input`; they need booktabs, amssymb and graphicx, by which a table that is too wide for its text shrinks."""
    parts = [f"% {tex(sentence)}", "% Needs \\usepackage{booktabs,amssymb,graphicx}.", ""]
    for table in tables:
        parts += [r"\begin{table}[htbp]", r"  \centering", f"  \\caption{{{_caption(table)}}}", _SHRUNK]
        parts += [f"  \\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"    \toprule"]
        parts += [f"    {' & '.join(tex(text) for text in ['Model', *table.columns])} \\\\", r"    \midrule"]
        for line in table.lines:
            parts.append(f"    {' & '.join([tex(line.label), *(_theirs(one) for one in line.entries)])} \\\\")
            if line.is_measured:
                ours = [r"\quad this run", *(_ours(one) for one in line.entries)]
                parts.append(f"    {' & '.join(ours)} \\\\")
        parts += [r"    \bottomrule", r"  \end{tabular}}", r"\end{table}", ""]
    return "\n".join(parts)


_SHRUNK = r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def _caption(table: Table) -> str:
    """Its place in the paper, and what the signs mean where there are any. LaTeX gives a number of its own."""
    words = table.title if table.title.startswith("Not the paper") else f"The paper's {table.title}"
    used = {
        one.outcome: one.sign for line in table.lines for one in line.entries if one is not None and one.is_measured
    }
    return ". ".join([tex(words), *filter(None, [", ".join(f"{tex(sign)} {name}" for name, sign in used.items())])])


def _theirs(one: Entry | None) -> str:
    return "" if one is None else tex(one.theirs)


def _ours(one: Entry | None) -> str:
    if one is None or not one.is_measured:
        return "--"
    return f"{tex(one.ours)}\\rlap{{\\,{tex(one.sign)}}}"  # the sign takes no room: digits stand below digits


def tex(text: str) -> str:
    """Text without marks of LaTeX."""
    return "".join(_TEX.get(mark, mark) for mark in shown(text))
