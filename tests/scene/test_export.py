"""What the artist wants of an export, and cameras that Blender writes, read back by Blender's own importers."""

import os
import struct
import time
from dataclasses import replace

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence, lock
from bl_ext.dev.fathom.inference.contract import export as contract
from bl_ext.dev.fathom.inference.contract.job import JobError
from bl_ext.dev.fathom.scene import blender_files, export, nodes
from bl_ext.dev.fathom.scene import depth as depth_module
from bl_ext.dev.fathom.scene.build import build
from bl_ext.dev.fathom.scene.camera import SCALE, find_camera, find_rig
from bl_ext.dev.fathom.scene.compositing.compositor_nodes import find_scene_tree
from bl_ext.dev.fathom.scene.compositing.depth_group import KIND as COMPOSITOR_DEPTH
from bl_ext.dev.fathom.scene.compositing.tree import Setup
from bl_ext.dev.fathom.scene.problems import Problem
from geometry_tools import vertices
from mathutils import Matrix

pytestmark = pytest.mark.usefixtures("empty_file")
SIZE = (24, 16)


def filmed(frames):
    return depth_maker.dolly(frames, width=SIZE[0], height=SIZE[1], focal_length=26.0, principal_point=(12.5, 7.0))


@pytest.fixture
def depth(tmp_path):
    shots = [(1, 2, "done"), (3, 3, "refused"), (4, 5, "done")]
    return depth_module.load(depth_maker.make(tmp_path / "a", shots=shots, camera=filmed), frame_offset=100)


def wanted(depth, tmp_path, **values):
    values = {"directory": str(tmp_path / "out"), "format": "CHAN"} | values
    return export.wanted(depth, values, scene=bpy.context.scene)


def test_an_export_as_it_stands_in_the_scene(depth, tmp_path):
    scene, shot = bpy.context.scene, depth.sequence.shots[0]
    build(["mesh"], depth, shot, scene=scene)
    rig = find_rig(depth, shot, scene)
    rig[SCALE] = 2.5
    rig.location = (1, 2, 3)
    rig.rotation_euler = (0, 0, 1.0)
    mesh = next(thing for thing in bpy.data.objects if thing.get("fathom_kind") == "mesh")
    nodes.set_modifier_input(mesh.modifiers[0], "Far Limit", 77.0)
    rig.update_tag()
    found = wanted(depth, tmp_path, format="EXR", channel="depth.Z", half=True)
    first, second = found.placements
    assert (first.first_frame, first.line, first.far_limit) == (1, ((1, 1.0, 0.0),), 77)
    assert first.scale == pytest.approx(2.5)
    assert np.allclose(first.world, Matrix.Translation((1, 2, 3)) @ Matrix.Rotation(1.0, 4, "Z"), atol=1e-6)
    assert second.scale == 1 and np.allclose(second.world, np.eye(4)) and second.far_limit != 77
    assert (found.channel, found.half, found.full_size, found.mattes) == ("depth.Z", True, True, None)
    assert found.depth == str(depth.folder)


def test_nothing_is_exported_of_a_scene_whose_time_is_stretched(depth, tmp_path):
    bpy.context.scene.render.frame_map_new = 50
    with pytest.raises(Problem, match="The Time Stretching of Scene moves depth and camera to other frames"):
        wanted(depth, tmp_path, format="FOG_VDB")


def test_near_and_far_of_relative_depth(tmp_path):
    scene = bpy.context.scene
    depth = depth_module.load(depth_maker.make(tmp_path / "a", quantity="relative_disparity", camera=filmed))
    shot = depth.sequence.shots[0]
    with pytest.raises(Problem, match="set Near and Far here"):
        wanted(depth, tmp_path, format="EXR")
    assert wanted(depth, tmp_path, format="PNG").placements
    given = wanted(depth, tmp_path, format="PLY", use_near_far=True, near=2.0, far=4.0).placements[0]
    slope, shift = given.line[0][1:]
    assert 1 / (slope * shot.range.p99 + shift) == pytest.approx(2)
    assert 1 / (slope * shot.range.p1 + shift) == pytest.approx(4)
    build(["mesh"], depth, shot, scene=scene)
    mesh = next(thing for thing in bpy.data.objects if thing.get("fathom_kind") == "mesh")
    nodes.set_modifier_input(mesh.modifiers[0], "Near", 3.0)
    slope, shift = wanted(depth, tmp_path, format="EXR").placements[0].line[0][1:]
    assert 1 / (slope * shot.range.p99 + shift) == pytest.approx(3)


