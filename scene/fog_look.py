"""What fog looks like: its material, presets that suit a shot's distances, and the layers of noise that drift.

Lengths on the material are in units of the depth, before Scale, as those on the fog's modifier; *Floor Height* alone is
a place in the world. So the fog looks the same whatever the scene's scale is set to.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import bpy
import numpy as np

from ..inference.contract.depth_sequence import Shot
from . import lookup, nodes, tags
from .camera import find_rig
from .depth import Depth, disparity_image, distances
from .geometry import Socket, combine, split, switch, vector
from .problems import Problem

Preset = Literal["HAZE", "GROUND_MIST", "SMOKE"]

PRESETS = (
    ("HAZE", "Haze", "Even, bright air that takes the far distance away"),
    ("GROUND_MIST", "Ground Mist", "Patches that lie on the floor and drift; level the scene by Set Floor first"),
    ("SMOKE", "Smoke", "Dark, ragged swathes that rise and drift"),
)

FOLLOWS = ("Time", "Scale")
"""Inputs that are driven, and not for the artist to set."""

_VERSION = 2
_NAME = "Fathom Fog Look"
_KIND = "fog look"

_LAYERS = ((1.0, 1.0, 0.0, 0.62, 0.0), (2.3, 1.6, math.radians(20.0), 0.38, 7.3))
"""Of each layer of noise: how much finer and faster it is than the inputs say, how far its wind is turned, its weight,
and its place along the fourth dimension."""
_SPREAD = 32.6
"""The weighted noise lies around 0.5 as a normal distribution does (measured: standard deviation .0537). A logistic
function this steep is nearly that distribution's own, which spreads it evenly over 0..1."""

_OPTICAL = (
    ("Density", "Float", 0.05, 0.0, None, None, "Extinction per unit of length: light falls to 1/e over 1/density"),
    ("Color", "Color", (0.8, 0.87, 0.95, 1.0), None, None, None, "Share of the light that the fog scatters"),
    ("Anisotropy", "Float", 0.0, -0.95, 0.95, "FACTOR", "Above 0 the fog glows around lights behind it"),
)
_LIGHT = (
    (
        "Ambient",
        "Float",
        1.0,
        0.0,
        1.0,
        "FACTOR",
        "Share of the fog's light that comes evenly from all around: 1 needs no lamp and has no noise, 0 is lit by "
        "lamps and the world alone",
    ),
    ("Brightness", "Float", 0.7, 0.0, None, None, "Of that light: dense fog shows its color times this"),
)
_HEIGHT = (
    ("By Height", "Float", 0.0, 0.0, 1.0, "FACTOR", "0: as dense at every height; 1: fog that lies on the floor"),
    ("Floor Height", "Float", 0.0, None, None, "DISTANCE", "Height of the floor in the world: 0 after Set Floor"),
    ("Top", "Float", 0.3, 0.0, None, "DISTANCE", "Height over the floor up to which the fog is whole, before Scale"),
    ("Height Falloff", "Float", 0.5, 1e-4, None, "DISTANCE", "Above the top, fog has 1/e after this height"),
)
_NOISE = (
    ("Noise Amount", "Float", 0.0, 0.0, 1.0, "FACTOR", "0 is even fog, 1 has places without any"),
    (
        "Noise Contrast",
        "Float",
        1.0,
        1.0,
        20.0,
        None,
        "1: soft patches; higher gathers about as much fog in fewer, denser swathes with clear air between",
    ),
    ("Noise Scale", "Float", 0.2, 0.0, None, None, "Patches per unit of length; a second layer is finer"),
    ("Noise Evolution", "Float", 0.1, 0.0, None, None, "How fast patches change their shape, per second"),
    ("Wind Direction", "Float", 0.0, None, None, "ANGLE", "Where the patches drift to, about the world's Z from its X"),
    ("Wind Speed", "Float", 0.2, 0.0, None, None, "Of the drift, in units per second; the finer layer is faster"),
    ("Rise", "Float", 0.0, None, None, None, "How fast the patches rise, in units per second"),
)
_DRIVEN = (
    ("Time", "Float", 0.0, None, None, None, "In seconds; follows the scene's frame"),
    ("Scale", "Float", 1.0, 1e-9, None, None, "Units of the world in one of the depth; follows the fog's scale"),
)

LOOK = {"": _OPTICAL, "Light": _LIGHT, "Height": _HEIGHT, "Noise": _NOISE}
"""The inputs that are the artist's, by their panel in the group."""


