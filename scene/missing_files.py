"""Which files of Fathom's are missing from a .blend file's places: depth that was moved, plates that are elsewhere.

What was built shows nothing then, by its own nodes and on every machine; here it is described to the artist.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import bpy

from ..inference.contract.untrusted import is_folder, is_there
from . import current_run, depth_list, depth_strip, places, standing, tags
from . import depth as depth_module
from .camera import stretch_problem
from .compositing import strip_effects
from .depth import Depth, DepthError, estimated_again, is_of_earlier_estimate
from .depth_list import EntryKey
from .disk_status import Seen
from .plate import PlateError, may_look, require_plate
from .redraw import clear_status
from .versions import HEARS_CHANGES


@dataclass(frozen=True)
class Missing:
    """What is missing of a depth of a list: one sentence each, None where nothing is missing.

    `unseen` says what was not looked at, since the artist has not asked for it: see `places`. `changed` says that all
    is there, and is of another estimate than what was built.
    """

    depth: str | None = None
    plate: str | None = None
    unseen: str | None = None
    changed: str | None = None

    def __iter__(self):
        return (sentence for sentence in (self.depth, self.plate) if sentence is not None)


_state = {"was_missing": False}
_MOST = 1000
_PATIENCE = 3.0
"""Seconds for which Blender may be held up where a file is opened or a render begins: of somebody else's, each entry of
a long list may name a ``depth.json`` that takes seconds to read."""


def of_entry(item: bpy.types.PropertyGroup, path: str = "") -> Missing:
    """What is missing of an entry of a scene's list of depths, as far as is known: no file is looked at, panels ask.

    `path` is that of the entry in its scene, where it is at hand.
    """
    if not depth_list.may_look(item):
        _seen.of(depth_list.key_of(item, path))  # it may be a folder that the artist wrote
        return Missing(unseen=_UNSEEN.format("depth"))
    return _seen.of(depth_list.key_of(item, path)) or Missing()


def incomplete(scene: bpy.types.Scene) -> list[str]:
    """Names of the depths of a scene's list that miss files, as far as is known; see `of_entry`.

    Of a list that nobody has made by hand, its beginning: the status bar asks whenever it is drawn.
    """
    entries = enumerate(islice(scene.fathom.depths, _MOST))
    return [item.name for place, item in entries if any(of_entry(item, f"fathom.depths[{place}]"))]


def _look_for(entry: EntryKey) -> Missing:
    """Look for an entry's files, when nothing is being drawn: what came back is shown again at once."""
    item = depth_list.entry_of(entry)
    if not HEARS_CHANGES and item.folder != item.linked:
        depth_list.relink_chosen()
    before, found = _seen.of(entry), _look(item)
    if any(before or ()) and not any(found):
        reload()
    if any(before or ()) != any(found) and current_run.current() is None:
        clear_status()  # `incomplete` stands in it
    return found


_seen = Seen(_look_for, holds=2.0)


def of_file(*, only_built: bool = False) -> list[str]:
    """What is missing of the file, as sentences: for the depths of all scenes' lists, and what was built from others.

    Where something was missing the last time and is not any more, Blender reads it again. `only_built` leaves out
    depths that nothing was built from. Looking ends after some seconds; panels look at the rest.
    """
    until = time.monotonic() + _PATIENCE
    built = _built()
    by_job: dict[str, list[bpy.types.Image]] = {}
    for image in built:
        if only_built:
            places.ask(Path(places.expanded(image.filepath)).parent)  # where Blender reads from in this moment
        for job in tags.jobs(image):
            by_job.setdefault(job, []).append(image)
    named: set[bpy.types.Image] = set()
    sentences: dict[str, None] = {}
    entries = depth_list.entries()
    for place, item in enumerate(entries):
        if place and time.monotonic() > until:
            sentences[f"{len(entries) - place} depths of this file's lists were not looked at: Check Files does."] = (
                None
            )
            break
        its_own = by_job.get(item.job, [])
        found = Missing() if only_built and not its_own else _look(item)
        sentences.update(dict.fromkeys((*found, *([found.changed] if found.changed else []))))
        if found.depth or found.plate:
            named.update(its_own)
    linked = (image for image in bpy.data.images if image.library and tags.text(image, tags.KIND) == "disparity")
    for image in (*built, *linked):
        if image not in named and time.monotonic() <= until:
            sentences.update(dict.fromkeys(_of_image(image)))
    if _state["was_missing"] and not sentences:
        reload()
    _state["was_missing"] = bool(sentences)
    own = (scene for scene in bpy.data.scenes if scene.library is None and len(scene.fathom.depths))
    return [*sentences, *(filter(None, map(stretch_problem, own)) if built else ())]


