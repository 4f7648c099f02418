"""The report as one HTML page: figures embedded, everything escaped, nothing loaded from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from ... import packages
from . import style
from .data import Report, Table, Value
from .style import Drawn

_TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True, kw_only=True)
class ShotPage:
    """A shot as the page shows it."""

    title: str
    notes: tuple[str, ...]
    facts: Table
    figures: tuple[Drawn, ...]
    bands: tuple[Table, ...]


def render(report: Report, shots: Iterable[ShotPage]) -> Iterator[str]:
    """The page's HTML, piece by piece; each of the report's shots is asked for when its turn comes."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    yield from template.generate(
        report=report,
        shots=shots,
        version=packages.fathom_version(),
        embedded=lambda png: base64.b64encode(style.for_page(png)).decode("ascii"),
        is_best=_is_best,
        number=_number,
    )


def _number(value: Value, digits: int) -> str:
    if isinstance(value, str):
        return value
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _is_best(table: Table, row: int, column: int) -> bool:
    """Whether a value, as rounded for show, is the best of its column and group."""
    value, best = table.rows[row][1][column], table.best(column, table.group(row))
    return best is not None and isinstance(value, (int, float)) and round(value, table.columns[column].digits) == best
