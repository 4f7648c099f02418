"""What lies on the disk, as far as this session has looked: drawing asks, and a timer looks.

Looking opens files and reads folders, which may take as long as a server does, and a panel is drawn again and again. So
drawing shows what is known, and what is not, or may be old news, is looked for right after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import bpy

from .redraw import redraw

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")

_AT_ONCE, _NEXT = 0.03, 0.3
"""Seconds for which the timer looks at one go, and from one go to the next."""
_SHARE = 0.02
"""Of the time that may be spent on looking for one thing: an answer that took long holds for longer."""


@dataclass
class _Known(Generic[Answer]):
    answer: Answer
    until: float


class Seen(Generic[Key, Answer]):
    """Answers to questions of one kind, each of which holds for so many seconds at least.

    `look` finds the answer; LookupError: there is nothing any more that the question could be about.
    """

    def __init__(self, look: Callable[[Key], Answer], *, holds: float) -> None:
        self._look, self._holds = look, holds
        self._known: dict[Key, _Known[Answer]] = {}
        self.wanted: dict[Key, None] = {}
        _all.append(self)

    def of(self, key: Key) -> Answer | None:
        """What is known, None as long as nothing is; what may be old news is looked for again, soon."""
        known = self._known.get(key)
        if known is None or time.monotonic() > known.until:
            self.wanted[key] = None
            if not bpy.app.background and not bpy.app.timers.is_registered(work):
                bpy.app.timers.register(work, persistent=True)  # also where another file is opened in this moment
        return None if known is None else known.answer

    def forget(self) -> None:
        """Know nothing: files have changed."""
        self._known.clear()

    def outdate(self) -> None:
        """Look again for whatever is asked from now on; until then what is known holds."""
        for known in self._known.values():
            known.until = 0.0

    def work(self, until: float) -> bool:
        """Look for what was asked, up to a time of the clock; whether something is known that was not."""
        has_changed = False
        while self.wanted and (begun := time.monotonic()) < until:
            key = next(iter(self.wanted))
            before = self._known.get(key)
            try:
                answer = self._look(key)
            except LookupError:
                continue
            finally:
                self.wanted.pop(key, None)
            now = time.monotonic()
            self._known[key] = _Known(answer, now + max(self._holds, (now - begun) / _SHARE))
            has_changed = has_changed or before is None or before.answer != answer
        return has_changed


_all: list[Seen[Any, Any]] = []


def work() -> float | None:
    """Look for what was asked, for a moment; called by a timer, so on the main thread."""
    until = time.monotonic() + _AT_ONCE
    changes = [seen.work(until) for seen in _all]
    if any(changes):
        redraw()
    return _NEXT if any(seen.wanted for seen in _all) else None


def outdate() -> None:
    """Have everything looked for again that is asked from now on: a run has ended, or an environment was removed."""
    for seen in _all:
        seen.outdate()


def stop() -> None:
    """End the timer, and forget everything."""
    if bpy.app.timers.is_registered(work):
        bpy.app.timers.unregister(work)
    for seen in _all:
        seen.forget()
        seen.wanted.clear()
