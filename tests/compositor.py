"""Rendering a scene's compositor to numbers, for the tests on Blender's side."""

import bpy
import depth_maker
import numpy as np
import OpenEXR
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import compositor_nodes


def prepare(scene, size, *, percentage=100):
    """Render float EXR of that size, composited on the CPU."""
    render = scene.render
    render.resolution_x, render.resolution_y = size
    render.resolution_percentage = percentage
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_depth = "32"
    render.image_settings.color_mode = "RGBA"
    render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    if hasattr(render, "compositor_device"):
        render.compositor_device = "CPU"  # the GPU compositor, 5.2's default, aborts without a display's driver


def render(scene, folder, frame=None):
    """The composited image at a frame, [H, W, 4] float32 (RGBA), first row at the top."""
    if frame is not None:
        scene.frame_set(frame)
    path = folder / "composited.exr"
    path.unlink(missing_ok=True)
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True, scene=scene.name)
    channels = OpenEXR.File(str(path)).parts[0].channels
    return np.array(channels["RGBA"].pixels)


def show(scene, socket):
    """Let the render's result be that output socket."""
    tree = compositor_nodes.scene_tree(scene)
    nodes.feed(compositor_nodes.result(tree), socket)


def bilinear(values, size):
    """Values [H, W] brought to (width, height), centers of pixels at half-integers, borders extended."""
    height, width = values.shape

    def axis(count, n):
        position = np.clip((np.arange(n) + 0.5) * count / n - 0.5, 0, count - 1)
        first = np.minimum(np.floor(position).astype(int), max(count - 2, 0))
        return first, np.minimum(first + 1, count - 1), position - first

    x0, x1, fx = axis(width, size[0])
    y0, y1, fy = axis(height, size[1])
    fy = fy[:, None]
    top = values[y0][:, x0] * (1 - fx) + values[y0][:, x1] * fx
    bottom = values[y1][:, x0] * (1 - fx) + values[y1][:, x1] * fx
    return top * (1 - fy) + bottom * fy


def linear(srgb):
    """What Blender makes of sRGB values in 0..1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def plate(frame, size):
    """The maker's plate [H, W, 3] as Blender reads it: sRGB brought to scene linear."""
    return linear(depth_maker.smooth_image(frame, *size) / 255.0)


def distance(frame, map_size, plate_size, far_limit):
    """Z of the maker's disparity, as `inverse_depth` with a scale of 1."""
    d = bilinear(depth_maker.slanted(frame, *map_size).astype(np.float32), plate_size)
    return 1.0 / np.maximum(d, 1.0 / far_limit)


def add_card(scene, *, distance, color):
    """A camera, and before it a card at a distance that covers the image's left half."""
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.clip_end = 1000
    scene.collection.objects.link(camera)
    scene.camera = camera
    mesh = bpy.data.meshes.new("card")
    mesh.from_pydata(
        [(-99, -99, -distance), (0, -99, -distance), (0, 99, -distance), (-99, 99, -distance)], [], [(0, 1, 2, 3)]
    )
    card = bpy.data.objects.new("card", mesh)
    scene.collection.objects.link(card)
    material = bpy.data.materials.new("red")
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    light, out = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    light.inputs["Color"].default_value = (*color, 1)
    tree.links.new(light.outputs["Emission"], out.inputs["Surface"])
    mesh.materials.append(material)
    return card


def soften(values):
    """1 2 1 along both axes, borders extended."""
    for axis in (0, 1):
        padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        parts = [np.take(padded, np.arange(values.shape[axis]) + i, axis=axis) for i in range(3)]
        values = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return values


def merged(render, alpha, render_z, plate, z):
    """What `add_z_combine` promises: the nearer on top, the cut smooth over 3x3 rendered pixels; and its Z."""
    rendered = (render_z < 1e9).astype(float)
    nearer = soften(rendered * (render_z < z)) / np.maximum(soften(rendered), 1e-3)
    share = alpha * nearer
    image = render * nearer[..., None] + plate * (1 - share[..., None])
    return image, 1 / (share * rendered / render_z + (1 - share * rendered) / z)
