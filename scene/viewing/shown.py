"""Which depth maps an editor shows, and where: over the plate, wiped against it or another version, or beside it.

Everything is decided anew at every draw from the scene's settings and the editor, and no file is looked at: what lies
in folders is known from `disk_status`, which looks between draws.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...inference.contract import depth_sequence, numbering
from ...inference.contract.depth_sequence import Range, Shot
from ...inference.contract.job import Source
from .. import current_run, depth_list, places, tags, versions, wording
from ..depth import Depth, DepthError
from ..depth_list import EntryKey
from ..disk_status import Seen
from ..plate import plate_size
from ..problems import Problem
from ..source import Plate
from . import maps
from .maps import MapError

_MAP = re.compile(r"disparity\.(-?[0-9]+)\.exr", re.ASCII)
_LOOKED_AT = 5
"""Maps that the value range of a shot in the making is taken from."""
_LONGEST = 200
"""Letters of a name, and of why a frame has no depth: what a file of somebody else's says may be endless."""
_GAP = 0.02
"""Between a plate and the depth beside it, as a share of the width."""
Corner = tuple[float, float]


@dataclass(frozen=True)
class Target:
    """Where a run writes its maps, and of which plate."""

    folder: Path
    plate: Plate


@dataclass(frozen=True, kw_only=True)
class Viewed:
    """A depth to look at, finished or in the making.

    Attributes
    ----------
    name : str
        For the label beside it.
    plate : Source
        The clip that it is of.
    job : str
        Fingerprint of a finished depth; empty.
    size : (int, int)
        Of the plate, as displayed.
    shots : tuple of Shot
        With their value ranges; of one in the making those that are finished.
    so_far : Range or None
        Of one in the making: the value range of what is there.
    """

    name: str
    folder: Path
    plate: Source
    frame_offset: int
    first_frame: int
    last_frame: int
    size: tuple[int, int]
    job: str = ""
    shots: tuple[Shot, ...] = ()
    so_far: Range | None = None

    def range_at(self, frame: int) -> Range | None:
        """The value range that a frame is shown in: its shot's; None where it has no depth, or not yet."""
        shot = next((each for each in self.shots if each.first_frame <= frame <= each.last_frame), None)
        return shot.range if shot is not None else self.so_far


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One map in an editor.

    Attributes
    ----------
    path : Path
    corners : tuple
        Lower left, lower right, upper right and upper left, in the coordinates of the editor's view.
    crop : tuple
        What of the map lies between them: left, bottom, right, top, as shares of its size.
    low, high : float
        The percentiles that it is shown between.
    label : str
    is_whole : bool
        Whether it is shown where and as large as the plate; otherwise a part of it, or beside it.
    """

    path: Path
    corners: tuple[Corner, Corner, Corner, Corner]
    low: float
    high: float
    label: str
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    is_whole: bool = True


@dataclass(frozen=True)
class Shown:
    """What an editor shows: the maps, and one sentence where there are none."""

    pictures: tuple[Picture, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Place:
    """Where an editor shows a plate: its corners as those of `Picture`, and the source frame."""

    corners: tuple[Corner, Corner, Corner, Corner]
    frame: int
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


SQUARE: tuple[Corner, Corner, Corner, Corner] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
"""Where the Image and the Movie Clip Editor show an image, in their views' coordinates."""


def in_editor(space: bpy.types.Space, scene: bpy.types.Scene, sequencer: bpy.types.Scene | None = None) -> Shown:
    """What an editor shows of the scene's active depth, or of what is being estimated.

    `sequencer` is the scene whose strips a Sequencer shows: other editors show the window's, at its own frame. Empty
    where depth is not to be shown.
    """
    view = scene.fathom.view
    if not view.show:
        return Shown()
    played = sequencer if sequencer is not None and space.type == "SEQUENCE_EDITOR" else scene
    running = target_viewed() if view.follow_run else None
    viewed = running
    place = _place_of(running, space, played) if running is not None else None
    if place is None:
        viewed = of_scene(scene)
        if viewed is None:
            return Shown(note=_absence(scene, running))
        place = _place_of(viewed, space, played)
    if place is None or viewed is None:
        return Shown(note=_elsewhere(viewed, space))
    other = of_scene(scene, view.other) if view.other else None
    return _arranged(viewed, other, place, view)


