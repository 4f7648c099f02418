"""Draft, Standard and Fine: settings of an estimator for three levels of quality."""

from __future__ import annotations

from typing import Any

import bpy

from ..inference.contract.catalogue import EstimatorFacts, Preset
from .problems import Problem
from .settings import group_name


def values_of(facts: EstimatorFacts, preset: Preset) -> dict[str, Any]:
    """What `apply` takes for a preset: its parameters, and the defaults of those that another preset names."""
    named = {key for each in facts.presets for key in each.parameters}
    defaults = {each.name: each.default for each in facts.parameters if each.name in named}
    return {"size": preset.size or 0, "full_size": preset.full_size, "parameters": {**defaults, **preset.parameters}}


def apply(scene: bpy.types.Scene, *, size: int, full_size: bool, parameters: dict[str, Any]) -> None:
    """Give a scene a preset's settings for the estimator that it has chosen; other parameters stay.

    Problem where that has no such parameter, as far as this session knows, or one takes no such value.
    """
    name = scene.fathom.estimator
    group = getattr(scene, group_name(name), None)
    for key, value in parameters.items():
        if group is None or key not in group.bl_rna.properties:
            raise Problem(f"{name} has no parameter {key} here: choose another preset, or install the dependencies.")
        try:
            setattr(group, key, value)
        except (TypeError, ValueError) as error:
            raise Problem(f"The parameter {key} of {name} cannot be {value!r}: choose another preset.") from error
    scene.fathom.size, scene.fathom.full_size = size, full_size


def is_chosen(scene: bpy.types.Scene, facts: EstimatorFacts, preset: Preset) -> bool:
    """Whether a scene's settings are those of a preset."""
    values = values_of(facts, preset)
    group = getattr(scene, group_name(facts.name), None)
    if (scene.fathom.size, scene.fathom.full_size) != (values["size"], values["full_size"]):
        return False
    return all(getattr(group, key, None) == value for key, value in values["parameters"].items())