def test_distances_of_compositing_alone(tmp_path):
    """Its Scale as well; what other nodes feed is not what its sockets show."""
    scene = bpy.context.scene
    depth = depth_module.load(depth_maker.make(tmp_path / "a", quantity="relative_disparity", camera=filmed))
    bpy.ops.fathom.load_depth(directory=str(depth.folder))
    bpy.ops.fathom.add_compositing_fog()
    nodes_of = find_scene_tree(scene)
    node = Setup(scene, nodes_of, depth, depth.done_shots[0]).find(COMPOSITOR_DEPTH)
    before = wanted(depth, tmp_path, format="EXR").placements[0]
    node.inputs["Scale"].default_value = 10.0
    assert wanted(depth, tmp_path, format="EXR").placements[0] == replace(before, scale=10.0)
    value = nodes_of.nodes.new("ShaderNodeValue" if bpy.app.version >= (5, 0, 0) else "CompositorNodeValue")
    nodes_of.links.new(value.outputs[0], node.inputs["Far"])
    with pytest.raises(Problem, match=r"^Far of the node .* is fed by other nodes in the compositor"):
        wanted(depth, tmp_path, format="EXR")
    wanted(depth, tmp_path, format="PNG")
    build(["mesh"], depth, depth.done_shots[0], scene=scene)
    assert wanted(depth, tmp_path, format="EXR").placements[0].scale == 1, "the rig's and the mesh's"


def test_metric_depth_in_centimeters_of_compositing_alone(tmp_path):
    """Its distances are those that compositing has, also where its Scale is the one it begins with."""
    scene = bpy.context.scene
    scene.unit_settings.system, scene.unit_settings.scale_length = "METRIC", 0.01
    folder = depth_maker.make(tmp_path / "a", camera=filmed)
    depth_sequence.save(replace(depth_sequence.load(folder), unit="metres"), folder)
    depth = depth_module.load(folder)
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert wanted(depth, tmp_path, format="EXR").placements[0].scale == pytest.approx(100)
    bpy.ops.fathom.add_compositing_fog()
    node = Setup(scene, find_scene_tree(scene), depth, depth.done_shots[0]).find(COMPOSITOR_DEPTH)
    scale = wanted(depth, tmp_path, format="EXR").placements[0].scale
    assert scale == pytest.approx(node.inputs["Scale"].default_value)


@pytest.mark.parametrize("overridden", [False, True])
def test_what_is_linked_is_not_exported_as_if_nothing_stood_there(tmp_path, overridden):
    folder = depth_maker.make(tmp_path / "a", camera=filmed)
    depth = depth_module.load(folder)
    build(["mesh"], depth, depth.done_shots[0], scene=bpy.context.scene)
    built = bpy.data.collections.new("Set")
    for thing in bpy.context.scene.objects:
        built.objects.link(thing)
    bpy.data.libraries.write(str(tmp_path / "set.blend"), {built})
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    with bpy.data.libraries.load(str(tmp_path / "set.blend"), link=True) as (_, wanted_of):
        wanted_of.collections = ["Set"]
    (linked,) = wanted_of.collections
    scene.collection.children.link(linked)
    if overridden:
        linked.override_hierarchy_create(scene, bpy.context.view_layer)
        scene.collection.children.unlink(linked)
    for kind in ("EXR", "PLY", "CHAN", "USD"):
        with pytest.raises(Problem, match=r"was built of plate in .*set\.blend"):
            wanted(depth, tmp_path, format=kind)
    wanted(depth, tmp_path, format="PNG")
    build(["mesh"], depth, depth.done_shots[0], scene=scene)
    wanted(depth, tmp_path, format="EXR")


