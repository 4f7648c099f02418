"""The scene's list of depths."""

import shutil
from dataclasses import replace

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence, plate_files
from bl_ext.dev.fathom.scene import depth_list

pytestmark = pytest.mark.usefixtures("empty_file")


def listed():
    return bpy.context.scene.fathom.depths


def test_loading_puts_a_depth_on_the_list(tmp_path):
    folder = depth_maker.make(tmp_path / "a")
    assert bpy.ops.fathom.load_depth(directory=str(folder), frame_offset=7) == {"FINISHED"}
    (item,) = listed()
    assert item.frame_offset == 7 and item.summary == "frames 1-5, 24 x 16" and item.estimator == "made"
    assert depth_list.load(bpy.context.scene).folder == folder
    bpy.ops.fathom.load_depth(directory=str(folder / "depth.json"), frame_offset=9)
    assert len(listed()) == 1 and listed()[0].frame_offset == 9
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert listed()[0].frame_offset == 9  # where the artist has put it


def test_another_folder_chosen_in_the_list_is_what_is_built(tmp_path):
    bpy.ops.fathom.load_depth(directory=str(depth_maker.make(tmp_path / "a")))
    other = depth_maker.make(tmp_path / "b", frames=range(1, 3))
    listed()[0].folder = str(other)
    bpy.ops.fathom.build_camera(focal_length=30.0)
    assert listed()[0].summary == "frames 1-2, 24 x 16"
    listed()[0].folder = ""
    with pytest.raises(RuntimeError, match=r"has no folder: choose the one with its depth\.json"):
        bpy.ops.fathom.build_camera(focal_length=30.0)


def test_a_plate_that_changed_since_is_said(tmp_path, capfd):
    folder = depth_maker.make(tmp_path / "a")
    made = depth_sequence.load(folder)
    depth_sequence.save(replace(made, plate_files=plate_files.look(made.source, 1, 5)), folder)
    bpy.ops.fathom.load_depth(directory=str(folder))

    def said():
        capfd.readouterr()
        bpy.ops.fathom.build_camera(focal_length=30.0)
        bpy.ops.fathom.check_files()
        return "".join(capfd.readouterr()).count("is not the file that the depth was estimated from, or has changed")

    assert said() == 0
    for frame in range(1, 6):  # a new version under the old names
        depth_maker.write_png(tmp_path / "a" / "plate" / f"plate.{frame:04d}.png", np.zeros((32, 48, 3), np.uint8))
    assert said() == 2


def test_a_plate_that_is_packed_and_replaced_since_is_said(tmp_path, capfd):
    bpy.ops.fathom.load_depth(directory=str(depth_maker.make(tmp_path, frames=range(1, 2))))

    def said():
        capfd.readouterr()
        bpy.ops.fathom.build_camera(focal_length=30.0)
        bpy.ops.fathom.check_files()
        return "".join(capfd.readouterr()).count("packed in this .blend file, and not what plate.0001.png has")

    assert said() == 0
    image = next(image for image in bpy.data.images if image.get("fathom_kind") == "plate")
    image.pack()
    assert said() == 0
    depth_maker.write_png(tmp_path / "plate" / "plate.0001.png", np.zeros((16, 24, 3), np.uint8))
    assert said() == 2
    image.unpack(method="USE_ORIGINAL")
    assert said() == 0


def test_shots_are_counted(tmp_path):
    shots = [(1, 2, "done"), (3, 3, "refused"), (4, 5, "done")]
    bpy.ops.fathom.load_depth(directory=str(depth_maker.make(tmp_path, shots=shots)))
    assert listed()[0].summary == "frames 1-5, 24 x 16, 3 shots, 1 without depth"


def test_the_path_is_relative_and_moves_with_the_file(tmp_path):
    folder = depth_maker.make(tmp_path / "show")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "show" / "shot.blend"))
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert listed()[0].folder == "//depth"
    bpy.ops.wm.save_mainfile()
    shutil.move(tmp_path / "show", tmp_path / "elsewhere")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "elsewhere" / "shot.blend"))
    assert depth_list.load(bpy.context.scene).folder == tmp_path / "elsewhere" / "depth"


def test_removing_from_the_list_leaves_the_files(tmp_path):
    assert not bpy.ops.fathom.forget_depth.poll()
    first, second = depth_maker.make(tmp_path / "a"), depth_maker.make(tmp_path / "b")
    for folder in (first, second):
        bpy.ops.fathom.load_depth(directory=str(folder))
    assert bpy.context.scene.fathom.active_depth == 1
    bpy.ops.fathom.forget_depth()
    assert [bpy.path.abspath(item.folder) for item in listed()] == [str(first)]
    assert bpy.context.scene.fathom.active_depth == 0 and (second / "depth.json").exists()
    with pytest.raises(RuntimeError, match="no depth 3"):
        bpy.ops.fathom.forget_depth(depth=3)


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(RuntimeError, match=r"contains no depth\.json"):
        bpy.ops.fathom.load_depth(directory=str(tmp_path))
    with pytest.raises(RuntimeError, match="No folder is chosen"):
        bpy.ops.fathom.load_depth()
    assert not len(listed())
