"""Fog in a rendered scene: Cycles' own, in which the scene itself stands, and Fathom's over the plate by true depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from . import clips, images, still_life
from .render import calibration, camera_to_world, quiet

Image = NDArray[np.floating]

DENSITY, ALBEDO = 0.035, (0.95, 0.96, 0.98)
"""Of real fog, per meter, and the share of the light that it scatters."""
_BANK = ((0.0, 12.0, 4.0), (70.0, 80.0, 12.0))
"""Middle and size of the bank of real fog in meters."""
_LIFT = 1.0
"""How far the rig is raised, so that it counts as leveled; the camera stands where the scene's stood."""
_WORLD = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
"""Blender's world (z up, y ahead) in OpenCV's (y down, z ahead)."""


@dataclass(frozen=True)
class Filmed:
    """A frame of a scene: its image linear [H, W, 3], true distance [H, W], and what Fathom built of it.

    The scene has its lamps and its sky still; its meshes are not rendered any more.
    """

    scene: bpy.types.Scene
    image: Image
    depth: Any
    shot: Any
    fog: bpy.types.Object
    mesh: bpy.types.Object


def render_real(scene: bpy.types.Scene, scratch: Path, *, samples: int) -> Image:
    """The scene in real fog: a bank of even, scattering fog, through which all its light goes as well."""
    (middle, size) = _BANK
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=middle)
    bank = bpy.context.object
    bank.scale = size
    material = bpy.data.materials.new("Bank")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    volume, output = tree.nodes.new("ShaderNodeVolumePrincipled"), tree.nodes.new("ShaderNodeOutputMaterial")
    volume.inputs["Density"].default_value = DENSITY
    volume.inputs["Color"].default_value = (*ALBEDO, 1.0)
    tree.links.new(volume.outputs["Volume"], output.inputs["Volume"])
    bank.data.materials.append(material)
    scene.cycles.volume_bounces = 2
    image = _render(scene, scratch, samples)
    bpy.data.objects.remove(bank)
    return image


def film(folder: Path, name: str, width: int, *, samples: int, real: int) -> tuple[Filmed, Image]:
    """Render the middle frame of a clip's scene, as it is and in real fog of `real` samples, and build fog of it."""
    from bl_ext.dev.fathom.scene import camera, fog, mesh
    from bl_ext.dev.fathom.scene import depth as depths

    folder.mkdir(parents=True, exist_ok=True)
    clip = clips.CLIPS[name]
    shot = clip.shots[0]
    scene = shot.build(frames=shot.length)
    height = width * clip.height // clip.width
    _set_up(scene, width, height)
    frame = shot.first + shot.frames // 2
    scene.frame_set(frame)
    taken, pose = scene.camera, camera_to_world(scene.camera)
    lens = calibration(taken.data, width, height)
    scene.cycles.use_denoising, scene.cycles.samples = False, 1
    _, distance = still_life.channels(scene, folder, 1)
    image = _render(scene, folder, samples)
    seen = render_real(scene, folder, samples=real)
    raised = Matrix.Translation((0.0, 0.0, -_LIFT))
    made = still_life.write_sequence(
        folder, image, distance, focal_length=float(lens[0, 0]), pose=_WORLD @ np.array(raised) @ pose
    )
    for thing in scene.objects:
        thing.hide_render = thing.hide_render or thing.type == "MESH"
    depth = depths.load(made, frame_offset=frame - 1)
    only = depth.sequence.shots[0]
    eye = camera.build_camera(depth, only, scene=scene, plate=False)
    eye.parent.location.z = _LIFT
    return Filmed(scene, image, depth, only, fog.build_fog(depth, only, eye), mesh.build_mesh(depth, only, eye)), seen


def by_volume(filmed: Filmed, scratch: Path, *, samples: int, ambient: float, color: Image | None = None) -> Image:
    """The plate in Fathom's fog volume of the real fog's density; `color` is that of its own light."""
    from bl_ext.dev.fathom.scene import fog_look, nodes

    values: dict[str, Any] = {"Density": DENSITY, "Ambient": ambient, "Color": (*ALBEDO, 1.0), "By Height": 0.0}
    if color is not None:
        bright = float(max(color))
        values |= {"Brightness": bright, "Color": (*(color / bright), 1.0)}
    fog_look.set_look(fog_look.require_look(filmed.fog), values | {"Noise Amount": 0.0, "Anisotropy": 0.0})
    nodes.set_modifier_input(filmed.fog.modifiers[0], "Start", 1e-3)
    return _render(filmed.scene, scratch, samples)


