"""What Blender writes on a disk that is full is not taken for whole."""

import shutil
from types import SimpleNamespace

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import blender_files, export, whole_files
from bl_ext.dev.fathom.scene import depth as depth_module
from bl_ext.dev.fathom.scene.problems import Problem


def write_grid(path):
    group = bpy.data.node_groups.new("Cube", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    cube, output = group.nodes.new("GeometryNodeVolumeCube"), group.nodes.new("NodeGroupOutput")
    group.links.new(cube.outputs[0], output.inputs[0])
    thing = bpy.data.objects.new("Cube", bpy.data.volumes.new("Cube"))
    bpy.context.scene.collection.objects.link(thing)
    thing.modifiers.new("Cube", "NODES").node_group = group
    assert thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.grids.save(path)


EXPORTERS = {
    ".vdb": write_grid,
    ".usdc": lambda path: bpy.ops.wm.usd_export(filepath=path),
    ".abc": lambda path: bpy.ops.wm.alembic_export(filepath=path, start=1, end=1),
    ".ply": lambda path: bpy.ops.wm.ply_export(filepath=path, export_uv=True),
    ".png": lambda path: depth_maker.write_png(path, np.zeros((8, 8, 3))),
}


@pytest.mark.parametrize("ending", EXPORTERS)
def test_a_file_is_whole_or_it_is_said(empty_file, tmp_path, ending):
    bpy.ops.mesh.primitive_uv_sphere_add(segments=8, ring_count=6)
    path = tmp_path / f"thing{ending}"
    EXPORTERS[ending](str(path))
    whole_files.require(path)
    data = path.read_bytes()
    shorter = [data[:-1], data[: len(data) // 2], data[:40], b""]
    if ending == ".abc":  # which is not marked as closed then
        shorter = [data[:5] + b"\0" + each[6:] for each in shorter]
    if ending == ".vdb":  # as Blender leaves it, which says that it is saved
        at = data.index(b"Tree_float_5_4_3") + 20
        shorter.append(data[:at] + bytes(24) + data[at + 24 :])
    for each in shorter:
        path.write_bytes(each)
        with pytest.raises(OSError, match="is not whole; the disk may be full"):
            whole_files.require(path)


def exported_on_a_disk(tmp_path, monkeypatch, *, free):
    """A depth sequence and an export of it, where so many bytes are free."""
    depth = depth_module.load(
        depth_maker.make(tmp_path / "a", camera=lambda n: depth_maker.dolly(n, width=24, height=16, focal_length=26.0))
    )
    wanted = export.wanted(depth, {"directory": str(tmp_path / "out"), "format": "CHAN"}, scene=bpy.context.scene)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(whole_files.shutil, "disk_usage", lambda folder: usage._replace(free=free))
    return depth, wanted


def test_alembic_is_not_begun_where_the_disk_is_nearly_full(empty_file, tmp_path, monkeypatch):
    depth, wanted = exported_on_a_disk(tmp_path, monkeypatch, free=500_000)
    with pytest.raises(Problem, match="up to 1 MB are needed, and 0 MB are free"):
        blender_files.write(depth, wanted, "alembic", scene=bpy.context.scene)
    assert not list((tmp_path / "out").iterdir()) and len(bpy.data.scenes) == 1


def test_usd_on_a_full_disk_is_said_to_lack_room(empty_file, tmp_path, monkeypatch):
    """It says that it finds no suitable plugin."""
    depth, wanted = exported_on_a_disk(tmp_path, monkeypatch, free=0)

    def fail(**_options):
        raise RuntimeError("Error: USD Export: unable to find suitable USD plugin to write it")

    monkeypatch.setattr(bpy, "ops", SimpleNamespace(wm=SimpleNamespace(usd_export=fail)))
    with pytest.raises(Problem, match="up to 1 MB are needed, and 0 MB are free"):
        blender_files.write(depth, wanted, "usd", scene=bpy.context.scene)
    assert not list((tmp_path / "out").iterdir())
