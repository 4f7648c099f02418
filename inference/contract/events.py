"""The worker's events: one JSON object per line. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, ClassVar

from . import exit_codes, records
from .records import ForPeople

LONGEST_LINE = 1 << 20
"""Bytes of the longest event; longer lines are ignored and never held in memory."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A new stage of the job begins; `label` is for the artist, such as 'Solving the camera of shot 2 of 3'."""

    event: ClassVar[str] = "stage"
    name: ForPeople
    label: ForPeople


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of the whole job: `done` of `total` units of work, and the seconds left if they can be estimated.

    ``frames`` of ``frames_total`` is the same in frames, for display.
    """

    event: ClassVar[str] = "progress"
    done: float
    total: float
    frames: int = 0
    frames_total: int = 0
    seconds_left: float | None = None

    @property
    def fraction(self) -> float:
        """`done` as a share of `total`, 0 to 1; 0 if there is nothing to do."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame's maps have been written and are final."""

    event: ClassVar[str] = "frame"
    number: int
    path: ForPeople


@dataclass(frozen=True, kw_only=True)
class ShotNote:
    """Why the shot of these source frames, both included, has no depth."""

    first_frame: int
    last_frame: int
    reason: ForPeople

    @property
    def frames(self) -> str:
        """The frames as text, such as 'Frames 1-20'."""
        if self.first_frame == self.last_frame:
            return f"Frame {self.first_frame}"
        return f"Frames {self.first_frame}-{self.last_frame}"

    @property
    def text(self) -> str:
        """Frames and reason as one line."""
        return f"{self.frames}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Warning:
    """Something the artist should know that does not stop the work, such as a shot without depth (`shot`)."""

    event: ClassVar[str] = "warning"
    message: ForPeople
    shot: ShotNote | None = None


@dataclass(frozen=True, kw_only=True)
class Error:
    """Why the job ended without a depth sequence.

    Attributes
    ----------
    code : int
        The worker's exit code (`inference.contract.exit_codes`).
    what, why, hint : str
        What happened, the reason, and what to try; all but `what` may be empty.
    shots : tuple of ShotNote
        The reasons of single shots, if they differ.
    """

    event: ClassVar[str] = "error"
    code: int
    what: ForPeople
    why: ForPeople = ""
    hint: ForPeople = ""
    shots: tuple[ShotNote, ...] = ()

    @property
    def headline(self) -> str:
        """`what`, `why` and `hint` as one text."""
        return " ".join(part for part in (self.what, self.why, self.hint) if part)

    @property
    def message(self) -> str:
        """The headline, and a line for each shot."""
        return "\n".join([self.headline, *(shot.text for shot in self.shots)])


def cancelled() -> Error:
    """The event that ends a cancelled run."""
    return Error(
        code=exit_codes.CANCELLED,
        what="The run was cancelled.",
        hint="Finished work is saved; start the same job again to resume it.",
    )


@dataclass(frozen=True, kw_only=True)
class Done:
    """The depth sequence in `folder` is complete; `peak_bytes` is the most host memory that it took, 0 if unknown."""

    event: ClassVar[str] = "done"
    folder: ForPeople
    frames: int
    seconds: float
    peak_bytes: int = 0


Event = Stage | Progress | Frame | Warning | Error | Done
_KINDS: dict[str, type] = {kind.event: kind for kind in (Stage, Progress, Frame, Warning, Error, Done)}


def encode(event: Event) -> str:
    """The event as one line of JSON, without a newline."""
    return json.dumps({"event": event.event, **records.to_json(event)}, ensure_ascii=True, allow_nan=False)


def decode(line: str) -> Event | None:
    """Read one line; None if it is not an event, or one unknown to this version: either side may be newer."""
    try:
        data = records.parse(line, where="event")
        kind = _KINDS[data.pop("event")]
        return records.from_json(kind, data, where="event", strict=False)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream, without those that are too long."""
    is_within = False  # a line that is too long
    while piece := stream.readline(LONGEST_LINE):
        is_end = piece.endswith(b"\n")
        if not is_within and (is_end or len(piece) < LONGEST_LINE):
            yield piece
        is_within = not is_end
