"""Fog as OpenVDB grids: read back, filled in front of what was filmed and empty behind it."""

import contextlib
import math

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import blender_files, export, fog_grid, fog_look, memory, nodes
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import fog as fogs
from bl_ext.dev.fathom.scene.fog_grid import Grid
from bl_ext.dev.fathom.scene.problems import Problem

SIZE = (24, 15)
NEAR, FAR = 2.0, 6.0
DENSITY = 0.25


def filmed(frames, **more):
    lens = {"focal_length": 26.0, "principal_point": (12.5, 6.0), "distortion": (-0.1, 0.02)}
    return depth_maker.dolly(frames, width=SIZE[0], height=SIZE[1], **lens, **more)


def two_walls(frame, width, height):
    """A near wall left, a far one right."""
    return np.repeat(1 / np.where(np.arange(width) < width // 2, NEAR, FAR)[None], height, axis=0)


@pytest.fixture
def built(shared_file, tmp_path):
    depth = depths.load(depth_maker.make(tmp_path / "a", size=SIZE, camera=filmed, disparity=two_walls))
    shot = depth.done_shot_at(1)
    fog = fogs.build_fog(depth, shot, cameras.build_camera(depth, shot, scene=shared_file), density=DENSITY)
    nodes.set_modifier_input(fog.modifiers[0], "Start", 0.5)
    return depth, shot, fog


def openvdb():
    """Blender's own module; 4.2 as a module has none."""
    if bpy.app.version >= (4, 5):
        bpy.utils.expose_bundled_modules()
    return pytest.importorskip("openvdb")


def read(path):
    """Centers [N, 3] and values [N] of the voxels of a file, those inside of its box that are empty too."""
    (grid,), _ = openvdb().readAll(str(path))
    assert grid.name == "density"
    low, high = grid.evalActiveVoxelBoundingBox()
    counts = [b - a + 3 for a, b in zip(low, high)]
    values = np.zeros(counts, np.float32)
    grid.copyToArray(values, ijk=[a - 1 for a in low])
    index = np.stack(np.meshgrid(*(np.arange(n) + a - 1 for n, a in zip(counts, low)), indexing="ij"), axis=-1)
    origin = np.array(grid.transform.indexToWorld((0, 0, 0)))
    step = np.array(grid.transform.voxelSize())
    return index.reshape(-1, 3) * step + origin, values.ravel(), float(step[0])


def in_camera(points, fog):
    """Points of the world in the camera's axes, in units of the depth."""
    matrix = np.array(fog.matrix_world.inverted())
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def seen_at(points, camera):
    """Place in the maps, in pixels from the top left corner, of points in the camera's axes, and their distance."""
    z = -points[:, 2]
    x, y = points[:, 0] / z, -points[:, 1] / z
    k1, k2 = camera.distortion
    bent = 1 + k1 * (x**2 + y**2) + k2 * (x**2 + y**2) ** 2
    cx, cy = camera.principal_point
    return x * bent * camera.focal_length + cx + 0.5, y * bent * camera.focal_length + cy + 0.5, z


@pytest.mark.parametrize("in_camera_space", [False, True])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_voxels_are_filled_in_front_of_surfaces_and_empty_behind(built, shared_file, tmp_path, in_camera_space, scale):
    depth, shot, fog = built
    rig = cameras.find_rig(depth, shot, shared_file)
    rig[cameras.SCALE], rig.location, rig.rotation_euler = scale, (1.0, 2.0, 3.0), (0.1, 0.2, 0.7)
    rig.update_tag()
    shared_file.frame_set(3)
    fog_grid.write_grid(fog, tmp_path / "a.vdb", Grid(count=96, in_camera=in_camera_space), scene=shared_file)
    points, values, voxel = read(tmp_path / "a.vdb")
    points = points / scale if in_camera_space else in_camera(points, fog)
    points, values, voxel = points[points[:, 2] < -0.1], values[points[:, 2] < -0.1], voxel / scale
    column, row, z = seen_at(points, shot.camera)
    inside = (column > 0.2) & (column < SIZE[0] - 0.2) & (row > 0.2) & (row < SIZE[1] - 0.2)
    surface = np.where(column < SIZE[0] // 2, NEAR, FAR)
    off_edge = np.abs(column - SIZE[0] // 2) > 0.2
    filled = inside & off_edge & (z > 0.5 + 0.6 * voxel) & (z < surface - 0.6 * voxel)
    assert filled.sum() > 5000
    assert np.allclose(values[filled], DENSITY / scale, rtol=1e-3)
    behind = off_edge & (z > surface + 0.6 * voxel)
    outside = (
        (column < -0.2) | (column > SIZE[0] + 0.2) | (row < -0.2) | (row > SIZE[1] + 0.2) | (z < 0.5 - 0.6 * voxel)
    )
    assert behind.sum() > 1000 and not values[behind].any()
    assert not values[outside].any()


def test_the_grid_has_the_whole_fog_of_the_mesh(built, shared_file, tmp_path):
    """Its mass is that of the mesh's body, whose sides are slopes."""
    _, _, fog = built
    import bmesh

    shared_file.frame_set(1)
    fog_grid.write_grid(fog, tmp_path / "a.vdb", Grid(count=96), scene=shared_file)
    _, values, voxel = read(tmp_path / "a.vdb")
    mesh = bmesh.new()
    mesh.from_mesh(fog.evaluated_get(shared_file.view_layers[0].depsgraph).data)
    # The body is a pixel of the maps wider on every side, and slopes where the walls meet.
    assert values.sum() * voxel**3 / DENSITY == pytest.approx(mesh.calc_volume(), rel=0.2)
    mesh.free()


def test_layer_noise_and_farthest_are_in_the_grid(built, shared_file, tmp_path):
    _, _, fog = built
    shared_file.frame_set(1)
    values = {"By Height": 1.0, "Floor Height": -0.2, "Top": 0.2, "Height Falloff": 0.1}
    fog_look.set_look(fog_look.look_of(fog), values)
    fog_grid.write_grid(fog, tmp_path / "a.vdb", Grid(voxel=0.1, farthest=4.0), scene=shared_file)
    points, values, voxel = read(tmp_path / "a.vdb")
    assert voxel == pytest.approx(0.1)
    assert -in_camera(points[values > 0], fog)[:, 2].min() <= 4.0 + 0.06
    height = points[:, 2]
    assert values[height < 0].max() == pytest.approx(DENSITY, rel=1e-3)
    high = (height > 0.2) & (values > 0)
    assert high.any() and values[high].max() <= DENSITY * math.exp(-2.0) * 1.01
    fog_look.set_look(fog_look.look_of(fog), {"By Height": 0.0, "Noise Amount": 1.0, "Noise Scale": 2.0})
    fog_grid.write_grid(fog, tmp_path / "b.vdb", Grid(voxel=0.1), scene=shared_file)
    _, values, _ = read(tmp_path / "b.vdb")
    assert values.max() > 1.5 * DENSITY and np.std(values[values > 0]) > 0.2 * DENSITY


def test_a_file_for_each_frame_and_nothing_left_in_the_scene(built, shared_file, tmp_path):
    depth, _shot, _fog = built
    kinds = ("objects", "volumes", "scenes", "meshes")
    before = {kind: len(getattr(bpy.data, kind)) for kind in kinds}
    values = {"directory": str(tmp_path / "out"), "format": "FOG_VDB", "frames": "2-3"}
    wanted = export.wanted(depth, values, scene=shared_file)
    paths = blender_files.write(depth, wanted, "fog_vdb", scene=shared_file, grid=Grid(count=24))
    assert [path.name for path in paths] == ["plate_fog.0002.vdb", "plate_fog.0003.vdb"]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert {kind: len(getattr(bpy.data, kind)) for kind in kinds} == before
    assert shared_file.frame_current == 1
    with pytest.raises(Problem, match="exists already"):
        blender_files.write(depth, wanted, "fog_vdb", scene=shared_file)
    volume = bpy.data.volumes.new("read")
    volume.filepath = str(paths[0])
    assert volume.grids.load() and [grid.name for grid in volume.grids] == ["density"]
    bpy.data.volumes.remove(volume)


def test_what_cannot_be_a_grid(built, shared_file, tmp_path, monkeypatch):
    _, _, fog = built
    path = tmp_path / "a.vdb"

    def fails(words, grid=Grid(count=64)):
        with pytest.raises(Problem, match=words):
            fog_grid.write_grid(fog, path, grid, scene=shared_file)
        assert not path.exists() and not bpy.data.volumes

    fails("Voxels must be 8 to 4096, not 3", Grid(count=3))
    fails("must be lengths", Grid(voxel=math.nan))
    with monkeypatch.context() as patch:
        patch.setattr(memory, "free_bytes", lambda: 1000)
        fails(r"takes .* GB of memory, and 0.0 GB are free: choose fewer or larger voxels")
    tree = nodes.material_tree(nodes.modifier_input(fog.modifiers[0], "Material"))
    look = fog_look.look_of(fog)
    link = tree.links.new(tree.nodes.new("ShaderNodeValue").outputs[0], look.inputs["Density"])
    fails("Density of plate Fog is fed by nodes of your own")
    tree.links.remove(link)
    nodes.set_modifier_input(fog.modifiers[0], "Map Width", 7)
    fails("shows nothing at frame 1")


def test_without_fog_there_is_nothing_to_write(shared_file, tmp_path):
    depth = depths.load(depth_maker.make(tmp_path / "a", camera=filmed))
    wanted = export.wanted(depth, {"directory": str(tmp_path / "out"), "format": "FOG_VDB"}, scene=shared_file)
    with pytest.raises(Problem, match="press Fog Volume first"):
        blender_files.write(depth, wanted, "fog_vdb", scene=shared_file)
    assert not (tmp_path / "out").exists()


def test_what_has_no_size_or_no_end_is_a_sentence(built, tmp_path):
    _depth, _shot, fog = built
    fog.delta_scale = (0.0, 0.0, 0.0)
    with pytest.raises(Problem, match="is scaled to nothing"):
        fog_grid.write_grid(fog, tmp_path / "fog.vdb", Grid(count=16), scene=bpy.context.scene)
    fog.delta_scale = (1.0, 1.0, 1.0)
    fog.delta_location.x = math.inf
    with pytest.raises(Problem, match="reaches to infinity"):
        fog_grid.write_grid(fog, tmp_path / "fog.vdb", Grid(count=16), scene=bpy.context.scene)


@pytest.mark.parametrize("far", [1e9, 1e20, 1e37, 3e38])
@pytest.mark.parametrize("voxel", [0.0, 1e-30, 1.0, 1e30])
def test_fog_at_the_end_of_the_world_is_a_sentence(built, tmp_path, far, voxel):
    """There all of it may be one point, or beyond all numbers."""
    _, _, fog = built
    fog.delta_location = (far, far, far)
    with pytest.raises(Problem) if voxel < 1e-9 and far > 1e9 else contextlib.suppress(Problem):
        fog_grid.write_grid(fog, tmp_path / "fog.vdb", Grid(count=8, voxel=voxel), scene=bpy.context.scene)


def test_a_grid_that_is_not_whole_is_no_grid(built, tmp_path, monkeypatch):
    depth, _shot, _fog = built
    write = blender_files.write_grid

    def full(fog, path, *arguments, **options):
        write(fog, path, *arguments, **options)
        path.write_bytes(path.read_bytes()[:2000])  # as on a full disk, of which Blender says nothing

    monkeypatch.setattr(blender_files, "write_grid", full)
    values = {"directory": str(tmp_path / "out"), "format": "FOG_VDB", "frames": "1"}
    made = export.wanted(depth, values, scene=bpy.context.scene)
    with pytest.raises(Problem, match="a file is not whole; the disk may be full"):
        blender_files.write(depth, made, "fog_vdb", scene=bpy.context.scene, grid=Grid(count=16))
    assert not list((tmp_path / "out").iterdir())
