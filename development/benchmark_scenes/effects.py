"""Compositing effects on a still scene of known distances: timed, compared with Cycles, and as images for the pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from . import images, still_life
from .render import quiet

Image = NDArray[np.floating]


@dataclass(frozen=True)
class Still:
    """The scene, its image linear [H, W, 3] and distances [H, W], and a depth of it that was loaded."""

    scene: bpy.types.Scene
    image: Image
    distance: Image
    depth: Any

    @property
    def shot(self) -> Any:
        """The only one."""
        return self.depth.sequence.shots[0]


def still(folder: Path, size: tuple[int, int], *, samples: int, matt: bool = False) -> Still:
    """Render the still scene in an empty file, and load its depth."""
    from bl_ext.dev.fathom.scene import depth as depths

    folder.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = still_life.build(size, matt=matt)
    distance = still_life.render_depth(scene, folder)
    image = still_life.render_image(scene, folder, samples=samples)
    depth = depths.load(still_life.write_sequence(folder, image, distance))
    return Still(scene, image, distance, depth)


def add_camera(shot: Still) -> bpy.types.Object:
    """Build the shot's camera, where the scene's own stands."""
    from bl_ext.dev.fathom.scene import camera

    built = camera.build_camera(shot.depth, shot.shot, scene=shot.scene, plate=False, scene_camera=False)
    built.parent.location.z = still_life.HEIGHT
    shot.scene.view_layers[0].update()
    return built


def composited(
    shot: Still,
    scratch: Path,
    socket: bpy.types.NodeSocket | None = None,
    *,
    rendered: bpy.types.Object | None = None,
) -> Image:
    """What the compositor makes of the scene, linear [H, W, 4]; with a socket, that output of a node of it.

    Nothing but `rendered` is rendered.
    """
    from bl_ext.dev.fathom.scene import nodes
    from bl_ext.dev.fathom.scene.compositing import chain, compositor_nodes

    scene, settings = shot.scene, shot.scene.render.image_settings
    chain.clip_image(chain.open_setup(scene, shot.depth, shot.shot))
    if hasattr(scene.render, "compositor_device"):
        scene.render.compositor_device = "CPU"
    scene.cycles.samples = 1
    hidden = [thing for thing in scene.objects if not thing.hide_render]
    output = compositor_nodes.result(compositor_nodes.scene_tree(scene))
    before = output.links[0].from_socket
    if socket is not None:
        nodes.feed(output, socket)
    for thing in hidden:
        thing.hide_render = thing.type != "CAMERA" and thing != rendered
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGBA", "32"
    path = scratch / "composited.exr"
    scene.render.filepath = str(path)
    with quiet():
        bpy.ops.render.render(write_still=True, scene=scene.name)
    for thing in hidden:
        thing.hide_render = False
    nodes.feed(output, before)
    return np.array(OpenEXR.File(str(path)).parts[0].channels["RGBA"].pixels)


def f_stop_for(radius: float, width: int, *, focus: float = 6.0, nearest: float = 2.2) -> float:
    """The f-stop at which the blur of what is nearest has a radius in pixels."""
    lens, sensor = still_life.LENS / 1000.0, still_life.SENSOR / 1000.0
    return lens**2 * abs(1.0 / focus - 1.0 / nearest) / (2.0 * sensor) * width / radius


def add_lens(shot: Still, *, focus: float, f_stop: float, max_blur: float) -> list[bpy.types.Node]:
    """Add Fathom's depth of field; the nodes that it added."""
    from bl_ext.dev.fathom.scene import nodes
    from bl_ext.dev.fathom.scene.compositing import add_depth_of_field

    node = add_depth_of_field(shot.scene, shot.depth, shot.shot, focus_distance=focus, f_stop=f_stop, max_blur=max_blur)
    nodes.input_of(node, "Focal Length").default_value = still_life.LENS
    return [node]


