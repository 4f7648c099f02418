"""The depths that a scene knows, as the panel lists them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import bpy

from ..inference.contract import depth_sequence
from ..inference.contract.job import Source
from ..inference.contract.untrusted import is_file, readable
from . import depth as depth_module
from . import places, tags
from .depth import Depth, DepthError, Fit, is_same_place, place_of, portable_path, require_own
from .plate import PlateError, known_plate, repoint_plate, require_plate, require_shown, with_plate
from .plate import may_look as plate_may_be_looked_at
from .source_files import SourceError

_state = {"hears": True}
_LONGEST = 200
"""Letters of a name or a summary in a list."""


def remember(scene: bpy.types.Scene, depth: Depth) -> int:
    """Put a depth on the scene's list, make it the active one, and return its place; DepthError in a linked scene.

    One that is there already is brought up to date, and so is one of the same job whose folder has gone: it was moved,
    and what was built from it goes with it.
    """
    require_own(scene, "scene")
    listed = scene.fathom
    index = _place(scene, depth)
    if index is None:
        listed.depths.add()
        index = len(listed.depths) - 1
    item = listed.depths[index]
    item.name = readable(f"{depth.name} {depth.folder.name}")[:_LONGEST]
    item.frame_offset = depth.frame_offset
    listed.active_depth = index
    places.ask(depth.folder)
    if not is_same_place(item.folder, depth.folder) and not places.may_look(item.plate):
        item.plate = ""  # an entry of somebody else's that names this job, and a place that nobody asked for
    _link(item, depth)
    return index


def remember_pending(scene: bpy.types.Scene, folder: Path, *, job: str, name: str, frame_offset: int) -> int:
    """Put a depth that a render farm is making on the scene's list, and return its place; DepthError in a linked scene.

    Parameters
    ----------
    scene : Scene
    folder : Path
        Where it will lie.
    job : str
        Fingerprint of its job.
    name : str
        The clip's.
    frame_offset : int
        As in `Depth`.
    """
    require_own(scene, "scene")
    listed = scene.fathom
    here = (i for i, each in enumerate(listed.depths) if is_same_place(each.folder, folder))
    index = next(here, None)
    if index is None:
        listed.depths.add()
        index = len(listed.depths) - 1
    item = listed.depths[index]
    item.name = readable(f"{name} {folder.name}")[:_LONGEST]
    item.frame_offset, item.job, item.summary, item.is_pending = frame_offset, job, "", True
    with _unheard():
        item.folder = portable_path(folder)
    item.linked = item.folder
    listed.active_depth = index
    places.ask(folder)
    return index


def pending() -> list[bpy.types.PropertyGroup]:
    """The entries of all lists whose depth a render farm is making, and whose place may be looked at."""
    return [item for item in entries() if item.is_pending and may_look(item)]


def receive(item: bpy.types.PropertyGroup) -> Depth:
    """Take in the depth of a pending entry, which a render farm has merged; DepthError where it cannot be read."""
    depth = read(item)
    if depth.sequence.fingerprint != item.job:
        raise DepthError(f"{depth.folder} holds another estimate than the one that was sent as {item.name}.")
    _link(item, depth)
    return depth


def placed(scene: bpy.types.Scene, depth: Depth) -> Depth:
    """A depth with the frame offset, the plate and the fits that it has on the scene's list; as it is where it is none
    of it.
    """
    index = _place(scene, depth)
    if index is None:
        return depth
    item = scene.fathom.depths[index]
    return _with_plate(item, replace(depth, frame_offset=item.frame_offset))


def load(scene: bpy.types.Scene, index: int = -1) -> Depth:
    """Load a depth of the scene's list, by its place or at -1 the active one; DepthError where that cannot be."""
    item = _item(scene, index)
    ask(item)
    depth = read(item)
    _link(item, depth)  # the artist may have chosen another folder
    return depth


def listed_entry(scene: bpy.types.Scene, depth: Depth) -> bpy.types.PropertyGroup:
    """The entry of a depth on the scene's list, put there if it is none; DepthError in a linked scene."""
    index = _place(scene, depth)
    return scene.fathom.depths[remember(scene, depth) if index is None else index]


def of_clip(scene: bpy.types.Scene, plate: Source) -> list[tuple[str, Path]]:
    """The depths of the scene's list that are of a clip: name and folder of each that may be looked at and is there."""
    wanted = os.path.normcase(os.path.realpath(depth_sequence.plate_file(plate)))
    found = []
    for item in scene.fathom.depths:
        try:
            depth = read(item) if may_look(item) else None
        except DepthError:
            continue
        if depth is None or not plate_may_be_looked_at(depth):
            continue
        if os.path.normcase(os.path.realpath(depth_sequence.plate_file(depth.source))) == wanted:
            found.append((item.name, depth.folder))
    return found


