"""Exporting from Blender: the operator, the command, and points that come back where the depth mesh is."""

from pathlib import Path

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import exit_codes
from bl_ext.dev.fathom.operators import command_line
from bl_ext.dev.fathom.scene import current_run, nodes
from bl_ext.dev.fathom.scene.camera import SCALE, rig_above
from geometry_tools import vertices

pytestmark = pytest.mark.usefixtures("empty_file")
SIZE = (24, 16)


def filmed(frames):
    return depth_maker.dolly(
        frames, width=SIZE[0], height=SIZE[1], focal_length=26.0, principal_point=(12.5, 7.0), distortion=(-0.1, 0.02)
    )


def with_sky(frame, width, height):
    values = depth_maker.slanted(frame, width, height)
    values[:3] = 0
    return values


@pytest.fixture
def built(tmp_path):
    """A depth with a mesh whose rig is moved, turned and scaled."""
    folder = depth_maker.make(tmp_path / "a", camera=filmed, disparity=with_sky)
    bpy.ops.fathom.load_depth(directory=str(folder), frame_offset=50)
    bpy.ops.fathom.build_depth_mesh()
    mesh = next(thing for thing in bpy.data.objects if thing.get("fathom_kind") == "mesh")
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
    rig = rig_above(mesh)
    rig[SCALE], rig.location, rig.rotation_euler = 3.0, (1, 2, 3), (0.1, 0.2, 0.3)
    rig.update_tag()
    return mesh


def test_points_lie_on_the_depth_mesh(worker, built, tmp_path):
    assert bpy.ops.fathom.export_depth(format="PLY", directory=str(tmp_path / "out"), frames="4") == {"FINISHED"}
    (path,) = (tmp_path / "out").glob("*.ply")
    assert path.name == "plate_points.0004.ply"
    bpy.ops.wm.ply_import(filepath=str(path))
    cloud = next(thing for thing in bpy.data.objects if thing.name.startswith("plate_points"))
    found = np.array([cloud.matrix_world @ vertex.co for vertex in cloud.data.vertices])
    assert len(found) == SIZE[0] * (SIZE[1] - 3)
    mesh = vertices(built, bpy.context.scene, 54)
    nearest = np.sqrt(((found[:, None] - mesh[None]) ** 2).sum(axis=2).min(axis=1))
    assert nearest.max() < 1e-4 * np.ptp(found, axis=0).max()
    colors = cloud.data.color_attributes[0].data
    assert 0 < colors[0].color[0] < 1 and colors[0].color[3] == 1


@pytest.mark.slow
def test_what_the_call_does_not_name_is_the_scene_s(worker, built, tmp_path):
    chosen = bpy.context.scene.fathom.export
    chosen.format, chosen.directory, chosen.white, chosen.full_size = "PNG", str(tmp_path / "out"), "FAR", False
    assert bpy.ops.fathom.export_depth(frames="2-3") == {"FINISHED"}
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        "plate_depth.0002.png", "plate_depth.0003.png",
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match="not of this export"):
        bpy.ops.fathom.export_depth(frames="2-3", white="NEAR")
    assert current_run.last().outcome == "failed"
    assert bpy.ops.fathom.export_depth(frames="2-3", white="NEAR", overwrite=True) == {"FINISHED"}


def test_a_camera_by_blender(built, tmp_path):
    assert bpy.ops.fathom.export_depth(format="USD", directory=str(tmp_path / "out")) == {"FINISHED"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plate_camera.usdc"]
    with pytest.raises(RuntimeError, match="exists already"):
        bpy.ops.fathom.export_depth(format="USD", directory=str(tmp_path / "out"))


def test_relative_depth_asks_for_near_and_far(worker, tmp_path):
    folder = depth_maker.make(tmp_path / "a", quantity="relative_disparity", camera=filmed)
    with pytest.raises(RuntimeError, match="set Near and Far here"):
        bpy.ops.fathom.export_depth(folder=str(folder), format="EXR", directory=str(tmp_path / "out"))
    assert bpy.ops.fathom.export_depth(
        folder=str(folder), format="EXR", directory=str(tmp_path / "out"), use_near_far=True, near=1, far=3
    ) == {"FINISHED"}
    assert len(list((tmp_path / "out").glob("*.exr"))) == 5


def test_nothing_to_export(tmp_path):
    with pytest.raises(RuntimeError, match="no depth to export"):
        bpy.ops.fathom.export_depth(format="PNG", directory=str(tmp_path))


@pytest.mark.slow
def test_the_command_of_the_worker(worker, tmp_path, capfd):
    folder = depth_maker.make(tmp_path / "a", camera=filmed)
    arguments = ["export", folder, "--format", "chan", "--output", tmp_path / "out"]
    assert command_line.main([*map(str, arguments)]) == exit_codes.OK
    assert len((tmp_path / "out" / "plate_camera.chan").read_text().splitlines()) == 5
    assert command_line.main([*map(str, arguments), "--up", "z"]) == exit_codes.BAD_OUTPUT


@pytest.mark.parametrize("option", [["--format", "alembic"], ["--format=alembic"]])
def test_the_command_of_blender(tmp_path, capsys, option):
    folder = depth_maker.make(tmp_path / "a", camera=filmed)
    arguments = ["export", folder, *option, "--output", tmp_path / "out", "--frames", "2-4", "--scale", "10"]
    assert command_line.main([*map(str, arguments)]) == exit_codes.OK
    path = Path(capsys.readouterr().out.splitlines()[-1])
    assert path == tmp_path / "out" / "plate_camera.abc" and path.stat().st_size > 500
    assert command_line.main([*map(str, arguments)]) == exit_codes.FAILED
    assert "exists already" in capsys.readouterr().out