def of_scene(scene: bpy.types.Scene, name: str = "") -> Viewed | None:
    """The active depth of a scene's list, or the first of a name, as far as is known; no file is looked at."""
    listed = scene.fathom.depths
    index = listed.find(name) if name else scene.fathom.active_depth
    if not 0 <= index < len(listed):
        return None
    item = listed[index]
    if not depth_list.may_look(item):
        return None
    return _of_entry.of((item.name, depth_list.key_of(item, f"fathom.depths[{index}]")))


def target_viewed() -> Viewed | None:
    """What is being estimated, with the maps that are there so far; None where nothing is, or none is known yet."""
    run = current_run.current()
    target = getattr(run, "target", None)
    return _of_target.of(target) if isinstance(target, Target) else None


def forget() -> None:
    """Know nothing: another file was opened."""
    _of_entry.forget()
    _of_target.forget()


def frames_there(folder: Path) -> list[int]:
    """The frames that have a map in a folder, in order; a map has its name only once it is complete."""
    try:
        found = (_MAP.fullmatch(entry.name) for entry in os.scandir(folder))
        return sorted(int(match[1]) for match in found if match)
    except OSError:
        return []


# ------------------------------------------------------------------------------------------------------ what is there


def _look_for_entry(key: tuple[str, EntryKey]) -> Viewed | None:
    item = depth_list.entry_of(key[1])
    try:
        depth = depth_list.read(item)
    except DepthError:
        return None
    name = wording.shown(f"{item.name}, {depth.sequence.estimator.replace('_', ' ').title()}", _LONGEST)
    return _viewed(depth, name, plate_size(depth))


def _viewed(depth: Depth, name: str, size: tuple[int, int]) -> Viewed:
    sequence = depth.sequence
    return Viewed(
        name=name,
        folder=depth.folder,
        plate=depth.source,
        frame_offset=depth.frame_offset,
        first_frame=sequence.first_frame,
        last_frame=sequence.last_frame,
        size=size,
        job=sequence.fingerprint,
        shots=tuple(map(_brief, sequence.shots)),
    )


def _brief(shot: Shot) -> Shot:
    """What is needed of a shot here."""
    reason = wording.shown(wording.worded(shot.reason[: 10 * _LONGEST]), _LONGEST) if shot.reason else None
    return replace(shot, camera=None, reason=reason)


def _look_for_target(target: Target) -> Viewed:
    """A run's maps so far; until a shot is finished, its range is that of some of the maps that are there."""
    plate, shots = target.plate, depth_sequence.unfinished_shots(target.folder)
    there = frames_there(target.folder)
    loose = [n for n in there if not any(s.first_frame <= n <= s.last_frame for s in shots)]
    return Viewed(
        name=f"{plate.name} {target.folder.name}, being estimated: {len(there)} of "
        f"{plate.last_frame - plate.first_frame + 1} frames",
        folder=target.folder,
        plate=plate.source,
        frame_offset=plate.frame_offset,
        first_frame=plate.first_frame,
        last_frame=plate.last_frame,
        size=(plate.source.width or 0, plate.source.height or 0),
        shots=tuple(map(_brief, shots)),
        so_far=_range_of(target.folder, loose),
    )


