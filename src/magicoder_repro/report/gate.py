"""What a comparison found (`regress.Outcome`), for people and for CI: lines, JUnit XML, Markdown, GitHub's annotations and job
summary.

Task ids, names and reasons come from files of others: wherever they go they are text, on one line, of bounded length.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from magicoder_repro import records
from magicoder_repro.errors import EXIT_BAD_RESULT, EXIT_DONE
from magicoder_repro.progress import tell
from magicoder_repro.report.regress import Cell, Flip, Level, Outcome
from magicoder_repro.terminal import shown

SUMMARY_BYTES = 2**20
"""GitHub's limit for the job summary of one step."""
COMMENT_BYTES = 60_000
"""Below GitHub's limit for a comment, 65,536 characters."""
ANNOTATIONS = 10
"""GitHub shows so many of a step."""
_FLIPS = 20  # shown of a cell
_FLIPS_OF_FILE = 1000  # in JUnit
_LONGEST = 400  # characters of a text from outside
_LEVELS: dict[Level, str] = {"failed": "error", "warning": "warning", "passed": "notice"}


def tell_all(outcome: Outcome) -> int:
    """Prints what was found, also to GitHub where that runs the command; returns the exit code."""
    tell(_text(sentence(outcome)))
    for cell in told(outcome):
        tell(f"{cell.state}: {_text(cell.key)}{': ' if cell.said else ''}{_text(cell.said)}")
        for line in _flip_lines(cell.flips, _FLIPS, _text):
            tell(f"  - {line}")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in commands(outcome):
            print(line)
        if place := os.environ.get("GITHUB_STEP_SUMMARY"):
            add_summary(outcome, Path(place))
    return EXIT_BAD_RESULT if outcome.of("failed") else EXIT_DONE


def write_junit(outcome: Outcome, path: Path) -> None:
    records.write_bytes(path, junit(outcome))


def write_markdown(outcome: Outcome, path: Path) -> None:
    records.write_text(path, markdown(outcome, COMMENT_BYTES))


def add_summary(outcome: Outcome, path: Path) -> None:
    """Appends to the job summary as much as there is room for."""
    room = SUMMARY_BYTES - 1 - (path.stat().st_size if path.exists() else 0)
    text = markdown(outcome, room).encode("utf-8", "backslashreplace")
    if len(text) <= room:
        with path.open("ab") as file:
            file.write(text)


def told(outcome: Outcome) -> list[Cell]:
    """The cells that a reader must know of, the failed ones first."""
    return outcome.of("failed") + outcome.of("warning")


def sentence(outcome: Outcome) -> str:
    """What was found, in counts."""
    states = Counter(cell.state for cell in outcome.cells)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    failed = len(outcome.of("failed"))
    verdict = f"{failed} of {len(outcome.cells)} cells fail" if failed else f"none of {len(outcome.cells)} cells fails"
    what = f"{outcome.run.path} against {outcome.baseline.path}, policy {outcome.policy.policy}"
    old = outcome.baseline.recorded.judged is None
    return f"{verdict} ({counts}): {what}{'; the baseline holds numbers only, no verdicts' if old else ''}"


def junit(outcome: Outcome) -> bytes:
    """JUnit's XML, a case for each cell; what warns is a skipped one."""
    failed, warned = len(outcome.of("failed")), len(outcome.of("warning"))
    counts = {"tests": str(len(outcome.cells)), "failures": str(failed), "errors": "0", "skipped": str(warned)}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "magicoder regress", **counts})
    for cell in outcome.cells:
        about = {"classname": f"regress.{outcome.policy.policy}", "name": _text(cell.key)}
        case = ElementTree.SubElement(suite, "testcase", about)
        if cell.level == "passed":
            continue
        message = f"{cell.state}: {_text(cell.said)}"
        if cell.level == "warning":
            ElementTree.SubElement(case, "skipped", {"message": message})
        else:
            failure = ElementTree.SubElement(case, "failure", {"type": cell.state, "message": message})
            failure.text = "\n".join((message, *_flip_lines(cell.flips, _FLIPS_OF_FILE, _text)))
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True))


def markdown(outcome: Outcome, most: int) -> str:
    """Markdown of at most so many bytes, if there is room for its first sentence: as many of the cells as fit."""
    cells = told(outcome)
    mark = ":x:" if outcome.of("failed") else ":warning:" if cells else ":white_check_mark:"
    parts = [f"## Regression gate\n\n{mark} {_code(sentence(outcome))}\n\n"]
    more = "and {} more cells\n"
    room = most - len(parts[0].encode()) - len(more) - 10
    for place, cell in enumerate(cells):
        lines = [f"- **{cell.state}** {_code(cell.key)}" + (f": {_code(cell.said)}" if cell.said else "")]
        lines += [f"  - {line}" for line in _flip_lines(cell.flips, _FLIPS, _code)]
        part = "\n".join(lines) + "\n"
        room -= len(part.encode())
        if room < 0:
            parts.append("\n" + more.format(len(cells) - place))
            break
        parts.append(part)
    return "".join(parts)


def commands(outcome: Outcome) -> list[str]:
    """Workflow commands, one a cell; at most ten, of which the last then stands for the rest."""
    cells = told(outcome)
    first = cells if len(cells) <= ANNOTATIONS else cells[: ANNOTATIONS - 1]
    found = [_annotation(cell.level, f"{cell.state}: {cell.key}", _long(cell)) for cell in first]
    if rest := cells[len(first) :]:
        keys = "\n".join(_text(cell.key) for cell in rest[:50])
        found.append(_annotation(rest[0].level, f"{len(rest)} more cells", f"{keys}{_more(len(rest) - 50)}"))
    return found


def _long(cell: Cell) -> str:
    return "\n".join((_text(cell.said) or cell.state, *_flip_lines(cell.flips, _FLIPS, _text)))


def _annotation(level: Level, title: str, message: str) -> str:
    """`message` may have lines, which are texts; GitHub wants its own escapes."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    name = _text(title).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{_LEVELS[level]} title={name}::{escaped}"


def _flip_lines(flips: Sequence[Flip], most: int, text: Callable[[str], str]) -> Iterator[str]:
    """`TASK: P -> .`, the first so many, and how many more there are."""
    for flip in flips[:most]:
        yield f"{text(flip.task)}: {text(_marks(flip.before))} -> {text(_marks(flip.after))}"
    if more := _more(len(flips) - most):
        yield more.strip()


def _more(count: int) -> str:
    return f"\nand {count} more" if count > 0 else ""


def _marks(marks: str | None) -> str:
    """A task's marks; of many samples how many there are of each."""
    if marks is None:
        return "gone"
    return marks if len(marks) <= _FLIPS else " ".join(f"{count}{mark}" for mark, count in Counter(marks).items())


def _text(value: str) -> str:
    """One line of visible characters without what GitHub's log would take for a command."""
    found = shown(" ".join(value.split())).replace("##[", "# #[")
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}..."


def _code(value: str) -> str:
    """The text in a `<code>`, where nobody is mentioned, each character that could be a mark of Markdown or HTML as its number."""
    marks = (one if one.isalnum() or one in " -" else f"&#{ord(one)};" for one in _text(value))
    return f"<code>{''.join(marks)}</code>"
