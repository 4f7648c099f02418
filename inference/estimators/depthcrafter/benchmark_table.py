"""The table of a benchmark: time, work, the share of what the device can do, and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .meter import Peak


@dataclass(frozen=True, kw_only=True)
class Row:
    """A stage.

    Attributes
    ----------
    title : str
    ms : float
        Milliseconds for each frame.
    flops : float
        Floating-point operations for each frame; 0 where none are counted.
    product_flops : float
        Operations a second that a plain matrix product reaches in the precision of this stage.
    held, planned : int or None
        Bytes that the work took of the device's memory, and that it was planned to; None: not known.
    """

    title: str
    ms: float
    flops: float
    product_flops: float
    held: int | None = None
    planned: int | None = None

    @property
    def floor_ms(self) -> float:
        """How long a frame's work would take at the pace of the plain product."""
        return 1000 * self.flops / self.product_flops


def table(who: str, rows: Sequence[Row], *, total: str = "all") -> list[str]:
    """The lines of a table, with the sum of its rows.

    The share of the floor is how long a frame's work would take at the pace of the plain product, against how long it
    took.
    """
    width = max(len(title) for title in (who, total, *(row.title for row in rows)))
    lines = [f"{who:{width}} {'ms/frame':>9} {'TFLOP/frame':>12} {'of floor':>9} {'peak GB':>8} {'planned':>8}"]
    for row in rows:
        told = [*_figures(row.ms, row.flops, row.floor_ms), _gb(row.held), _gb(row.planned)]
        lines.append(_line(row.title, width, told))
    sums = [sum(values) for values in zip(*((row.ms, row.flops, row.floor_ms) for row in rows))]
    return [*lines, _line(total, width, [*_figures(*sums), "", ""])]


def rows(
    titles: Mapping[str, str],
    result: dict[str, Any],
    *,
    work: Mapping[str, float],
    product_flops: Mapping[str, float],
    program_bytes: int,
    planned: Mapping[str, int],
) -> list[Row]:
    """The rows of stages.

    Parameters
    ----------
    titles : mapping
        What each stage is called.
    result : dict
        See `meter.figures`.
    work : mapping
        Floating-point operations of each stage for a frame; those of stages that are left out are not known.
    product_flops : mapping
        For each stage, see `Row`.
    program_bytes : int
        What the program itself takes of the memory, see `meter.program_bytes`.
    planned : mapping
        Bytes to which each stage was planned, where it was.
    """
    found = []
    for stage, title in titles.items():
        peak = result["peak_bytes"].get(stage)
        found.append(
            Row(
                title=title,
                ms=result["ms_per_frame"][stage],
                flops=work.get(stage, 0.0),
                product_flops=product_flops[stage],
                held=Peak(**peak).held(program_bytes) if peak else None,
                planned=planned.get(stage),
            )
        )
    return found


def told(who: str, rows: Sequence[Row], result: dict[str, Any], program_bytes: int, *, total: str = "all") -> list[str]:
    """The lines of a result: its table, how long the first pass took, and the most memory."""
    lines = table(who, rows, total=total)
    most = max(peak["reserved"] for peak in result["peak_bytes"].values())
    program = f", {program_bytes / 1e9:.2f} GB of them the program itself" if program_bytes else ""
    lines.append(f"first pass {result['first_seconds']:.1f} s; {most / 1e9:.2f} GB held at most{program}")
    if not result["finite"]:
        lines.append("Some values are no numbers: this precision does not suffice for these weights.")
    return lines


def floor_ms(rows: Sequence[Row]) -> float:
    """Of all rows together."""
    return sum(row.floor_ms for row in rows)


def _figures(ms: float, flops: float, floor: float) -> list[str]:
    return [
        f"{ms:.1f}",
        f"{flops / 1e12:.2f}" if flops else "-",
        f"{100 * floor / ms:.1f} %" if ms and flops else "-",
    ]


def _gb(size: int | None) -> str:
    return f"{size / 1e9:.2f}" if size else ""


def _line(title: str, width: int, told: Sequence[str]) -> str:
    columns = (9, 12, 9, 8, 8)
    return " ".join([f"{title:{width}}", *(f"{text:>{size}}" for text, size in zip(told, columns))]).rstrip()