def _range_of(folder: Path, frames: list[int]) -> Range | None:
    """The value range of some maps, evenly chosen, without what is 0: that is at or beyond the far end."""
    if not frames:
        return None
    chosen = sorted({frames[round(i * (len(frames) - 1) / (_LOOKED_AT - 1))] for i in range(_LOOKED_AT)})
    values = []
    for frame in chosen:
        try:
            found = maps.read(folder / depth_sequence.disparity_name(frame))[::2, ::2].ravel()
        except (OSError, MapError):
            continue
        values.append(found[np.isfinite(found) & (found != 0)])
    joined = np.concatenate(values) if values else np.zeros(0, np.float32)
    if not len(joined):
        return None
    low, p1, p99, high = (float(each) for each in np.percentile(joined, [0, 1, 99, 100]))
    return Range(minimum=low, maximum=high, p1=p1, p99=p99)


_of_entry: Seen[tuple[str, EntryKey], Viewed | None] = Seen(_look_for_entry, holds=3.0)
_of_target: Seen[Target, Viewed] = Seen(_look_for_target, holds=1.0)


# ------------------------------------------------------------------------------------------------------------- places


def _place_of(viewed: Viewed, space: bpy.types.Space, scene: bpy.types.Scene) -> Place | None:
    """Where an editor shows the plate of a depth; None where it does not."""
    if space.type == "SEQUENCE_EDITOR":
        return _in_sequencer(viewed, scene)
    if space.type == "CLIP_EDITOR":
        return _in_clip_editor(viewed, space)
    image = space.image
    if image is None or tags.text(image, tags.KIND) not in ("plate", "disparity") or not viewed.job:
        return None
    if viewed.job not in tags.jobs(image):
        return None
    if image.source not in ("SEQUENCE", "MOVIE"):
        return Place(SQUARE, viewed.first_frame)
    return Place(SQUARE, frame_of(space.image_user, scene))


def frame_of(user: Any, scene: bpy.types.Scene) -> int:
    """The frame of a movie or sequence that an image user shows: an editor whose image was chosen by hand, or with a
    node, has Blender's first settings, and shows others than `image_editor.show` has it show.
    """
    # 0 until a frame is shown by new settings
    if user.frame_current or not user.use_auto_refresh or not user.frame_duration:
        return user.frame_current
    return frame_at(user, scene.frame_current)


def frame_at(user: Any, scene_frame: int) -> int:
    """The frame of a movie or sequence that an image user, or a node that has its properties, goes to."""
    length = user.frame_duration
    frame = scene_frame - user.frame_start + 1
    frame = (frame - 1) % length + 1 if user.use_cyclic else min(max(frame, 0), length)
    return frame + user.frame_offset


def require_in_step(depth: Depth, space: bpy.types.Space, scene: bpy.types.Scene) -> None:
    """Problem where an editor shows a depth's plate at another frame than the depth has at the scene's: what is clicked
    in one would be measured in the other.
    """
    frame, in_clip = depth.source_frame(scene.frame_current), space.type == "CLIP_EDITOR"
    viewed = _viewed(depth, depth.name, (0, 0))  # its place in an editor does not depend on the size
    place = _place_of(viewed, space, scene) if in_clip or space.type == "IMAGE_EDITOR" else None
    if place is not None and place.frame != frame:
        hint = "set the clip's Start Frame or the depth's Frame Offset" if in_clip else "press View Depth here"
        raise Problem(
            f"This editor shows frame {place.frame} of {depth.name}, and the depth at this frame of the timeline is "
            f"that of frame {frame}: {hint}, so that both are one."
        )


def _in_clip_editor(viewed: Viewed, space: bpy.types.SpaceClipEditor) -> Place | None:
    clip = space.clip
    if clip is None or not is_of(viewed.plate, clip.filepath, is_movie=clip.source == "MOVIE", owner=clip):
        return None
    if space.show_stable and clip.tracking.stabilization.use_2d_stabilization:
        return None  # the clip is shown turned and shifted
    # Its own frame: from Blender 5.0 on another scene than the window's may be what is played.
    frame = clip_frame_at(clip, viewed.plate, space.clip_user.frame_current)
    return None if frame is None else Place(SQUARE, frame)


