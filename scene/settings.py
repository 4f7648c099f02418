"""How the artist wants a clip estimated: read from the scene, turned into a job."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..inference.contract.camera import SENSOR_WIDTH, Camera
from ..inference.contract.job import FIND_CUTS, NO_CUTS, Job, JobError, shot_starts
from ..inference.contract.untrusted import in_a_line
from . import places, solved_camera
from .depth import Depth, require_own
from .problems import Problem
from .solved_camera import Choice
from .source import Plate


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a clip is estimated.

    Attributes
    ----------
    estimator : str
    parameters : dict
        Values for what the estimator declares; the others keep their defaults. Folders may begin with ``//``.
    cuts : str
        Where shots begin, as in a job: ``auto``, ``none`` or frames such as ``31,77``.
    size : int or None
        Long side of the working size in pixels; None: the estimator's own.
    full_size : bool
        Whether maps are brought to the plate's size.
    seed : int
    frames : (int, int) or None
        First and last frame of the timeline to estimate, of those that the strip or clip shows; None: all of them.
    mattes : str or None
        Folder of matte images with the clip's frame numbers; may begin with ``//``.
    focal_length, sensor_width : float or None, float
        Of the lens, in millimeters, where it is known; the sensor's width is that of the image.
    camera : solved_camera.Choice or None
        The solved camera, which takes the place of the lens; its focal length is the one above.
    """

    estimator: str = Job.estimator
    parameters: dict[str, Any] = field(default_factory=dict)
    cuts: str = FIND_CUTS
    size: int | None = None
    full_size: bool = False
    seed: int = 0
    frames: tuple[int, int] | None = None
    mattes: str | None = None
    focal_length: float | None = None
    sensor_width: float = SENSOR_WIDTH
    camera: Choice | None = None


def group_name(estimator: str) -> str:
    """Name of the scene's property group that holds an estimator's parameters."""
    return f"fathom_{estimator}"


def from_scene(scene: bpy.types.Scene) -> Settings:
    """The settings that a scene keeps; parameters only where they were changed."""
    chosen = scene.fathom
    return Settings(
        estimator=chosen.estimator,
        parameters=parameters(scene, chosen.estimator),
        cuts=chosen.cut_frames if chosen.cuts == "FRAMES" else chosen.cuts.lower(),
        size=chosen.size or None,
        full_size=chosen.full_size,
        seed=chosen.seed,
        frames=(chosen.range_start, chosen.range_end) if chosen.use_range else None,
        mattes=chosen.mattes.strip() or None,
        focal_length=_as_typed(chosen.focal_length) if chosen.use_focal_length else None,
        sensor_width=_as_typed(chosen.sensor_width),
        camera=camera_choice(scene),
    )


def camera_choice(scene: bpy.types.Scene) -> Choice | None:
    """The solved camera that a scene's settings name; None where there is none."""
    chosen = scene.fathom
    if chosen.camera == "NONE":
        return None
    named = {"SOLVE": chosen.camera_clip, "CAMERA": chosen.camera_object}.get(chosen.camera)
    name = chosen.camera_file if chosen.camera == "FILE" else named.name if named is not None else ""
    order = chosen.rotation_order if chosen.camera == "FILE" else Choice.rotation_order
    return Choice(kind=chosen.camera, name=name, rotation_order=order)


def parameters(scene: bpy.types.Scene, estimator: str) -> dict[str, Any]:
    """The parameters of an estimator that a scene sets to something else than their defaults."""
    group = getattr(scene, group_name(estimator), None)
    if group is None:
        return {}
    properties = {p.identifier: p for p in group.bl_rna.properties if p.identifier not in ("rna_type", "name")}
    changed = {name: getattr(group, name) for name, p in properties.items() if getattr(group, name) != p.default}
    return {name: _as_typed(value) if isinstance(value, float) else value for name, value in changed.items()}


def set_parameters(scene: bpy.types.Scene, estimator: str, values: dict[str, Any]) -> None:
    """Set some parameters of an estimator, all of them or none; others stay.

    Problem where the estimator has no such parameter, as far as this session knows, or one takes no such value.
    """
    group = getattr(scene, group_name(estimator), None)
    strange = [name for name in values if group is None or name not in group.bl_rna.properties]
    if strange:
        raise Problem(
            f"The parameters of {estimator} ({in_a_line(', '.join(sorted(strange)))}) are not known here: install the "
            "dependencies first, so that the panel lists its settings."
        )
    before = {name: getattr(group, name) for name in values}
    for name, value in values.items():
        try:
            setattr(group, name, value)
            is_kept = getattr(group, name) == (np.float32(value) if isinstance(before[name], float) else value)
        except (TypeError, ValueError, OverflowError):
            is_kept = False
        if not is_kept:
            for each, old in before.items():
                setattr(group, each, old)
            raise Problem(
                f"The parameter {name} of {estimator} cannot be {in_a_line(repr(value))} here: choose other settings."
            )


def set_range(scene: bpy.types.Scene, what: str) -> None:
    """Let a scene's range begin (``START``) or end (``END``) at the playhead, or be the scene's own (``SCENE``)."""
    chosen, now = scene.fathom, scene.frame_current
    start, end = chosen.range_start, chosen.range_end
    if what == "START":
        start, end = now, max(end, now)
    elif what == "END":
        start, end = min(start, now), now
    elif scene.use_preview_range:
        start, end = scene.frame_preview_start, scene.frame_preview_end
    else:
        start, end = scene.frame_start, scene.frame_end
    chosen.use_range, chosen.range_start, chosen.range_end = True, start, end


