"""Draws what `shown` decides into the Sequencer's preview, the Movie Clip Editor and the Image Editor.

A map goes to the GPU as it is, and a shader finds its colors, so that near, far, gamma and colors cost nothing to
change. The colors are codes for the screen: no view transform is applied to them, as to no data. Maps are read between
draws, by a timer and at each new frame, so that no draw waits for a disk.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blf
import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from numpy.typing import NDArray

from ...inference.contract.untrusted import readable
from .. import current_run, disk_status, versions
from . import color_maps, maps, shaders, shown
from .shown import Picture, Shown

_EDITORS = {"SEQUENCE_EDITOR": "PREVIEW", "CLIP_EDITOR": "WINDOW", "IMAGE_EDITOR": "WINDOW"}
"""Types of editors, and the region that shows the image."""
_AT_ONCE, _NEXT = 0.03, 0.1
"""Seconds for which the timer reads at one go, and from one go to the next."""
_MOST_TEXTURES = 8
_BAR = (220, 12)
"""Size of the bar of colors, before Blender's scale."""
_MARGIN = 12, 30  # the second keeps clear of the frames that editors show along their lower edge

cache = maps.Cache()
_handlers: list[tuple[type[bpy.types.Space], Any]] = []
_gpu: dict[str, Any] = {}
_textures: OrderedDict[Path, tuple[NDArray[np.float32], gpu.types.GPUTexture]] = OrderedDict()
"""With the map that each is of."""
_CHECKED = 1.0
"""Seconds from one look whether shown maps are others by now to the next."""
_state: dict[str, Any] = {"settings": None, "ended": 0, "drawn": 0.0, "checked": 0.0}


def register() -> None:
    """Have Blender call us where images are drawn, and at each new frame."""
    spaces = {
        "SEQUENCE_EDITOR": bpy.types.SpaceSequenceEditor,
        "CLIP_EDITOR": bpy.types.SpaceClipEditor,
        "IMAGE_EDITOR": bpy.types.SpaceImageEditor,
    }
    for kind, region in _EDITORS.items():
        handler = spaces[kind].draw_handler_add(_draw, (), region, "POST_PIXEL")
        _handlers.append((spaces[kind], handler))
    bpy.app.handlers.frame_change_post.append(_frame_changed)


def unregister() -> None:
    """Take everything back."""
    bpy.app.handlers.frame_change_post.remove(_frame_changed)
    while _handlers:
        space, handler = _handlers.pop()
        space.draw_handler_remove(handler, _EDITORS_OF[space])
    if bpy.app.timers.is_registered(_watch):
        bpy.app.timers.unregister(_watch)
    forget()
    _gpu.clear()


_EDITORS_OF = {
    bpy.types.SpaceSequenceEditor: "PREVIEW",
    bpy.types.SpaceClipEditor: "WINDOW",
    bpy.types.SpaceImageEditor: "WINDOW",
}


def forget() -> None:
    """Know nothing: another file was opened."""
    cache.forget()
    _textures.clear()
    shown.forget()


# ----------------------------------------------------------------------------------------------------- between draws


@bpy.app.handlers.persistent
def _frame_changed(*_arguments: Any) -> None:
    """Read the maps of the new frame before it is drawn, so that depth plays in step with its plate."""
    if bpy.app.background or time.monotonic() - _state["drawn"] > 1.0 or bpy.app.is_job_running("RENDER"):
        return
    for space, scene, sequencer in _open_editors():
        for picture in shown.in_editor(space, scene, sequencer).pictures:
            cache.read(picture.path)


def _watch() -> float | None:
    """Read what was missing, and show changed settings and new maps; called by a timer while depth is shown."""
    if time.monotonic() - _state["drawn"] > 2.0 and not any(True for _ in _open_editors()):
        return None
    until = time.monotonic() + _AT_ONCE
    has_changed = False
    if time.monotonic() - _state["checked"] > _CHECKED:
        _state["checked"] = time.monotonic()
        has_changed = cache.check()
    while cache.wanted and time.monotonic() < until:
        has_changed = cache.read(next(iter(cache.wanted))) or has_changed
    disk_status.work()
    settings = [_settings(window.scene) for window in bpy.context.window_manager.windows]
    if _state["ended"] != current_run.count_ended():
        _state["ended"] = current_run.count_ended()
        cache.problems.clear()
        has_changed = True
    if has_changed or settings != _state["settings"]:
        _state["settings"] = settings
        redraw()
    return _NEXT