def add_defocus(shot: Still, *, focus: float, f_stop: float, max_blur: float) -> list[bpy.types.Node]:
    """Add Blender's Defocus with the same radii; the nodes that it added."""
    from bl_ext.dev.fathom.scene import nodes
    from bl_ext.dev.fathom.scene.compositing import chain, compositor_nodes

    setup = chain.open_setup(shot.scene, shot.depth, shot.shot)
    added = add_lens(shot, focus=focus, f_stop=f_stop, max_blur=max_blur)
    source = nodes.input_of(added[0], "Image").links[0].from_socket
    defocus = nodes.new(setup.tree, "CompositorNodeDefocus", use_zbuffer=False, scene=shot.scene, blur_max=max_blur)
    compositor_nodes.draft_defocus(defocus, False)
    nodes.feed(nodes.input_of(defocus, "Image"), source)
    nodes.feed(nodes.input_of(defocus, "Z"), nodes.output_of(added[0], "Radius"))
    for link in list(nodes.output_of(added[0], "Image").links):
        nodes.feed(link.to_socket, nodes.output_of(defocus, "Image"))
    return [defocus, *added]


def take_out(shot: Still, added: list[bpy.types.Node]) -> None:
    """Remove nodes of a chain; the image goes past them."""
    from bl_ext.dev.fathom.scene import nodes

    source = nodes.input_of(added[0], "Image").links[0].from_socket
    for link in list(nodes.output_of(added[0], "Image").links):
        nodes.feed(link.to_socket, source)
    for node in added:
        node.id_data.nodes.remove(node)


def by_cycles(shot: Still, scratch: Path, *, focus: float, f_stop: float, samples: int) -> Image:
    """The scene as Cycles' own lens shows it, linear [H, W, 3]."""
    optics = shot.scene.camera.data.dof
    optics.use_dof, optics.focus_distance, optics.aperture_fstop = True, focus, f_stop
    image = still_life.render_image(shot.scene, scratch, samples=samples)
    optics.use_dof = False
    return image


def against_cycles(folder: Path, size: tuple[int, int], radius: float, samples: int) -> dict[str, float]:
    """Mean structural similarity to Cycles' lens of Fathom's, of Blender's Defocus and of the sharp plate."""
    shot = still(folder, size, samples=64)
    stop = f_stop_for(radius, size[0])
    wanted = still_life.display(by_cycles(shot, folder, focus=6.0, f_stop=stop, samples=samples))
    found, shown = {}, {"wanted": wanted, "sharp": still_life.display(shot.image)}
    for name, add in (("lens", add_lens), ("defocus", add_defocus)):
        added = add(shot, focus=6.0, f_stop=stop, max_blur=math.ceil(radius))
        shown[name] = still_life.display(composited(shot, folder)[..., :3])
        take_out(shot, added)
    for name, image in shown.items():
        images.write_png(folder / f"{name}.png", np.round(255 * image).astype(np.uint8))
        if name != "wanted":
            found[name] = float(still_life.similarity(image, wanted).mean())
    return found


# ------------------------------------------------------------------------------------------------ the pages' images


def make(folder: Path) -> None:
    """The images of docs/compositing.md, and the previews of the asset library in ``previews/`` below the folder."""
    from bl_ext.dev.fathom.scene.compositing import library

    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "scratch"
    shot = still(scratch / "still", _SIZE, samples=32)
    plate = shot.image
    lens = _lens(shot, scratch)
    shown = {
        "compositing-lens": [plate, lens["lens"], lens["cycles"], lens["defocus"]],
        "compositing-fog": [*_fog(shot, scratch)],
        "compositing-light": [*_light(shot, scratch)],
        "compositing-stereo": [*_stereo(shot, scratch)],
        "compositing-more": [*_more(shot, scratch)],
    }
    for name, parts in shown.items():
        write_sheet(folder / f"{name}.jpg", parts, width=_WIDE)
    previews = {
        "comp_fog": shown["compositing-fog"][1],
        "comp_defocus": lens["lens"],
        "comp_matte": shown["compositing-more"][1],
        "comp_merge": _combined(shot, scratch, center=(0.05, 6.0, 1.1), radius=0.88),
        "comp_normals": shown["compositing-light"][0],
        "comp_relight": shown["compositing-light"][3],
        "comp_grade": shown["compositing-more"][0],
        "comp_stereo": shown["compositing-stereo"][3],
        "comp_isolate": shown["compositing-more"][3],
        "comp_refine": _edges(shot.distance),
    }
    (folder / "previews").mkdir(exist_ok=True)
    for asset in library.ASSETS:
        image = previews[asset.kind]
        left = (image.shape[1] - image.shape[0]) // 2
        _write_jpg(folder / "previews" / f"{asset.kind}.jpg", image[:, left : left + image.shape[0]], width=128)
    write_sheet(folder / "compositing.jpg", _overview(scratch / "overview"), width=1024)  # in a file of its own


