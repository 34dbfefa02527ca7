"""The report's templates: what is put into them is text, whatever it holds."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from magicoder_repro.terminal import shown

# What is a mark of Markdown or HTML in running text or a table's cell, as a reference to the same character.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "|`*[]\\"} | {38: "&amp;", 60: "&lt;", 62: "&gt;"}


def template(name: str) -> Template:
    """`report.md.jinja` or `report.html.jinja`; every value that is not marked as safe is escaped for the one or the other."""
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
    return templates.get_template(name)


def number(value: float | None) -> str:
    """A number as the report shows it."""
    if value is None:
        return "-"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"


def _html(value: Any) -> Any:
    """Text without what is not visible; the template escapes it."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else shown(value, keep="\n\t")


def _markdown(value: Any) -> Any:
    """One line of text in which nothing is a mark."""
    if isinstance(value, Markup | int | float):
        return value
    return shown(" ".join(str(value).split())).translate(_MARKS)