def remove(scene: bpy.types.Scene, index: int = -1) -> None:
    """Take a depth off the scene's list, whose next one becomes the active one; `index` as for `load`."""
    item, listed = _item(scene, index), scene.fathom
    listed.depths.remove(list(listed.depths).index(item))
    listed.active_depth = max(0, min(listed.active_depth, len(listed.depths) - 1))


def entries() -> list[bpy.types.PropertyGroup]:
    """The entries of the lists of all scenes of this file."""
    return [item for scene in bpy.data.scenes if scene.library is None for item in scene.fathom.depths]


@dataclass(frozen=True)
class EntryKey:
    """An entry of a list as it was when it was asked about, and where it stands there, which does not count.

    What is known of it holds as long as it is equal.
    """

    blend: str
    folder: str
    linked: str
    job: str
    plate: str
    frame_offset: int
    scene: str = field(compare=False)
    path: str = field(compare=False)


def key_of(item: bpy.types.PropertyGroup, path: str = "") -> EntryKey:
    """An entry by its values; `path` is that of the entry in its scene, where it is at hand."""
    values = (item.folder, item.linked, item.job, item.plate, item.frame_offset)
    return EntryKey(bpy.data.filepath, *values, scene=item.id_data.name, path=path or item.path_from_id())


def entry_of(wanted: EntryKey) -> bpy.types.PropertyGroup:
    """The entry itself; LookupError where the list has changed since."""
    scene = bpy.data.scenes.get(wanted.scene)
    try:
        item = scene.path_resolve(wanted.path) if scene is not None else None
    except ValueError:
        item = None
    if item is None or key_of(item, wanted.path) != wanted:
        raise LookupError(wanted.path)
    return item


def ask(item: bpy.types.PropertyGroup) -> None:
    """The artist asked for an entry of a list: the places that it names may be looked at from now on."""
    for stored in (item.folder, item.plate):
        if stored.strip():
            places.ask(places.expanded(stored))


def may_look(item: bpy.types.PropertyGroup) -> bool:
    """Whether the places that an entry names may be looked at although the artist did not ask for it; see `places`."""
    return all(places.may_look(stored) for stored in (item.folder, item.plate) if stored.strip())


def read(item: bpy.types.PropertyGroup) -> Depth:
    """As `load`, for an entry of a list, and without writing anything: panels may ask.

    DepthError names a folder that was moved, or one that holds another job's depth than what was built from the entry.
    """
    name = item.name or "this entry"
    if not item.folder.strip():
        raise DepthError(f"The depth {name} has no folder: choose the one with its depth.json in the panel.")
    if item.is_pending and not ((place := place_of(item.folder)) and is_file(place / depth_sequence.SIDECAR)):
        raise DepthError(f"The depth {name} is on the render farm: it is loaded once it is merged.")
    if _has_folder(item):
        depth = depth_module.load(item.folder, frame_offset=item.frame_offset)
        is_known = not item.job or depth.sequence.fingerprint == item.job
        shown = None if is_known or not is_same_place(item.linked, depth.folder) else _shown_folder(item)
    else:
        shown = _shown_folder(item)
        if shown is None:
            raise DepthError(
                f"The depth {name} is not where it was: there is no {place_of(item.folder) or item.folder}; what was "
                "built from it shows nothing until you choose its new folder."
            )
    if shown is not None:
        depth = depth_module.load(shown, frame_offset=item.frame_offset)
    return _with_plate(item, _same_job(item, depth))


def relink(scene: bpy.types.Scene, folder: str | Path, index: int = -1) -> Depth:
    """Tell where a depth of the scene's list lies now: everything that was built from it shows that place at once.

    DepthError as for `load`, or where the folder holds the depth of another job. Nothing is changed then.
    """
    item = _item(scene, index)
    places.ask(places.expanded(str(folder)))
    ask(item)
    found = depth_module.load(folder, frame_offset=item.frame_offset)
    depth = _with_plate(item, _same_job(item, found))
    _link(item, depth)
    return depth