def look_group() -> bpy.types.NodeTree:
    """The shader group of fog: density, color, light, height and noise, built if the file has none yet."""
    return lookup.node_group(f"{_KIND}/{_VERSION}", _NAME, "ShaderNodeTree", _build_look)


def material(depth: Depth, shot: Shot, fog: bpy.types.Object) -> tuple[bpy.types.Material, bool]:
    """The shot's fog material, made or repaired if need be, and whether its look is new; see `look_of`.

    Its lengths follow the scale of one fog, so that of another scene gets a copy.
    """
    marks: dict[str, Any] = {"image": disparity_image(depth), "shot": shot.first_frame}
    found = lookup.tagged("fog material", **marks, among="materials")
    scenes = lookup.scenes_of(fog)
    others = [
        each for each in lookup.tagged("fog", **marks, form="MESH") if not any(lookup.is_in(each, s) for s in scenes)
    ]
    theirs = [_material_of(each) for each in others]
    free = [each for each in found if each not in theirs]
    made = _material_of(fog) if _material_of(fog) in free else next(iter(free), None)
    if made is None:
        made = found[0].copy() if found else bpy.data.materials.new(depth.label("Fog", shot))
        lookup.tag(made, "fog material", **marks, among="materials")
        if not found:
            nodes.material_tree(made).nodes.clear()
    tree = nodes.material_tree(made)
    if _look_in(tree) is not None:
        return made, False
    earlier = _earlier_look(tree)
    tree.nodes.clear()
    look = nodes.new(tree, "ShaderNodeGroup", label="Fog")
    look.node_tree = look_group()
    output = nodes.new(tree, "ShaderNodeOutputMaterial")
    nodes.feed(nodes.input_of(output, "Volume"), nodes.output_of(look, "Volume"))
    nodes.arrange(tree)
    nodes.drive_by_time(nodes.input_of(look, "Time"), "default_value")
    for name, value in earlier.items():
        nodes.input_of(look, name).default_value = value
    return made, not earlier


def look_of(fog: bpy.types.Object) -> bpy.types.Node | None:
    """The node in a fog's material that holds the inputs of its look; None where it has a material of another kind."""
    shown = _material_of(fog)
    return _look_in(shown.node_tree) if shown is not None and shown.node_tree else None


def _material_of(fog: bpy.types.Object) -> bpy.types.Material | None:
    modifier = modifier_of(fog)
    shown = None if modifier is None else nodes.modifier_input(modifier, "Material")
    return shown if isinstance(shown, bpy.types.Material) else None


def modifier_of(fog: bpy.types.Object) -> bpy.types.NodesModifier | None:
    """The modifier that makes a fog; None where an object is none."""
    groups = (m for m in fog.modifiers if m.type == "NODES" and m.node_group is not None)
    return next((m for m in groups if tags.text(m.node_group, tags.KIND).startswith("fog/")), None)


def follow(fog: bpy.types.Object) -> None:
    """Let the look's lengths follow a fog's scale."""
    look = look_of(fog)
    if look is not None:
        nodes.drive_by_scale(nodes.input_of(look, "Scale"), "default_value", fog, factor=1.0)


def set_look(look: bpy.types.Node, values: dict[str, Any]) -> None:
    """Set inputs of a look by their names; a link of the artist's stays and goes on counting."""
    for name, value in values.items():
        nodes.input_of(look, name).default_value = value


