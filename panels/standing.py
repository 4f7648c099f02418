"""What lies on the disk for the clip in front of the artist, as far as this session has looked.

Finding it opens the clip and reads folders, which a panel must not do while it is drawn: drawing asks, a timer looks,
and the panel is drawn again when something is found.
"""

import time
from dataclasses import dataclass, field

import bpy

from ..scene import current_run, subject
from ..scene.subject import Standing, Subject
from ..scene.windows import redraw

_SOON = 0.1
_AGAIN = 15.0
"""Seconds after which to look again: another Blender, or a farm, may have gone on."""
_KEPT = 8
"""Subjects that are remembered, which is more than there are editors to see."""


@dataclass
class _Seen:
    standing: Standing
    ended: int
    at: float


@dataclass
class _Session:
    seen: dict[Subject, _Seen] = field(default_factory=dict)
    wanted: list[Subject] = field(default_factory=list)


_session = _Session()


def of(about: Subject | None) -> Standing | None:
    """What is known of a subject; None as long as nothing is. Where it is old news, it is looked for again."""
    if about is None or current_run.current() is not None:
        return None
    seen = _session.seen.get(about)
    is_fresh = seen is not None and seen.ended == current_run.count_ended() and time.monotonic() - seen.at < _AGAIN
    if not is_fresh and about not in _session.wanted and not bpy.app.background:
        _session.wanted.append(about)
        if not bpy.app.timers.is_registered(_look):
            # also where another file is opened in this moment
            bpy.app.timers.register(_look, first_interval=_SOON, persistent=True)
    return seen.standing if seen is not None and seen.ended == current_run.count_ended() else None


def look(about: Subject) -> Standing:
    """Look on the disk, and keep what is found for `of`."""
    found = subject.standing(about)
    _session.seen.pop(about, None)
    _session.seen[about] = _Seen(found, current_run.count_ended(), time.monotonic())
    while len(_session.seen) > _KEPT:
        del _session.seen[next(iter(_session.seen))]
    return found


def forget() -> None:
    """Know nothing, and look for nothing."""
    if bpy.app.timers.is_registered(_look):
        bpy.app.timers.unregister(_look)
    _session.seen.clear()
    _session.wanted.clear()


def _look() -> None:
    """Called by a timer, so on the main thread."""
    wanted, _session.wanted = _session.wanted, []
    if current_run.current() is None:
        for about in wanted:
            look(about)
        redraw()
