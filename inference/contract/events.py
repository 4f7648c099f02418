"""What the worker tells whoever started it: one JSON object a line. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, ClassVar

from . import exit_codes, records
from .records import ForPeople

LONGEST_LINE = 1 << 20
"""Bytes of an event; longer lines are none, and are passed over without being kept."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A new stage of the work begins; `label` is for the artist, such as 'Solving the camera of shot 2 of 3'."""

    event: ClassVar[str] = "stage"
    name: ForPeople
    label: ForPeople


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the whole job is: `done` of `total` units of work, the seconds left where they can be told.

    ``frames`` of ``frames_total`` is the same in frames, for people; ``fraction`` is done / total.
    """

    event: ClassVar[str] = "progress"
    done: float
    total: float
    frames: int = 0
    frames_total: int = 0
    seconds_left: float | None = None

    @property
    def fraction(self) -> float:
        """`done` as a share of `total`, 0 to 1; 0 where there is nothing to do."""
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
        """Which frames they are, such as 'Frames 1-20'."""
        if self.first_frame == self.last_frame:
            return f"Frame {self.first_frame}"
        return f"Frames {self.first_frame}-{self.last_frame}"

    @property
    def text(self) -> str:
        """Frames and reason, for a list of such notes."""
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
    what, why, cure : str
        What happened, the reason, and what to try; each may be empty but `what`.
    shots : tuple of ShotNote
        Where the clip's shots have reasons of their own.
    """

    event: ClassVar[str] = "error"
    code: int
    what: ForPeople
    why: ForPeople = ""
    cure: ForPeople = ""
    shots: tuple[ShotNote, ...] = ()

    @property
    def headline(self) -> str:
        """The parts joined to one text, without the shots."""
        return " ".join(part for part in (self.what, self.why, self.cure) if part)

    @property
    def message(self) -> str:
        """That, and a line for each shot."""
        return "\n".join([self.headline, *(shot.text for shot in self.shots)])


def cancelled() -> Error:
    """What ends a cancelled run."""
    return Error(
        code=exit_codes.CANCELLED,
        what="The run was cancelled.",
        cure="What is finished is kept; start the same job again to go on.",
    )


@dataclass(frozen=True, kw_only=True)
class Done:
    """The depth sequence in `folder` is complete."""

    event: ClassVar[str] = "done"
    folder: ForPeople
    frames: int
    seconds: float


Event = Stage | Progress | Frame | Warning | Error | Done
_KINDS: dict[str, type] = {kind.event: kind for kind in (Stage, Progress, Frame, Warning, Error, Done)}


def encode(event: Event) -> str:
    """The event as one line of JSON, without the line's end."""
    return json.dumps({"event": event.event, **records.to_json(event)}, ensure_ascii=True, allow_nan=False)


def decode(line: str) -> Event | None:
    """Read one line.

    Returns
    -------
    Event or None
        None for a line that is no event or an event that this version does not know: either side may be newer.
    """
    try:
        data = records.parse(line, where="event")
        kind = _KINDS[data.pop("event")]
        return records.from_json(kind, data, where="event", strict=False)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream, those of bounded length."""
    is_within = False  # a line that is too long
    while piece := stream.readline(LONGEST_LINE):
        is_end = piece.endswith(b"\n")
        if not is_within and (is_end or len(piece) < LONGEST_LINE):
            yield piece
        is_within = not is_end