def _settings(scene: bpy.types.Scene) -> tuple[Any, ...]:
    """What a change of has to be shown: the settings, the active depth, and how far a run is."""
    view = scene.fathom.view
    names = (each.identifier for each in view.bl_rna.properties if each.identifier not in ("rna_type", "name"))
    viewed = shown.target_viewed() if view.show else None
    active = shown.of_scene(scene) if view.show else None
    return (*(getattr(view, name) for name in names), scene.fathom.active_depth, viewed, active)


def redraw() -> None:
    """Have every editor that shows depth drawn again, with its sidebar."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in _EDITORS:
                area.tag_redraw()


def _open_editors() -> Iterator[tuple[bpy.types.Space, bpy.types.Scene, bpy.types.Scene]]:
    """The editors that show depth, with the scene of their window and that of their strips."""
    for window in bpy.context.window_manager.windows:
        if not window.scene.fathom.view.show:
            continue
        workspace = window.workspace
        sequencer = getattr(workspace, "sequencer_scene", None) or window.scene
        for area in window.screen.areas:
            if area.type in _EDITORS:
                yield area.spaces.active, window.scene, sequencer


# ---------------------------------------------------------------------------------------------------------- drawing


def _draw() -> None:
    """Draw into the region that Blender is drawing."""
    context = bpy.context
    scene = context.scene
    if scene is None or not scene.fathom.view.show:
        return
    space, region = context.space_data, context.region
    if not _shows_image(space):
        return
    _state["drawn"] = time.monotonic()
    if not bpy.app.timers.is_registered(_watch):
        bpy.app.timers.register(_watch, first_interval=0.0, persistent=True)
    found = shown.in_editor(space, scene, versions.sequencer_scene(context))
    view = scene.fathom.view
    notes = [found.note] if found.note else []
    scale = context.preferences.system.ui_scale
    gpu.state.blend_set("ALPHA")
    try:
        for picture in found.pictures:
            values = cache.of(picture.path)
            if values is not None:
                _draw_map(region, picture, values, view)
            elif picture.path in cache.problems:
                notes.append(cache.problems[picture.path])
        _draw_legend(region, found, view, notes, scale)
    finally:
        gpu.state.blend_set("NONE")


def _shows_image(space: bpy.types.Space) -> bool:
    """Whether an editor shows an image, and no graph, waveform or UV map."""
    if space.type == "SEQUENCE_EDITOR":
        return space.display_mode == "IMAGE"
    if space.type == "CLIP_EDITOR":
        return space.mode == "TRACKING" and space.view == "CLIP"
    return space.mode in ("VIEW", "MASK", "PAINT")


def _draw_map(region: bpy.types.Region, picture: Picture, values: NDArray[np.float32], view: Any) -> None:
    corners = [region.view2d.view_to_region(x, y, clip=False) for x, y in picture.corners]
    left, bottom, right, top = picture.crop
    # A texture begins with its lowest row, a map with its highest.
    at = ((left, 1.0 - bottom), (right, 1.0 - bottom), (right, 1.0 - top), (left, 1.0 - top))
    offset, factor = color_maps.scaling(low=picture.low, high=picture.high, near=view.near, far=view.far)
    opacity = view.opacity if view.arrangement == "OVER" else 1.0
    _draw_quad(corners, at, _texture(picture.path, values), (offset, factor, 1.0 / view.gamma, opacity), view.colors)


def _draw_quad(
    corners: list[tuple[float, float]],
    at: tuple[tuple[float, float], ...],
    texture: gpu.types.GPUTexture,
    levels: tuple[float, float, float, float],
    colors: str,
) -> None:
    shader = _shader()
    order = (0, 1, 2, 0, 2, 3)
    batch = batch_for_shader(shader, "TRIS", {"pos": [corners[i] for i in order], "texCoord": [at[i] for i in order]})
    shader.bind()
    shader.uniform_float(
        "ModelViewProjectionMatrix", gpu.matrix.get_projection_matrix() @ gpu.matrix.get_model_view_matrix()
    )
    shader.uniform_float("levels", levels)
    shader.uniform_sampler("disparity", texture)
    shader.uniform_sampler("colors", _table(colors))
    batch.draw(shader)


def _texture(path: Path, values: NDArray[np.float32]) -> gpu.types.GPUTexture:
    found = _textures.get(path)
    if found is None or found[0] is not values:
        found = _textures[path] = values, _uploaded(values, "R32F")
        while len(_textures) > _MOST_TEXTURES:
            _textures.popitem(last=False)
    _textures.move_to_end(path)
    return found[1]


def _uploaded(values: NDArray[np.float32], form: str) -> gpu.types.GPUTexture:
    height, width = values.shape[:2]
    flat = np.ascontiguousarray(values, np.float32).ravel()
    return gpu.types.GPUTexture((width, height), format=form, data=gpu.types.Buffer("FLOAT", len(flat), flat))


def _table(colors: str) -> gpu.types.GPUTexture:
    if colors not in _gpu:
        _gpu[colors] = _uploaded(color_maps.table(colors)[None], "RGBA32F")
    return _gpu[colors]


def _shader() -> gpu.types.GPUShader:
    """The formula of `color_maps.levels`, between the nearest four pixels, then the colors."""
    if "shader" not in _gpu:
        _gpu["shader"] = shaders.make(
            "fathom_depth_between",
            points={"pos": "VEC2", "texCoord": "VEC2"},
            between={"uv": "VEC2"},
            constants={"levels": "VEC4"},
            textures=("disparity", "colors"),
            vertex="void main() { uv = texCoord; gl_Position = ModelViewProjectionMatrix * vec4(pos, 0.0, 1.0); }",
            fragment=_FRAGMENT,
        )
    return _gpu["shader"]


_FRAGMENT = """
float value_at(ivec2 at, ivec2 last)
{
  return texelFetch(disparity, clamp(at, ivec2(0), last), 0).r;
}

