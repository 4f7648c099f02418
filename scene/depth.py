"""A depth sequence in Blender: loading it, its frames on the timeline, its images."""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import bpy

from ..inference.contract import depth_sequence, numbering
from ..inference.contract.depth_sequence import DepthSequence, DepthSequenceError, Quantity, Shot
from ..inference.contract.distances import reach
from ..inference.contract.job import Source
from ..inference.contract.untrusted import readable
from . import lookup, map_files, places, tags
from .problems import Problem
from .wording import worded

_LARGEST_OFFSET = 2 * numbering.LARGEST
"""From the last frame that a clip may have to the first that Blender's timeline may have, and some more."""


class DepthError(Problem):
    """Depth that cannot be loaded or built with; the message is one sentence for the artist."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What brings a shot's maps to the distances of a camera solve: ``1/Z = scale d + shift``.

    Attributes
    ----------
    first_frame : int
        The shot's first source frame.
    clip : str
        Name of the movie clip with the solve.
    keys : tuple of (source frame, scale, shift)
        In frame order, with a scale above 0: linear in between, held before and after.
    is_undistorted : bool
        Whether the depth is of images whose lens distortion was taken out.
    solve : str
        `solved_tracks.signature` of the solve; empty: unknown.
    """

    first_frame: int
    clip: str
    keys: tuple[tuple[int, float, float], ...]
    is_undistorted: bool = False
    solve: str = ""

    @property
    def middle(self) -> tuple[float, float]:
        """Scale and shift of the key in the middle."""
        return self.keys[len(self.keys) // 2][1:]


@dataclass(frozen=True)
class Depth:
    """A depth sequence placed on the timeline.

    Attributes
    ----------
    folder : Path
        Absolute.
    sequence : DepthSequence
        What ``depth.json`` says; the plate's path in it is absolute.
    frame_offset : int
        Scene frame = source frame + frame_offset.
    plate : Source or None
        Where the plate lies now; None: where ``depth.json`` says. See `plate.with_plate`.
    names_place : bool
        Whether ``depth.json`` names a place of its own for the plate, see `plate.may_look`.
    fits : tuple of Fit
        Shots whose distances are those of a camera solve, see `camera_fit`.
    """

    folder: Path
    sequence: DepthSequence
    frame_offset: int = 0
    plate: Source | None = None
    names_place: bool = False
    fits: tuple[Fit, ...] = ()

    def __post_init__(self) -> None:
        """Raise DepthError where the offset leads beyond every timeline, which a .blend file may say as well."""
        if abs(self.frame_offset) > _LARGEST_OFFSET:
            raise DepthError(
                f"The frame offset {self.frame_offset} leads beyond Blender's timeline; choose one between "
                f"{-_LARGEST_OFFSET} and {_LARGEST_OFFSET}."
            )

    @property
    def source(self) -> Source:
        """The plate: where it was found, else as ``depth.json`` says."""
        return self.plate or self.sequence.source

    @cached_property
    def name(self) -> str:
        """The clip's own name, for labels; see `numbering.name_of`."""
        source = self.sequence.source
        path = depth_sequence.pure_path(source.path).as_posix()
        return readable(numbering.name_of(path, source.files, stream=source.stream))

    def label(self, what: str, shot: Shot | None = None) -> str:
        """A datablock's name, such as 'tokyo-walk Camera'; with the shot's frames where the clip has several."""
        frames = f" {shot.first_frame}-{shot.last_frame}" if shot is not None and len(self.sequence.shots) > 1 else ""
        return f"{self.name} {what}{frames}"

    def source_frame(self, scene_frame: int) -> int:
        """The source frame that a scene frame shows, clamped at the ends of the sequence."""
        frame = scene_frame - self.frame_offset
        return min(max(frame, self.sequence.first_frame), self.sequence.last_frame)

    def shot_at(self, scene_frame: int) -> Shot:
        """The shot, done or unsupported, that a scene frame shows; beyond the clip's ends the one at that end."""
        return self.sequence.shot_at(scene_frame - self.frame_offset)

    def done_shot_at(self, scene_frame: int) -> Shot:
        """As `shot_at`, for building: see `require_done`."""
        return self.require_done(self.shot_at(scene_frame))

    def quantity_of(self, shot: Shot) -> Quantity:
        """What a shot's maps hold: one clip may have shots with a measured depth and others with a relative one."""
        return self.sequence.quantity_of(shot)

    def fit_of(self, shot: Shot) -> Fit | None:
        """How a shot was fitted to a camera solve; None where it was not."""
        return next((fit for fit in self.fits if fit.first_frame == shot.first_frame), None)

    def require_done(self, shot: Shot) -> Shot:
        """The shot itself, or DepthError with the estimator's reason where it has no depth."""
        if shot.status == "done" and shot.range is not None:
            return shot
        why = worded(shot.reason or "the estimator gave no reason").rstrip(".")
        raise DepthError(
            f"Frames {shot.first_frame}-{shot.last_frame} of {self.name} have no depth: {why}; estimate them in "
            "another way, or go to a frame of another shot."
        )

    @property
    def done_shots(self) -> tuple[Shot, ...]:
        """All shots that have depth, or DepthError where none has."""
        if not self.sequence.done_shots:
            raise DepthError(f"No shot of {self.name} has depth; estimate it in another way.")
        return self.sequence.done_shots

    @cached_property
    def _in_order(self) -> tuple[Shot, ...]:
        return tuple(sorted(self.sequence.shots, key=lambda each: each.first_frame))

    @cached_property
    def unreadable(self) -> str | None:
        """One sentence where Blender cannot read the maps, see `map_files.unreadable`; looked for once."""
        return map_files.unreadable(self.folder, self.sequence)

    def frames_shown(self, shot: Shot) -> tuple[int | None, int | None]:
        """First and last source frame at which the shot's setup shows something: where `shot_at` gives the shot.

        None where it is open, since beyond the clip's ends the shot at that end goes on with its frame clamped.
        Elsewhere another shot has its turn, and where that one is unsupported there is nothing to see.
        """
        shots = self._in_order
        i = bisect_left(shots, shot.first_frame, key=lambda each: each.first_frame)
        before, after = (shots[i - 1] if i > 0 else None), (shots[i + 1] if i + 1 < len(shots) else None)
        # Frames between two shots go to the nearer one, the earlier where both are as near.
        first = None if before is None else (before.last_frame + shot.first_frame) // 2 + 1
        last = None if after is None else (shot.last_frame + after.first_frame) // 2
        return first, last


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Starting values for the inputs that turn a shot's disparity d into distance Z.

    ``inverse_depth``: ``Z = scale / max(d, 1 / far_limit)``.
    ``relative_disparity``: ``t = (d - p1) / (p99 - p1)``, ``1 / Z = t (1 / near - 1 / far) + 1 / far``, or 0 where d is
    0, clamped to ``[1 / far_limit, 1 / near_limit]``.
    Of a shot that was fitted to a camera solve, see `Fit`, 1/Z is ``scale d + shift`` instead, within the same limits.
    """

    p1: float
    p99: float
    scale: float = 1.0
    near: float = 1.0
    far: float = 10.0
    near_limit: float = 0.5
    far_limit: float = 100.0


def distances(depth: Depth, shot: Shot) -> Distances:
    """Starting values that suit a shot; DepthError where it is unsupported.

    For ``inverse_depth`` the far limit is four times as far as 99 % of the image, at most 200 times the distance of
    what is nearest, so that a sky (disparity 0) stays at hand; likewise of a shot that was fitted to a camera solve.
    Otherwise ``relative_disparity`` knows no distances: near and far are guesses for the artist to change.
    """
    values, fit = depth.require_done(shot).range, depth.fit_of(shot)
    p1, p99 = values.p1, values.p99
    if depth.quantity_of(shot) == "relative_disparity":
        p99 = max(p99, p1 + 1e-6 * max(abs(p1), 1e-6))
        if fit is None:
            return Distances(p1=p1, p99=p99)
    scale, shift = (1.0, 0.0) if fit is None else fit.middle
    least, most = scale * p1 + shift, scale * p99 + shift
    nearest, far_limit = reach(least, most)
    return Distances(p1=p1, p99=p99, near=nearest, far=far_limit / 4.0, near_limit=0.1 * nearest, far_limit=far_limit)


def percentiles(shot: Shot) -> list[float]:
    """What is noted of a shot's disparity (`tags.VALUES`) in what is built of it: another estimate has others."""
    return [0.0, 0.0] if shot.range is None else [shot.range.p1, shot.range.p99]


def is_of_earlier_estimate(thing: bpy.types.ID, depth: Depth) -> bool:
    """Whether what was built of a shot has the values of an earlier estimate in the folder of its depth."""
    before = tags.numbers(thing, tags.VALUES, 2)
    shots = (shot for shot in depth.sequence.done_shots if shot.first_frame == thing.get(tags.SHOT))
    now = [value for shot in shots for value in percentiles(shot)]
    return before is not None and not all(math.isclose(*pair, rel_tol=1e-5) for pair in zip(before, now))


def estimated_again(depth: Depth, names: Sequence[str]) -> str:
    """The sentence about things of such names that `is_of_earlier_estimate` holds for."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"The depth of {depth.name} was estimated again in its folder, with other values, since {names[0]}{more} was "
        "built: build it again, and copy it again where it is a copy."
    )


def load(folder: str | Path, *, frame_offset: int = 0) -> Depth:
    """Load a finished depth sequence, from any place on any machine.

    `folder` is the folder or its ``depth.json``; Blender's ``//`` at the start stands for the folder of the .blend
    file.

    Raises
    ------
    DepthError
        There is no readable ``depth.json``, or maps that it promises are missing; names the folder and the frame. Or
        the offset leads beyond every timeline.
    """
    folder = absolute(folder)
    if folder.name == depth_sequence.SIDECAR:
        folder = folder.parent
    try:
        written = depth_sequence.read(folder)
    except DepthSequenceError as error:
        raise DepthError(str(error)) from error
    sequence = depth_sequence.located(written, folder)
    if not sequence.shots:
        raise DepthError(f"{folder / depth_sequence.SIDECAR} tells of no shot; estimate the clip again.")
    problem = map_files.missing(folder, sequence)
    if problem is not None:
        raise DepthError(problem)
    names_place = depth_sequence.names_elsewhere(written, folder)
    return Depth(folder=folder, sequence=sequence, frame_offset=frame_offset, names_place=names_place)


def absolute(path: str | Path) -> Path:
    """A path of Blender's on this machine, ``//`` being the .blend file's folder; DepthError for another machine's."""
    text = str(path)
    is_relative = places.is_relative(text) or not depth_sequence.is_absolute(text)
    if "\\" in text and os.name != "nt" and is_relative and not os.path.lexists(bpy.path.abspath(text)):
        text = text.replace("\\", "/")  # the .blend file was saved on Windows
    if not text.startswith("//") and depth_sequence.is_foreign(text):
        raise DepthError(f"{text} is a place on another machine: choose where it lies on this one.")
    return Path(os.path.normpath(Path(places.expanded(text)).absolute()))


def place_of(stored: str) -> Path | None:
    """As `absolute`, for a path that is stored; None where it is empty or another machine's."""
    try:
        return absolute(stored) if stored.strip() else None
    except DepthError:
        return None


def is_same_place(stored: str, path: Path) -> bool:
    """Whether a path that is stored as Blender does is that place."""
    return place_of(stored) == Path(os.path.normpath(path))


def require_own(datablock: bpy.types.ID, what: str) -> None:
    """Refuse to work in what comes from a linked file: Blender lets it be changed, and keeps nothing of that."""
    library = datablock.library or getattr(datablock.override_library, "reference", datablock).library
    if library is not None:
        raise DepthError(
            f"The {what} {datablock.name} is linked from {library.filepath}, and what is changed in it is not kept: "
            "make it local, or work in that file."
        )


# ---------------------------------------------------------------------------------------------------------- images


@lookup.once
def disparity_image(depth: Depth) -> bpy.types.Image:
    """The image datablock of the disparity maps: a sequence, Non-Color, one for all shots of the clip.

    Its frames are addressed by source frame: Geometry Nodes' Image Texture takes that number as its Frame, and
    `show_frames` sets up everything that has an image user. One that shows the folder already is used again, and so is
    one of the same job whose folder has gone: the depth was moved, and what was built from it goes with it. The path is
    relative to the .blend file where that is saved. DepthError where no shot has maps.
    """
    return _maps(depth, "disparity")


@lookup.once
def confidence_image(depth: Depth) -> bpy.types.Image | None:
    """As `disparity_image`, for the confidence maps (0..1); None where the estimator gave none."""
    return None if depth.sequence.confidence is None else _maps(depth, "confidence")


def repoint(depth: Depth, *, moved_from: Path | None = None) -> None:
    """Let the images of the maps that this file has show the depth's folder: what was built goes with them.

    Images of this job that show the place `moved_from` go with it, also where the files there still are.
    """
    for kind in ("disparity", *(["confidence"] if depth.sequence.confidence is not None else [])):
        if depth.sequence.done_shots and _find(depth, kind, moved_from) is not None:
            _maps(depth, kind, moved_from).reload()  # Blender remembers files that were missing


@lookup.once
def find_disparity_image(depth: Depth) -> bpy.types.Image | None:
    """The datablock that `disparity_image` would use again, or None."""
    return _find(depth, "disparity")


_LABELS = {"disparity": "Depth", "confidence": "Confidence"}


def _maps(depth: Depth, kind: str, moved_from: Path | None = None) -> bpy.types.Image:
    shots = depth.done_shots
    places.ask(depth.folder)
    if depth.unreadable is not None:
        raise DepthError(depth.unreadable)
    # The lowest number: Blender takes from it how many digits the numbers have at least.
    first = min(shot.first_frame for shot in shots)
    image = _find(depth, kind, moved_from)
    name = depth_sequence.disparity_name if kind == "disparity" else depth_sequence.confidence_name
    path = depth.folder / name(first)
    if image is None:
        try:
            image = bpy.data.images.load(str(path))
        except RuntimeError as error:  # a link that leads nowhere, or a path that is longer than Blender's are
            reason = str(error).strip().rpartition(": ")[2].rstrip(".")
            raise DepthError(f"Blender cannot read {path} ({reason}): copy the folder again, or elsewhere.") from error
        image.name = depth.label(_LABELS[kind])
        tags.tag(image, kind)
    set_where_new(image.colorspace_settings, name="Non-Color")
    set_where_new(image, alpha_mode="NONE", source="SEQUENCE", filepath=portable_path(path))
    values = tuple(value for each in shots for value in percentiles(each))
    is_same = tags.numbers(image, tags.VALUES, len(values)) == values  # a job may be done again, of a newer clip
    if not is_same or tags.text(image, tags.JOB) != depth.sequence.fingerprint:
        tags.set_text(image, tags.JOB, depth.sequence.fingerprint)
        image[tags.VALUES] = values
        image.reload()  # Blender goes on showing what it has read, and the folder may hold another estimate since
    return image


def images_of(depth: Depth) -> list[bpy.types.Image]:
    """All images of the disparity maps in the depth's folder: what was appended has its own."""
    return _showing(depth.folder, tags.images("disparity"))


def _find(depth: Depth, kind: str, moved_from: Path | None = None) -> bpy.types.Image | None:
    ours = tags.images(kind)
    same = [image for image in ours if tags.text(image, tags.JOB) == depth.sequence.fingerprint]
    moved = [image for image in _showing(moved_from, ours) if image in same] if moved_from is not None else []
    gone = (image for image in same if places.is_gone(image.filepath))
    return next(iter([*_showing(depth.folder, ours), *moved, *gone]), None)


def _showing(folder: Path, images: list[bpy.types.Image]) -> list[bpy.types.Image]:
    ways = {os.path.normpath(folder), os.path.realpath(folder) if places.may_look(folder) else ""}
    return [image for image in images if not ways.isdisjoint(_folders_of(image))]


def _folders_of(image: bpy.types.Image) -> set[str]:
    """The folder whose maps an image shows, as it is written and without links."""
    plain = os.path.normpath(Path(places.expanded(image.filepath)).parent)
    return {plain, os.path.realpath(plain) if places.may_look(image.filepath) else plain}


def set_where_new(target: Any, **values: Any) -> None:
    """Set properties whose value is another one.

    Setting an image's, even to what they are, reads its files again; setting a node's goes through every node tree.
    """
    for name, value in values.items():
        if getattr(target, name) != value:
            setattr(target, name, value)


def read_again(image: bpy.types.Image) -> None:
    """Have Blender read an image's files again, which it goes on showing as it has read them.

    Not of one that the artist has painted on: reading would take what is not saved, and what is packed.
    """
    if not is_painted(image):
        image.reload()


def is_painted(image: bpy.types.Image) -> bool:
    """Whether an image has, or may have, what no file has."""
    return image.is_dirty or image.packed_file is not None


def portable_path(path: Path, blend: str | None = None) -> str:
    """The path as Blender stores it: relative (``//``) where the .blend file is saved and shares a root with it.

    `blend` is that file's path, empty for one that is not saved; None: the one that is open.
    """
    blend = bpy.data.filepath if blend is None else blend
    if not blend:
        return str(path)
    try:
        return bpy.path.relpath(str(path), start=str(Path(blend).parent)).replace(os.sep, "/")
    except ValueError:  # another drive on Windows
        return str(path)


def show_frames(user: Any, first: int, last: int, *, frame_offset: int) -> None:
    """Let an image user show source frame = scene frame - frame_offset, clamped to first..last, both source frames.

    A compositor's Image node has the properties of an image user. Blender shows frame
    ``min(max(scene - frame_start + 1, 0), frame_duration) + frame_offset``: before its start it asks for the frame
    *before* the first. The range is therefore given as one frame shorter and starting one later.
    """
    shown = {"frame_offset": first, "frame_start": first + frame_offset + 1, "frame_duration": last - first}
    if last <= first:  # a duration of 0 means something else, so the start of a single frame lies before any timeline
        shown = {"frame_offset": first - 1, "frame_start": -1048574, "frame_duration": 1}
    set_where_new(user, use_cyclic=False, use_auto_refresh=True, **shown)
