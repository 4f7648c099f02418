"""A depth or a plate that lies elsewhere is relinked in place: what was built shows it at once."""

import json
import os
import shutil
from dataclasses import replace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import depth_list, missing_files, plate
from bl_ext.dev.fathom.scene.versions import HEARS_CHANGES
from footage_maker import movie, numbered, streams

from tests.marks import rest_slow

pytestmark = pytest.mark.usefixtures("empty_file")


def filmed(frames):
    return depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)


def item():
    return bpy.context.scene.fathom.depths[0]


def build():
    for name in ("build_depth_mesh", "build_fog", "add_compositing_fog"):
        assert getattr(bpy.ops.fathom, name)() == {"FINISHED"}


def images(kind):
    found = [i for i in bpy.data.images if i.get("fathom_kind") == kind]
    return [os.path.normpath(bpy.path.abspath(i.filepath)) for i in found]


def faces():
    graph = bpy.context.evaluated_depsgraph_get()
    kinds = ("mesh", "fog")
    return [len(o.evaluated_get(graph).data.polygons) > 0 for o in bpy.data.objects if o.get("fathom_kind") in kinds]


@pytest.fixture
def moved(tmp_path):
    """A saved file with all kinds of things built, opened again after its depth was moved; gives the new place."""
    folder = depth_maker.make(tmp_path, camera=filmed, confidence=depth_maker.slanted)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.fathom.load_depth(directory=str(folder))
    build()
    bpy.ops.wm.save_mainfile()
    (tmp_path / "store").mkdir()
    shutil.move(folder, tmp_path / "store" / "v001")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert faces() == [False, False]
    return tmp_path / "store" / "v001"


def by_operator(folder):
    assert bpy.ops.fathom.relink_depth(directory=str(folder)) == {"FINISHED"}


def choose(folder):
    """Write a folder into the list, as the artist does in the panel."""
    item().folder = str(folder)
    if not HEARS_CHANGES:  # then a panel that is drawn notices
        depth_list.relink_chosen()


def by_the_list(folder):
    choose(folder)


def by_the_list_relative(folder):
    choose(bpy.path.relpath(str(folder)))


def by_function(folder):
    assert depth_list.relink(bpy.context.scene, folder).folder == folder


def by_loading_it_again(folder):
    bpy.ops.fathom.load_depth(directory=str(folder))


@pytest.mark.parametrize(
    "way", rest_slow([by_operator, by_the_list, by_the_list_relative, by_function, by_loading_it_again], 2)
)
def test_what_was_built_shows_the_new_place_at_once(moved, way):
    with pytest.raises(RuntimeError, match=r"there is no .*depth; what was built from it shows nothing"):
        bpy.ops.fathom.build_depth_mesh()
    before = len(bpy.data.images), len(bpy.data.node_groups), len(bpy.data.objects)
    way(moved)
    assert images("disparity") == [str(moved / "disparity.0001.exr")]
    assert images("confidence") == [str(moved / "confidence.0001.exr")]
    assert faces() == [True, True]
    assert len(bpy.context.scene.fathom.depths) == 1 and bpy.path.abspath(item().folder) == str(moved)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    assert faces() == [True, True]
    bpy.ops.fathom.find_plate(filepath=str(moved.parents[1] / "plate"))
    build()
    assert before == (len(bpy.data.images), len(bpy.data.node_groups), len(bpy.data.objects))


def test_a_copy_elsewhere_is_relinked_while_the_first_is_still_there(tmp_path):
    folder = depth_maker.make(tmp_path / "a", camera=filmed)
    bpy.ops.fathom.load_depth(directory=str(folder))
    build()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    by_the_list(tmp_path / "b" / "depth")
    assert images("disparity") == [str(tmp_path / "b" / "depth" / "disparity.0001.exr")]


@pytest.mark.parametrize("there", ["nothing", "another depth"])
@pytest.mark.parametrize("is_saved", rest_slow([True, False]))
def test_a_scene_that_is_appended_to_a_file_elsewhere_keeps_its_depth(tmp_path, there, is_saved):
    folder = depth_maker.make(tmp_path / "a", camera=filmed)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a" / "shot.blend"))
    bpy.ops.fathom.load_depth(directory=str(folder))
    build()
    assert item().folder == "//depth"
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    (tmp_path / "b").mkdir()
    if there == "another depth":
        other = depth_maker.make(tmp_path / "b" / "c", frames=range(1, 4), camera=filmed)
        depth_sequence.save(replace(depth_sequence.load(other), fingerprint="another"), other)
        other.rename(tmp_path / "b" / "depth")
    if is_saved:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "b" / "other.blend"))
    with bpy.data.libraries.load(str(tmp_path / "a" / "shot.blend")) as (_, taken):
        taken.scenes = ["Scene"]
    scene = taken.scenes[0]
    assert depth_list.load(scene).folder == folder
    assert not missing_files.of_file()
    assert os.path.normpath(bpy.path.abspath(scene.fathom.depths[0].folder)) == str(folder)
    assert images("disparity") == [str(folder / "disparity.0001.exr")]


