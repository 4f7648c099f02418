"""A still scene with things at many distances, and what a perfect estimate of it would be: truth for compositing.

A level camera 1.6 m above a floor looks along Y at posts, balls and a wall that shine by themselves, so that an image
of few samples has no noise. The lens and the lamp of the scene can be Cycles' own, and then the compositor's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from .images import write_png
from .render import quiet

HEIGHT, LENS, SENSOR = 1.6, 50.0, 36.0
"""Of the camera over the floor in meters, of the lens and its sensor in millimeters."""

_NEVER = 1e9


def build(size: tuple[int, int], *, matt: bool = False) -> bpy.types.Scene:
    """Make the scene in an empty file; `matt`: of white, matt surfaces that do not shine, for a lamp."""
    scene = bpy.context.scene
    data = bpy.data.cameras.new("Still Life")
    data.lens, data.sensor_width, data.clip_end = LENS, SENSOR, 1000.0
    camera = bpy.data.objects.new("Still Life", data)
    camera.location, camera.rotation_euler = (0.0, 0.0, HEIGHT), (math.pi / 2, 0.0, 0.0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    _floor(matt)
    _wall(34.0, matt)
    for place, radius, color in (
        ((-0.55, 2.6, 1.05), 0.32, (0.9, 0.35, 0.12)),
        ((0.75, 3.4, 0.95), 0.42, (0.85, 0.75, 0.2)),
        ((0.05, 6.0, 1.1), 0.75, (0.25, 0.6, 0.9)),
        ((-2.3, 9.0, 1.0), 1.0, (0.35, 0.75, 0.35)),
        ((3.2, 14.0, 1.3), 1.3, (0.8, 0.3, 0.5)),
    ):
        bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=32, radius=radius, location=place)
        bpy.ops.object.shade_smooth()
        bpy.context.object.data.materials.append(_material(color, 14.0 * radius, matt))
    for at, x, y in ((0, 0.62, 2.2), (1, -1.35, 6.0), (2, 1.5, 8.0), (3, -3.4, 14.0), (4, 1.2, 20.0), (5, -1.4, 26.0)):
        bpy.ops.mesh.primitive_cylinder_add(vertices=48, radius=0.035 * (1 + at), depth=8.0, location=(x, y, 2.0))
        bpy.context.object.data.materials.append(_material((0.55 + 0.08 * at, 0.5, 0.75 - 0.1 * at), 30.0, matt))
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
    scene.cycles.device, scene.cycles.use_denoising, scene.cycles.use_adaptive_sampling = "CPU", False, False
    scene.cycles.max_bounces, scene.cycles.pixel_filter_type = 0, "BOX"
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    render.dither_intensity = 0.0
    world = bpy.data.worlds.new("Sky")
    scene.world = world
    if world.node_tree is None:
        world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.0, 0.0, 0.0, 1.0)
    return scene


def render_image(scene: bpy.types.Scene, scratch: Path, *, samples: int) -> NDArray[np.float32]:
    """What Cycles renders without compositing, linear [H, W, 3]."""
    return channels(scene, scratch, samples)[0]


def render_depth(scene: bpy.types.Scene, scratch: Path) -> NDArray[np.float32]:
    """Distance of what each pixel's center shows, along the camera's axis, [H, W] in meters."""
    return channels(scene, scratch, 1)[1]


def channels(scene: bpy.types.Scene, scratch: Path, samples: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Linear color [H, W, 3], and the Depth pass of the pixels' first samples, which go through their centers."""
    scene.cycles.samples = samples
    scene.view_layers[0].use_pass_z = True
    settings, before = scene.render.image_settings, scene.render.use_compositing
    scene.render.use_compositing = False
    with quiet():
        bpy.ops.render.render(scene=scene.name)
    scene.render.use_compositing = before
    path = scratch / "passes.exr"
    with multilayer(settings):
        bpy.data.images["Render Result"].save_render(str(path), scene=scene)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        found = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}

    def of(end: str) -> NDArray[np.float32]:
        return np.array(next(pixels for name, pixels in found.items() if name.endswith(end)), np.float32)

    return np.stack([of(f"Combined.{each}") for each in "RGB"], axis=-1), of("Depth.Z")


@contextmanager
def multilayer(settings: bpy.types.ImageFormatSettings) -> Iterator[None]:
    """Save all passes meanwhile, in 32 bits, and PNG again afterwards."""
    has_media = hasattr(settings, "media_type")
    if has_media:
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format, settings.color_depth = "OPEN_EXR_MULTILAYER", "32"
    yield
    if has_media:
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"


