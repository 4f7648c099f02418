"""Depth in an Image Editor: it gets the plate, over which `drawing` shows depth, or else the maps themselves."""

from __future__ import annotations

import bpy

from ..depth import Depth, disparity_image, show_frames
from ..plate import PlateError, plate_image, show_plate


def show(space: bpy.types.SpaceImageEditor, depth: Depth) -> bool:
    """Let an Image Editor show a depth's plate, in step with the timeline; whether it showed something else before, or
    other frames.

    Where the plate is missing, or cannot be shown, the maps as Blender draws them. DepthError where no shot has depth.
    """
    depth.require_done(depth.done_shots[0])
    try:
        image = plate_image(depth)
    except PlateError:
        image = disparity_image(depth)
    before = space.image, _frames(space.image_user)
    space.image = image
    if image.source in ("SEQUENCE", "MOVIE"):
        if image.source == "MOVIE" or "plate" in image.get("fathom_kind", ""):
            show_plate(space.image_user, depth)
        else:
            show_frames(
                space.image_user,
                depth.sequence.first_frame,
                depth.sequence.last_frame,
                frame_offset=depth.frame_offset,
            )
    return (image, _frames(space.image_user)) != before


def _frames(user: bpy.types.ImageUser) -> tuple[float, ...]:
    """What of an image user determines the frame that is shown."""
    return user.frame_offset, user.frame_start, user.frame_duration, user.use_cyclic, user.use_auto_refresh
