"""Depth whose files are missing shows nothing, on every frame that lacks them, and says so."""

import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.depth_sequence import Range
from bl_ext.dev.fathom.scene import blender_files, compositing, depth_list, disk_status, export, missing_files
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import fog as fogs
from bl_ext.dev.fathom.scene import mesh as meshes
from bl_ext.dev.fathom.scene.problems import Problem
from geometry_tools import evaluated

from tests.marks import rest_slow

SIZE = (24, 16)


def filmed(frames):
    return depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)


def built(scene, folder):
    """Camera, mesh and fog of a folder's first shot; gives what shows geometry."""
    depth = depths.load(folder)
    shot = depth.sequence.shots[0]
    eye = cameras.build_camera(depth, shot, scene=scene)
    return meshes.build_mesh(depth, shot, eye), fogs.build_fog(depth, shot, eye)


def shown(scene, things, frame):
    return [len(evaluated(thing, scene, frame).data.polygons) for thing in things]


def reread():
    for image in bpy.data.images:
        if image.get("fathom_kind") == "disparity":
            image.reload()


@pytest.mark.parametrize("quantity", ["inverse_depth", "relative_disparity"])
def test_mesh_and_fog_are_empty_on_exactly_the_frames_that_are_missing(tmp_path, empty_file, quantity):
    folder = depth_maker.make(tmp_path, camera=filmed, quantity=quantity)
    things = built(empty_file, folder)
    whole = shown(empty_file, things, 1)
    assert min(whole) > 24 * 16
    (folder / "disparity.0002.exr").unlink()
    (folder / "disparity.0003.exr").write_bytes(b"broken off")
    reread()
    assert [shown(empty_file, things, frame) == [0, 0] for frame in range(1, 6)] == [False, True, True, False, False]
    shutil.move(folder, tmp_path / "gone")
    reread()
    assert [shown(empty_file, things, frame) for frame in range(0, 7)] == [[0, 0]] * 7
    assert not getattr(things[0].modifiers[0], "node_warnings", ())


