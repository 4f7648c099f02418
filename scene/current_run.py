"""What is running in this Blender: at most one run at a time, which an operator advances and panels show.

A run follows a generator of events, such as `inference.contract.client.estimate` and
`inference.contract.environment_setup.create` give. It holds nothing of Blender's, so it outlives undo and whatever the
artist does meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Literal

from ..inference.contract.events import Done, Error, Event, Progress, ShotNote, Stage, Warning
from . import disk_status
from .problems import PROBLEMS, Problem
from .wording import shown, worded

Steps = Generator[tuple[Event, ...], bool | None, None]
_MOST = 10_000
"""Warnings, and shots without depth, of one run."""
Outcome = Literal["running", "done", "failed", "cancelled"]


class Busy(Problem):
    """Something is running already; the message is one sentence for the artist."""


@dataclass(frozen=True)
class Transfer:
    """Weights, by name, that are downloaded or read: the progress of such a run is in bytes."""

    weights: tuple[str, ...]


@dataclass
class Run:
    """Something that takes a while, and how far it is.

    Attributes
    ----------
    title : str
        What is done, for the artist.
    subject : object
        What the run is about: `scene.subject.Subject` of an estimate, the set of packages that is installed, a
        `Transfer` of weights; None: nothing that the panels could show it with.
    message : str
        Why it failed, in full; `headline` without what is about single shots.
    code : int or None
        Exit code of a failed estimate (`inference.contract.exit_codes`).
    shots : list of ShotNote
        Why shots have no depth.
    label : str
        The stage that it is in.
    cancelling : bool
        Whether it has been asked to end.
    target : object
        `scene.viewing.shown.Target` of an estimate: where its maps are coming in; None: nowhere to look at.
    done : Done or None
        How it ended well.
    """

    title: str
    steps: Steps
    subject: object = None
    outcome: Outcome = "running"
    message: str = ""
    headline: str = ""
    code: int | None = None
    shots: list[ShotNote] = field(default_factory=list)
    label: str = "Starting"
    progress: Progress = field(default_factory=lambda: Progress(done=0, total=0))
    warnings: list[str] = field(default_factory=list)
    cancelling: bool = False
    target: object = None
    done: Done | None = None
    _begun: bool = False
    _verdict: Outcome | None = None

    def advance(self) -> tuple[Event, ...]:
        """Take in what has happened; afterwards `outcome` says whether it is still running."""
        if self.outcome != "running":
            return ()
        try:
            # A generator takes nothing before its first step; a run that is cancelled before it need not begin.
            if self.cancelling and not self._begun:
                raise StopIteration
            events = self.steps.send(True) if self.cancelling else next(self.steps)
            self._begun = True
        except StopIteration:
            self.outcome = self._verdict or ("cancelled" if self.cancelling else "done")
            return ()
        except (OSError, *PROBLEMS) as error:
            self.outcome, self.message, self.headline = "failed", str(error), str(error)
            return ()
        for event in events:
            self._take(event)
        return events

    def cancel(self) -> None:
        """Ask the run to end; it does so within the next steps."""
        self.cancelling = True

    def close(self) -> None:
        """End the run at once, its processes included."""
        self.steps.close()
        self.steps = in_turn()  # one that never began would hold what was taken for it
        if self.outcome == "running":
            self.outcome = "cancelled"

    def _take(self, event: Event) -> None:
        if isinstance(event, Stage):
            self.label = shown(event.label)
        elif isinstance(event, Progress):
            self.progress = event
        elif isinstance(event, Warning) and event.shot is not None:
            if len(self.shots) < _MOST:
                self.shots.append(_worded(event.shot))
        elif isinstance(event, Warning):
            if len(self.warnings) < _MOST:
                self.warnings.append(shown(worded(event.message)))
        elif isinstance(event, Error) and not self.cancelling:
            self._verdict, self.code = "failed", event.code
            self.message, self.headline = shown(worded(event.message)), shown(worded(event.headline))
            self.shots = [_worded(shot) for shot in event.shots[:_MOST]] or self.shots
        elif isinstance(event, Done):
            self._verdict, self.done = "done", event

    @property
    def summary(self) -> str:
        """How far it is, such as '34 of 120 frames, 1 min 20 s left'."""
        if self.cancelling:
            return "Cancelling"
        parts = []
        if isinstance(self.subject, Transfer) and self.progress.total:
            parts.append(f"{describe_bytes(self.progress.done)} of {describe_bytes(self.progress.total)}")
        elif self.progress.frames_total:
            parts.append(f"{self.progress.frames} of {self.progress.frames_total} frames")
        if self.progress.seconds_left is not None:
            parts.append(f"{duration(self.progress.seconds_left)} left")
        return ", ".join(parts)


def _worded(shot: ShotNote) -> ShotNote:
    return replace(shot, reason=shown(worded(shot.reason)))


_current: Run | None = None
_last: Run | None = None
_ended = 0


def current() -> Run | None:
    """The run that is not over, or None."""
    return _current


def last() -> Run | None:
    """The run that ended last, or None; panels show why it failed."""
    return _last


def count_ended() -> int:
    """How many runs have ended: with each, what lies on the disk may be another."""
    return _ended


def forget_last() -> None:
    """Forget the last run: what it failed for is shown elsewhere, or solved."""
    global _last  # noqa: PLW0603 -- as above
    _last = None


def start(title: str, steps: Steps, subject: object = None, target: object = None) -> Run:
    """Make a run the current one; Busy where another one is running."""
    global _current, _last
    if _current is not None:
        raise Busy(f"{_current.title} is running already: wait for it, or cancel it first.")
    _current, _last = Run(title, steps, subject, target=target), None
    return _current


def end(run: Run) -> None:
    """Close a run, and make room for the next if it is the current one."""
    global _current, _last, _ended
    try:
        run.close()
    finally:
        if run is _current:
            _current, _last, _ended = None, run, _ended + 1
            disk_status.outdate()


def end_current() -> None:
    """Close what is running, if anything is: for the end of Blender, of the file or of the extension."""
    if _current is not None:
        end(_current)


def in_turn(*parts: Callable[[], Steps], worded: Callable[[Event], Event] = lambda event: event) -> Steps:
    """One run of several, each begun where those before it ended well; only the last one's `Done` is passed on.

    `worded` puts an event in other words.
    """
    for part in parts:
        cancel: bool | None = None
        has_ended = False
        with contextlib.closing(part()) as steps:
            while True:
                try:
                    heard = steps.send(cancel)
                except StopIteration:
                    break
                has_ended = has_ended or any(isinstance(event, Error) for event in heard)
                passed = (event for event in heard if part is parts[-1] or not isinstance(event, Done))
                cancel = yield tuple(map(worded, passed))
                has_ended = has_ended or bool(cancel)
        if has_ended:
            return


def describe_bytes(count: float) -> str:
    """Bytes for people.

    >>> describe_bytes(3_050_000_000), describe_bytes(116_400_000), describe_bytes(790_000)
    ('3.05 GB', '116 MB', '0.8 MB')
    """
    if count >= 1e9:
        return f"{count / 1e9:.3g} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(80), duration(3700), duration(4.2)
    ('1 min 20 s', '1 h 1 min', '5 s')
    """
    whole = max(0, -int(-seconds // 1))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