@pytest.mark.parametrize(
    ("what", "quantity", "formats", "words"),
    [
        ("Far", "relative_disparity", ("EXR", "PLY"), "Near and Far"),
        ("Far Limit", "inverse_depth", ("EXR", "PLY"), "Far Limit"),
        ("scale", "inverse_depth", ("EXR", "PLY", "CHAN", "USD", "ALEMBIC"), "Scale"),
        ("place", "inverse_depth", ("PLY", "CHAN", "USD", "ALEMBIC"), "place or rotation"),
        ("parent", "inverse_depth", ("PLY", "CHAN", "USD", "ALEMBIC"), "place or rotation"),
    ],
)
def test_what_is_animated_is_not_exported_as_at_the_playhead(tmp_path, what, quantity, formats, words):
    scene = bpy.context.scene
    depth = depth_module.load(depth_maker.make(tmp_path / "a", camera=filmed, quantity=quantity), frame_offset=100)
    shot = depth.sequence.shots[0]
    build(["mesh"], depth, shot, scene=scene)
    mesh = next(thing for thing in bpy.data.objects if thing.get("fathom_kind") == "mesh")
    moved = rig = find_rig(depth, shot, scene)
    if what == "parent":
        moved = rig.parent = bpy.data.objects.new("Car", None)
        scene.collection.objects.link(moved)
    every = ("EXR", "PNG", "PLY", "CHAN", "USD", "ALEMBIC", "USD_MESH")
    for kind in every:
        wanted(depth, tmp_path, format=kind)
    if what in ("Far", "Far Limit"):
        nodes.set_keys(mesh, nodes.modifier_input_path(mesh.modifiers[0], what), [(101, 10.0), (105, 50.0)])
    elif what == "scale":
        nodes.set_keys(rig, f'["{SCALE}"]', [(101, 1.0), (105, 5.0)])
    else:
        moved.keyframe_insert("location", frame=101)
        moved.location.x = 3.0
        moved.keyframe_insert("location", frame=105)
    mesh.hide_viewport = what == "Far Limit"
    scene.frame_set(103)
    for kind in every:
        if kind in formats:
            with pytest.raises(Problem, match=f"The {words} of frames 1-5 of plate is animated"):
                wanted(depth, tmp_path, format=kind)
        else:
            wanted(depth, tmp_path, format=kind)
    wanted(depth, tmp_path, frames="3", format=formats[0])
    assert scene.frame_current == 103


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"frames": "x"}, JobError, "Frames are a range"),
        ({"frames": "9" * 5000}, JobError, "Frames are a range"),
        ({"frames": "300"}, JobError, "No frame from 300 to 300 has depth"),
        ({"low": 50.0, "high": 10.0}, JobError, "ascending"),
        ({"format": "EXR", "with_mattes": True}, Problem, "no Matte Folder"),
        ({"format": "EXR", "channel": "a b"}, JobError, "letters and digits"),
        ({"directory": "//export"}, Problem, "not saved"),
    ],
)
def test_what_cannot_be_exported(depth, tmp_path, values, error, words):
    with pytest.raises(error, match=words):
        wanted(depth, tmp_path, **values)


def imported(path):
    """The camera that Blender finds in a file."""
    before = set(bpy.data.objects)
    if path.suffix == ".abc":
        bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False)
    else:
        bpy.ops.wm.usd_import(filepath=str(path))
    return next(thing for thing in bpy.data.objects if thing not in before and thing.type == "CAMERA")


