"""What the tests of camera, mesh and fog share: evaluating objects, rendering with Cycles, the truth in numpy."""

import bpy
import numpy as np


def evaluated(thing, scene, frame):
    """The object as the scene's frame shows it."""
    scene.frame_set(frame)
    return thing.evaluated_get(bpy.context.evaluated_depsgraph_get())


def vertices(thing, scene, frame):
    """World positions [N, 3] of the evaluated mesh's vertices."""
    result = evaluated(thing, scene, frame)
    local = np.empty(3 * len(result.data.vertices), np.float32)
    result.data.vertices.foreach_get("co", local)
    matrix = np.array(result.matrix_world)
    return local.reshape(-1, 3).astype(float) @ matrix[:3, :3].T + matrix[:3, 3]


def attribute(mesh, name, width):
    """A float or vector attribute of a mesh as [N, width]."""
    data = mesh.attributes[name].data
    values = np.empty(len(data) * width, np.float32)
    data.foreach_get("vector" if width > 1 else "value", values)
    return values.reshape(-1, width)


def image_grid(columns, rows):
    """Places (u, v from the bottom) of a map's pixel centers, [columns, rows] each."""
    return np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows, indexing="ij")


def rays(camera, u, v):
    """Rays (x, y, 1) in OpenCV's axes through places of the image (v from the bottom), distortion undone."""
    cx, cy = camera.principal_point
    x = (u * camera.width - 0.5 - cx) / camera.focal_length
    y = ((1 - v) * camera.height - 0.5 - cy) / camera.focal_length
    k1, k2 = camera.distortion
    seen = np.hypot(x, y)
    r = seen.copy()
    for _ in range(50):  # Newton's method on the radius
        r -= (r * (1 + k1 * r**2 + k2 * r**4) - seen) / (1 + 3 * k1 * r**2 + 5 * k2 * r**4)
    share = np.divide(r, seen, out=np.ones_like(r), where=seen > 0)
    return np.stack([x * share, y * share, np.ones_like(x)], axis=-1)


def in_blender(points):
    """Points [N, 3] of OpenCV's world (y down, z ahead) in Blender's (z up, y ahead)."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


def unprojected(camera, pose, u, v, z):
    """Blender world positions [N, 3], rig at rest, of places of the image at their distances."""
    seen = (rays(camera, u, v) * z[..., None]).reshape(-1, 3)
    matrix = np.array(pose.camera_to_world)
    return in_blender(seen @ matrix[:3, :3].T + matrix[:3, 3])


def set_up_cycles(scene, *, size, samples=1):
    """Exact pixels: one thin sample each, no denoising, Standard view, no dither."""
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = False
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.filter_width = 0.01
    if hasattr(scene.cycles, "volume_biased"):
        scene.cycles.volume_biased = True  # from 5.0 uneven volumes are free of bias otherwise, but noisy and slow
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.dither_intensity = 0.0
    scene.render.use_compositing = False
    scene.render.use_sequencer = False
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"


def render(scene, path, frame, *, linear=False):
    """Render a frame; returns [H, W, 4] with the top row first, 8-bit display values or linear floats."""
    scene.frame_set(frame)
    settings = scene.render.image_settings
    settings.file_format = "OPEN_EXR" if linear else "PNG"
    settings.color_mode = "RGBA"
    settings.color_depth = "32" if linear else "8"
    scene.render.filepath = str(path.with_suffix(".exr" if linear else ".png"))
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    image.colorspace_settings.name = "Non-Color"
    image.alpha_mode = "CHANNEL_PACKED"
    width, height = image.size
    values = np.array(image.pixels[:], np.float32).reshape(height, width, 4)[::-1]
    bpy.data.images.remove(image)
    return values if linear else np.round(255 * values)