def test_a_map_of_another_size_is_not_shown_either(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    things = built(empty_file, folder)
    depth_maker.write_map(folder / "disparity.0002.exr", depth_maker.slanted(2, 12, 8))
    reread()
    assert shown(empty_file, things, 2) == [0, 0] and min(shown(empty_file, things, 1)) > 0


def test_a_sky_is_not_taken_for_missing(tmp_path, empty_file):
    folder = depth_maker.make(
        tmp_path, camera=filmed, disparity=lambda n, w, h: depth_maker.slanted(n, w, h) if n < 3 else np.zeros((h, w))
    )
    mesh, fog = built(empty_file, folder)
    assert shown(empty_file, [mesh], 4) == [25 * 17] and shown(empty_file, [fog], 4)[0] > 0


@pytest.mark.parametrize("plate_size", [SIZE, (48, 32)])
def test_compositing_passes_the_plate_where_maps_are_missing(tmp_path, empty_file, plate_size):
    folder = depth_maker.make(tmp_path, size=SIZE, plate_size=plate_size)
    depth = depths.load(folder)
    shot = depth.sequence.shots[0]
    compositing.add_fog(empty_file, depth, shot, color=(1, 0, 0), density=50, start=0)
    compositor.prepare(empty_file, plate_size)
    (folder / "disparity.0002.exr").unlink()
    reread()
    for frame in (1, 2, 3):
        pixels = compositor.render(empty_file, tmp_path, frame)[..., :3]
        wanted = compositor.plate(frame, plate_size) if frame == 2 else (1.0, 0.0, 0.0)
        np.testing.assert_allclose(pixels, np.broadcast_to(wanted, pixels.shape), atol=3e-4, err_msg=str(frame))


def test_z_combine_shows_the_plate_alone(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path)
    depth = depths.load(folder)
    bpy.ops.mesh.primitive_plane_add(size=50, location=(0, 0, -0.5))
    bpy.ops.object.camera_add()
    empty_file.camera = bpy.context.object
    compositing.add_z_combine(empty_file, depth, depth.sequence.shots[0])
    compositor.prepare(empty_file, SIZE)
    assert np.abs(compositor.render(empty_file, tmp_path, 2)[..., :3] - compositor.plate(2, SIZE)).max() > 0.1
    (folder / "disparity.0002.exr").unlink()
    reread()
    pixels = compositor.render(empty_file, tmp_path, 2)[..., :3]
    np.testing.assert_allclose(pixels, compositor.plate(2, SIZE), atol=3e-4)


@pytest.mark.slow
def test_without_the_extension_a_moved_depth_shows_nothing(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    built(empty_file, folder)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    script = textwrap.dedent("""
        import sys, bpy
        bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
        assert not hasattr(bpy.types.Scene, "fathom")
        graph = bpy.context.evaluated_depsgraph_get()
        print("shown", *(len(o.evaluated_get(graph).data.polygons) for o in bpy.data.objects if o.type == "MESH"))
    """)

    def faces():
        command = [sys.executable, "-c", script, str(tmp_path / "shot.blend")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "shown" in done.stdout, done.stderr
        return [int(word) for line in done.stdout.splitlines() if line.startswith("shown") for word in line.split()[1:]]

    assert min(faces()) > 0
    shutil.move(folder, tmp_path / "elsewhere")
    assert faces() == [0, 0]


def listed(folder):
    bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.ops.fathom.build_depth_mesh()
    return bpy.context.scene


def render(scene, tmp_path, *, animation=False):
    compositor.prepare(scene, (4, 4))
    scene.frame_end = 3
    scene.render.filepath = str(tmp_path / "rendered")
    bpy.ops.render.render(animation=animation, write_still=not animation)


def test_it_is_said_when_the_file_is_opened_and_once_when_it_is_rendered(tmp_path, empty_file, capfd):
    folder = depth_maker.make(tmp_path, camera=filmed)
    listed(folder)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    render(bpy.context.scene, tmp_path)
    assert "Fathom: Warning" not in capfd.readouterr().out
    shutil.move(folder, tmp_path / "elsewhere")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    said = capfd.readouterr().out
    assert said.count("Fathom: Warning") == 1 and f"there is no {folder}; what was built from it shows nothing" in said
    render(bpy.context.scene, tmp_path, animation=True)
    assert capfd.readouterr().out.count(f"there is no {folder};") == 1
    bpy.ops.fathom.forget_depth()  # what was built stays, and is still watched
    render(bpy.context.scene, tmp_path)
    assert capfd.readouterr().out.count(f"There is no folder {folder} any more") == 1


@pytest.mark.parametrize(
    ("lost", "sentence"),
    rest_slow(
        [
            ("depth/disparity.0003.exr", r"frame 3 (disparity.0003.exr) is missing"),
            ("depth/depth.json", "contains no depth.json"),
            ("plate/plate.0004.png", "Frame 4 of the plate is missing"),
        ],
        rows=True,
    ),
)
def test_single_files_are_missed_too(tmp_path, empty_file, capfd, lost, sentence):
    folder = depth_maker.make(tmp_path, camera=filmed)
    scene = listed(folder)
    (tmp_path / lost).unlink()
    (found,) = missing_files.of_file()
    assert sentence in found
    assert list(known(scene.fathom.depths[0])) == [found]
    capfd.readouterr()
    render(scene, tmp_path)
    assert capfd.readouterr().out.count(sentence) == 1


def test_a_depth_that_nothing_was_built_from_holds_up_no_render(tmp_path, empty_file, capfd):
    folder = depth_maker.make(tmp_path, camera=filmed)
    bpy.ops.fathom.load_depth(directory=str(folder))
    shutil.rmtree(folder)
    assert missing_files.of_file(only_built=True) == [] and len(missing_files.of_file()) == 1


def test_files_that_come_back_are_read_again(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    scene = listed(folder)
    mesh = next(o for o in scene.objects if o.get("fathom_kind") == "mesh")
    shutil.move(folder, tmp_path / "elsewhere")
    reread()
    assert missing_files.of_file() and shown(scene, [mesh], 2) == [0]
    shutil.move(tmp_path / "elsewhere", folder)
    assert missing_files.of_file() == []
    assert shown(scene, [mesh], 2)[0] > 0


def twice(folder):
    """Let a folder have the depth of the same job, done again, that is twice as near."""
    made = depth_sequence.load(folder)
    (shot,) = made.shots
    for frame in range(shot.first_frame, shot.last_frame + 1):
        values = 2 * depth_maker.slanted(frame, *SIZE)
        depth_maker.write_map(folder / depth_sequence.disparity_name(frame), values)
    values = (2 * each for each in (shot.range.minimum, shot.range.maximum, shot.range.p1, shot.range.p99))
    nearer = Range(**dict(zip(("minimum", "maximum", "p1", "p99"), values)))
    depth_sequence.save(replace(made, shots=(replace(shot, range=nearer),)), folder)


def test_a_job_that_is_done_again_in_its_folder_is_shown_once_it_is_built_again(tmp_path, empty_file):
    """Blender has read the maps of before and keeps them: the new percentiles would go with the old maps."""
    folder = depth_maker.make(tmp_path, camera=filmed)

    def middle():
        mesh, _fog = built(empty_file, folder)
        data = evaluated(mesh, empty_file, 2).data
        return np.median([-vertex.co.z for vertex in data.vertices])

    before = middle()
    twice(folder)
    assert middle() == pytest.approx(before / 2, rel=1e-3)


def test_a_depth_that_is_gone_is_not_another_of_the_same_job(tmp_path, empty_file):
    """The clip was rendered again, estimated as a new version, and the first version deleted."""
    folder = depth_maker.make(tmp_path, camera=filmed)
    other = tmp_path / "v002"
    shutil.copytree(folder, other)
    twice(other)
    for each in (folder, other):
        bpy.ops.fathom.load_depth(directory=str(each))
        built(empty_file, each)
    shutil.rmtree(folder)
    with pytest.raises(depths.DepthError, match="is not where it was"):
        depth_list.load(empty_file, 0)
    assert depth_list.load(empty_file, 1).folder == other


@pytest.mark.parametrize("kind", ["ply_mesh", "fog_vdb"])
def test_what_was_built_of_an_earlier_estimate_is_not_exported(tmp_path, empty_file, kind):
    folder = depth_maker.make(tmp_path, camera=filmed)
    built(empty_file, folder)
    twice(folder)
    depth = depths.load(folder)
    values = {"directory": str(tmp_path / "out"), "format": kind.upper(), "frames": "2-3"}
    made = export.wanted(depth, values, scene=empty_file)
    with pytest.raises(Problem, match=r"was estimated again in its folder.*build it again"):
        blender_files.write(depth, made, kind, scene=empty_file)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("quantity", ["inverse_depth", "relative_disparity"])
def test_what_was_built_of_an_earlier_estimate_in_the_same_folder_is_said(tmp_path, empty_file, quantity):
    """Blender shows the new maps by the old percentiles, at distances that are nobody's, until it is built again."""
    folder = depth_maker.make(tmp_path, camera=filmed, quantity=quantity)
    scene = listed(folder)
    before = depth_list.load(scene)
    compositing.add_fog(scene, before, before.done_shots[0])
    assert missing_files.of_file() == []
    twice(folder)
    (sentence,) = missing_files.of_file()
    assert "was estimated again in its folder, with other values, since" in sentence
    assert "Mesh and 1 more was built: build it again" in sentence
    depth = depth_list.load(scene)
    eye = cameras.build_camera(depth, depth.done_shots[0], scene=scene)
    for thing in [each for each in scene.objects if each.get("fathom_kind") in ("mesh", "fog")]:
        build = meshes.build_mesh if thing["fathom_kind"] == "mesh" else fogs.build_fog
        build(depth, depth.done_shots[0], eye)
    compositing.add_fog(scene, depth, depth.done_shots[0])
    assert missing_files.of_file() == []


@pytest.mark.parametrize("is_listed", [True, False])
def test_what_was_appended_and_is_of_an_earlier_estimate_is_said(tmp_path, empty_file, is_listed):
    folder = depth_maker.make(tmp_path, camera=filmed, quantity="relative_disparity")
    listed(folder)
    (name,) = (thing.name for thing in bpy.data.objects if thing.get("fathom_kind") == "mesh")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "light.blend"))
    if is_listed:
        listed(folder)
    bpy.ops.wm.append(directory=f"{tmp_path}/shot.blend/Object/", filename=name)
    assert missing_files.of_file() == []
    twice(folder)
    (sentence,) = missing_files.of_file()
    assert ("Mesh and 1 more was built" if is_listed else f"{name} was built: build it again") in sentence
    if is_listed:
        bpy.ops.fathom.build_depth_mesh()
        (sentence,) = missing_files.of_file()
        assert "Mesh.001 was built" in sentence


def test_what_is_linked_and_is_of_an_earlier_estimate_is_said(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed, quantity="relative_disparity")
    (tmp_path / "light").mkdir()
    listed(folder)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "light" / "light.blend"))
    with bpy.data.libraries.load(str(tmp_path / "shot.blend"), link=True, relative=True) as (_, linked):
        linked.collections = ["plate"]
    bpy.context.scene.collection.children.link(linked.collections[0])
    assert missing_files.of_file() == []
    twice(folder)
    (sentence,) = missing_files.of_file()
    assert "since plate Mesh in shot.blend was built" in sentence


