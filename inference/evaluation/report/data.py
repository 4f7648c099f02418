"""What a report is made from: shots, what each estimator made of them, and the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Maps = Callable[[int], "NDArray[np.floating] | None"]
"""Source frame to a map [H, W], or None where the frame has none."""
Pictures = Callable[[], Iterator[tuple[int, NDArray[np.floating]]]]
"""Starts reading a plate: source frame and picture [H, W, 3] in 0..1 (sRGB), frames rising."""
Value = float | str | None
"""Of a table."""


class ReportError(ValueError):
    """A report that cannot be made; the message is one sentence with the cure."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A line through the picture whose values are laid side by side over time.

    Attributes
    ----------
    kind : 'column' or 'row'
        A column runs from top to bottom, a row from left to right.
    at : float
        Where it lies: 0 is the left (upper) edge of the picture, 1 the right (lower) one. A share and not a pixel,
        since plate, truth and estimates may differ in size.
    """

    kind: Literal["column", "row"]
    at: float

    def __post_init__(self) -> None:
        """Refuse a line outside of the picture."""
        if not 0 <= self.at <= 1:
            raise ReportError(f"A {self.kind} at {self.at} lies outside of the picture; give a share from 0 to 1.")

    @classmethod
    def of_pixel(cls, kind: Literal["column", "row"], pixel: int, *, size: int) -> Slice:
        """The line through the pixels of one index.

        Parameters
        ----------
        kind : 'column' or 'row'
        pixel : int
            From 0.
        size : int
            Width of the picture for a column, height for a row.

        Raises
        ------
        ReportError
            The picture has no such pixel.
        """
        if not 0 <= pixel < size:
            raise ReportError(f"There is no {kind} {pixel} in a picture of {size}; choose one from 0 to {size - 1}.")
        return cls(kind=kind, at=(pixel + 0.5) / size)

    def index(self, size: int) -> int:
        """The pixel of a picture so wide (for a column) or high (for a row)."""
        return min(int(self.at * size), size - 1)


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values over a shot's time beside the errors, such as flicker or drift.

    Attributes
    ----------
    label : str
        What is measured; estimates whose series have the same label share an axis.
    unit : str
        Of the values, as the axis shows it, such as ``relative``.
    frames : tuple of int
        Source frames.
    values : float [as many]
        NaN where nothing could be measured.
    reading : str
        One or two sentences: what it is, and what is good.
    """

    label: str
    unit: str
    frames: tuple[int, ...]
    values: NDArray[np.floating]
    reading: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one estimator made of a shot.

    Attributes
    ----------
    name : str
        As the reader knows it; different from the others' in the shot.
    disparity : callable
        Source frame to disparity [H, W], larger is nearer, NaN or infinite where there is no value; None for a frame
        without a map.
    alignment : (scale, shift) or None
        What brings disparity to the truth's inverse depth in 1/m; None without truth.
    depth : callable or None
        Source frame to the aligned depth in metres, of the truth's size, as the metrics measure it; None without truth.
    errors : mapping
        Name of a measure, such as ``AbsRel``, to one value for each of the shot's frames, NaN where not measured.
    series : tuple of Series
    borders : tuple of int
        Source frames at which a window of the estimator begins, other than the shot's first.
    jumps : tuple of int
        Source frames at which the depth was found to jump.
    """

    name: str
    disparity: Maps
    alignment: tuple[float, float] | None = None
    depth: Maps | None = None
    errors: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    series: tuple[Series, ...] = ()
    borders: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot, seen by one estimator or several.

    Attributes
    ----------
    title : str
    frames : tuple of int
        Source frames that are looked at, rising.
    estimates : tuple of Estimate
    plate : callable or None
        Starts reading the pictures of `frames`; None where there is no plate.
    truth : callable or None
        Source frame to true depth [H, W] in metres, 0 or NaN where it is not measured; None for a frame without truth.
    slices : tuple of Slice
        Lines for temporal profiles.
    fps : float or None
        Frames a second of the plate; None: unknown, so frequencies stand in cycles a frame.
    notes : tuple of str
        Sentences: what was left out or could not be read.
    """

    title: str
    frames: tuple[int, ...]
    estimates: tuple[Estimate, ...]
    plate: Pictures | None = None
    truth: Maps | None = None
    slices: tuple[Slice, ...] = (Slice(kind="column", at=0.5), Slice(kind="row", at=0.5))
    fps: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no figure could be read of."""
        if not self.frames or list(self.frames) != sorted(set(self.frames)):
            raise ReportError(f"{self.title}: the frames must rise, and there must be one; give the shot's own range.")
        names = [estimate.name for estimate in self.estimates]
        if not names or len(set(names)) != len(names):
            raise ReportError(f"{self.title}: name every estimate, and each differently, not {', '.join(names)}.")
        for name in {"Plate", "Truth"} & set(names):
            raise ReportError(
                f"{self.title}: an estimate cannot be called {name}, which the figures call another thing."
            )
        for estimate in self.estimates:
            for name, values in estimate.errors.items():
                if np.shape(values) != (len(self.frames),):
                    raise ReportError(
                        f"{self.title}: {estimate.name} has {np.size(values)} values of {name} and the shot "
                        f"{len(self.frames)} frames; give one a frame, NaN where it was not measured."
                    )
        if self.truth is not None and any(e.alignment is None or e.depth is None for e in self.estimates):
            raise ReportError(f"{self.title}: with truth every estimate needs its alignment and its depth in metres.")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of numbers.

    Attributes
    ----------
    name : str
    unit : str
        Such as ``m``; empty for shares and counts.
    better : 'lower', 'higher' or None
        Which value is the best of the column, to be set in bold; None: neither.
    digits : int
        Decimals to show.
    """

    name: str
    unit: str = ""
    better: Literal["lower", "higher"] | None = None
    digits: int = 4