@pytest.mark.parametrize("kind", contract.CAMERAS)
def test_cameras_come_back(depth, tmp_path, kind):
    scene = bpy.context.scene
    scene.unit_settings.scale_length = 1.0
    for shot in depth.done_shots:
        build(["camera"], depth, shot, scene=scene)
        rig = find_rig(depth, shot, scene)
        rig[SCALE], rig.location = 2.0, (1, 0, 0.5)
        rig.update_tag()
    before = {block: len(getattr(bpy.data, block)) for block in ("scenes", "objects", "cameras", "actions")}
    made = wanted(depth, tmp_path)
    paths = blender_files.write_cameras(depth, made, kind, scene=scene)
    assert [path.name for path in paths] == [f"plate_camera_{n}{contract.CAMERAS[kind]}" for n in ("1-2", "4-5")]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert {block: len(getattr(bpy.data, block)) for block in before} == before
    shot = depth.done_shots[1]
    ours, theirs = find_camera(depth, shot, scene), imported(paths[1])
    for frame in (4, 5):
        scene.frame_set(frame + depth.frame_offset)
        expected = ours.matrix_world.copy()
        scene.frame_set(frame)
        found = theirs.matrix_world
        assert np.allclose(found.translation, expected.translation, atol=1e-4)
        assert np.allclose(found.normalized().to_3x3(), expected.normalized().to_3x3(), atol=1e-4)
    data = theirs.data
    assert data.lens / data.sensor_width == pytest.approx(ours.data.lens / ours.data.sensor_width, rel=1e-3)
    assert data.shift_x == pytest.approx(ours.data.shift_x, abs=1e-3)
    assert data.shift_y == pytest.approx(ours.data.shift_y, abs=1e-3)
    with pytest.raises(Problem, match="exists already"):
        blender_files.write_cameras(depth, made, kind, scene=scene)
    blender_files.write_cameras(depth, made, kind, scene=scene, overwrite=True)


def zooming(frames):
    poses = tuple(replace(pose, focal_length=20.0 + pose.frame) for pose in filmed(frames).poses)
    return replace(filmed(frames), poses=poses)


@pytest.mark.skipif(bpy.app.version < (4, 5), reason="Blender 4.2 reads the lens of one frame alone")
def test_a_lens_that_zooms_comes_back(tmp_path):
    """By USD; Blender's importer of Alembic takes the lens of one frame."""
    depth = depth_module.load(depth_maker.make(tmp_path / "a", camera=zooming))
    (path,) = blender_files.write_cameras(depth, wanted(depth, tmp_path), "usd", scene=bpy.context.scene)
    data = imported(path).data
    for frame in (1, 4):
        bpy.context.scene.frame_set(frame)
        found = data.evaluated_get(bpy.context.evaluated_depsgraph_get())
        assert found.lens / found.sensor_width == pytest.approx((20 + frame) / SIZE[0], rel=1e-3)


def test_alembic_has_the_lens_of_every_frame(tmp_path):
    depth = depth_module.load(depth_maker.make(tmp_path / "a", camera=zooming))
    (path,) = blender_files.write_cameras(depth, wanted(depth, tmp_path), "alembic", scene=bpy.context.scene)
    lenses = [struct.pack("<d", 36 * (20 + frame) / SIZE[0]) for frame in range(1, 6)]
    assert all(lens in path.read_bytes() for lens in lenses)


def test_a_camera_that_is_not_there(tmp_path):
    depth = depth_module.load(depth_maker.make(tmp_path / "a"))
    with pytest.raises(Problem, match="gave no camera"):
        blender_files.write_cameras(depth, wanted(depth, tmp_path), "usd", scene=bpy.context.scene)
    assert not (tmp_path / "out").exists()
    values = {"directory": str(tmp_path / "out"), "format": "CHAN"}
    made = export.wanted(depth, values, scene=bpy.context.scene, focal_length=35.0)
    (path,) = blender_files.write_cameras(depth, made, "usd", scene=bpy.context.scene)
    assert imported(path).data.lens == pytest.approx(35, rel=1e-3)