def write_sequence(
    folder: Path,
    image: NDArray[np.float32],
    distance: NDArray[np.float32],
    *,
    focal_length: float | None = None,
    pose: NDArray[np.float64] | None = None,
) -> Path:
    """Write a clip of one frame, an image linear [H, W, 3] and its true distance [H, W], as an estimate of it would be.

    Returns the folder of the depth. The plate is a float EXR, and has the image to the bit. `focal_length` in pixels
    and `pose`, camera to world [4, 4] in OpenCV's axes and world, are the still scene's where None.
    """
    from bl_ext.dev.fathom.inference.contract import depth_sequence
    from bl_ext.dev.fathom.inference.contract.camera import Camera, Pose
    from bl_ext.dev.fathom.inference.contract.depth_sequence import DepthSequence, Range, Shot
    from bl_ext.dev.fathom.inference.contract.job import Source

    plate, depth = folder / "plate", folder / "depth"
    plate.mkdir(parents=True, exist_ok=True)
    depth.mkdir(parents=True, exist_ok=True)
    height, width = distance.shape
    kind = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    colors = {name: np.ascontiguousarray(image[..., i], np.float32) for i, name in enumerate("RGB")}
    OpenEXR.File(kind, colors).write(str(plate / "still.0001.exr"))
    disparity = np.where(distance > _NEVER, 0.0, 1.0 / np.maximum(distance, 1e-6)).astype(np.float32)
    OpenEXR.File(kind, {"Y": disparity}).write(str(depth / depth_sequence.disparity_name(1)))
    p1, p99 = np.percentile(disparity[disparity > 0], (1, 99))
    camera = Camera(
        width=width,
        height=height,
        focal_length=focal_length or LENS / SENSOR * width,
        principal_point=((width - 1) / 2, (height - 1) / 2),
        distortion=(0.0, 0.0),
        poses=(Pose(frame=1, camera_to_world=tuple(map(tuple, (np.eye(4) if pose is None else pose).tolist()))),),
    )
    values = Range(minimum=float(disparity.min()), maximum=float(disparity.max()), p1=float(p1), p99=float(p99))
    sequence = DepthSequence(
        source=Source(kind="sequence", path=str(plate), files=("still.0001.exr",), width=width, height=height),
        first_frame=1,
        last_frame=1,
        width=width,
        height=height,
        quantity="inverse_depth",
        shots=(Shot(first_frame=1, last_frame=1, status="done", range=values, camera=camera),),
        estimator="truth",
        fingerprint="truth",
    )
    depth_sequence.save(sequence, depth)
    return depth


def similarity(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Structural similarity of two images [H, W, 3] in 0..1 in each pixel, the mean of the channels.

    As Wang et al. 2004, equation 13, with a Gaussian window of 1.5 pixels.
    """
    first, second = (np.clip(np.asarray(each, np.float64), 0.0, 1.0) for each in (one, other))
    mean = [_windowed(each) for each in (first, second)]
    variance = [_windowed(each * each) - m * m for each, m in zip((first, second), mean)]
    covariance = _windowed(first * second) - mean[0] * mean[1]
    upper = (2.0 * mean[0] * mean[1] + 1e-4) * (2.0 * covariance + 9e-4)
    lower = (mean[0] ** 2 + mean[1] ** 2 + 1e-4) * (variance[0] + variance[1] + 9e-4)
    return (upper / lower).mean(axis=-1)


def display(linear: NDArray[np.floating]) -> NDArray[np.float64]:
    """Linear light as it is shown, sRGB in 0..1."""
    light = np.clip(linear, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def write_image(path: Path, linear: NDArray[np.floating]) -> None:
    """Write linear light [H, W, 3] as a PNG."""
    write_png(path, np.round(255.0 * display(linear)).astype(np.uint8))


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(values, [(5, 5) if each == axis else (0, 0) for each in range(values.ndim)], mode="edge")
        length = values.shape[axis]
        values = sum(w * np.take(padded, np.arange(length) + i, axis=axis) for i, w in enumerate(weights))
    return values


def _floor(matt: bool) -> None:
    bpy.ops.mesh.primitive_plane_add(size=120.0, location=(0.0, 40.0, 0.0))
    bpy.context.object.data.materials.append(_material((0.45, 0.42, 0.38), 1.0, matt))


def _wall(y: float, matt: bool) -> None:
    bpy.ops.mesh.primitive_plane_add(size=120.0, location=(0.0, y, 0.0), rotation=(math.pi / 2, 0.0, 0.0))
    bpy.context.object.data.materials.append(_material((0.3, 0.45, 0.65), 0.8, matt))


def _material(color: tuple[float, float, float], scale: float, matt: bool) -> bpy.types.Material:
    """A checker in a color and its half, that shines; or matt and evenly white."""
    material = bpy.data.materials.new("Still Life")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    if matt:
        surface = tree.nodes.new("ShaderNodeBsdfDiffuse")
        surface.inputs["Color"].default_value = (0.8, 0.8, 0.8, 1.0)
        tree.links.new(surface.outputs["BSDF"], output.inputs["Surface"])
        return material
    surface, checker = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeTexChecker")
    place = tree.nodes.new("ShaderNodeTexCoord")
    checker.inputs["Scale"].default_value = scale
    checker.inputs["Color1"].default_value = (*color, 1.0)
    checker.inputs["Color2"].default_value = (*(0.35 * each for each in color), 1.0)
    tree.links.new(place.outputs["Object"], checker.inputs["Vector"])
    tree.links.new(checker.outputs["Color"], surface.inputs["Color"])
    tree.links.new(surface.outputs["Emission"], output.inputs["Surface"])
    return material
