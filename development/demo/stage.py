"""The shot in Blender: results of the operators, and images of each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from development.benchmark_scenes import images
from development.benchmark_scenes.render import quiet


@dataclass(frozen=True)
class Stage:
    """The built scene: the shot's objects, and the 1/6 quantile and the median of their distances from the camera."""

    scene: bpy.types.Scene
    camera: bpy.types.Object
    mesh: bpy.types.Object
    fog: bpy.types.Object
    near: float
    middle: float


def build(scene: bpy.types.Scene, *, frame: int, focal_length: float) -> Stage:
    """Build camera, depth mesh and fog of the shot at a scene frame, with the artist's operators.

    `focal_length` is in millimeters on a sensor 36 mm wide, for an estimator without a camera; 0: the estimator's.
    """
    scene.frame_set(frame)
    before = set(bpy.data.objects)
    bpy.ops.fathom.build_camera(fit_render_size=True, focal_length=focal_length)
    bpy.ops.fathom.build_depth_mesh(focal_length=focal_length)
    bpy.ops.fathom.build_fog(focal_length=focal_length)
    made = [obj for obj in bpy.data.objects if obj not in before]
    camera = next(obj for obj in made if obj.type == "CAMERA")
    mesh, fog = (next(obj for obj in made if what in obj.name) for what in ("Mesh", "Fog"))
    _plain_renders(scene)
    return Stage(scene, camera, mesh, fog, *_distances(camera, mesh))


def compose(stage: Stage) -> dict[str, bpy.types.Node]:
    """Put fog, depth of field and the depth matte into the scene's compositor, by their operators."""
    made = {}
    for name in ("fog", "dof", "matte"):
        before = set(_nodes(stage.scene))
        getattr(bpy.ops.fathom, f"add_compositing_{name}")()
        labels = {"fog": "Fog", "dof": "Depth of Field", "matte": "Depth Matte"}
        made[name] = next(node for node in _nodes(stage.scene) if node not in before and node.label == labels[name])
    matte = made["matte"].inputs  # around the image's middle distance
    matte["Target"].default_value, matte["Tolerance"].default_value = stage.middle, 0.15 * stage.middle
    matte["Softness"].default_value = 0.05 * stage.middle
    return made


def render_mesh(stage: Stage, path: Path, *, points: bool = False) -> None:
    """The depth mesh, or the same as points, from beside and above the camera that filmed it."""
    from bl_ext.dev.fathom.scene import nodes

    modifier = stage.mesh.modifiers[0]
    for name, value in {"Point Cloud": points, "Point Radius": 0.5}.items():
        nodes.set_modifier_input(modifier, name, value)
    eye, axes = stage.camera.matrix_world.translation, stage.camera.matrix_world.to_3x3().normalized()
    target = eye + axes @ Vector((0.0, 0.0, -stage.middle))
    position = eye + axes @ Vector((0.12, 0.05, 0.0)) * stage.middle  # seven degrees: what is made up lasts for that
    data = stage.camera.data.copy()
    data.shift_x = data.shift_y = 0.0
    second = bpy.data.objects.new("Second viewpoint", data)
    stage.scene.collection.objects.link(second)
    second.matrix_world = (
        Matrix.Translation(position) @ (target - position).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    )
    hidden = _meanwhile(stage.fog, "hide_render", True)
    with _meanwhile(stage.scene, "camera", second), hidden, _compositing(stage.scene, on=False):
        _render(stage.scene, path, samples=8, world=(0.035, 0.04, 0.05))
    bpy.data.objects.remove(second)
    nodes.set_modifier_input(modifier, "Point Cloud", False)


def render_fog(stage: Stage, path: Path) -> None:
    """The fog volume between the depth mesh and the camera, in soft light from all around."""
    from bl_ext.dev.fathom.scene import nodes

    modifier = stage.mesh.modifiers[0]
    cut = nodes.modifier_input(modifier, "Edge Cut")
    nodes.set_modifier_input(modifier, "Edge Cut", 1.0)  # uncut: nothing but the plate is behind the fog
    with _meanwhile(stage.scene, "camera", stage.camera), _compositing(stage.scene, on=False):
        _render(stage.scene, path, samples=8, world=(0.75, 0.82, 0.9))
    nodes.set_modifier_input(modifier, "Edge Cut", cut)