def by_compositing(filmed: Filmed, scratch: Path, color: Image) -> Image:
    """The plate in the compositor's fog of the same density and color."""
    from bl_ext.dev.fathom.scene.compositing import add_fog

    from .effects import Still, composited

    still = Still(filmed.scene, filmed.image, filmed.image[..., 0], filmed.depth)
    add_fog(filmed.scene, filmed.depth, filmed.shot, color=tuple(map(float, color)), density=DENSITY, start=0.0)
    filmed.scene.render.use_compositing = True
    filmed.scene.cycles.use_denoising = False
    image = composited(still, scratch)[..., :3]
    filmed.scene.render.use_compositing = False
    return image


def even_color(filmed: Filmed, real: Image, distance: Image) -> Image:
    """The color that an artist would pick: of all even light, what is nearest to real fog over this plate, [3].

    By least squares of ``plate T + color (1 - T)``, T by the distance.
    """
    through = np.exp(-DENSITY * np.minimum(distance, 1e4))[..., None]
    share = 1.0 - through
    return (share * (real - filmed.image * through)).sum(axis=(0, 1)) / (share**2).sum(axis=(0, 1))


def against_real(folder: Path, name: str, width: int, *, samples: int, real: int) -> dict[str, tuple[float, float]]:
    """Mean structural similarity to real fog and mean difference of what is shown, of Fathom's and of the plate."""
    filmed, wanted = film(folder, name, width, samples=samples, real=real)
    near = np.where(_distance(filmed) > 1e6, 0.0, _distance(filmed))
    distance = np.where(near > 0, near, 4.0 * near.max())
    color = even_color(filmed, wanted, distance)
    shown = {"real": wanted, "plate": filmed.image}
    shown["volume"] = by_volume(filmed, folder, samples=4, ambient=1.0, color=color)
    shown["lit"] = by_volume(filmed, folder, samples=real, ambient=0.0)
    shown["compositing"] = by_compositing(filmed, folder, color)
    shown = {key: still_life.display(each) for key, each in shown.items()}
    for key, each in shown.items():
        images.write_png(folder / f"{key}.png", np.round(255 * each).astype(np.uint8))
    return {
        key: (
            float(still_life.similarity(each, shown["real"]).mean()),
            float(np.abs(each - shown["real"]).mean()),
        )
        for key, each in shown.items()
        if key != "real"
    }


def looks(folder: Path, name: str, width: int, *, samples: int) -> dict[str, Image]:
    """The presets over a rendered scene's plate, and haze that is lit: linear images by name."""
    from bl_ext.dev.fathom.scene import fog, fog_light

    filmed, _ = film(folder, name, width, samples=8, real=1)
    found = {}
    for thing in filmed.scene.objects:
        thing.hide_render = thing.hide_render or thing.type == "LIGHT"
    for preset, lit in (("HAZE", False), ("GROUND_MIST", False), ("SMOKE", False), ("HAZE", True)):
        fog.apply_preset(filmed.depth, filmed.shot, filmed.fog, preset, scene=filmed.scene)
        if lit:
            fog_light.add_light(filmed.fog, filmed.scene)
        found[f"{preset} {lit}"] = _render(filmed.scene, folder, samples * (4 if lit else 1))
    return found


# ------------------------------------------------------------------------------------------------------------ parts


def _distance(filmed: Filmed) -> Image:
    """The true distance, as the depth has it."""
    import OpenEXR
    from bl_ext.dev.fathom.inference.contract.depth_sequence import disparity_name

    with OpenEXR.File(str(filmed.depth.folder / disparity_name(1)), separate_channels=True) as file:
        disparity = np.array(file.channels()["Y"].pixels)
    return np.where(disparity > 0, 1.0 / np.maximum(disparity, 1e-9), math.inf)


def _set_up(scene: bpy.types.Scene, width: int, height: int) -> None:
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.use_compositing = render.use_sequencer = False
    render.dither_intensity = 0.0
    scene.cycles.device, scene.cycles.use_adaptive_sampling, scene.cycles.max_bounces = "CPU", False, 3
    scene.cycles.pixel_filter_type = "BOX"
    if hasattr(scene.cycles, "volume_biased"):
        scene.cycles.volume_biased = True
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"


def _render(scene: bpy.types.Scene, scratch: Path, samples: int) -> Image:
    """Linear [H, W, 3], denoised."""
    scene.cycles.use_denoising = True
    with quiet():
        return still_life.channels(scene, scratch, samples)[0]