_SIZE, _WIDE = (640, 360), 840


def _overview(scratch: Path) -> list[Image]:
    """A rendered clip's plate and mist, in fog and with depth of field, its matte, and with a render in it."""
    from bl_ext.dev.fathom.scene import nodes
    from bl_ext.dev.fathom.scene.compositing import (
        add_depth_matte,
        add_depth_of_field,
        add_fog,
        chain,
    )

    from . import fogs

    filmed, _ = fogs.film(scratch, "courtyard", _SIZE[0], samples=16, real=1)
    shot = Still(filmed.scene, filmed.image, filmed.image[..., 0], filmed.depth)
    shot.scene.render.use_compositing, shot.scene.cycles.use_denoising = True, False
    at = (shot.scene, shot.depth, shot.shot)
    node = chain.depth_node(chain.open_setup(*at))
    for name, value in {"Mist Start": 2.0, "Mist Depth": 16.0}.items():
        nodes.input_of(node, name).default_value = value
    mist = composited(shot, scratch, nodes.output_of(node, "Mist"))[..., :3]
    node = add_fog(*at, color=(0.72, 0.78, 0.85), density=0.09, start=3.0)
    fog = composited(shot, scratch)[..., :3]
    take_out(shot, [node])
    ball, eye = shot.scene.objects["Ball"], filmed.fog.parent
    away = -(eye.matrix_world.inverted() @ ball.matrix_world.translation).z
    node = add_depth_of_field(*at, focus_distance=away, max_blur=9.0)
    lens = composited(shot, scratch)[..., :3]
    take_out(shot, [node])
    node = add_depth_matte(*at, target=away, tolerance=2.0, softness=1.0)
    matte = composited(shot, scratch, nodes.output_of(node, "Image"))
    node.id_data.nodes.remove(node)
    combined = _combined(shot, scratch, center=ball.matrix_world.translation, radius=0.8 * max(ball.dimensions))
    return [filmed.image, mist, fog, lens, matte[..., :3] * matte[..., 3:], combined]


def _lens(shot: Still, scratch: Path) -> dict[str, Image]:
    """Either depth of field, and Cycles' own."""
    stop = f_stop_for(12, _SIZE[0])
    made = {"cycles": by_cycles(shot, scratch, focus=6.0, f_stop=stop, samples=48)}
    for name, add in (("lens", add_lens), ("defocus", add_defocus)):
        added = add(shot, focus=6.0, f_stop=stop, max_blur=12)
        made[name] = composited(shot, scratch)[..., :3]
        take_out(shot, added)
    return made


def _fog(shot: Still, scratch: Path) -> tuple[Image, Image]:
    """Even fog, and ground fog."""
    from bl_ext.dev.fathom.scene.compositing import add_fog

    add_camera(shot)
    even = {"color": (0.75, 0.8, 0.85), "density": 0.07, "start": 2.0, "by_height": 0.0}
    ground = {"density": 0.45, "by_height": 1.0, "base_height": 0.1, "height_falloff": 0.35}
    made = []
    for values in (even, even | ground):
        node = add_fog(shot.scene, shot.depth, shot.shot, **values)
        made.append(composited(shot, scratch)[..., :3])
    take_out(shot, [node])
    return made[0], made[1]


def _light(shot: Still, scratch: Path) -> tuple[Image, ...]:
    """Normals, a lamp's light alone, the plate dimmed, and the plate in that light."""
    from bl_ext.dev.fathom.scene import nodes
    from bl_ext.dev.fathom.scene.compositing import add_normals, add_relight

    scene = shot.scene
    add_camera(shot)
    node = add_normals(scene, shot.depth, shot.shot, smoothness=0.0)
    normals = _linear(composited(shot, scratch, nodes.output_of(node, "Color"))[..., :3])
    lamp = bpy.data.objects.new("Key", bpy.data.lights.new("Key", "POINT"))
    lamp.data.energy, lamp.data.color, lamp.location = 700.0, (1.0, 0.72, 0.4), (-1.6, 3.6, 2.6)
    scene.collection.objects.link(lamp)
    node = add_relight(scene, shot.depth, shot.shot, lamp=lamp)
    nodes.input_of(node, "Ambient").default_value = 0.12
    nodes.input_of(node, "Specular").default_value = 0.15
    alone = composited(shot, scratch, nodes.output_of(node, "Light"))[..., :3]
    lit = composited(shot, scratch, nodes.output_of(node, "Image"))[..., :3]
    take_out(shot, [node])
    bpy.data.objects.remove(lamp)
    return normals, alone, 0.12 * shot.image, lit


