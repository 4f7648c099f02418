"""Progress of a job and the time left. Standard library only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..contract import events

_EVERY = 0.1
"""Least time between two progress events, in seconds."""
_WINDOW = 60.0
"""Seconds of the past that the speed is measured over."""
_SETTLED = 2.0
"""Seconds of work before the time left is estimated."""


class Meter:
    """Adds up the work of a job, in frames, and emits progress events.

    `notice` is called with every progress event; it takes the share of the job that is done, 0 to 1.
    """

    def __init__(
        self,
        emit: Callable[[events.Event], None],
        frames: int,
        clock: Callable[[], float] = time.monotonic,
        notice: Callable[[float], None] | None = None,
    ) -> None:
        self._emit, self._clock, self._frames, self._notice = emit, clock, frames, notice
        self._total, self._before, self._span, self.came = 0.0, 0.0, 0.0, 0.0
        self._done, self._written = 0.0, 0
        self._stage: tuple[str, str] | None = None
        self._last = float("-inf")
        self._pace: deque[tuple[float, float]] = deque()

    def plan(self, total: float) -> None:
        """Set the work of the whole job, in the unit of `begin`."""
        self._total = total

    def begin(self, span: float, *, counts: bool = True) -> None:
        """Begin the next part of the job, `span` units of work; the part before is complete.

        `counts`: whether its speed predicts the time left; that of reading the clip does not.
        """
        self._before += self._span
        self._span, self.came = span, 0.0
        self._done = min(max(self._done, self._before), self._total)
        self._pace.clear()
        self._counts = counts

    def again(self, over: float) -> None:
        """Report that the current part is done again in another way, all but `over` units of it."""
        self._span = over

    def stage(self, name: str, label: str) -> None:
        """Emit a new stage; the same stage again is ignored."""
        if (name, label) != self._stage:
            self._stage = (name, label)
            self._emit(events.Stage(name=name, label=label))

    def part(self, fraction: float) -> None:
        """Report how much of the current part is done, 0 to 1; progress never goes back."""
        done = self._before + self._span * min(max(fraction, 0.0), 1.0)
        self._done = min(max(self._done, done), self._total)
        now = self._clock()
        if now - self._last >= _EVERY:
            self._tell(now)

    def count(self, more: float) -> None:
        """Report that `more` units of the current part are done, or, if negative, to be done again."""
        self.came += more
        self.part(self.came / max(self._span, 1))

    def frames_done(self, count: int) -> None:
        """Report that this many more frames are final."""
        self._written += count

    def finish(self) -> None:
        """Report that everything is done."""
        self._done = self._total
        self._tell(self._clock())

    def _tell(self, now: float) -> None:
        self._last = now
        progress = events.Progress(
            done=self._done,
            total=self._total,
            frames=self._written,
            frames_total=self._frames,
            seconds_left=self._seconds_left(now),
        )
        self._emit(progress)
        if self._notice is not None:
            self._notice(progress.fraction)

    def _seconds_left(self, now: float) -> float | None:
        left = self._total - self._done
        if left <= 0:
            return 0.0
        if not self._counts:
            return None
        self._pace.append((now, self._done))
        while now - self._pace[0][0] > _WINDOW and len(self._pace) > 2:
            self._pace.popleft()
        begun, done = self._pace[0]
        if now - begun < _SETTLED or self._done <= done:
            return None
        return left * (now - begun) / (self._done - done)
