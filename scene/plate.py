"""The plate as an image datablock, for materials, camera backgrounds and the compositor."""

from __future__ import annotations

import os
import re
from pathlib import Path

import bpy

from ..inference.job import frame_number
from . import tags
from .depth import Depth, portable_path, set_where_new, show_frames


class PlateError(ValueError):
    """A plate that cannot be shown; the message is one sentence for the artist."""


def plate_image(depth: Depth) -> bpy.types.Image:
    """The image datablock of the clip that the depth belongs to, in the clip's own colour space, alpha ignored.

    Frames are addressed as those of the depth: see `show_plate`. One that shows the clip already is used again;
    images that the artist loaded are left alone. The path is relative to the .blend file where that is saved.

    Raises
    ------
    PlateError
        The movie or a frame of the sequence is not where ``depth.json`` says, or this Blender does not know the
        clip's colour space.
    """
    source = depth.sequence.source
    path = _first_file(depth)
    image = next((i for i in bpy.data.images if i.get(tags.KIND) == "plate" and _shows(i, path)), None)
    if image is None:
        image = _load(path, depth)
    if source.colorspace is not None:
        try:
            set_where_new(image.colorspace_settings, name=source.colorspace)
        except TypeError as error:
            raise PlateError(
                f"This Blender knows no colour space '{source.colorspace}', which {path.name} is in; start it "
                "with the OCIO configuration that the clip was estimated with."
            ) from error
    if source.kind == "sequence" and _is_numbered(path):
        set_where_new(image, source="SEQUENCE")
    set_where_new(image, alpha_mode="NONE", filepath=portable_path(path))
    return image


def show_plate(user: bpy.types.ImageUser, depth: Depth) -> None:
    """Let an image user show the plate in step with the depth, clamped at the sequence's ends; see `show_frames`."""
    sequence = depth.sequence
    show_frames(user, sequence.first_frame, sequence.last_frame, frame_offset=depth.frame_offset)


def plate_size(depth: Depth) -> tuple[int, int]:
    """Displayed size of the plate in pixels; that of the maps where neither the source nor a camera tells it."""
    source = depth.sequence.source
    if source.width is not None and source.height is not None:
        return source.width, source.height
    for shot in depth.sequence.shots:
        if shot.camera is not None:
            return shot.camera.width, shot.camera.height
    return depth.sequence.width, depth.sequence.height


def _load(path: Path, depth: Depth) -> bpy.types.Image:
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError as error:
        raise PlateError(f"Blender cannot read the plate {path}: {str(error).strip().rstrip('.')}.") from error
    is_movie = depth.sequence.source.kind == "movie"
    if 0 in image.size or is_movie != (image.source == "MOVIE"):  # an unreadable file does load, without pixels
        bpy.data.images.remove(image)
        raise PlateError(f"Blender cannot read the plate {path}; export the clip again in a format that Blender plays.")
    image.name = depth.label("Plate")
    return tags.tag(image, "plate")


def _first_file(depth: Depth) -> Path:
    """The movie, or the sequence's first file that has depth, after checking that all files are there."""
    sequence = depth.sequence
    path = Path(sequence.source.path)
    if sequence.source.kind == "movie":
        if not path.is_file():
            raise PlateError(f"The plate {path} is missing; put the movie there, where it was beside the depth.")
        return path
    wanted = [
        name for name in sequence.source.files if sequence.first_frame <= frame_number(name) <= sequence.last_frame
    ]
    present = {entry.name for entry in os.scandir(path)} if path.is_dir() else set()
    for name in wanted:
        if name not in present:
            raise PlateError(
                f"Frame {frame_number(name)} of the plate is missing ({path / name}); put the sequence there, where it "
                "was beside the depth."
            )
    if not wanted:
        raise PlateError(f"{path} holds no frames {sequence.first_frame}-{sequence.last_frame} of the plate.")
    return path / wanted[0]


def _is_numbered(path: Path) -> bool:
    return re.search(r"\d", path.stem) is not None


def _shows(image: bpy.types.Image, path: Path) -> bool:
    shown = bpy.path.abspath(image.filepath, library=image.library)
    return image.library is None and os.path.realpath(shown) == os.path.realpath(path)