def apply_preset(
    depth: Depth, shot: Shot, fog: bpy.types.Object, preset: Preset, *, scene: bpy.types.Scene
) -> str | None:
    """Give a fog the look of a preset, sized by the distances that its shot has now; where the fog is lit, it stays so.

    Returns a sentence where *Ground Mist* has no floor to lie on, None otherwise: it then lies on the lowest that is
    seen. Problem where the fog has a material of the artist's own.
    """
    look = require_look(fog)
    near, far = _reach(depth, shot, fog)
    middle = math.sqrt(near * far)
    values: dict[str, Any] = {
        "Anisotropy": 0.0,
        "By Height": 0.0,
        "Noise Amount": 0.0,
        "Noise Contrast": 1.0,
        "Noise Scale": 2.0 / middle,
        "Noise Evolution": 0.1,
        "Wind Speed": 0.1 * middle,
        "Rise": 0.0,
    }
    note = None
    if preset == "HAZE":
        values |= {"Density": 1.2 / far, "Color": (0.8, 0.87, 0.95, 1.0), "Brightness": 0.7}
    elif preset == "GROUND_MIST":
        floor, note = floor_of(depth, shot, fog, scene)
        scale = _scale_of(fog)
        height = (fog.parent.matrix_world.translation.z - floor) / scale if fog.parent is not None else near
        height = height if height > 0.1 * near else near
        values |= {
            "Density": 4.0 / middle,
            "Color": (0.86, 0.9, 0.94, 1.0),
            "Brightness": 0.75,
            "By Height": 1.0,
            "Floor Height": floor,
            "Top": 0.15 * height,
            "Height Falloff": 0.2 * height,
            "Noise Amount": 0.7,
            "Noise Scale": 0.8 / height,
            "Wind Speed": 0.25 * height,
        }
    else:
        values |= {
            "Density": 0.9 / far,
            "Color": (0.36, 0.34, 0.33, 1.0),
            "Brightness": 0.4,
            "Anisotropy": 0.3,
            "Noise Amount": 1.0,
            "Noise Contrast": 14.0,
            "Noise Scale": 2.0 / middle,
            "Noise Evolution": 0.2,
            "Rise": 0.06 * middle,
        }
    set_look(look, values)
    _set_step(fog, middle / 10.0, scene)
    return note


def require_look(fog: bpy.types.Object) -> bpy.types.Node:
    """As `look_of`, or Problem."""
    look = look_of(fog)
    if look is None:
        raise Problem(
            f"{fog.name} has a material of your own: clear Material in its modifier and press Fog Volume, for Fathom's."
        )
    return look


def is_slow(scene: bpy.types.Scene) -> bool:
    """Whether a scene renders uneven fog by Cycles in the way that is free of bias and takes many times as long."""
    return scene.render.engine == "CYCLES" and getattr(scene.cycles, "volume_biased", True) is False


def floor_of(depth: Depth, shot: Shot, fog: bpy.types.Object, scene: bpy.types.Scene) -> tuple[float, str | None]:
    """Height of the floor in the world, and a sentence where it is not set but taken from the lowest that is seen.

    Where the scene was leveled, by `orientation.set_floor`, by moving the rig or by a camera solve's Orientation, it is
    the plane Z = 0.
    """
    scene.view_layers[0].update()
    rig, camera = find_rig(depth, shot, scene), fog.parent
    eye = camera.matrix_world.translation.z if camera is not None else 0.0
    is_own = rig is not None and camera is not None and camera.parent == rig
    is_level = _is_moved(rig) if is_own else True
    if is_level and eye > 0.0:
        return 0.0, None
    lowest = _lowest(fog, scene)
    lowest = eye - distances(depth, shot).near * _scale_of(fog) if lowest is None else lowest
    how = "Set Floor in Fathom's Orientation" if is_own else "Floor in the Orientation of its Solve tab"
    return lowest, (
        "The scene is not leveled, so the mist lies on the lowest that is seen at this frame, by the world's Z: press "
        f"{how} (Movie Clip Editor), then Ground Mist again."
    )


# ------------------------------------------------------------------------------------------------------------ parts


def _is_moved(rig: bpy.types.Object) -> bool:
    place, turn, _ = rig.matrix_world.decompose()
    return place.length > 1e-6 or turn.angle > 1e-6


def _lowest(fog: bpy.types.Object, scene: bpy.types.Scene) -> float | None:
    """The height in the world below which 3 % of what a fog ends at lies; None where it shows nothing."""
    shown = fog.evaluated_get(scene.view_layers[0].depsgraph)
    count = len(shown.data.vertices)
    if not count:
        return None
    local = np.empty(3 * count, np.float32)
    shown.data.vertices.foreach_get("co", local)
    points = local.reshape(-1, 3).astype(float)
    ends = points[-points[:, 2] > 1.01 * np.min(-points[:, 2])]
    matrix = np.array(shown.matrix_world)
    heights = (ends if len(ends) else points) @ matrix[2, :3] + matrix[2, 3]
    return float(np.percentile(heights, 3))


def _scale_of(fog: bpy.types.Object) -> float:
    """Units of the world in one of the depth."""
    return sum(fog.matrix_world.to_scale()) / 3.0


