"""Z Combine against the truth: a scene and a render in it, rendered by Cycles together, and combined by depth.

Everything shines by itself, so neither throws light or shadow on the other and only the edges can differ.
"""

import bpy
import compositor
import depth_maker
import numpy as np
import OpenEXR
import pytest
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes, refine
from bl_ext.dev.fathom.scene.compositing import add_z_combine, compositor_nodes
from bl_ext.dev.fathom.scene.compositing.z_combine import KIND
from mathutils import Matrix, Vector

ALLOWED = 5 / 255


def material(name, dark, light, *, scale):
    """An emission with a pattern of two colors."""
    made = bpy.data.materials.new(name)
    tree = nodes.material_tree(made)
    tree.nodes.clear()
    noise = tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = scale
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    colors = [socket for socket in mix.inputs if socket.type == "RGBA"]
    colors[0].default_value, colors[1].default_value = (*dark, 1), (*light, 1)
    emission, out = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    place = tree.nodes.new("ShaderNodeTexCoord")
    tree.links.new(place.outputs["Object"], noise.inputs["Vector"])
    tree.links.new(noise.outputs[0], mix.inputs[0])
    tree.links.new(next(s for s in mix.outputs if s.type == "RGBA"), emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], out.inputs["Surface"])
    return made


def shape(kind, name, look, *, at, **size):
    getattr(bpy.ops.mesh, f"primitive_{kind}_add")(location=at, **size)
    made = bpy.context.object
    made.name = name
    made.data.materials.append(look)
    return made


def build(scene):
    """A court: floor, wall, pillars, a bush and railings, and a ring that goes through all of them, the render's."""
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    eye, aim = Vector((0.0, -7.0, 1.7)), Vector((0.0, 0.5, 1.1))
    camera.matrix_world = Matrix.Translation(eye) @ (aim - eye).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    scene.camera = camera
    stone = material("stone", (0.10, 0.09, 0.08), (0.28, 0.25, 0.22), scale=6)
    leaf = material("leaf", (0.05, 0.14, 0.05), (0.12, 0.30, 0.09), scale=9)
    plaster = material("plaster", (0.42, 0.36, 0.28), (0.62, 0.55, 0.45), scale=4)
    shape("plane", "floor", stone, at=(0, 2, 0), size=24)
    shape("cube", "wall", plaster, at=(0, 6, 3), scale=(12, 0.2, 4))
    for x, y in ((-1.7, -1.0), (0.5, 0.3), (2.2, -0.6)):
        shape("cylinder", "pillar", stone, at=(x, y, 1.5), radius=0.22, depth=3.0)
    shape("uv_sphere", "bush", leaf, at=(-0.5, -1.4, 0.45), radius=0.45, segments=48, ring_count=24)
    for x in np.arange(-2.4, 2.5, 0.3):
        shape("cylinder", "railing", leaf, at=(float(x), -2.2, 0.8), radius=0.025, depth=1.6)
    red = material("red", (0.55, 0.05, 0.03), (0.80, 0.16, 0.06), scale=3)
    ring = shape("torus", "ring", red, at=(0.3, 0.1, 1.15), major_radius=1.5, minor_radius=0.2, major_segments=96)
    ring.rotation_euler = (1.2, 0.3, 0.2)
    return ring


def rendered(scene, folder, size, samples, *, transparent=False):
    """Color [H, W, 4] and Z [H, W] of the scene as it is, without its compositor."""
    compositor.prepare(scene, size)
    scene.cycles.samples = samples
    scene.render.film_transparent = transparent
    scene.view_layers[0].use_pass_z = True
    scene.render.use_compositing = False
    settings, path = scene.render.image_settings, folder / "passes.exr"
    has_media = hasattr(settings, "media_type")  # from 5.0
    if has_media:
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    if has_media:
        settings.media_type = "IMAGE"
    with OpenEXR.File(str(path), separate_channels=True) as file:
        found = {name: np.array(each.pixels) for part in file.parts for name, each in part.channels.items()}
    color = np.stack([next(v for n, v in found.items() if n.endswith(f"Combined.{c}")) for c in "RGBA"], axis=-1)
    return color, next(v for n, v in found.items() if n.endswith("Depth.Z"))


def display(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def filmed(scene, ring, folder, size, samples):
    """The court with the ring and without it [H, W, 4], and its Z in half the size."""
    together, _ = rendered(scene, folder, size, samples)
    ring.hide_render = True
    plate, _ = rendered(scene, folder, size, samples)
    _, z = rendered(scene, folder, tuple(side // 2 for side in size), 1)
    return together, plate, z


def measured(scene, folder, size, samples, renders, use=lambda depth: depth):
    """Share of pixels that differ, and the two images; `use` may give the depth to combine by another one.

    `renders` keeps what is rendered without a depth.
    """
    ring = build(scene)
    scene.view_settings.view_transform = "Standard"
    half = tuple(side // 2 for side in size)
    if size not in renders:
        renders[size] = filmed(scene, ring, folder, size, samples)
    together, plate, z = renders[size]
    made = depth_maker.make(
        folder / "made",
        size=half,
        plate_size=size,
        frames=range(1, 2),
        disparity=lambda *_: 1 / z,
        image=lambda *_: np.round(255 * display(plate[..., :3])).astype(np.uint8),
    )
    depth = use(depths.load(made))
    for each in scene.objects:
        each.hide_render = each.type == "MESH" and each != ring
    compositor.prepare(scene, size)
    scene.render.use_compositing = True
    scene.cycles.samples = samples
    add_z_combine(scene, depth, depth.sequence.shots[0])
    combined = compositor.render(scene, folder, 1)
    difference = np.abs(display(combined[..., :3]) - display(together[..., :3])).max(axis=2)
    return (difference > ALLOWED).mean(), display(combined[..., :3]), display(together[..., :3]), difference


@pytest.fixture(scope="module")
def renders():
    return {}


def test_a_render_between_filmed_things_looks_as_if_it_were_there(tmp_path, empty_file, renders):
    share, combined, together, _ = measured(empty_file, tmp_path, (320, 180), 8, renders)
    assert share <= 0.03
    assert np.abs(combined - together).mean() < 0.005
    node = next(n for n in compositor_nodes.find_scene_tree(empty_file).nodes if n.get("fathom_kind") == KIND)
    if bpy.app.version >= (4, 5, 0):
        assert nodes.input_of(node, "Fringe").default_value == 2


@pytest.mark.slow(seconds=25)
@pytest.mark.parametrize("size", [(960, 540), (1280, 720)])
@pytest.mark.parametrize("is_refined", [False, True])
def test_at_most_a_hundredth_of_the_pixels_differ(tmp_path, empty_file, renders, worker_of_product, size, is_refined):
    use = (lambda depth: refine.refine(depth, {"smooth": 0})) if is_refined else (lambda depth: depth)
    share, *_ = measured(empty_file, tmp_path, size, 32, renders, use)
    assert share <= 0.01


@pytest.fixture
def worker_of_product(inference_python, monkeypatch):
    monkeypatch.setenv("FATHOM_PYTHON", str(inference_python))
