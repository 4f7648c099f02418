"""Draws fog into the 3D Viewport where Blender itself draws none: wherever Cycles does not.

What is drawn is how much of the fog's light a ray of the shot's camera has gathered, by Beer and Lambert, with the
layer over the floor and without noise. The fog's far side is drawn several times, each time up to another distance, so
that objects that stand in the fog are behind the part that is in front of them.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from numpy.typing import NDArray

from .. import fog_look, nodes, tags
from ..problems import Problem
from . import shaders

LAYERS = 10
"""Parts that fog is drawn in: an object has fog in front of it in steps of so many."""

_handlers: list[Any] = []
_gpu: dict[str, Any] = {}
_batches: dict[str, tuple[NDArray[np.float32], Any]] = {}
"""By the name of a fog: the places of its points, and what was sent to the GPU of them."""


def register() -> None:
    """Have Blender call us where the 3D Viewport is drawn."""
    _handlers.append(bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW"))


def unregister() -> None:
    """Take everything back."""
    while _handlers:
        bpy.types.SpaceView3D.draw_handler_remove(_handlers.pop(), "WINDOW")
    _batches.clear()
    _gpu.clear()


def limits(density: float, start: float, end: float) -> NDArray[np.float64]:
    """Distances [LAYERS + 1] between which even fog takes equal shares of the light.

    >>> limits(0.0, 1.0, 11.0)[:3].tolist()
    [1.0, 2.0, 3.0]
    """
    shares = np.linspace(0.0, 1.0, LAYERS + 1)
    depth = min(density * (end - start), 6.0)
    if depth < 1e-6:
        return start + shares * (end - start)
    found = start - np.log1p(-shares * -math.expm1(-depth)) / density
    found[-1] = end
    return found


# ---------------------------------------------------------------------------------------------------------- drawing


def _draw() -> None:
    context = bpy.context
    scene, space = context.scene, context.space_data
    if scene is None or space is None or not scene.fathom.fog_preview:
        return
    is_rendered = space.shading.type == "RENDERED"
    by_eevee = space.shading.type == "MATERIAL" or (is_rendered and scene.render.engine.startswith("BLENDER_EEVEE"))
    if (is_rendered and not by_eevee) or not space.overlay.show_overlays:
        return
    fogs = [thing for thing in scene.objects if thing.type == "MESH" and thing.get(tags.KIND) == "fog"]
    if by_eevee:  # which leaves out what is displayed as bounds, as fog is at first
        fogs = [fog for fog in fogs if fog.display_type in ("BOUNDS", "WIRE")]
    drawn = set()
    for fog in fogs:
        look = fog_look.look_of(fog) if fog_look.modifier_of(fog) is not None else None
        values = None if look is None else values_of(fog, look)
        if values is not None and fog.visible_get(view_layer=context.view_layer, viewport=space):
            drawn.add(fog.name)
            _draw_fog(fog, values, context.evaluated_depsgraph_get())
    for name in _batches.keys() - drawn:
        del _batches[name]


def values_of(fog: bpy.types.Object, look: bpy.types.Node) -> dict[str, Any] | None:
    """What is drawn of a fog's look, and its *Start*; None where a group is not as Fathom makes it: a file may be
    somebody else's.
    """
    try:
        found = {name: nodes.input_of(look, name).default_value for name in _USED}
        found["Start"] = nodes.modifier_input(fog_look.modifier_of(fog), "Start")
        found["Color"] = tuple(float(each) for each in found["Color"])[:3]
    except (Problem, TypeError, ValueError):
        return None
    numbers = [*found["Color"], *(value for name, value in found.items() if name != "Color")]
    is_whole = all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers)
    return found if is_whole and len(found["Color"]) == len("RGB") else None


def _draw_fog(fog: bpy.types.Object, value: dict[str, Any], depsgraph: bpy.types.Depsgraph) -> None:
    shown = fog.evaluated_get(depsgraph)
    batch, end = _batch(fog.name, shown.data)
    if batch is None:
        return
    start = float(value["Start"])
    scale, top = value["Scale"], value["Top"] * value["Scale"]
    place = np.array(shown.matrix_world)
    row = place[2].copy()
    row[3] -= value["Floor Height"] + top
    row /= max(value["Height Falloff"] * scale, 1e-9)
    color = [_encoded(each * value["Brightness"]) for each in value["Color"]]
    shader = _shader()
    shader.bind()
    matrix = gpu.matrix.get_projection_matrix() @ gpu.matrix.get_model_view_matrix() @ shown.matrix_world
    shader.uniform_float("ModelViewProjectionMatrix", matrix)
    shader.uniform_float("rise", tuple(float(each) for each in row))
    shader.uniform_float("color", (*color, value["Density"]))
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.depth_mask_set(False)
    try:
        bounds = limits(value["Density"], start, end)
        for near, far in reversed(list(pairwise(bounds))):
            shader.uniform_float("part", (float(near), float(far), value["By Height"], 0.0))
            batch.draw(shader)
    finally:
        gpu.state.blend_set("NONE")
        gpu.state.depth_test_set("NONE")


_USED = (
    "Density",
    "Color",
    "Brightness",
    "By Height",
    "Floor Height",
    "Top",
    "Height Falloff",
    "Scale",
)


def _batch(name: str, mesh: bpy.types.Mesh) -> tuple[Any, float]:
    """The far side of a fog on the GPU, sent there again where it has changed, and its farthest distance."""
    count = len(mesh.vertices)
    if not count:
        return None, 0.0
    points = np.empty(3 * count, np.float32)
    mesh.vertices.foreach_get("co", points)
    known = _batches.get(name)
    if known is None or not np.array_equal(known[0], points):
        mesh.calc_loop_triangles()
        triangles = np.empty(3 * len(mesh.loop_triangles), np.int32)
        mesh.loop_triangles.foreach_get("vertices", triangles)
        places, triangles = points.reshape(-1, 3), triangles.reshape(-1, 3)
        distance = -places[:, 2]
        is_far = distance[triangles].max(axis=1) > 1.0001 * distance.min()
        batch = batch_for_shader(_shader(), "TRIS", {"pos": places}, indices=np.ascontiguousarray(triangles[is_far]))
        known = _batches[name] = points, batch
    return known[1], float(-known[0].reshape(-1, 3)[:, 2].min())


def _encoded(light: float) -> float:
    """Linear light as the screen's code, sRGB."""
    light = min(max(light, 0.0), 1.0)
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def _shader() -> gpu.types.GPUShader:
    if "shader" not in _gpu:
        _gpu["shader"] = shaders.make(
            "fathom_fog_between",
            points={"pos": "VEC3"},
            between={"place": "VEC3"},
            constants={"color": "VEC4", "rise": "VEC4", "part": "VEC4"},
            vertex=_VERTEX,
            fragment=_FRAGMENT,
        )
    return _gpu["shader"]