def _reach(depth: Depth, shot: Shot, fog: bpy.types.Object) -> tuple[float, float]:
    """Near and far of a shot as the fog has them, in units of the depth."""
    suits, modifier = distances(depth, shot), modifier_of(fog)
    names = nodes.interface_identifiers(modifier.node_group)
    if "Near" not in names or depth.fit_of(shot) is not None:
        return suits.near, max(suits.far, 1.01 * suits.near)
    near, far = (max(float(nodes.modifier_input(modifier, name)), 1e-6) for name in ("Near", "Far"))
    return min(near, far), max(near, far, 1.01 * min(near, far))


def _set_step(fog: bpy.types.Object, step: float, scene: bpy.types.Scene) -> None:
    """Let Cycles look at uneven fog in steps of a length, before Scale.

    Where it goes by steps at all: always up to 4.5, and from 5.0 where *Biased* is on. A step of its own choice, a
    tenth of the fog's size, would jump over a layer of mist.
    """
    material = nodes.modifier_input(modifier_of(fog), "Material")
    scene.view_layers[0].update()
    corners = np.array(fog.evaluated_get(scene.view_layers[0].depsgraph).bound_box)
    own = float((corners.max(axis=0) - corners.min(axis=0)).mean()) / 10.0
    if hasattr(material, "cycles") and own > 0.0:
        material.cycles.volume_step_rate = min(max(step / own, 0.01), 1.0)


def _look_in(tree: bpy.types.NodeTree) -> bpy.types.Node | None:
    groups = (n for n in tree.nodes if n.bl_idname == "ShaderNodeGroup" and n.node_tree is not None)
    return next((n for n in groups if tags.text(n.node_tree, tags.KIND) == f"{_KIND}/{_VERSION}"), None)


def _earlier_look(tree: bpy.types.NodeTree) -> dict[str, Any]:
    """What the artist set in a look of the first version, as inputs of this one."""
    groups = (n for n in tree.nodes if n.bl_idname == "ShaderNodeGroup" and n.node_tree is not None)
    old = next((n for n in groups if tags.text(n.node_tree, tags.KIND) == f"{_KIND}/1"), None)
    if old is None:
        return {}
    kept = ("Density", "Color", "Anisotropy", "Noise Amount", "Noise Scale")
    values = {name: nodes.input_of(old, name).default_value for name in kept}
    values["Color"] = tuple(values["Color"])
    fall = nodes.input_of(old, "Height Falloff").default_value
    if fall > 0.0:
        base = nodes.input_of(old, "Height Base").default_value
        values |= {"By Height": 1.0, "Floor Height": base, "Top": 0.0, "Height Falloff": 1.0 / fall}
    return {"Ambient": 0.0, **values}  # it was lit by lamps and the world alone


def add_inputs(tree: bpy.types.NodeTree) -> None:
    """Give a group all inputs of the look, in their panels."""
    for title, rows in (*LOOK.items(), ("Follows the Scene", _DRIVEN)):
        panel = nodes.panel(tree, title, closed=rows is _DRIVEN) if title else None
        for name, kind, default, low, high, subtype, what in rows:
            nodes.interface_input(
                tree,
                name,
                kind,
                default=default,
                minimum=low,
                maximum=high,
                subtype=subtype,
                description=what,
                parent=panel,
            )


def density(tree: bpy.types.NodeTree, inputs: Any, position: Socket) -> Socket:
    """Extinction per unit of length of the world, at a position in the world; for shaders and for geometry alike.

    It is ``Density / Scale * layer * patches``. With h the height over the floor, ``layer`` is 1 up to *Top* and
    ``exp(-(h - Top) / Falloff)`` above, or nearer to 1 where *By Height* is less than 1; ``patches`` is between
    ``1 - Amount`` and ``1 + Amount * Contrast``, see `_noise`. Multiplications by 0 are whole nodes, so that Cycles
    folds what is off and computes even fog as such.
    """
    scale = inputs["Scale"]
    _, _, height = split(tree, position)
    over = nodes.math(tree, "SUBTRACT", height, inputs["Floor Height"])
    over = nodes.math(tree, "SUBTRACT", over, nodes.math(tree, "MULTIPLY", inputs["Top"], scale))
    above = nodes.math(tree, "MAXIMUM", over, 0.0)
    fall = nodes.math(tree, "DIVIDE", above, nodes.math(tree, "MULTIPLY", inputs["Height Falloff"], scale))
    thinned = nodes.math(tree, "SUBTRACT", nodes.math(tree, "EXPONENT", nodes.math(tree, "MULTIPLY", fall, -1.0)), 1.0)
    layer = nodes.math(tree, "ADD", nodes.math(tree, "MULTIPLY", thinned, inputs["By Height"]), 1.0, label="Height")
    swing = _noise(tree, inputs, position)
    patches = nodes.math(tree, "ADD", nodes.math(tree, "MULTIPLY", inputs["Noise Amount"], swing), 1.0, label="Noise")
    if tree.bl_idname == "GeometryNodeTree":  # which folds nothing: noise takes nine tenths of the time
        is_uneven = nodes.math(tree, "GREATER_THAN", inputs["Noise Amount"], 0.0)
        patches = switch(tree, is_uneven, 1.0, patches, kind="FLOAT")
    whole = nodes.math(tree, "DIVIDE", inputs["Density"], scale)
    return nodes.math(tree, "MULTIPLY", whole, nodes.math(tree, "MULTIPLY", layer, patches), label="Density")


