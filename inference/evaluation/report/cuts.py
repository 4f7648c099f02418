"""A clip's shots: where its cuts are, and which shots an estimator made no depth of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...depth_sequence import DepthSequence
from ...hints import as_options
from .data import Column, Table, Value

_APART = (
    "Every shot has a scale and a shift of its own and is measured by itself: sizes and colours of one say nothing "
    "about those of another. "
)


def shots_table(sequences: Sequence[tuple[str, DepthSequence]], *, apart: bool = True) -> Table | None:
    """Every shot with its frames and what each estimator did; None for clips of one shot that all made depth of.

    Parameters
    ----------
    sequences : sequence of (name, DepthSequence)
    apart : bool
        Whether each shot is measured by itself, by a scale and a shift of its own.
    """
    by_shot = [{(s.first_frame, s.last_frame): s.status for s in sequence.shots} for _, sequence in sequences]
    shots = sorted({shot for each in by_shot for shot in each})
    if len(shots) < 2 and all(status == "done" for each in by_shot for status in each.values()):
        return None
    rows: list[tuple[str, tuple[Value, ...]]] = []
    for first, last in shots:
        done = (_told(each.get((first, last))) for each in by_shot)
        rows.append((f"frames {first}-{last}", (float(last - first + 1), *done)))
    alike = all(list(each) == list(by_shot[0]) for each in by_shot)
    return Table(
        title="Shots and cuts",
        reading=("There is a cut between each shot and the next. " if alike else "Cuts were found in unlike places. ")
        + (_APART if apart else "")
        + "Why a shot has no depth stands in the notes.",
        head="Shot",
        columns=(Column(name="length", unit="frames", digits=0), *(Column(name=name) for name, _ in sequences)),
        rows=tuple(rows),
    )


def refusals(name: str, sequence: DepthSequence) -> Iterator[str]:
    """A sentence for every shot that an estimator refused."""
    for shot in sequence.refused_shots:
        yield f"{name} refused the frames {shot.first_frame}-{shot.last_frame}: {as_options(shot.reason or '')}"


def _told(status: str | None) -> str:
    if status is None:
        return "cut elsewhere"
    return {"done": "depth", "refused": "refused"}.get(status, status)
