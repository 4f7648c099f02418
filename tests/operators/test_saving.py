"""The list of depths points to the same folders wherever the .blend file is saved."""

import os
from pathlib import Path

import bpy
import depth_maker
import pytest

pytestmark = pytest.mark.usefixtures("empty_file")


@pytest.fixture
def folder(tmp_path):
    """A depth that the list of ``shots/street/street.blend`` knows, and places to save to."""
    for place in ("shots/street", "shots/street/old", "elsewhere/deep"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shots/street/street.blend"))
    made = depth_maker.make(tmp_path / "shots/street")
    bpy.ops.fathom.load_depth(directory=str(made))
    assert stored() == "//depth"
    return made


def stored() -> str:
    return bpy.context.scene.fathom.depths[0].folder


def meant() -> Path:
    return Path(os.path.normpath(bpy.path.abspath(stored())))


@pytest.mark.parametrize("place", ["shots/street/street2.blend", "shots/street/old/a.blend", "elsewhere/deep/a.blend"])
def test_saved_in_another_folder_the_depth_is_found(folder, tmp_path, place):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / place))
    assert meant() == folder and stored().startswith("//")
    assert bpy.ops.fathom.build_camera(focal_length=30.0) == {"FINISHED"}
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / place))
    assert meant() == folder


def test_a_copy_finds_it_too_and_the_open_file_still_does(folder, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"), copy=True)
    assert stored() == "//depth" and meant() == folder
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"))
    assert stored() != "//depth" and meant() == folder


def test_mattes_and_camera_file_stay_those_of_the_shot(folder, tmp_path):
    chosen = bpy.context.scene.fathom
    chosen.mattes, chosen.camera_file = "//mattes", "//cam.chan"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/copy.blend"), copy=True)
    assert (chosen.mattes, chosen.camera_file) == ("//mattes", "//cam.chan")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"))
    for name in ("copy.blend", "a.blend"):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "elsewhere/deep" / name))
        chosen = bpy.context.scene.fathom
        there = [os.path.normpath(bpy.path.abspath(each)) for each in (chosen.mattes, chosen.camera_file)]
        assert there == [str(folder.parent / "mattes"), str(folder.parent / "cam.chan")]
        assert chosen.mattes.startswith("//") and chosen.output.startswith("//")


def test_a_save_that_fails_changes_nothing(folder, tmp_path):
    with pytest.raises(RuntimeError):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "nowhere" / "a.blend"))
    assert stored() == "//depth"


def test_a_new_file_gets_relative_paths_when_it_is_saved(tmp_path):
    made = depth_maker.make(tmp_path)
    bpy.ops.fathom.load_depth(directory=str(made))
    assert stored() == str(made)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    assert stored() == "//depth"


def test_an_absolute_path_stays_one(folder, tmp_path):
    bpy.context.scene.fathom.depths[0].folder = str(folder)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"))
    assert stored() == str(folder)


def test_the_output_setting_still_means_beside_the_file(folder, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"))
    assert bpy.context.scene.fathom.output == "//depth"