def _noise(tree: bpy.types.NodeTree, inputs: Any, position: Socket) -> Socket:
    """Two layers of octaves that drift apart: with u between 0 and 1 and a contrast c, ``(c + 1) u^c - 1``.

    That has the mean 0 for every contrast, since u is spread evenly: contrast moves fog and adds none. Sums along rays
    through many soft patches are all alike, which those through few dense ones are not.
    """
    place = vector(tree, "SCALE", position, scale=nodes.math(tree, "DIVIDE", 1.0, inputs["Scale"]))
    way = nodes.math(tree, "MULTIPLY", inputs["Wind Speed"], inputs["Time"])
    lift = nodes.math(tree, "MULTIPLY", inputs["Rise"], inputs["Time"])
    change = nodes.math(tree, "MULTIPLY", inputs["Noise Evolution"], inputs["Time"])
    total = None
    for finer, faster, turn, weight, other in _LAYERS:
        angle = nodes.math(tree, "ADD", inputs["Wind Direction"], turn)
        along = nodes.math(tree, "MULTIPLY", way, faster)
        x, y = (nodes.math(tree, "MULTIPLY", along, nodes.math(tree, side, angle)) for side in ("COSINE", "SINE"))
        moved = vector(tree, "SUBTRACT", place, combine(tree, x, y, nodes.math(tree, "MULTIPLY", lift, faster)))
        patch = {
            "Vector": moved,
            "W": nodes.math(tree, "ADD", change, other),
            "Scale": nodes.math(tree, "MULTIPLY", inputs["Noise Scale"], finer),
            "Detail": 2.0,
        }
        texture = nodes.value(tree, "ShaderNodeTexNoise", "Color", patch, noise_dimensions="4D").node.outputs[0]
        part = nodes.math(tree, "MULTIPLY", texture, weight)
        total = part if total is None else nodes.math(tree, "ADD", total, part)
    odds = nodes.math(tree, "EXPONENT", nodes.math(tree, "MULTIPLY_ADD", total, -_SPREAD, 0.5 * _SPREAD))
    spread = nodes.math(tree, "DIVIDE", 1.0, nodes.math(tree, "ADD", odds, 1.0))
    gathered = nodes.math(tree, "POWER", spread, inputs["Noise Contrast"])
    most = nodes.math(tree, "ADD", inputs["Noise Contrast"], 1.0)
    return nodes.math(tree, "MULTIPLY_ADD", gathered, most, -1.0)


def _build_look(tree: bpy.types.NodeTree) -> None:
    """Light of its own is density * Ambient * Brightness * Color per length, and scattering has the rest.

    Even light from all around is scattered so: fog of transmittance T shows ``Color * Brightness * (1 - T)``.
    """
    add_inputs(tree)
    nodes.interface_output(tree, "Volume", "Shader")
    inputs, outputs = nodes.group_sockets(tree)
    extinction = density(tree, inputs, nodes.value(tree, "ShaderNodeNewGeometry", "Position"))
    lit = nodes.math(tree, "SUBTRACT", 1.0, inputs["Ambient"])
    glow = nodes.math(tree, "MULTIPLY", inputs["Ambient"], inputs["Brightness"])
    look = {
        "Density": extinction,
        "Color": vector(tree, "SCALE", inputs["Color"], scale=lit),
        "Anisotropy": inputs["Anisotropy"],
        "Emission Strength": nodes.math(tree, "MULTIPLY", extinction, glow, label="Ambient"),
        "Emission Color": inputs["Color"],
        "Density Attribute": "",
    }
    nodes.feed(outputs["Volume"], nodes.value(tree, "ShaderNodeVolumePrincipled", "Volume", look))
