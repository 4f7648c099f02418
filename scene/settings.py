"""How the artist wants a clip estimated: read from the scene, turned into a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..inference.contract.camera import SENSOR_WIDTH, Camera
from ..inference.contract.job import FIND_CUTS, Job, JobError
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
    focal_length, sensor_width : float or None, float
        Of the lens, in millimetres, where it is known; the sensor's width is that of the image.
    """

    estimator: str = Job.estimator
    parameters: dict[str, Any] = field(default_factory=dict)
    cuts: str = FIND_CUTS
    size: int | None = None
    full_size: bool = False
    seed: int = 0
    focal_length: float | None = None
    sensor_width: float = SENSOR_WIDTH


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
        focal_length=_as_typed(chosen.focal_length) if chosen.use_focal_length else None,
        sensor_width=_as_typed(chosen.sensor_width),
    )


def parameters(scene: bpy.types.Scene, estimator: str) -> dict[str, Any]:
    """The parameters of an estimator that a scene sets to something else than their defaults."""
    group = getattr(scene, group_name(estimator), None)
    if group is None:
        return {}
    properties = {p.identifier: p for p in group.bl_rna.properties if p.identifier not in ("rna_type", "name")}
    changed = {name: getattr(group, name) for name, p in properties.items() if getattr(group, name) != p.default}
    return {name: _as_typed(value) if isinstance(value, float) else value for name, value in changed.items()}


def _as_typed(value: float) -> float:
    """The number that the artist typed: Blender keeps 0.1 as 0.10000000149, which may lie beyond a limit of 0.1."""
    return float(str(np.float32(value)))


def make_job(plate: Plate, settings: Settings, *, output: Path) -> Job:
    """The job that estimates a plate into a folder; to be validated when that is certain.

    JobError has one sentence on what is wrong with the settings.
    """
    return Job(
        source=plate.source,
        first_frame=plate.first_frame,
        last_frame=plate.last_frame,
        estimator=settings.estimator,
        parameters={name: _resolved(value) for name, value in settings.parameters.items()},
        output=str(output),
        cuts=settings.cuts,
        size=settings.size,
        full_size=settings.full_size,
        seed=settings.seed,
        camera=_lens(plate, settings),
    )


def _resolved(value: Any) -> Any:
    """A parameter's value, a folder that begins with ``//`` made absolute; no other text begins like that."""
    if not (isinstance(value, str) and value.startswith("//")):
        return value
    if not bpy.data.filepath:
        raise JobError(
            f"This file is not saved, so there is no folder for {value}: save the file, or choose another folder."
        )
    return str(Path(bpy.path.abspath(value)).absolute())


def _lens(plate: Plate, settings: Settings) -> Camera | None:
    if settings.focal_length is None:
        return None
    if not settings.sensor_width > 0:
        raise JobError(f"The sensor's width must be above 0 mm, not {settings.sensor_width:g}.")
    width, height = plate.source.width, plate.source.height
    if width is None or height is None:
        raise JobError("The clip's size is not known, so its focal length in pixels is not either; leave the lens out.")
    return Camera.from_lens(settings.focal_length, settings.sensor_width, width=width, height=height)