def mesh_of(path):
    """A mesh file as Blender's own importer reads it."""
    before = set(bpy.data.objects)
    importers = {".abc": lambda: bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False)}
    importers[".usdc"] = lambda: bpy.ops.wm.usd_import(filepath=str(path))
    importers[".ply"] = lambda: bpy.ops.wm.ply_import(filepath=str(path))
    importers[path.suffix]()
    return next(thing for thing in bpy.data.objects if thing not in before and thing.type == "MESH")


@pytest.mark.parametrize("kind", contract.MESHES)
def test_depth_meshes_come_back_at_every_frame(depth, tmp_path, kind):
    scene, shot = bpy.context.scene, depth.done_shots[1]
    build(["mesh"], depth, shot, scene=scene)
    rig = find_rig(depth, shot, scene)
    rig[SCALE], rig.location, rig.rotation_euler = 2.0, (1, 0, 0.5), (0.1, 0.2, 0.3)
    rig.update_tag()
    mesh = next(thing for thing in bpy.data.objects if thing.get("fathom_kind") == "mesh")
    for name, value in (("Edge Cut", 1.0), ("Viewport Detail", 0.5)):
        nodes.set_modifier_input(mesh.modifiers[0], name, value)
    blocks = ("scenes", "objects", "meshes", "cameras", "actions", "materials")
    before = {block: len(getattr(bpy.data, block)) for block in blocks}
    made = wanted(depth, tmp_path, frames="4-5")
    mesh.hide_render = True  # as after Apply at This Frame
    mesh.hide_set(True)
    paths = blender_files.write(depth, made, kind, scene=scene)
    assert mesh.hide_get() and mesh.hide_render
    mesh.hide_set(False)
    names = ["plate_mesh.0004.ply", "plate_mesh.0005.ply"] if kind == "ply_mesh" else None
    assert [path.name for path in paths] == (names or [f"plate_mesh_4-5{contract.MESHES[kind]}"])
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert {block: len(getattr(bpy.data, block)) for block in before} == before
    assert len(mesh.animation_data.drivers) == 3 and nodes.modifier_input(mesh.modifiers[0], "Frame Offset") == 100
    nodes.set_modifier_input(mesh.modifiers[0], "Viewport Detail", 1.0)
    theirs = mesh_of(paths[0]) if kind != "ply_mesh" else None
    for index, frame in enumerate((4, 5)):
        expected = vertices(mesh, scene, frame + 100)
        found = vertices(theirs or mesh_of(paths[index]), scene, frame)
        assert len(expected) == 26 * 18 <= len(found)
        # PLY and UVs may split vertices, so each of one is one of the other.
        for some, others in ((expected, found), (found, expected)):
            nearest = np.sqrt(((some[:, None] - others[None]) ** 2).sum(axis=2).min(axis=1))
            assert nearest.max() < 1e-4 * np.ptp(expected, axis=0).max()
    if theirs is not None:
        assert len(theirs.data.uv_layers) == 1
    with pytest.raises(Problem, match="exists already"):
        blender_files.write(depth, made, kind, scene=scene)


@pytest.mark.parametrize(("kind", "what"), [("ply_mesh", "mesh"), ("fog_vdb", "fog")])
def test_a_sequence_that_is_replaced_is_never_that_of_two_exports(depth, tmp_path, monkeypatch, kind, what):
    scene, shot = bpy.context.scene, depth.done_shots[1]
    build([what], depth, shot, scene=scene)
    made, written = wanted(depth, tmp_path, frames="4-5"), []
    paths = blender_files.write(depth, made, kind, scene=scene)
    before = [path.read_bytes() for path in paths]

    def full(path):
        written.append(path)
        if len(written) == fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(blender_files.whole_files, "require", full)
    fails_at = 1
    with pytest.raises(Problem, match="No space left"):
        blender_files.write(depth, made, kind, scene=scene, overwrite=True)
    assert [path.read_bytes() for path in paths] == before, "nothing was replaced"
    fails_at = 3
    with pytest.raises(Problem, match="No space left"):
        blender_files.write(depth, made, kind, scene=scene, overwrite=True)
    assert [path.exists() for path in paths] == [True, False]