def test_another_job_is_not_taken_for_it(moved, tmp_path):
    other = depth_maker.make(tmp_path / "other", camera=filmed)
    depth_sequence.save(replace(depth_sequence.load(other), fingerprint="another"), other)
    for relink in (lambda: by_operator(other), lambda: (by_the_list(other), bpy.ops.fathom.build_depth_mesh())):
        with pytest.raises(RuntimeError, match="holds another estimate than plate depth"):
            relink()
        assert images("disparity") == [str(tmp_path / "depth" / "disparity.0001.exr")]
    by_operator(moved)
    assert faces() == [True, True]


def test_what_is_no_depth_is_said(moved, tmp_path):
    for folder, why in ((tmp_path / "nowhere", "does not exist"), (tmp_path, r"contains no depth\.json")):
        with pytest.raises(RuntimeError, match=why):
            by_operator(folder)
    with pytest.raises(RuntimeError, match="No folder is chosen"):
        bpy.ops.fathom.relink_depth()
    with pytest.raises(RuntimeError, match="no depth 3"):
        bpy.ops.fathom.relink_depth(directory=str(moved), depth=3)


@pytest.mark.skipif(os.name == "nt", reason="there it is a path of this system")
@pytest.mark.parametrize("stored", ["D:\\shots\\depth", "D:/shots/depth", "\\\\server\\depth"])
def test_a_list_from_windows_names_the_folder_as_it_is_written(moved, stored):
    item().folder = stored
    with pytest.raises(RuntimeError) as raised:
        bpy.ops.fathom.build_depth_mesh()
    assert f"there is no {stored};" in str(raised.value)


@pytest.mark.skipif(os.name == "nt", reason="there it is a path of this system")
def test_a_relative_folder_from_windows_is_found(moved):
    choose("//store\\v001")
    assert faces() == [True, True]
    assert bpy.ops.fathom.build_fog() == {"FINISHED"}


# The plate


WRITTEN = [
    "D:/plates/shot.mov",
    "//server/plates/shot.mov",
    "\\\\server\\plates\\shot.mov",
    "..\\..\\plates\\shot.mov",
    "/nowhere/shot.mov",
]


@pytest.fixture
def depth_of_movie(tmp_path):
    """Makes a depth of a movie, whose path is written so, and the movie, elsewhere."""

    def make(written):
        clip = movie(tmp_path / "found" / "shot.mp4", range(8), size=(64, 48))
        folder = depth_maker.make(tmp_path, plate_size=(64, 48), camera=filmed)
        sidecar = folder / "depth.json"
        data = json.loads(sidecar.read_text())
        data["source"] |= {"kind": "movie", "path": written, "files": [], "frame_count": 8}
        sidecar.write_text(json.dumps(data))
        bpy.ops.fathom.load_depth(directory=str(folder))
        return clip

    (tmp_path / "found").mkdir()
    return make


@pytest.mark.skipif(os.name == "nt", reason="some are paths of this system there")
@pytest.mark.parametrize("written", rest_slow(WRITTEN, 2))
def test_the_plate_of_another_machine_is_named_as_written_and_found(depth_of_movie, written, monkeypatch, tmp_path):
    clip = depth_of_movie(written)
    assert item().name == "shot depth"
    with pytest.raises(RuntimeError) as raised:
        bpy.ops.fathom.build_depth_mesh()
    assert f"The plate {written} " in str(raised.value) and "Find Plate" in str(raised.value)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert bpy.ops.fathom.find_plate(filepath=str(clip)) == {"FINISHED"}
    assert item().plate == "//found/shot.mp4"
    build()
    assert images("plate") == [str(clip)]
    (tmp_path / "deep").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "deep" / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "deep" / "shot.blend"))
    assert item().plate == "//../found/shot.mp4"
    build()
    assert images("plate") == [str(clip)]
    (background,) = bpy.context.scene.camera.data.background_images
    assert background.image.source == "MOVIE"


def test_a_plate_that_moves_after_building_is_relinked_in_place(tmp_path):
    folder = depth_maker.make(tmp_path, camera=filmed)
    bpy.ops.fathom.load_depth(directory=str(folder))
    build()
    count = len(bpy.data.images)
    (tmp_path / "store").mkdir()
    shutil.move(tmp_path / "plate", tmp_path / "store" / "renamed")
    for n in range(1, 6):
        image = tmp_path / "store" / "renamed" / f"plate.{n:04d}.png"
        image.rename(image.with_name(f"street_v2.{n:04d}.png"))
    with pytest.raises(RuntimeError, match="Frame 1 of the plate is missing"):
        bpy.ops.fathom.build_depth_mesh()
    chosen = tmp_path / "store" / "renamed" / "street_v2.0003.png"
    assert bpy.ops.fathom.find_plate(filepath=str(chosen)) == {"FINISHED"}
    wanted = str(chosen.with_name("street_v2.0001.png"))
    assert images("plate") == [wanted]
    build()
    assert images("plate") == [wanted] and len(bpy.data.images) == count
    assert item().name == "plate depth"