def find_plate(scene: bpy.types.Scene, path: str | Path, index: int = -1) -> Depth:
    """Tell where the plate of a depth lies now; what shows it does so at once, and what is built later as well.

    It is noted on the list, with every depth of it whose plate is missing at the same place. Nothing is changed where
    an error is raised, as by `load` and `plate.with_plate`, whose `path` it is.
    """
    item = _item(scene, index)
    depth = load(scene, index)
    before = depth.source
    found = with_plate(depth, path)
    first = require_shown(found)
    for each in scene.fathom.depths:
        if each != item and not (may_look(each) and _lacks(each, before.path)):
            continue
        each.plate = portable_path(first)
        each.plate_colorspace = found.source.colorspace or ""
        was = Path(before.path) / before.files[0] if before.files else before.path
        repoint_plate(read(each), moved_from=str(was))
    return found


def folder_chosen(item: bpy.types.PropertyGroup) -> None:
    """Another folder was written into an entry of a list: relink what was built, where it is the same depth.

    Where it is not, the entry keeps what was chosen and `read` says what is wrong.
    """
    if _state["hears"]:
        ask(item)
        try:
            _link(item, read(item))
        except DepthError:
            return


def relink_chosen() -> None:
    """`folder_chosen` for whatever entry has another folder than what was built from it shows."""
    for item in entries():
        if item.folder != item.linked and (may_look(item) or places.is_artists(item.folder)):
            folder_chosen(item)


def rebase(old: str, new: str) -> None:
    """Keep all lists' folders, and what the settings name to be read, such as mattes, where they are when the .blend
    file goes from one path (empty: not saved) to another.

    Blender does so for the paths that it knows, to which an extension's properties do not belong. What the artist wrote
    as an absolute path stays one.
    """
    listed = [(item, name) for item in entries() for name in ("folder", "linked", "plate")]
    scenes = (scene for scene in bpy.data.scenes if scene.library is None and old and new)
    _rebase([*listed, *(each for scene in scenes for each in places.read_by(scene))], old, new)


def appended(scene: bpy.types.Scene, origin: str) -> None:
    """As `rebase`, for the settings of a scene that was appended from another file; its list goes by what was built."""
    _rebase(list(places.read_by(scene)), origin, bpy.data.filepath)


def _rebase(named: Iterable[tuple[Any, str]], old: str, new: str) -> None:
    before, after = str(Path(old).parent), str(Path(new).parent)
    for item, name in named if before != after else ():
        stored = places.setting(item, name)
        if stored.startswith("//") or (stored and not old):
            written = portable_path(Path(os.path.normpath(places.expanded(stored, start=before))), new)
            places.written_otherwise(stored, written)
            with _unheard():
                places.set_setting(item, name, written)


def _place(scene: bpy.types.Scene, depth: Depth) -> int | None:
    """Where a depth stands in the scene's list: the entry of its folder, else one of its job whose folder has gone."""
    entries = list(enumerate(scene.fathom.depths))
    here = (i for i, item in entries if is_same_place(item.folder, depth.folder))
    moved = (i for i, item in entries if item.job == depth.sequence.fingerprint and _is_gone(item))
    return next(chain(here, moved), None)


def _is_gone(item: bpy.types.PropertyGroup) -> bool:
    """Whether it is known that an entry's folder is not there; see `places.is_gone`."""
    place = place_of(item.folder)
    return place is None or (places.may_look(item.folder) and not os.path.lexists(place))


def _has_folder(item: bpy.types.PropertyGroup) -> bool:
    place = place_of(item.folder) if places.may_look(item.folder) else None
    return place is not None and os.path.lexists(place)


def _shown_folder(item: bpy.types.PropertyGroup) -> Path | None:
    """The folder whose maps what was built from an entry shows, if its depth is there.

    Blender keeps the paths of images right where it does not know of ours: when a scene is appended to a file
    elsewhere, or missing files were found. A folder that the scene lists by itself is another estimate of the same job.
    """
    others = [each.folder for each in item.id_data.fathom.depths if each != item]
    for image in tags.images("disparity"):
        if item.job and tags.text(image, tags.JOB) == item.job and places.may_look(image.filepath):
            folder = Path(places.expanded(image.filepath)).parent
            is_listed = any(is_same_place(stored, folder) for stored in others)
            if not is_listed and is_file(folder / depth_sequence.SIDECAR):
                return folder
    return None


def _item(scene: bpy.types.Scene, index: int) -> bpy.types.PropertyGroup:
    """An entry of the scene's list; -1: the active one. DepthError where there is none."""
    listed = scene.fathom
    if not len(listed.depths):
        raise DepthError("This scene has no depth yet: estimate a clip's depth, or load a depth sequence.")
    index = listed.active_depth if index < 0 else index
    if not 0 <= index < len(listed.depths):
        raise DepthError(f"The scene's list has no depth {index}: it holds {len(listed.depths)}, counted from 0.")
    return listed.depths[index]


