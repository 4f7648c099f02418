"""How what Fathom built is found again: three custom properties on each datablock.

=================  ==================================================================================================
property           value
=================  ==================================================================================================
``fathom_kind``    what it is: ``'camera'``, ``'rig'``, ``'mesh'``, ``'fog'``, ``'plate'``, …
``fathom_depth``   the disparity Image that it shows, a pointer; its file path is the state that Blender itself keeps
                   right when the file moves, is appended or goes to another machine
``fathom_shot``    first source frame of the shot, absent on what serves all shots of a clip
``fathom_job``     on images of maps: the job's fingerprint, by which a depth that was moved is known again; on plates:
                   those of all jobs whose plate it is, with spaces between
=================  ==================================================================================================

Names are for the artist, who may change them; only these properties count.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import bpy

Datablock = TypeVar("Datablock", bound=bpy.types.ID)

KIND, DEPTH, SHOT, JOB = "fathom_kind", "fathom_depth", "fathom_shot", "fathom_job"


def tag(datablock: Datablock, kind: str, *, image: bpy.types.Image | None = None, shot: int | None = None) -> Datablock:
    """Mark a datablock as built by Fathom.

    Parameters
    ----------
    datablock : ID
    kind : str
    image : Image or None
        The disparity image that it belongs to; None for what serves any depth, such as a shared node group.
    shot : int or None
        First source frame of its shot; None for what serves all shots.

    Returns
    -------
    ID
        The datablock itself.
    """
    datablock[KIND] = kind
    if image is not None:
        datablock[DEPTH] = image
    if shot is not None:
        datablock[SHOT] = shot
    return datablock


def find(
    among: Iterable[Datablock], kind: str, *, image: bpy.types.Image | None = None, shot: int | None = None
) -> Datablock | None:
    """The datablock that was tagged so, or None; what comes from a linked library is left alone."""
    for datablock in among:
        if datablock.library is not None or datablock.get(KIND) != kind:
            continue
        if datablock.get(DEPTH) == image and datablock.get(SHOT) == shot:
            return datablock
    return None