def test_a_plate_that_other_images_came_beside_is_found_again(tmp_path):
    folder = depth_maker.make(tmp_path)
    bpy.ops.fathom.load_depth(directory=str(folder))
    (tmp_path / "plate").rename(tmp_path / "moved")
    for name in ("a1_b5.png", "a7_b3.png", "a9_b2.png"):  # no one sequence, so the plate there is none either
        shutil.copy(tmp_path / "moved" / "plate.0001.png", tmp_path / "moved" / name)
    bpy.context.scene.fathom.depths[0].plate = str(tmp_path / "moved" / "a1_b5.png")
    with pytest.raises(RuntimeError, match="put the sequence there, or show with Find Plate"):
        bpy.ops.fathom.check_files()
    assert any("put the sequence there" in sentence for sentence in missing_files.of_file())
    bpy.ops.fathom.find_plate(filepath=str(tmp_path / "moved" / "plate.0001.png"))
    bpy.ops.fathom.check_files()


def test_another_clip_is_not_taken_for_the_plate(tmp_path, depth_of_movie):
    depth_of_movie("D:/plates/shot.mov")
    small = movie(tmp_path / "small.mp4", range(8), size=(32, 24))
    short = movie(tmp_path / "short.mp4", range(3), size=(64, 48))
    long = movie(tmp_path / "long.mp4", range(20), size=(64, 48))
    for clip, why in (
        (small, "it is 32x24, and the clip of the depth was 64x48"),
        (short, "it has the frames 1-3, and the depth is of frames 1-5"),
        (long, "it has 20 frames, and the clip of the depth had 8"),
        (tmp_path / "nothing.mov", "There is nothing at"),
    ):
        with pytest.raises(RuntimeError, match=why):
            bpy.ops.fathom.find_plate(filepath=str(clip))
    assert item().plate == ""
    with pytest.raises(RuntimeError, match="No clip is chosen"):
        bpy.ops.fathom.find_plate()


def test_a_stream_that_became_a_movie_of_its_own_is_found(tmp_path, depth_of_movie):
    clip = depth_of_movie("D:/plates/shot.mov")
    sidecar = tmp_path / "depth" / "depth.json"
    data = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(data | {"source": data["source"] | {"stream": 1}}))
    both = streams(tmp_path / "both.mov", [[numbered(n) for n in range(8)]] * 2)
    with pytest.raises(RuntimeError, match=r"is video stream 1 of .*both\.mov"):
        bpy.ops.fathom.find_plate(filepath=str(both))
    assert item().plate == ""
    bpy.ops.fathom.find_plate(filepath=str(clip))
    build()
    assert images("plate") == [str(clip)]


def test_frames_of_a_movie_serve_for_it(tmp_path, depth_of_movie):
    depth_of_movie("D:/plates/shot.mov")
    frames = depth_maker.make(tmp_path / "frames", plate_size=(64, 48), frames=range(1, 9)).parent / "plate"
    bpy.ops.fathom.find_plate(filepath=str(frames))
    build()
    assert images("plate") == [str(frames / "plate.0001.png")]
    (image,) = [i for i in bpy.data.images if i.get("fathom_kind") == "plate"]
    assert image.source == "SEQUENCE"


def test_all_versions_of_a_clip_find_its_plate(tmp_path):
    first = depth_maker.make(tmp_path, camera=filmed)
    second = tmp_path / "v002"
    shutil.copytree(first, second)
    depth_sequence.save(replace(depth_sequence.load(second), fingerprint="another"), second)
    shutil.move(tmp_path / "plate", tmp_path / "elsewhere")
    for folder in (first, second):
        bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.ops.fathom.find_plate(filepath=str(tmp_path / "elsewhere"), depth=0)
    assert len({entry.plate for entry in bpy.context.scene.fathom.depths}) == 1
    for number in (0, 1):
        assert bpy.ops.fathom.build_depth_mesh(depth=number) == {"FINISHED"}
    assert bpy.ops.fathom.build_depth_mesh(folder=str(second)) == {"FINISHED"}


def test_the_function_gives_a_depth_with_its_plate(tmp_path):
    depth = depths.load(depth_maker.make(tmp_path))
    shutil.move(tmp_path / "plate", tmp_path / "elsewhere")
    with pytest.raises(plate.PlateError, match="missing"):
        plate.plate_image(depth)
    found = plate.with_plate(depth, tmp_path / "elsewhere")
    assert plate.plate_image(found).filepath == str(tmp_path / "elsewhere" / "plate.0001.png")
    assert found.name == depth.name == "plate"
