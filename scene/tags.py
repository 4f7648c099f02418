"""How what Fathom built is found again: custom properties on each datablock.

=================  ==================================================================================================
property           value
=================  ==================================================================================================
``fathom_kind``    what it is: ``'camera'``, ``'rig'``, ``'mesh'``, ``'fog'``, ``'plate'``, …
``fathom_depth``   the disparity Image that it shows, a pointer; its file path is the state that Blender itself keeps
                   right when the file moves, is appended or goes to another machine
``fathom_shot``    first source frame of the shot, absent on what serves all shots of a clip
``fathom_job``     on images of maps: the job's fingerprint, by which a depth that was moved is known again; on plates:
                   those of all jobs whose plate it is, with spaces between
``fathom_starts``  on objects with a modifier: the starting values of its inputs, which follow the depth for as long as
                   the artist has not changed them
``fathom_values``  percentiles of the disparity that it was built from; on images of maps those of all shots
``fathom_offset``  on what shows frames and may serve several scenes: scene frame less source frame
``fathom_plates``  on images of maps: the files of the plates that what was built of them was given, a line each for the
                   whole path and for that from the folder of the maps
``fathom_size``    on a camera of the artist's: one unit of its depth's distances in the camera's own space, where not 1
=================  ==================================================================================================

Names are for the artist, who may change them; only these properties count.
"""

from __future__ import annotations

import math
import os
from typing import Any, TypeVar

import bpy

from ..inference.contract.untrusted import readable

Datablock = TypeVar("Datablock", bound=bpy.types.ID)

KIND, DEPTH, SHOT, JOB = "fathom_kind", "fathom_depth", "fathom_shot", "fathom_job"
STARTS, SIZE, VALUES, OFFSET = "fathom_starts", "fathom_size", "fathom_values", "fathom_offset"
PLATES = "fathom_plates"


def tag(datablock: Datablock, kind: str, *, image: bpy.types.Image | None = None, shot: int | None = None) -> Datablock:
    """Mark a datablock as built by Fathom, and return it.

    `image` is the disparity image that it belongs to, None for what serves any depth, such as a shared node group;
    `shot` the first source frame of its shot, None for what serves all shots.
    """
    datablock[KIND] = kind
    if image is not None:
        datablock[DEPTH] = image
    if shot is not None:
        datablock[SHOT] = shot
    return datablock


def text(datablock: Any, name: str) -> str:
    """A custom property that is a text; empty where there is none, or something else in a file of somebody else's."""
    value = datablock.get(name)
    return value if isinstance(value, str) else ""


def numbers(datablock: Any, name: str, count: int) -> tuple[float, ...] | None:
    """A custom property of so many finite numbers; None where there is none, or something else."""
    value = datablock.get(name)
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or len(value) != count:
        return None
    found = tuple(value)
    is_right = all(isinstance(each, (int, float)) and math.isfinite(each) for each in found)
    return found if is_right else None


def images(*kinds: str) -> list[bpy.types.Image]:
    """The images of this file that were marked so; a render is none, whatever it says."""
    own = (image for image in bpy.data.images if image.library is None and image.source != "VIEWER")
    return [image for image in own if text(image, KIND) in kinds]


def jobs(datablock: Any) -> list[str]:
    """The fingerprints of the jobs that an image is of."""
    return text(datablock, JOB).split()


def set_text(datablock: Any, name: str, value: str) -> None:
    """Set a custom property to a text.

    Blender crashes over half a surrogate pair, now or when the property is read: such a text becomes `readable`. Bytes
    of a file name that are no UTF-8 are taken as they are.
    """
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        value = readable(value)
    datablock[name] = value


def key(image: Any) -> int | None:
    """What stands for a disparity image in a look-up: None for none, and for what is none in somebody else's file."""
    return image.as_pointer() if isinstance(image, bpy.types.ID) else None