def clip_frame_at(clip: bpy.types.MovieClip, plate: Source, scene_frame: int) -> int | None:
    """The source frame of a plate that a clip of it shows; None where Blender does not find its frames."""
    first = _first_of_clip(clip, plate)
    return None if first is None else scene_frame - clip.frame_start + first + clip.frame_offset


def _in_sequencer(viewed: Viewed, scene: bpy.types.Scene) -> Place | None:
    """On the strip of the plate under the playhead."""
    now = scene.frame_current
    strip = strip_of(viewed.plate, scene, now=now)
    if strip is None:
        return None
    corners, crop = corners_of(strip, scene, viewed.size)
    return Place(corners, now - offset_of(strip, viewed.plate), crop)


def strip_of(plate: Source, scene: bpy.types.Scene, *, now: int | None = None) -> Any | None:
    """The strip that shows a plate, frame for frame: the active one, else the topmost; None where none does.

    At `now`, where that is a frame of the scene.
    """
    editor = scene.sequence_editor
    strips = versions.strips_of(editor) if editor else []
    found = [each for each in strips if not each.mute and _shows(each, plate, scene, now)]
    if editor and editor.active_strip in found:
        return editor.active_strip
    return max(found, key=lambda each: each.channel, default=None)


def offset_on(strip: Any, plate: Source, scene: bpy.types.Scene) -> int | None:
    """As `offset_of`, of any strip; None where it does not show a plate, frame for frame."""
    return offset_of(strip, plate) if _shows(strip, plate, scene, None) else None


def offset_of(strip: Any, plate: Source) -> int:
    """Scene frame less source frame of a strip that `strip_of` found."""
    times = versions.times_of(strip)
    first = _first_of_strip(strip, plate) or 0
    if strip.type == "MOVIECLIP":
        first += _clip_of(strip).frame_offset
    return round(times.content_start) - first - times.trim_start


def _shows(strip: Any, plate: Source, scene: bpy.types.Scene, now: int | None) -> bool:
    """Whether a strip shows a plate, at a frame where that is one, without other frames or shapes than its file's."""
    if strip.type not in ("IMAGE", "MOVIE", "MOVIECLIP"):
        return False
    times = versions.times_of(strip)
    begin, end = max(times.left, round(times.content_start)), min(times.right, round(times.content_end))
    if (now is not None and not begin <= now < end) or not is_on(strip, plate, scene):
        return False
    length = versions.length_of(strip) + times.trim_start + times.trim_end
    count = plate.frame_count if plate.kind == "movie" and not plate.stream else None
    if strip.type == "MOVIE" and count is not None and abs(length - count) > 1:  # played at the scene's frame rate
        return False
    if strip.type == "IMAGE":  # whose files may be any, with gaps or in another order
        offset, elements = offset_of(strip, plate), strip.elements
        start = round(times.content_start) - times.trim_start
        shown = range(begin, end) if now is None else (now,)
        names = (elements[min(max(frame - start, 0), len(elements) - 1)].filename for frame in shown)
        if any(number != frame - offset for number, frame in zip(numbering.frames_in(plate.files, names), shown)):
            return False
    around, others = versions.with_metas(strip), versions.strips_of(scene.sequence_editor, nested=True)
    if any(
        each.use_reverse_frames or each.strobe > 1 or len(getattr(each, "retiming_keys", ())) for each in around
    ) or any(each.type == "SPEED" and each.input_1 in around for each in others):
        return False
    return not any(getattr(strip, name, False) for name in ("undistort", "stabilize2d"))


