"""The list of depths points to the same folders wherever the .blend file is saved."""

import os
from pathlib import Path

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract.catalogue import EstimatorFacts, Parameter
from bl_ext.dev.fathom.panels import parameters
from bl_ext.dev.fathom.scene import places, versions

pytestmark = pytest.mark.usefixtures("empty_file")

PARALLAX = EstimatorFacts(
    name="parallax",
    label="Parallax",
    parameters=(
        Parameter(name="complete_from", default="", depth_sequence=True, description="A folder."),
        Parameter(name="weights", default="", folder=True, description="A folder."),
    ),
)


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


@pytest.fixture
def estimators():
    """Parameters of an estimator that takes depth and weights, as the worker lists them."""
    parameters.register_for([PARALLAX])
    yield
    parameters.unregister_all()


def is_read(scene) -> dict[str, str]:
    """What the settings of a scene name to be read, as absolute paths without ``..``."""
    named = {
        "mattes": scene.fathom.mattes,
        "cam.chan": scene.fathom.camera_file,
        "sky": scene.fathom.refine.sky_mattes,
        "before/v001": scene.fathom_parallax.complete_from,
        "trained": scene.fathom_parallax.weights,
    }
    assert all(stored.startswith("//") for stored in named.values())
    return {name: os.path.normpath(bpy.path.abspath(stored)) for name, stored in named.items()}


def name_what_is_read(scene) -> None:
    scene.fathom.mattes, scene.fathom.camera_file, scene.fathom.refine.sky_mattes = "//mattes", "//cam.chan", "//sky"
    scene.fathom_parallax.complete_from, scene.fathom_parallax.weights = "//before/v001", "//trained"


def test_what_the_settings_name_to_be_read_stays_that_of_the_shot(folder, tmp_path, estimators):
    name_what_is_read(bpy.context.scene)
    there = {name: str(folder.parent / name) for name in is_read(bpy.context.scene)}
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/copy.blend"), copy=True)
    assert is_read(bpy.context.scene) == there and bpy.context.scene.fathom.mattes == "//mattes"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"))
    for name in ("copy.blend", "a.blend"):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "elsewhere/deep" / name))
        assert is_read(bpy.context.scene) == there
        chosen = bpy.context.scene.fathom
        assert (chosen.output, chosen.export.directory) == ("//depth", "//export")


def test_it_stays_so_before_the_worker_has_listed_its_estimators(folder, tmp_path, estimators):
    scene = bpy.context.scene
    name_what_is_read(scene)
    there = {name: str(folder.parent / name) for name in is_read(scene)}
    parameters.unregister_all()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"))
    parameters.register_for([PARALLAX])
    assert is_read(scene) == there
    parameters.unregister_all()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"))
    parameters.register_for([PARALLAX])
    assert is_read(bpy.context.scene) == there
    assert bpy.context.scene.fathom.output == "//depth"


def test_what_a_file_names_is_not_the_artists_before_the_worker_has_listed_its_estimators(tmp_path, estimators):
    bpy.context.scene.fathom_parallax.complete_from = theirs = "/theirs/depth"
    assert places.is_artists(theirs)
    parameters.unregister_all()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "theirs.blend"))
    parameters.register_for([PARALLAX])
    assert bpy.context.scene.fathom_parallax.complete_from == theirs and not places.is_artists(theirs)


@pytest.mark.parametrize("theirs", ["///theirs/mattes", "//../../../../../../../../../../theirs/mattes"])
def test_what_a_file_names_by_way_of_the_root_is_not_the_artists_once_it_is_saved_elsewhere(folder, tmp_path, theirs):
    bpy.context.scene.fathom.mattes = theirs
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    for place in ("elsewhere/deep/a.blend", "elsewhere/a.blend"):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / place))
        named = bpy.context.scene.fathom.mattes
        assert os.path.normpath(bpy.path.abspath(named)) == "/theirs/mattes" and not places.is_artists(named)


@pytest.mark.skipif(not versions.HEARS_IMPORTS, reason="This Blender does not tell that something was appended")
def test_what_the_settings_of_an_appended_scene_name_to_be_read_stays_that_of_its_shot(folder, tmp_path, estimators):
    scene = bpy.context.scene
    scene.name = "Theirs"
    name_what_is_read(scene)
    there = {name: str(folder.parent / name) for name in is_read(scene)}
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere/deep/a.blend"))
    bpy.ops.wm.append(directory=f"{tmp_path}/shots/street/street.blend/Scene/", filename="Theirs")
    assert is_read(bpy.data.scenes["Theirs"]) == there


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
