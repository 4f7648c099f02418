"""A table of figures: for a page, as Markdown, for a spreadsheet, and for a terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np

from ..contract.untrusted import in_a_line

Better = Literal["lower", "higher"]
_MARKS = re.compile(r"[\\`*\[\]<>&#]")
"""Markdown's own characters; vertical lines are escaped in tables alone."""
_ARROWS = {"lower": "↓", "higher": "↑"}
_NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure that is ranked: the mean over the runs, and its sample standard deviation where there are several."""

    mean: float
    deviation: float | None = None


Value = float | str | Cell | None
"""A table's value; None or NaN: not measured."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of labels or figures.

    Attributes
    ----------
    better : 'lower', 'higher' or None
        Which values are better; None: neither.
    digits : int or None
        Decimals that are shown; None: six significant digits.
    """

    name: str
    unit: str = ""
    better: Better | None = None
    digits: int | None = 4

    def number(self, value: float) -> str:
        """A value, formatted."""
        return f"{value:.6g}" if self.digits is None else f"{value:.{self.digits}f}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures with their labels.

    Attributes
    ----------
    rows : tuple of tuples of Value
        As many in each as there are columns.
    reading : str
        A caption on how to read it.
    labels : int
        How many of the first columns label the row.
    groups : tuple of str
        Group of each row; the best of a column is found within a group. Empty: all rows are one group.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    title: str = ""
    reading: str = ""
    labels: int = 1
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the lengths of rows and groups."""
        if self.groups and len(self.groups) != len(self.rows):
            raise ValueError(f"{self.title}: {len(self.groups)} groups for {len(self.rows)} rows; pass one for each.")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: row {row[0]} has {len(row)} values for {len(self.columns)} columns.")

    def column_ranks(self, column: int) -> list[int | None]:
        """Rank of each row's value in a column, rounded as displayed, within its group.

        None where there is no value, or none to compare it with. Equal values share the better rank.
        """
        own = self.columns[column]
        found: list[int | None] = [None] * len(self.rows)
        groups = self.groups or ("",) * len(self.rows)
        for group in dict.fromkeys(groups):
            here = [index for index, each in enumerate(groups) if each == group]
            numbers = [_number(self.rows[index][column]) for index in here]
            shown = [None if number is None else float(own.number(number)) for number in numbers]
            if own.better and sum(number is not None for number in shown) > 1:
                for index, place in zip(here, ranks(shown, own.better), strict=True):
                    found[index] = place
        return found

    def html(self) -> str:
        """A ``<table>`` with a row's labels in one cell, and the class ``best`` on the best of a column."""
        places = [self.column_ranks(index) for index in range(len(self.columns))]
        heads = [_joined([column.name for column in self.columns[: self.labels]])]
        lines = [f'<th scope="col">{escape(heads[0])}</th>' + "".join(map(_html_head, self.columns[self.labels :]))]
        for index, row in enumerate(self.rows):
            line = f'<th scope="row">{escape(_joined([str(each) for each in row[: self.labels]]))}</th>'
            for at in range(self.labels, len(row)):
                best = ' class="best"' if places[at][index] == 1 else ""
                line += f"<td{best}>{escape(self._shown(row, at, none=_NONE))}</td>"
            lines.append(line)
        head, *body = (f"<tr>{line}</tr>" for line in lines)
        return "\n".join(["<table>", f"<thead>{head}</thead>", "<tbody>", *body, "</tbody></table>"])

    def markdown(self) -> str:
        """Lines of Markdown; of `Cell` values the best of a column is bold and the second best underlined."""
        lines = [[" ".join(filter(None, [plain(each.name), *_unit_and_arrow(each)])) for each in self.columns]]
        lines.append(["---"] * self.labels + ["---:"] * (len(self.columns) - self.labels))
        places = [self.column_ranks(index) for index in range(len(self.columns))]
        for index, row in enumerate(self.rows):
            line = []
            for at, value in enumerate(row):
                word = plain(value) if isinstance(value, str) else self._shown(row, at, none=_NONE)
                if isinstance(value, Cell):
                    word += "" if value.deviation is None else f" ± {self.columns[at].number(value.deviation)}"
                    second = min((place for place in places[at] if place is not None and place > 1), default=None)
                    if places[at][index] == 1:
                        word = f"**{word}**"
                    elif second is not None and places[at][index] == second:
                        word = f"<u>{word}</u>"
                line.append(word)
            lines.append(line)
        return "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in lines)

    def csv(self) -> str:
        """Comma-separated values, in which no text is a formula."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(column.name for column in self.columns)
        for row in self.rows:
            words = (self._shown(row, at, none="") for at in range(len(row)))
            writer.writerow(_cell_text(word) if isinstance(value, str) else word for word, value in zip(words, row))
        return text.getvalue()

    def text(self) -> str:
        """Aligned columns for a terminal: text to the left, numbers and percentages to the right."""
        lines = [[f"{each.name} [{each.unit}]" if each.unit not in {"", "%"} else each.name for each in self.columns]]
        for row in self.rows:
            words = [in_a_line(self._shown(row, at, none="-")) for at in range(len(row))]
            percent = [each.unit == "%" and _number(value) is not None for each, value in zip(self.columns, row)]
            lines.append([f"{word}%" if sign else word for word, sign in zip(words, percent)])
        columns = []
        for at in range(len(self.columns)):
            width = max(len(line[at]) for line in lines)
            left = any(isinstance(row[at], str) and row[at] for row in self.rows)
            columns.append([line[at].ljust(width) if left else line[at].rjust(width) for line in lines])
        return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))

    def _shown(self, row: Sequence[Value], at: int, *, none: str) -> str:
        value = row[at]
        number = _number(value)
        if isinstance(value, str):
            return value
        return none if number is None else self.columns[at].number(number)


def ranks(values: Sequence[float | None], better: Better) -> list[int | None]:
    """Rank of each value in its column, from 1; equal values share the better rank, None has none."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    if better == "higher":
        return [None if value is None else 1 + sum(other > value for other in known) for value in values]
    return [None if value is None else 1 + sum(other < value for other in known) for value in values]


def plain(text: str) -> str:
    """Untrusted text escaped for Markdown, on one line."""
    return _MARKS.sub(r"\\\g<0>", in_a_line(text))


def _number(value: Value) -> float | None:
    if isinstance(value, Cell):
        value = value.mean
    return None if value is None or isinstance(value, str) or not np.isfinite(value) else value


def _joined(labels: Sequence[str]) -> str:
    return ": ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))


def _unit_and_arrow(column: Column) -> Iterable[str]:
    return (f"[{column.unit}]" if column.unit else ""), _ARROWS.get(column.better or "", "")


def _html_head(column: Column) -> str:
    unit, arrow = _unit_and_arrow(column)
    arrow = arrow and f' <span title="{column.better} is better">{arrow}</span>'
    rest = f'<span class="unit">{escape(unit)}{arrow}</span>' if unit or arrow else ""
    return f'<th scope="col">{escape(column.name)}{" " if unit else ""}{rest}</th>'


def _cell_text(text: str) -> str:
    """Untrusted text for a spreadsheet: what it would read as a formula begins with an apostrophe."""
    shown = in_a_line(text).replace("\t", " ")
    return f"'{shown}" if shown.lstrip().startswith(("=", "+", "-", "@")) else shown