def test_asking_for_every_drawing_looks_seldom(tmp_path, empty_file, monkeypatch):
    folder = depth_maker.make(tmp_path)
    bpy.ops.fathom.load_depth(directory=str(folder))
    (item,) = empty_file.fathom.depths
    looks = []
    read = depth_list.read
    monkeypatch.setattr(depth_list, "read", lambda item: looks.append(1) or read(item))
    missing_files.forget()
    assert list(missing_files.of_entry(item)) == [] and not looks, "asking looks at nothing"
    disk_status.work()
    assert [list(missing_files.of_entry(item)) for _ in range(5)] == [[]] * 5 and len(looks) == 1
    disk_status.work()
    assert len(looks) == 1
    shutil.rmtree(folder)
    assert "what was built from it shows nothing" in known(item).depth


def known(item):
    """What is known of an entry when it was looked for as after a drawing."""
    missing_files.forget()
    missing_files.of_entry(item)
    disk_status.work()
    return missing_files.of_entry(item)


def test_a_long_list_is_looked_through_a_part_at_a_time(tmp_path, empty_file, monkeypatch):
    looked = []

    def look(item):
        looked.append(item.name)
        time.sleep(0.001)
        return missing_files.Missing(depth="gone" if item.name == "299" else None)

    monkeypatch.setattr(missing_files, "_look", look)
    for number in range(300):
        item = empty_file.fathom.depths.add()
        item.name, item.job = str(number), str(number)
    missing_files.forget()
    begun = time.monotonic()
    assert missing_files.incomplete(empty_file) == [] and looked == []
    assert disk_status.work() is not None, "there is more"
    assert missing_files.incomplete(empty_file) == []  # drawn again at once
    assert time.monotonic() - begun < 0.2 and 0 < len(looked) < 150
    assert looked[0] == "0"
    while disk_status.work() is not None:
        pass
    assert missing_files.incomplete(empty_file) == ["299"]
    assert sorted(looked) == sorted(set(looked))