def to_scene(scene: bpy.types.Scene, depth: Depth) -> None:
    """Give a scene the settings that a depth was estimated with; nothing is changed where an error is raised.

    The estimator's parameters that ``depth.json`` does not name get their defaults. Problem where this session does not
    know the estimator's parameters.
    """
    require_own(scene, "scene")
    sequence, chosen = depth.sequence, scene.fathom
    kind, named = _camera_of(sequence.camera, chosen)
    group = getattr(scene, group_name(sequence.estimator), None)
    known = {p.identifier: p for p in group.bl_rna.properties} if group is not None else {}
    own = {name: p for name, p in known.items() if name not in ("rna_type", "name")}
    set_parameters(scene, sequence.estimator, {name: p.default for name, p in own.items()} | sequence.parameters)
    for value in sequence.parameters.values():
        if isinstance(value, str):
            places.stood(value)  # the depth.json's, and not the artist's
    chosen.estimator, chosen.seed = sequence.estimator, sequence.seed
    chosen.size, chosen.full_size = sequence.size or 0, sequence.full_size
    cuts = (sequence.cuts or FIND_CUTS).strip()
    chosen.cuts = cuts.upper() if cuts in (FIND_CUTS, NO_CUTS) else "FRAMES"
    chosen.cut_frames = cuts if chosen.cuts == "FRAMES" else chosen.cut_frames
    chosen.use_focal_length = sequence.focal_length is not None
    if sequence.focal_length is not None and sequence.source.width:
        chosen.sensor_width = SENSOR_WIDTH
        chosen.focal_length = sequence.focal_length * SENSOR_WIDTH / sequence.source.width
    chosen.camera = kind
    if kind == "SOLVE":
        chosen.camera_clip = named
    elif kind == "CAMERA":
        chosen.camera_object = named
    chosen.use_range = True
    chosen.range_start = sequence.first_frame + depth.frame_offset
    chosen.range_end = sequence.last_frame + depth.frame_offset


def _camera_of(origin: str, chosen: Any) -> tuple[str, Any]:
    """The kind of solved camera that a depth was estimated with, and the datablock; Problem where it is not here."""
    kind, _, name = origin.partition(" ")
    if not origin:
        return "NONE", None
    if kind == "FILE" and Path(chosen.camera_file).name == name:
        return kind, None
    among = {"SOLVE": bpy.data.movieclips, "CAMERA": bpy.data.objects}.get(kind)
    if among is None or name not in among:
        raise Problem(
            f"This depth was estimated with a camera that this file does not have ({in_a_line(name or origin)}): "
            "choose it under Solved Camera, or remove the solved camera there."
        )
    return kind, among[name]


def _as_typed(value: float) -> float:
    """The number that the artist typed: Blender keeps 0.1 as 0.10000000149, which may lie beyond a limit of 0.1."""
    return float(str(np.float32(value)))


def make_job(plate: Plate, settings: Settings, *, output: Path, asked: bool = True) -> Job:
    """The job that estimates a plate into a folder; to be validated when that is certain.

    Unless the artist `asked` for it, no scene is evaluated, see `solved_camera.known`. JobError and Problem have one
    sentence on what is wrong with the settings.
    """
    return Job(
        source=plate.source,
        first_frame=plate.first_frame,
        last_frame=plate.last_frame,
        estimator=settings.estimator,
        parameters={name: _resolved(value) for name, value in settings.parameters.items()},
        output=str(output),
        cuts=cuts_of(settings, plate),
        size=settings.size,
        full_size=settings.full_size,
        seed=settings.seed,
        mattes=_folder(settings.mattes) if settings.mattes else None,
        camera=_camera(plate, settings, asked=asked),
    )


def cuts_of(settings: Settings, plate: Plate) -> str:
    """The cuts of a job: of a part of the clip, those that lie in it."""
    if settings.frames is None:
        return settings.cuts
    starts = shot_starts(settings.cuts)
    if not starts:
        return settings.cuts
    inside = [str(start) for start in starts if plate.first_frame < start <= plate.last_frame]
    return ",".join(inside) or NO_CUTS


def _resolved(value: Any) -> Any:
    """A parameter's value, a folder that begins with ``//`` made absolute; no other text begins like that."""
    if not (isinstance(value, str) and value.startswith("//")):
        return value
    if not bpy.data.filepath:
        raise JobError(
            f"This file is not saved, so there is no folder for {value}: save the file, or choose another folder."
        )
    return str(Path(places.expanded(value)).absolute())


def _folder(stored: str) -> str:
    return str(Path(places.expanded(_resolved(stored))).absolute())


def _camera(plate: Plate, settings: Settings, *, asked: bool) -> Camera | None:
    choice = settings.camera
    if choice is None:
        return _lens(plate, settings)
    if choice.kind == "FILE" and settings.focal_length is not None:
        choice = replace(choice, focal_length=settings.focal_length / settings.sensor_width)
    return (solved_camera.read if asked else solved_camera.known)(choice, plate).camera


def _lens(plate: Plate, settings: Settings) -> Camera | None:
    if settings.focal_length is None:
        return None
    if not settings.sensor_width > 0:
        raise JobError(f"The sensor's width must be above 0 mm, not {settings.sensor_width:g}.")
    width, height = plate.source.width, plate.source.height
    if width is None or height is None:
        raise JobError("The clip's size is not known, so its focal length in pixels is not either; leave the lens out.")
    return Camera.from_lens(settings.focal_length, settings.sensor_width, width=width, height=height)