def test_frames_of_an_earlier_export_beside_a_shorter_one_are_said(depth, tmp_path):
    scene = bpy.context.scene
    build(["mesh"], depth, depth.done_shots[1], scene=scene)
    for frames, said in (("4-5", None), ("4-5", None), ("5", "Frames 4 in the folder are of an earlier export")):
        made = wanted(depth, tmp_path, frames=frames)
        found = blender_files.earlier_beside(depth, made, "ply_mesh")
        assert (found is None) == (said is None) and (said is None or found.startswith(said))
        blender_files.write(depth, made, "ply_mesh", scene=scene, overwrite=True)
    assert blender_files.earlier_beside(depth, made, "fog_vdb") is None


def test_two_exports_at_once_do_not_mix(depth, tmp_path):
    scene, shot = bpy.context.scene, depth.done_shots[1]
    build(["mesh"], depth, shot, scene=scene)
    made = wanted(depth, tmp_path, frames="4-5")
    (tmp_path / "out").mkdir()
    held = lock.acquire(tmp_path / "out" / contract.SCRATCH)  # as the worker does
    with pytest.raises(Problem, match=rf"Another run \(process {os.getpid()} of .*\) is writing into"):
        blender_files.write(depth, made, "ply_mesh", scene=scene, overwrite=True)
    held.release()
    paths = blender_files.write(depth, made, "ply_mesh", scene=scene, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [path.name for path in paths]


def test_what_a_blender_that_was_killed_has_left_goes_after_a_day(depth, tmp_path):
    scene, shot = bpy.context.scene, depth.done_shots[1]
    build(["mesh"], depth, shot, scene=scene)
    made, out = wanted(depth, tmp_path, frames="4-5"), tmp_path / "out"
    out.mkdir()
    old, new, theirs = (out / f".tmp-{name}.ply" for name in ("7000-plate_mesh.0005", "8000-plate_mesh.0005", "9-mine"))
    for path, hours in ((old, 25), (new, 1), (theirs, 25)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - 3600 * hours,) * 2)
    blender_files.write(depth, made, "ply_mesh", scene=scene)
    assert sorted(path.name for path in out.glob(".*")) == sorted([new.name, theirs.name])


def test_a_mesh_that_cannot_be_exported(depth, tmp_path):
    scene, shot = bpy.context.scene, depth.done_shots[0]
    made = wanted(depth, tmp_path, frames="1-2")
    with pytest.raises(Problem, match="No depth mesh of frames 1-2 of plate"):
        blender_files.write(depth, made, "usd_mesh", scene=scene)
    build(["points"], depth, shot, scene=scene)
    mesh = next(thing for thing in bpy.data.objects if thing.get("fathom_kind") == "mesh")
    with pytest.raises(Problem, match="is a point cloud"):
        blender_files.write(depth, made, "usd_mesh", scene=scene)
    nodes.set_modifier_input(mesh.modifiers[0], "Point Cloud", False)
    (depth.folder / "disparity.0002.exr").unlink()
    with pytest.raises(Problem, match="shows nothing at frame 2"):
        blender_files.write(depth, made, "usd_mesh", scene=scene)
    assert not list((tmp_path / "out").glob("*")) and len(bpy.data.scenes) == 1


def test_a_format_that_this_blender_was_built_without_is_said(depth, tmp_path, monkeypatch):
    """As of Linux distributions, which have no USD."""
    left_out = next(name for name in ("wasapi", "coreaudio") if not getattr(bpy.app.build_options, name))
    monkeypatch.setitem(blender_files._BUILT_WITH, "usd", ("USD", left_out))
    scene = bpy.context.scene
    wanted = export.wanted(depth, {"format": "USD", "directory": str(tmp_path / "out")}, scene=scene)
    with pytest.raises(Problem, match="was built without USD: export another format"):
        blender_files.write(depth, wanted, "usd", scene=scene)
    assert not list((tmp_path / "out").glob("*")), "nothing is left"