@dataclass(frozen=True, kw_only=True)
class Table:
    """Numbers, mostly one row an estimate.

    Attributes
    ----------
    title : str
    reading : str
        What the numbers are and how they were taken.
    columns : tuple of Column
    rows : tuple of (label, values)
        As many values as columns: numbers, or words; None where there is none.
    groups : tuple of str
        What each row is about, such as a shot, where the best is to be told only among rows that are about the same;
        empty: all rows are.
    head : str
        What the labels of the rows are.
    """

    title: str
    reading: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Value, ...]], ...]
    groups: tuple[str, ...] = ()
    head: str = "Estimate"

    def __post_init__(self) -> None:
        """Refuse rows that do not fit."""
        if self.groups and len(self.groups) != len(self.rows):
            raise ReportError(
                f"{self.title}: {len(self.groups)} groups for {len(self.rows)} rows; give one for each, or none."
            )
        for label, values in self.rows:
            if len(values) != len(self.columns):
                raise ReportError(
                    f"{self.title}: row {label} has {len(values)} values for {len(self.columns)} columns; give as many."
                )

    def group(self, row: int) -> str:
        """What a row is about; empty where all are about the same."""
        return self.groups[row] if self.groups else ""

    def best(self, column: int, group: str = "") -> float | None:
        """The best value of a column within a group, as rounded for show; None where there is nothing to compare."""
        kind, digits = self.columns[column].better, self.columns[column].digits
        values = (values[column] for row, (_, values) in enumerate(self.rows) if self.group(row) == group)
        shown = [round(value, digits) for value in values if isinstance(value, (int, float)) and np.isfinite(value)]
        if kind is None or len(shown) < 2:
            return None
        return min(shown) if kind == "lower" else max(shown)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that goes into a page.

    Attributes
    ----------
    title : str
    shots : tuple of Shot
    tables : tuple of Table
        Numbers over everything, before the shots.
    pages : tuple of (title, path)
        Further pages, from this one's folder, such as one for each clip of a suite.
    notes : tuple of str
        What was left out, and how things were measured.
    """

    title: str
    shots: tuple[Shot, ...]
    tables: tuple[Table, ...] = ()
    pages: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