void main()
{
  ivec2 size = textureSize(disparity, 0);
  ivec2 last = size - ivec2(1);
  vec2 at = uv * vec2(size) - vec2(0.5);
  ivec2 corner = ivec2(floor(at));
  vec2 part = at - floor(at);
  float lower = mix(value_at(corner, last), value_at(corner + ivec2(1, 0), last), part.x);
  float upper = mix(value_at(corner + ivec2(0, 1), last), value_at(corner + ivec2(1, 1), last), part.x);
  float d = mix(lower, upper, part.y);
  float t = pow(clamp((d - levels.x) * levels.y, 0.0, 1.0), levels.z);
  vec3 color = texelFetch(colors, ivec2(int(t * 255.0 + 0.5), 0), 0).rgb;
  fragColor = vec4(for_target(color), levels.w);
}
"""


def _draw_legend(region: bpy.types.Region, found: Shown, view: Any, notes: list[str], scale: float) -> None:
    """Below on the left: the bar of colors from far to near, what is shown, and what is not."""
    left, bottom = (side * scale for side in _MARGIN)
    width, height = (side * scale for side in _BAR)
    if found.pictures:
        right, top = left + width, bottom + height
        corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
        at = ((0.0, 0.5), (1.0, 0.5), (1.0, 0.5), (0.0, 0.5))
        if "ramp" not in _gpu:
            _gpu["ramp"] = _uploaded(np.linspace(0.0, 1.0, color_maps.COUNT, dtype=np.float32)[None], "R32F")
        _draw_quad(corners, at, _gpu["ramp"], (0.0, 1.0, 1.0, 1.0), view.colors)
        _write("Far", left, top + 4 * scale, scale)
        _write("Near", right - 30 * scale, top + 4 * scale, scale)
        bottom = top + 22 * scale
    sides = ("Left: ", "Right: ") if len(found.pictures) > 1 else ("",)
    lines = [*notes, *(side + picture.label for side, picture in zip(sides, found.pictures))]
    for number, line in enumerate(lines):
        _write(line, left, bottom + number * 17 * scale, scale)


def _write(text: str, x: float, y: float, scale: float) -> None:
    blf.size(0, 12 * scale)
    blf.enable(0, blf.SHADOW)
    blf.shadow(0, 3, 0.0, 0.0, 0.0, 0.9)
    blf.shadow_offset(0, 1, -1)
    blf.color(0, 1.0, 1.0, 1.0, 1.0)
    blf.position(0, x, y, 0)
    blf.draw(0, readable(text))
    blf.disable(0, blf.SHADOW)