def forget() -> None:
    """Look again the next time: files or lists have changed."""
    _seen.forget()


def reload() -> None:
    """Have Blender read again what it did not find before: it remembers which files were missing until then."""
    for image in _built():
        depth_module.read_again(image)
    forget()


def _built() -> list[bpy.types.Image]:
    """Images of Fathom's that something shows."""
    return [image for image in tags.images("disparity", "confidence", "plate") if image.users]


_UNSEEN = "The {} lies at a place that this file names in full, and that was not looked at yet: Check Files does"


def _look(item: bpy.types.PropertyGroup) -> Missing:
    if item.is_pending:  # nothing was built from it yet
        return Missing()
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
        return Missing(plate=str(problem), changed=_changed(depth))
    return Missing(changed=_changed(depth))


def _changed(depth: Depth) -> str | None:
    """That what was built is of an earlier estimate in the folder of a depth, or its distances are those of an earlier
    solve; None where all is as it was.
    """
    image = depth_module.find_disparity_image(depth)
    if earlier := _of_earlier_estimate(depth, depth_module.images_of(depth) or [image]):
        return earlier
    if strips := depth_strip.of_earlier_estimate(depth):
        return (
            f"The depth of {depth.name} was estimated again in its folder, with other values, since the strip "
            f"{strips[0]} was added: delete it and add it again."
        )
    if moved := strip_effects.moved(depth):
        return (
            f"The strip {moved[0]} shows {depth.name} at other frames than its effects have the depth: add them again, "
            "which brings them there."
        )
    built = depth.sequence.done_shots if image is not None and image.users else ()
    return next((why for why in (standing.solved_since(depth, shot) for shot in built) if why is not None), None)


def _of_earlier_estimate(depth: Depth, images: list[bpy.types.Image | None]) -> str | None:
    """That objects or node groups of some images of the maps, which appended and linked ones have their own of, are of
    an earlier estimate in the folder of a depth.
    """
    names, of_none = [], []
    shots = [shot.first_frame for shot in depth.sequence.done_shots]
    for thing in (*bpy.data.objects, *bpy.data.node_groups):
        is_ours = thing.users and isinstance(thing.get(tags.DEPTH), bpy.types.Image) and thing[tags.DEPTH] in images
        name = thing.name if thing.library is None else f"{thing.name} in {thing.library.name}"
        if is_ours and is_of_earlier_estimate(thing, depth):
            names.append(name)
        elif is_ours and tags.VALUES in thing and thing.get(tags.SHOT) not in shots:
            of_none.append(name)
    if names:
        return estimated_again(depth, names)
    more = f" and {len(of_none) - 1} more" if len(of_none) > 1 else ""
    if not of_none:
        return None
    return (
        f"The depth of {depth.name} was estimated again in its folder, and {of_none[0]}{more} is of a shot that it "
        "does not have any more: delete it."
    )


def _of_image(image: bpy.types.Image) -> list[str]:
    """What is missing of an image that belongs to no depth of a list, or that what was built of it is of an earlier
    estimate.
    """
    if not places.may_look(image.filepath, library=image.library):
        return []
    path = Path(os.path.normpath(places.expanded(image.filepath, library=image.library)))
    if tags.text(image, tags.KIND) == "plate":
        return [] if is_there(path) else [f"The plate {path} is missing; what shows it shows nothing of it."]
    if not is_folder(path.parent):
        return [
            f"There is no folder {path.parent} any more: what was built from its depth shows nothing until you load "
            "the depth from where it lies now."
        ]
    try:
        depth = depth_module.load(path.parent)
        earlier = _of_earlier_estimate(depth, depth_module.images_of(depth) if image.library is None else [image])
    except DepthError as problem:
        return [str(problem)]
    return [earlier] if earlier else []
