"""The report's templates: what is put into them is text, whatever it holds."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from magicoder_repro.report.drill import Packed
from magicoder_repro.report.tables import SIGNS
from magicoder_repro.terminal import shown

# What is a mark of Markdown or HTML in running text or a table's cell, as a reference to the same character.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "|`*[]\\"} | {38: "&amp;", 60: "&lt;", 62: "&gt;"}

_HOLDS = {"holds": "✓", "does not hold": "✗", "not measured": "–", "open": "○"}


def template(name: str) -> Template:
    """`report.md.jinja` or a `.html.jinja`; every value that is not marked as safe is escaped for the one or the other."""
    html = name.endswith(".html.jinja")
    templates = Environment(
        loader=PackageLoader("magicoder_repro", "report"),
        autoescape=html,
        finalize=_html if html else _markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["number"] = number
    templates.filters["slug"] = _slug
    templates.globals.update(signs=SIGNS, holds=_HOLDS)
    return templates.get_template(name)


def html(name: str, context: Mapping[str, Any], packed: Packed) -> str:
    """A page of its own: style, script and the packed tasks are in it, and it may load nothing else."""
    style, script = _asset("report.css"), _asset("report.js")
    sha256 = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{sha256}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {"style": Markup(style), "script": Markup(script), "policy": policy}
    return template(name).render({**context, **parts, "drill": Markup(packed.text), "drill_note": packed.note})


def _asset(name: str) -> str:
    return (files("magicoder_repro") / "report" / name).read_text(encoding="utf-8")


def number(value: float | None) -> str:
    """A number as the report shows it."""
    if value is None:
        return "-"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"


def _slug(words: str) -> str:
    """An outcome as the name of a class."""
    return words.replace(" ", "-")


def _html(value: Any) -> Any:
    """Text without what is not visible; the template escapes it."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else shown(value, keep="\n\t")


def _markdown(value: Any) -> Any:
    """One line of text in which nothing is a mark."""
    if isinstance(value, Markup | int | float):
        return value
    return shown(" ".join(str(value).split())).translate(_MARKS)