def _same_job(item: bpy.types.PropertyGroup, depth: Depth) -> Depth:
    """The depth, or DepthError where it lies elsewhere than the entry's did and is of another job."""
    if item.job and depth.sequence.fingerprint != item.job and not is_same_place(item.linked, depth.folder):
        raise DepthError(
            f"{depth.folder} holds another estimate than {item.name}: choose the folder that this one was moved to, "
            "or load the other as a depth of its own."
        )
    return depth


def _link(item: bpy.types.PropertyGroup, depth: Depth) -> None:
    """Write into an entry what a depth is, and let what was built from it show where it lies now."""
    stored = portable_path(depth.folder)
    if not is_same_place(item.folder, depth.folder):
        with _unheard():
            item.folder = stored
    if not is_same_place(item.linked, depth.folder):
        moved_from = place_of(item.linked) if item.job == depth.sequence.fingerprint else None
        depth_module.repoint(depth, moved_from=moved_from)
        repoint_plate(depth)
        item.linked = stored
    item.job, item.is_pending = readable(depth.sequence.fingerprint), False
    item.estimator, item.summary = readable(depth.sequence.estimator), readable(_summary(depth))[:_LONGEST]


def _with_plate(item: bpy.types.PropertyGroup, depth: Depth) -> Depth:
    """The depth with its fits, and the plate that the entry knows unless that is on another machine, not asked for, or
    no sequence any more.
    """
    depth = replace(depth, fits=_fits(item, depth))
    path = place_of(item.plate) if places.may_look(item.plate) else None
    try:
        return depth if path is None else known_plate(depth, path, item.plate_colorspace or None)
    except SourceError:
        return depth


def _fits(item: bpy.types.PropertyGroup, depth: Depth) -> tuple[Fit, ...]:
    """The fits of an entry that are of this depth and whole, whatever a file of somebody else's says."""
    found = []
    for each in item.fits:
        keys = tuple((key.frame, key.scale, key.shift) for key in each.keys)
        is_whole = bool(keys) and all(math.isfinite(scale + shift) and scale > 0 for _, scale, shift in keys)
        is_in_order = all(before[0] < after[0] for before, after in pairwise(keys))
        if is_whole and is_in_order and each.job == depth.sequence.fingerprint and _has_its_values(each, depth):
            clip = each.clip.name if each.clip is not None else ""
            how = {"is_undistorted": each.is_undistorted, "solve": each.solve}
            found.append(Fit(first_frame=each.first_frame, clip=clip, keys=keys, **how))
    return tuple(found)


def _has_its_values(fit: bpy.types.PropertyGroup, depth: Depth) -> bool:
    """Whether a shot's disparity has the range that was fitted: the same job, done again in the same folder with other
    weights or after the clip changed, may have other units.
    """
    if not (fit.far or fit.near):  # of an earlier version
        return True
    ranges = [shot.range for shot in depth.sequence.done_shots if shot.first_frame == fit.first_frame]
    pairs = [(fit.far, found.p1) for found in ranges if found] + [(fit.near, found.p99) for found in ranges if found]
    return all(math.isclose(before, now, rel_tol=1e-5, abs_tol=1e-30) for before, now in pairs)


def _lacks(item: bpy.types.PropertyGroup, path: str) -> bool:
    """Whether an entry's plate is missing at that place."""
    try:
        depth = read(item)
    except DepthError:
        return False
    if not plate_may_be_looked_at(depth):
        return False
    try:
        require_plate(depth)
    except PlateError:
        return depth.source.path == path
    return False


@contextmanager
def _unheard() -> Iterator[None]:
    """Write folders without `folder_chosen` hearing of it."""
    _state["hears"] = False
    try:
        yield
    finally:
        _state["hears"] = True


def _summary(depth: Depth) -> str:
    """One line on what a depth sequence holds."""
    sequence = depth.sequence
    shots, unsupported = len(sequence.shots), len(sequence.shots) - len(sequence.done_shots)
    parts = [f"frames {sequence.first_frame}-{sequence.last_frame}", f"{sequence.width} x {sequence.height}"]
    if sequence.refinement:
        parts.append("refined")
    if shots > 1:
        parts.append(f"{shots} shots")
    if unsupported:
        parts.append(f"{unsupported} without depth")
    return ", ".join(parts)