def _stereo(shot: Still, scratch: Path) -> tuple[Image, ...]:
    """Left and right, where the right is filled, and both as red and cyan."""
    from bl_ext.dev.fathom.scene import nodes
    from bl_ext.dev.fathom.scene.compositing import add_stereo

    node = add_stereo(shot.scene, shot.depth, shot.shot, eye_distance=0.16, convergence=6.0)
    left, right, filled = (
        composited(shot, scratch, nodes.output_of(node, name))[..., :3] for name in ("Left", "Right", "Right Filled")
    )
    both = np.concatenate([left[..., :1], right[..., 1:]], axis=-1)
    node.id_data.nodes.remove(node)
    return left, right, filled, both


def _more(shot: Still, scratch: Path) -> tuple[Image, ...]:
    """A grade, a matte, and a ball isolated and taken out."""
    from bl_ext.dev.fathom.scene import nodes
    from bl_ext.dev.fathom.scene.compositing import add_depth_grade, add_depth_matte, add_isolate

    at = (shot.scene, shot.depth, shot.shot)
    node = add_depth_grade(*at, near=2.0, far=25.0, near_gain=(1.1, 0.95, 0.8), far_gain=(0.4, 0.6, 1.1))
    nodes.input_of(node, "Far Saturation").default_value = 0.4
    graded = composited(shot, scratch)[..., :3]
    take_out(shot, [node])
    node = add_depth_matte(*at, target=6.0, tolerance=1.2, softness=0.3)
    matte = composited(shot, scratch, nodes.output_of(node, "Matte"))[..., :3]
    node.id_data.nodes.remove(node)
    node = add_isolate(*at)
    for name, value in {"Nearest": 5.0, "Farthest": 7.0, "Softness": 0.2, "Choke": -2.0}.items():
        nodes.input_of(node, name).default_value = value
    found = [composited(shot, scratch, nodes.output_of(node, name))[..., :3] for name in ("Filled", "Image")]
    node.id_data.nodes.remove(node)
    return graded, matte, found[0], found[1]


def _edges(distance: Image) -> Image:
    """1/Z as a coarse map has it, and right of the middle with sharp edges."""
    near = np.clip(np.percentile(distance, 1) / distance, 0, 1)
    coarse, size = near.copy(), 10
    for top in range(0, near.shape[0], size):
        for left in range(0, near.shape[1] // 2, size):
            block = np.s_[top : top + size, left : left + size]
            coarse[block] = near[block].mean()
    return np.repeat(coarse[..., None], 3, axis=2)


def _combined(shot: Still, scratch: Path, *, center: tuple[float, float, float], radius: float) -> Image:
    """A ring around a ball."""
    from bl_ext.dev.fathom.scene.compositing import add_z_combine

    bpy.ops.mesh.primitive_torus_add(
        location=center,
        rotation=(0.5, 0.4, 0.0),
        major_radius=1.2 * radius,
        minor_radius=0.1 * radius,
        major_segments=96,
    )
    ring = bpy.context.object
    material = bpy.data.materials.new("Ring")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    shine, output = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    shine.inputs["Color"].default_value = (0.9, 0.06, 0.04, 1.0)
    tree.links.new(shine.outputs["Emission"], output.inputs["Surface"])
    ring.data.materials.append(material)
    add_z_combine(shot.scene, shot.depth, shot.shot)
    return composited(shot, scratch, rendered=ring)[..., :3]


def _linear(shown: Image) -> Image:
    """What is shown as these values."""
    values = np.clip(shown, 0.0, 1.0)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def write_sheet(path: Path, parts: list[Image], *, width: int) -> None:
    """Write linear images of one size, two in a row, as a JPG so wide."""
    rows = [np.concatenate(parts[i : i + 2], axis=1) for i in range(0, len(parts), 2)]
    _write_jpg(path, np.concatenate(rows), width=width)


def _write_jpg(path: Path, linear: Image, *, width: int) -> None:
    """Write linear light [H, W, 3] as a JPG so wide."""
    images.write_jpg(path, np.round(255.0 * still_life.display(linear)).astype(np.uint8), width=width, quality=62)