def is_on(strip: Any, plate: Source, scene: bpy.types.Scene) -> bool:
    """Whether a strip is of a plate's files, whatever it shows of them."""
    stream = 0
    if strip.type == "IMAGE":
        name = strip.elements[0].filename if strip.elements else ""
        folder = places.expanded(strip.directory, library=scene.library)
        path, is_movie, owner = str(Path(folder) / name), False, scene
    elif strip.type == "MOVIE":
        path, is_movie, owner, stream = strip.filepath, True, scene, strip.stream_index
    else:
        owner = _clip_of(strip) if strip.type == "MOVIECLIP" else None
        if owner is None:
            return False
        path, is_movie = owner.filepath, owner.source == "MOVIE"
    is_plates = is_of(plate, path, is_movie=is_movie, owner=owner, stream=stream)
    return is_plates and _first_of_strip(strip, plate) is not None


def _clip_of(strip: Any) -> bpy.types.MovieClip | None:
    """The clip of a clip strip; where Blender does not tell (4.2), the one of its name."""
    return versions.clip_of(strip) or bpy.data.movieclips.get(strip.name)


def _first_of_strip(strip: Any, plate: Source) -> int | None:
    """The source frame of a strip's first file, or of its clip's; None where that is none of the plate's."""
    if strip.type == "IMAGE":
        return numbering.frame_in(plate.files, strip.elements[0].filename) if plate.files else None
    return 1 if strip.type == "MOVIE" else _first_of_clip(_clip_of(strip), plate)


def _first_of_clip(clip: bpy.types.MovieClip, plate: Source) -> int | None:
    """As `_first_of_strip`, of a clip; None as well where Blender does not find its other files: it counts up the last
    number of their names.
    """
    if clip.source == "MOVIE":
        return 1
    name = Path(places.expanded(clip.filepath, library=clip.library)).name
    found = numbering.frame_in(plate.files, name) if plate.files else None
    return found if found == numbering.frame_number(name) else None


def is_of(plate: Source, stored: str, *, is_movie: bool, owner: Any, stream: int = 0) -> bool:
    """Whether a path of Blender's is a depth's plate: the same movie, or a file of the same sequence.

    `stream` : which of the movie's is shown; clips and images show the first.
    """
    library = owner.library if isinstance(owner, bpy.types.ID) else None
    path = os.path.normpath(places.expanded(stored, library=library))
    if is_movie or not plate.files:
        return is_movie and not plate.files and stream == plate.stream and _plain(path) == _plain(plate.path)
    file = Path(path)
    in_folder = _plain(str(file.parent)) == _plain(plate.path)
    return in_folder and numbering.frame_in(plate.files, file.name) is not None


def _plain(path: str) -> str:
    return os.path.normcase(os.path.normpath(path))


def corners_of(
    strip: Any, scene: bpy.types.Scene, plate: tuple[int, int]
) -> tuple[tuple[Corner, Corner, Corner, Corner], tuple[float, float, float, float]]:
    """Where a strip's image lies in the Sequencer's preview, and what of it its crop leaves.

    The preview's middle is 0, 0 and its unit a pixel of the render size, whose pixel aspect widens it. A strip scales
    and turns its image about its origin, and shifts that. `plate` is the size of an image that Blender has not read.
    """
    element = strip.elements[0] if getattr(strip, "elements", None) else None
    width, height = (element.orig_width, element.orig_height) if element is not None else (0, 0)
    if not (width and height):
        width, height = plate if all(plate) else (scene.render.resolution_x, scene.render.resolution_y)
    crop, transform = strip.crop, strip.transform
    left, right = crop.min_x / width, 1.0 - crop.max_x / width
    bottom, top = crop.min_y / height, 1.0 - crop.max_y / height
    pivot = ((transform.origin[0] - 0.5) * width, (transform.origin[1] - 0.5) * height)
    cos, sin = math.cos(transform.rotation), math.sin(transform.rotation)
    aspect = scene.render.pixel_aspect_x / scene.render.pixel_aspect_y
    found = []
    for u, v in ((left, bottom), (right, bottom), (right, top), (left, top)):
        x, y = (u - 0.5) * width, (v - 0.5) * height
        x, y = -x if strip.use_flip_x else x, -y if strip.use_flip_y else y
        x, y = (x - pivot[0]) * transform.scale_x, (y - pivot[1]) * transform.scale_y
        turned = (x * cos - y * sin, x * sin + y * cos)
        shifted = (turned[0] + pivot[0] + transform.offset_x, turned[1] + pivot[1] + transform.offset_y)
        found.append((shifted[0] * aspect, shifted[1]))
    return tuple(found), (left, bottom, right, top)


