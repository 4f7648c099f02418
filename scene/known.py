"""What Blender knows of a clip already: its lens, by the tracking camera or the scene's, and mattes on a strip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..inference.contract import camera_files, numbering
from ..inference.contract.numbering import NumberingError
from . import solved_camera, versions
from .problems import Problem
from .settings import Settings
from .solved_camera import SolvedCamera
from .source import Plate
from .source_files import absolute


def use_lens_of_clip(scene: bpy.types.Scene, shown: Any) -> None:
    """Set a scene's known lens to that of the tracking camera of a movie clip, or of a strip that shows one.

    Problem where it has none, or one without usable numbers.
    """
    clip = shown if isinstance(shown, bpy.types.MovieClip) else versions.clip_of(shown)
    if clip is None:
        raise Problem(f"{shown.name} is no movie clip and has no tracking camera: open it in the Movie Clip Editor.")
    camera = clip.tracking.camera
    if not (camera.sensor_width > 0 and camera.focal_length > 0):
        raise Problem(f"The tracking camera of {clip.name} has no lens: set it in the Movie Clip Editor, under Track.")
    _use(scene, camera.focal_length, camera.sensor_width)


def use_lens_of_camera(scene: bpy.types.Scene) -> None:
    """Set a scene's known lens to that of its camera; Problem where it has none, or one that is not perspective."""
    camera = scene.camera.data if scene.camera is not None and scene.camera.type == "CAMERA" else None
    if camera is None or camera.type != "PERSP":
        raise Problem("The scene has no perspective camera: choose one under Scene > Camera, or enter the lens.")
    render = scene.render
    width = render.resolution_x * render.pixel_aspect_x
    height = render.resolution_y * render.pixel_aspect_y
    is_tall = camera.sensor_fit == "VERTICAL" or (camera.sensor_fit == "AUTO" and height > width)
    fitted = camera.sensor_height if camera.sensor_fit == "VERTICAL" else camera.sensor_width
    _use(scene, camera.lens, fitted * width / height if is_tall else fitted)


def _use(scene: bpy.types.Scene, focal_length: float, sensor_width: float) -> None:
    chosen = scene.fathom
    chosen.use_focal_length, chosen.focal_length, chosen.sensor_width = True, focal_length, sensor_width


def use_solved_camera(
    scene: bpy.types.Scene,
    plate: Plate,
    kind: str,
    *,
    clip: bpy.types.MovieClip | None = None,
    camera: bpy.types.Object | None = None,
    filepath: str = "",
) -> SolvedCamera:
    """Have a scene estimate a plate with a solved camera, which is read once to see that it can be used.

    Parameters
    ----------
    kind : 'SOLVE', 'CAMERA' or 'FILE'
        See `solved_camera.Choice`.
    clip : MovieClip or None
        The one with the solve; None: the one that shows the plate's file.
    camera : Object or None
        The scene's camera; None: the active one.
    filepath : str
        The camera file.

    Raises
    ------
    Problem
        The camera cannot be used; the scene's settings stay as they are.
    """
    if kind == "CAMERA" and camera is None:
        camera = scene.camera
        if camera is None:
            raise Problem("The scene has no camera: choose one under Scene > Camera.")
    name = {"SOLVE": clip.name if clip else "", "CAMERA": camera.name if camera else "", "FILE": filepath}[kind]
    chosen = scene.fathom
    choice = solved_camera.Choice(
        kind=kind,
        name=name,
        rotation_order=chosen.rotation_order,
        focal_length=chosen.focal_length / chosen.sensor_width if chosen.use_focal_length else None,
    )
    found = solved_camera.read(choice, plate, scene=scene)
    chosen.camera, chosen.camera_clip = kind, clip
    if kind == "CAMERA":
        chosen.camera_object = camera
    elif kind == "FILE":
        chosen.camera_file = filepath
    return found


def export_camera(plate: Plate, settings: Settings, path: Path) -> None:
    """Write the solved camera of the settings at a plate's frames, for ``--camera``; Problem where that fails."""
    if settings.camera is None:
        raise Problem("No solved camera is used: use one first.")
    camera = solved_camera.read(settings.camera, plate).camera
    try:
        camera_files.save(camera, path)
    except OSError as error:
        raise Problem(f"{path} cannot be written ({error.strerror}): choose another folder.") from error


def describe_solved_camera(found: SolvedCamera) -> str:
    """What there is of a solved camera, in one sentence, with the frames that will be skipped."""
    count, missing = len(found.camera.poses), found.missing
    error = "" if found.error is None else f", average error {found.error:.2f} px"
    if not missing:
        return f"The camera has poses of all {count} frames{error}."
    return (
        f"The camera has poses of {count} of {count + len(missing)} frames{error}: those without, "
        f"{numbering.spans(missing)}, will be skipped."
    )


def use_mattes_of_strip(scene: bpy.types.Scene, strip: Any, sequencer: bpy.types.Scene) -> None:
    """Take the images of a strip as a scene's mattes; Problem where it is no strip of numbered images in one folder."""
    if strip.type != "IMAGE":
        raise Problem(f"Strip {strip.name} has no images: choose an image strip, or enter the folder of the mattes.")
    names = [element.filename for element in strip.elements]
    try:
        numbering.frame_numbers(names)
    except NumberingError as error:
        raise Problem(f"The images of strip {strip.name} cannot be numbered. {error}") from error
    if any(Path(name).name != name for name in names):
        raise Problem(f"Strip {strip.name} has images of several folders: copy the mattes into one.")
    scene.fathom.mattes = absolute(strip.directory, sequencer)


def selected_strip(scene: bpy.types.Scene) -> Any:
    """The image strip that is selected in a scene's Sequencer besides the active one; Problem where it is not one."""
    editor = scene.sequence_editor
    strips = versions.strips_of(editor) if editor is not None else ()
    active = editor.active_strip if editor is not None else None
    found = [strip for strip in strips if strip.select and strip.type == "IMAGE" and strip != active]
    if len(found) != 1:
        raise Problem("Select the image strip with the mattes, then the clip's strip, so that this one is active.")
    return found[0]


def mask_of(name: str) -> bpy.types.Mask:
    """The mask of that name, or the only one of the file; Problem where there is none, or several and no name."""
    masks = bpy.data.masks
    if name in masks:
        return masks[name]
    if name or len(masks) != 1:
        what = f"There is no mask {name}" if name else f"This file has {len(masks)} masks"
        raise Problem(f"{what}: draw one in the Movie Clip Editor or the Image Editor, and show it there.")
    return masks[0]