def render_compositing(stage: Stage, made: dict[str, bpy.types.Node], folder: Path) -> None:
    """Each effect of the compositor alone: ``fog_compositing.png``, ``defocus.png``, ``matte.png``."""
    with _compositing(stage.scene, on=True):
        made["dof"].mute = True
        _render(stage.scene, folder / "fog_compositing.png", samples=1)
        made["dof"].mute, made["fog"].mute = False, True
        _render(stage.scene, folder / "defocus.png", samples=1)
        made["fog"].mute = False
        tree = made["matte"].id_data
        output = next(node for node in tree.nodes if node.bl_idname in ("NodeGroupOutput", "CompositorNodeComposite"))
        target = output.inputs[0]
        previous = target.links[0].from_socket
        tree.links.new(made["matte"].outputs["Matte"], target)
        _render(stage.scene, folder / "matte.png", samples=1)
        tree.links.new(previous, target)


def plate_at(stage: Stage, made: dict[str, bpy.types.Node], frame: int) -> NDArray[np.uint8]:
    """The plate at a scene frame as Blender shows it, uint8 [H, W, 3]: the composition without its effects."""
    previous = stage.scene.frame_current
    stage.scene.frame_set(frame)
    with tempfile.TemporaryDirectory() as folder, _compositing(stage.scene, on=True):
        made["fog"].mute = made["dof"].mute = True
        _render(stage.scene, Path(folder) / "plate.png", samples=1)
        made["fog"].mute = made["dof"].mute = False
        image = images.read_png(Path(folder) / "plate.png")
    stage.scene.frame_set(previous)
    return image


def _plain_renders(scene: bpy.types.Scene) -> None:
    """Render settings that keep a plate unchanged (no view transform, no filter)."""
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.filter_width = 1.0
    scene.render.use_persistent_data = True
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    scene.render.dither_intensity = 0.0
    scene.render.resolution_percentage = 100
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    if hasattr(scene.render, "compositor_device"):
        scene.render.compositor_device = "CPU"


def _render(
    scene: bpy.types.Scene, path: Path, *, samples: int, world: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> None:
    if scene.world is None:
        scene.world = bpy.data.worlds.new("World")
        scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (*world, 1.0)
    scene.cycles.samples = samples
    scene.cycles.use_denoising = samples > 1
    scene.render.filepath = str(path)
    with quiet():
        bpy.ops.render.render(write_still=True)


def _distances(camera: bpy.types.Object, mesh: bpy.types.Object) -> tuple[float, float]:
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    data = evaluated.to_mesh()
    points = np.empty(3 * len(data.vertices), np.float32)
    data.vertices.foreach_get("co", points)
    world: NDArray[np.float64] = np.array(evaluated.matrix_world)
    points_world = points.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
    evaluated.to_mesh_clear()
    ahead = -np.array(camera.matrix_world.to_3x3().normalized())[:, 2]
    near, middle = np.percentile((points_world - np.array(camera.matrix_world.translation)) @ ahead, (100 / 6, 50))
    return float(near), float(middle)


def _nodes(scene: bpy.types.Scene) -> list[bpy.types.Node]:
    tree = getattr(scene, "compositing_node_group", None) or getattr(scene, "node_tree", None)
    return list(tree.nodes) if tree else []


@contextmanager
def _meanwhile(thing: Any, name: str, value: object) -> Iterator[None]:
    """Set a property for a while."""
    previous = getattr(thing, name)
    setattr(thing, name, value)
    yield
    setattr(thing, name, previous)


def _compositing(scene: bpy.types.Scene, *, on: bool) -> AbstractContextManager[None]:
    return _meanwhile(scene.render, "use_compositing", on)
