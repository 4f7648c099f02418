"""The knobs that an estimator declares, as properties of the scene.

They become a property group of their own, so that the artist gets sliders with limits and tooltips and the .blend
file keeps their values: ``scene.fathom_parallax.…`` for the estimator ``parallax``.
"""

from collections.abc import Iterable
from typing import Any

import bpy

from ..inference.contract import hints
from ..inference.contract.catalogue import EstimatorFacts, Parameter
from ..scene.settings import group_name
from ..scene.versions import PATH_OPTIONS

_groups: dict[str, type[bpy.types.PropertyGroup]] = {}


def register_for(estimators: Iterable[EstimatorFacts]) -> None:
    """Make the groups of estimators that have parameters."""
    unregister_all()
    for facts in estimators:
        if not facts.parameters:
            continue
        annotations = {parameter.name: _property(parameter) for parameter in facts.parameters}
        group = type(f"FATHOM_PG_{facts.name}", (bpy.types.PropertyGroup,), {"__annotations__": annotations})
        bpy.utils.register_class(group)
        pointer = bpy.props.PointerProperty(type=group, name=f"Fathom {facts.label}")
        setattr(bpy.types.Scene, group_name(facts.name), pointer)
        _groups[group_name(facts.name)] = group


def unregister_all() -> None:
    """Remove the groups."""
    while _groups:
        name, group = _groups.popitem()
        delattr(bpy.types.Scene, name)
        bpy.utils.unregister_class(group)


def _property(parameter: Parameter) -> Any:
    """The property that suits a parameter's type."""
    texts = {"name": hints.label(parameter.name), "description": parameter.description.rstrip(".")}
    default = parameter.default
    if isinstance(default, bool):
        return bpy.props.BoolProperty(default=default, **texts)
    if isinstance(default, (int, float)):
        limits = {"min": parameter.minimum, "max": parameter.maximum}
        kind = int if isinstance(default, int) else float
        bounds = {key: kind(value) for key, value in limits.items() if value is not None}
        if kind is int:
            return bpy.props.IntProperty(default=default, **bounds, **texts)
        return bpy.props.FloatProperty(default=default, precision=4, **bounds, **texts)
    if parameter.choices:
        items = [(choice, hints.choice_label(choice), "") for choice in parameter.choices]
        return bpy.props.EnumProperty(items=items, default=default, **texts)
    if parameter.depth_sequence or parameter.folder:
        return bpy.props.StringProperty(default=default, subtype="DIR_PATH", options=PATH_OPTIONS, **texts)
    return bpy.props.StringProperty(default=default, **texts)
