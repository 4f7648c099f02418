"""Answers that take seconds, found beside Blender by a thread that touches nothing of Blender's.

Drawing asks, and shows what is known; a timer begins the thread and takes its answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import bpy

from .redraw import redraw

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")
_LOOK = 0.3


class Beside(Generic[Key, Answer]):
    """The answer to the last question; `find` runs in the thread, and what it raises leaves no answer."""

    def __init__(self, find: Callable[[Key], Answer]) -> None:
        self._find = find
        self._wanted: Key | None = None
        self._asked: Key | None = None
        self._answered: Key | None = None
        self._answer: Answer | None = None
        self._found: list[Answer] = []
        self._thread: threading.Thread | None = None
        _all.append(self)

    def of(self, key: Key) -> Answer | None:
        """What is known, of an earlier key until there is an answer to this one; None as long as nothing is."""
        if key != self._answered and not bpy.app.background:
            self._wanted = key
            if not bpy.app.timers.is_registered(_look):
                bpy.app.timers.register(_look, persistent=True)
        return self._answer

    def learn(self, key: Key, answer: Answer) -> None:
        """Take in an answer that was found elsewhere."""
        self._answered, self._answer = key, answer

    def look(self) -> bool:
        """Begin what is wanted, or take its answer; whether there is more to do."""
        if self._thread is None:
            if self._wanted is None or self._wanted == self._answered:
                return False
            self._asked, found = self._wanted, []
            self._found = found
            self._thread = threading.Thread(target=_answer_into, args=(found, self._find, self._asked), daemon=True)
            self._thread.start()
        if self._thread.is_alive():
            return True
        self._answered, self._answer = self._asked, self._found[0] if self._found else None
        self._thread = None
        redraw()
        return True

    def forget(self) -> None:
        """Know nothing; a thread that is under way ends by itself."""
        self._wanted = self._asked = self._answered = self._answer = self._thread = None


_all: list[Beside[Any, Any]] = []


def stop() -> None:
    """End the timer, and forget everything."""
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)
    for each in _all:
        each.forget()


def _answer_into(found: list[Answer], find: Callable[[Key], Answer], key: Key) -> None:
    found.append(find(key))


def _look() -> float | None:
    """Called by a timer, so on the main thread."""
    at_work = [each.look() for each in _all]  # each of them, not only up to the first
    return _LOOK if any(at_work) else None
