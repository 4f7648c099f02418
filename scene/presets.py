"""Draft, Standard and Fine: settings of an estimator for three levels of quality."""

from __future__ import annotations

from typing import Any

import bpy

from ..inference.contract.catalogue import EstimatorFacts, Preset
from .settings import group_name, set_parameters


def values_of(facts: EstimatorFacts, preset: Preset) -> dict[str, Any]:
    """What `apply` takes for a preset: its parameters, and the defaults of those that another preset names."""
    named = {key for each in facts.presets for key in each.parameters}
    defaults = {each.name: each.default for each in facts.parameters if each.name in named}
    return {"size": preset.size or 0, "full_size": preset.full_size, "parameters": {**defaults, **preset.parameters}}


def apply(scene: bpy.types.Scene, *, size: int, full_size: bool, parameters: dict[str, Any]) -> None:
    """Give a scene a preset's settings for the estimator that it has chosen; errors as for `set_parameters`."""
    set_parameters(scene, scene.fathom.estimator, parameters)
    scene.fathom.size, scene.fathom.full_size = size, full_size


def is_chosen(scene: bpy.types.Scene, facts: EstimatorFacts, preset: Preset) -> bool:
    """Whether a scene's settings are those of a preset."""
    values = values_of(facts, preset)
    group = getattr(scene, group_name(facts.name), None)
    if (scene.fathom.size, scene.fathom.full_size) != (values["size"], values["full_size"]):
        return False
    return all(getattr(group, key, None) == value for key, value in values["parameters"].items())
