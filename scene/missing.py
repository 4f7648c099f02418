"""Which files of Fathom's a .blend file lacks: depth that was moved, plates that are elsewhere.

What was built shows nothing then, by its own nodes and on every machine; here is what the artist is told about it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import depth as depth_module
from . import depth_list, places, tags
from .depth import DepthError
from .plate import PlateError, may_look, require_plate
from .versions import HEARS_CHANGES

_LEAST_WAIT = 2.0
_SHARE = 0.02
"""Panels ask whenever they are drawn: what was found holds for two seconds, longer where looking takes long."""


@dataclass(frozen=True)
class Missing:
    """What a depth of a list lacks: one sentence each, None where nothing is missing.

    `unseen` says what was not looked at, since the artist has not asked for it: see `places`.
    """

    depth: str | None = None
    plate: str | None = None
    unseen: str | None = None

    def __iter__(self):
        return (sentence for sentence in (self.depth, self.plate) if sentence is not None)


@dataclass
class _Seen:
    found: Missing
    until: float


_AT_ONCE, _NEXT = 0.03, 0.3
"""Seconds that a list is looked through at one go, and from one to the next."""

_seen: dict[tuple[str, ...], _Seen] = {}
_state = {"lacked": False, "next": 0.0}


def of_entry(item: bpy.types.PropertyGroup) -> Missing:
    """What an entry of a scene's list of depths lacks; cheap enough to be asked while a panel is drawn."""
    if not depth_list.may_look(item):
        _take_up_chosen(item)
        return Missing(unseen=_UNSEEN.format("depth"))
    key = _key(item)
    kept = _seen.get(key)
    if kept is None or time.monotonic() > kept.until:
        begun = time.monotonic()
        found = _look(item)
        if kept is not None and list(kept.found) and not list(found) and not bpy.app.background:
            bpy.app.timers.register(reload)  # drawing must change nothing
        _take_up_chosen(item)
        now = time.monotonic()
        _seen[key] = kept = _Seen(found, now + max(_LEAST_WAIT, (now - begun) / _SHARE))
    return kept.found


def lacking(scene: bpy.types.Scene) -> list[str]:
    """Names of the depths of a scene's list that lack something, as far as is known; cheap as `of_entry`.

    A long list is looked through a part at a time; what was found of a depth before holds until it is its turn.
    """
    found, is_all = {}, True
    until = time.monotonic() + _AT_ONCE if time.monotonic() >= _state["next"] else 0.0
    seen = [(_seen.get(_key(item)), place) for place, item in enumerate(scene.fathom.depths)]
    # Who waits longest comes first.
    for before, place in sorted(seen, key=lambda each: each[0].until if each[0] else 0.0):
        kept = before
        if kept is None or time.monotonic() > kept.until:
            if time.monotonic() < until:
                kept = _Seen(of_entry(scene.fathom.depths[place]), 0.0)
            else:
                _state["next"] = max(_state["next"], until + _NEXT)
                is_all = is_all and kept is not None
        found[place] = kept is not None and any(kept.found)
    names = [item.name for place, item in enumerate(scene.fathom.depths) if found[place]]
    if not is_all and not bpy.app.background and not bpy.app.timers.is_registered(_go_on):
        bpy.app.timers.register(_go_on, first_interval=_NEXT)
    return names


def _go_on() -> float | None:
    """Called by a timer: look through the rest of the lists."""
    for scene in bpy.data.scenes:
        lacking(scene)
    items = [item for scene in bpy.data.scenes for item in scene.fathom.depths]
    return None if all(_key(item) in _seen or not depth_list.may_look(item) for item in items) else _NEXT


def _take_up_chosen(item: bpy.types.PropertyGroup) -> None:
    """Have a folder that was written into the list taken up, soon, where Blender tells nobody of it."""
    if not HEARS_CHANGES and item.folder != item.linked and not bpy.app.background:
        bpy.app.timers.register(depth_list.relink_chosen)  # drawing must change nothing


def _key(item: bpy.types.PropertyGroup) -> tuple[str, ...]:
    return (bpy.data.filepath, item.folder, item.linked, item.job, item.plate)


def of_file(*, only_built: bool = False) -> list[str]:
    """What the file lacks, as sentences: for the depths of all scenes' lists, and for what was built from others.

    Where it lacked something the last time and does not any more, Blender reads it again.

    Parameters
    ----------
    only_built : bool
        Leave out depths that nothing was built from.
    """
    built = _built()
    by_job: dict[str, list[bpy.types.Image]] = {}
    for image in built:
        if only_built:
            places.ask(Path(bpy.path.abspath(image.filepath)).parent)  # where Blender reads from in this moment
        for job in tags.jobs(image):
            by_job.setdefault(job, []).append(image)
    told: set[bpy.types.Image] = set()
    sentences: dict[str, None] = {}
    for item in (item for scene in bpy.data.scenes if scene.library is None for item in scene.fathom.depths):
        its_own = by_job.get(item.job, [])
        found = Missing() if only_built and not its_own else _look(item)
        sentences.update(dict.fromkeys(found))
        if found.depth or found.plate:
            told.update(its_own)
    for image in built:
        if image not in told:
            sentences.update(dict.fromkeys(_of_image(image)))
    if _state["lacked"] and not sentences:
        reload()
    _state["lacked"] = bool(sentences)
    return list(sentences)


def forget() -> None:
    """Look anew the next time: files or lists have changed."""
    _seen.clear()
    _state["next"] = 0.0


def reload() -> None:
    """Have Blender read again what it did not find before: it remembers which files were missing until then."""
    for image in _built():
        image.reload()
    forget()


TIMERS = (reload, _go_on)
"""Functions that a timer may call."""


def _built() -> list[bpy.types.Image]:
    """Images of Fathom's that something shows."""
    kinds = ("disparity", "confidence", "plate")
    return [i for i in bpy.data.images if i.library is None and i.users and tags.text(i, tags.KIND) in kinds]


_UNSEEN = "The {} lies at a place that this file names in full, and that was not looked at yet: Check Files does"


def _look(item: bpy.types.PropertyGroup) -> Missing:
    if not depth_list.may_look(item):
        return Missing(unseen=_UNSEEN.format("depth"))
    try:
        depth = depth_list.read(item)
    except DepthError as problem:
        return Missing(depth=str(problem))
    if not may_look(depth):
        return Missing(unseen=_UNSEEN.format("plate"))
    try:
        require_plate(depth)
    except PlateError as problem:
        return Missing(plate=str(problem))
    return Missing()


def _of_image(image: bpy.types.Image) -> list[str]:
    """What an image lacks that belongs to no depth of a list."""
    if not places.may_look(image.filepath):
        return []
    path = Path(bpy.path.abspath(image.filepath))
    if tags.text(image, tags.KIND) == "plate":
        return [] if path.exists() else [f"The plate {path} is missing; what shows it shows nothing of it."]
    if not path.parent.is_dir():
        return [
            f"There is no folder {path.parent} any more: what was built from its depth shows nothing until you load "
            "the depth from where it lies now."
        ]
    try:
        depth_module.load(path.parent)
    except DepthError as problem:
        return [str(problem)]
    return []