_VERTEX = """
void main()
{
  float ends = -pos.z;
  place = pos * (min(ends, part.y) / ends);
  gl_Position = ModelViewProjectionMatrix * vec4(place, 1.0);
}
"""
"""Places are in the space of the shot's camera, in units of the depth; `part` has the part's nearest and farthest
distance, and *By Height*."""

_FRAGMENT = """
float gathered(float height)
{
  return min(height, 0.0) + 1.0 - exp(-max(height, 0.0));
}

void main()
{
  float ends = -place.z;
  if (ends <= part.x) {
    discard;
  }
  vec3 ray = place / ends;
  float slope = dot(rise.xyz, ray);
  float first = rise.w + slope * part.x;
  float last = rise.w + slope * ends;
  float mean = exp(-max(first, 0.0));
  if (abs(last - first) > 1e-3) {
    mean = (gathered(last) - gathered(first)) / (last - first);
  }
  float deep = color.a * length(ray) * (ends - part.x) * (1.0 + part.z * (mean - 1.0));
  fragColor = vec4(for_target(color.rgb), 1.0 - exp(-deep));
}
"""
"""`rise` gives the height over the layer's top in falloffs, of which `gathered` is the integral of the density; its
difference over that of the heights is the mean on the way, as in the compositor's fog."""