# -------------------------------------------------------------------------------------------------------- arrangement


def _arranged(viewed: Viewed, other: Viewed | None, place: Place, view: bpy.types.PropertyGroup) -> Shown:
    """The maps of a frame as the settings lay them out; a sentence where the depth has none."""
    pictures = []
    arrangement = view.arrangement
    if arrangement != "OVER" and other is not None:
        part = (0.0, view.wipe) if arrangement == "WIPE" else (0.0, 1.0)
        pictures += _picture(other, place, part)
    if arrangement == "WIPE":
        pictures += _picture(viewed, place, (view.wipe, 1.0))
    else:
        shift = 1.0 + _GAP if arrangement == "BESIDE" else 0.0
        pictures += _picture(viewed, place, (0.0, 1.0), shift=shift)
    if pictures or (arrangement == "WIPE" and list(_picture(viewed, place, (0.0, 1.0)))):
        return Shown(tuple(pictures))  # none where the line is at the right border
    shot = next((each for each in viewed.shots if each.first_frame <= place.frame <= each.last_frame), None)
    if shot is not None and shot.status == "refused":
        return Shown(note=f"{viewed.name}: frame {place.frame} has no depth. {shot.reason or ''}".strip())
    is_coming = not viewed.job and viewed.first_frame <= place.frame <= viewed.last_frame
    return Shown(note=f"{viewed.name}: frame {place.frame} has no depth{' yet' if is_coming else ''}")


def _picture(viewed: Viewed, place: Place, part: tuple[float, float], *, shift: float = 0.0) -> Iterator[Picture]:
    """A part of a depth's map, from left to right, as shares of its width; none where the frame has no depth."""
    values = viewed.range_at(place.frame)
    if values is None or not viewed.first_frame <= place.frame <= viewed.last_frame or part[0] >= part[1]:
        return
    one, two, three, four = place.corners
    lower, upper = _between(one, two), _between(four, three)
    left, bottom, right, top = place.crop
    across = right - left
    yield Picture(
        path=viewed.folder / depth_sequence.disparity_name(place.frame),
        corners=(lower(part[0] + shift), lower(part[1] + shift), upper(part[1] + shift), upper(part[0] + shift)),
        low=values.p1,
        high=values.p99,
        label=f"{viewed.name}, frame {place.frame}",
        crop=(left + across * part[0], bottom, left + across * part[1], top),
        is_whole=part == (0.0, 1.0) and not shift,
    )


def _between(start: Corner, end: Corner):
    return lambda share: (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))


def _absence(scene: bpy.types.Scene, running: Viewed | None) -> str:
    listed = scene.fathom.depths
    if not len(listed):
        return "" if running is not None or current_run.current() is not None else "This scene has no depth to view yet"
    item = listed[min(max(scene.fathom.active_depth, 0), len(listed) - 1)]
    if not depth_list.may_look(item):
        return f"The depth {item.name} was not looked at: press Check Files in the panel Depth"
    return ""  # not known yet, or missing, which the panel says


def _elsewhere(viewed: Viewed | None, space: bpy.types.Space) -> str:
    if viewed is None:
        return ""
    if space.type == "SEQUENCE_EDITOR":
        return f"No strip under the playhead shows the clip of {viewed.name}, frame for frame"
    if space.type == "CLIP_EDITOR":
        return f"This editor does not show the clip of {viewed.name}"
    return ""