def test_a_file_with_a_long_list_is_opened_all_the_same(tmp_path, empty_file, monkeypatch):
    """Each entry may name somebody else's depth.json, and a large one takes seconds."""
    folder = depth_maker.make(tmp_path, camera=filmed)
    depth_list.remember(empty_file, depths.load(folder))
    for _ in range(99):
        empty_file.fathom.depths.add().folder = str(folder)
    looked = []
    read = depth_list.read
    monkeypatch.setattr(depth_list, "read", lambda item: (looked.append(item.name), time.sleep(0.02), read(item))[-1])
    monkeypatch.setattr(missing_files, "_PATIENCE", 0.1)
    begun = time.monotonic()
    said = missing_files.of_file()
    assert time.monotonic() - begun < 1.5 and 1 <= len(looked) < 20
    assert said == [f"{100 - len(looked)} depths of this file's lists were not looked at: Check Files does."]


def test_of_a_long_list_the_status_bar_asks_for_its_beginning(empty_file, monkeypatch):
    for _ in range(30):
        empty_file.fathom.depths.add().folder = "//depth"
    asked = []
    monkeypatch.setattr(missing_files, "of_entry", lambda item, path: asked.append(path) or ())
    monkeypatch.setattr(missing_files, "_MOST", 10)
    assert missing_files.incomplete(empty_file) == [] and asked == [f"fathom.depths[{i}]" for i in range(10)]


def test_what_is_of_a_shot_that_another_estimate_does_not_have_is_said(tmp_path, empty_file):
    def estimated(cut, factor):
        for made in ("depth", "plate"):
            shutil.rmtree(tmp_path / made, ignore_errors=True)
        shots = [(1, cut - 1, "done"), (cut, 6, "done")]
        values = {"disparity": lambda n, w, h: factor * depth_maker.slanted(n, w, h)}
        folder = depth_maker.make(tmp_path, camera=filmed, frames=range(1, 7), shots=shots, **values)
        depth = depths.load(folder)
        depth_list.remember(empty_file, depth)
        return depth

    def build(depth):
        for shot in depth.done_shots:
            eye = cameras.build_camera(depth, shot, scene=empty_file)
            meshes.build_mesh(depth, shot, eye)

    build(estimated(3, 1.0))
    later = estimated(5, 10.0)
    (said,) = missing_files.of_file()
    assert said.endswith("since plate Mesh 1-2 was built: build it again, and copy it again where it is a copy.")
    build(later)
    (said,) = missing_files.of_file()
    assert said.endswith("and plate Mesh 3-6 is of a shot that it does not have any more: delete it.")
    bpy.data.objects.remove(bpy.data.objects["plate Mesh 3-6"])
    assert missing_files.of_file() == []


def test_that_time_is_stretched_is_said_of_what_was_built(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    empty_file.render.frame_map_new = 50
    depth_list.remember(empty_file, depths.load(folder))
    assert missing_files.of_file() == []
    built(empty_file, folder)
    assert [said.startswith("The Time Stretching of Scene moves") for said in missing_files.of_file()] == [True]
    empty_file.render.frame_map_new = empty_file.render.frame_map_old
    assert missing_files.of_file() == []
