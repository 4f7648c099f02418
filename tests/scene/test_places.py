"""A path that stands in somebody else's file is not looked at before the artist asks for it."""

import json
import os
import shutil
from types import SimpleNamespace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.panels import build as panel
from bl_ext.dev.fathom.panels import status
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import depth_list, estimation, missing_files, output, places, source, subject, versions
from bl_ext.dev.fathom.scene import plate as plates
from bl_ext.dev.fathom.scene import settings as settings_module
from bl_ext.dev.fathom.scene.source import SourceError
from disk_watch import watched
from drawing import drawn

from tests.marks import rest_slow


@pytest.fixture(autouse=True)
def nothing_asked():
    places._asked.clear()
    places._stood.clear()
    missing_files.forget()
    yield


@pytest.fixture
def touched():
    """The paths with some word in them that Python looks at while the test runs."""
    with watched() as names:
        yield lambda word: [name for name in names if word in str(name)]


def rewrite(folder, **source):
    path = folder / "depth.json"
    data = json.loads(path.read_text())
    data["source"] |= source
    path.write_text(json.dumps(data))


def draw_all(scene):
    context = SimpleNamespace(scene=scene, region=SimpleNamespace(width=300), object=None)

    def draw(layout):
        panel.Depths.draw(SimpleNamespace(layout=layout), context)
        status.draw(SimpleNamespace(layout=layout), context)

    return drawn(draw)


@pytest.mark.parametrize("where", ["/canary/share/clip.mov", "//canary/share/clip.mov", "\\\\canary\\share\\clip.mov"])
@pytest.mark.parametrize("kind", ["movie", "sequence"])
def test_the_plate_of_a_depth_is_not_looked_at_before_something_shows_it(tmp_path, empty_file, touched, where, kind):
    folder = depth_maker.make(
        tmp_path, camera=lambda frames: depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)
    )
    rewrite(folder, path=where, kind=kind, **({"files": []} if kind == "movie" else {}))
    bpy.ops.fathom.load_depth(directory=str(folder))
    layout = draw_all(empty_file)
    missing_files.of_file()
    bpy.ops.fathom.fit_scene()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    draw_all(bpy.context.scene)
    output._plate_of(folder)
    assert touched("canary") == []
    if where.startswith("/canary"):
        assert "fathom.check_files" in [button.name for button in layout.buttons]
        with pytest.raises(RuntimeError, match="is missing"):
            bpy.ops.fathom.check_files()
        assert touched("canary")


def test_a_plate_beside_the_depth_is_looked_at(tmp_path, empty_file, touched):
    folder = depth_maker.make(tmp_path)
    bpy.ops.fathom.load_depth(directory=str(folder))
    (tmp_path / "plate" / "plate.0002.png").unlink()
    assert any("plate.0002.png" in sentence for sentence in missing_files.of_file())


@pytest.mark.parametrize(
    "where", rest_slow(["/canary/share/depth", "///canary/share/depth", "\\\\canary\\share\\depth"])
)
def test_an_entry_of_a_file_is_not_looked_at_before_the_artist_asks(tmp_path, empty_file, touched, where):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))  # what is written later stays absolute
    item = empty_file.fathom.depths.add()
    item.name, item.linked, item.job = "theirs", where, "made"
    with depth_list._unheard():  # without its being chosen
        item.folder = where
    item.plate = "/canary/clip.mov"
    empty_file.fathom.output = where
    image = bpy.data.images.new("theirs", 1, 1)
    image["fathom_kind"], image["fathom_job"], image.use_fake_user = "disparity", "made", True
    image.source, image.filepath = "SEQUENCE", "/canary/share/depth/disparity.0001.exr"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "theirs.blend"))
    scene = bpy.context.scene
    layout = draw_all(scene)
    missing_files.of_file()
    depth_list.relink_chosen()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))
    assert "fathom.check_files" in [button.name for button in layout.buttons]
    # Building from a depth of one's own is no question for theirs.
    folder = depth_maker.make(
        tmp_path / "own", camera=lambda frames: depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)
    )
    bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.ops.fathom.build_depth_mesh()
    bpy.ops.fathom.add_compositing_fog()
    assert touched("canary") == []


def test_a_folder_that_a_file_brings_is_not_taken_for_one_that_the_artist_wrote(tmp_path, empty_file, touched):
    item = empty_file.fathom.depths.add()
    item.name, item.linked, item.job = "theirs", "/elsewhere/depth", "made"
    with depth_list._unheard():
        item.folder = "/canary/share/depth"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "theirs.blend"))
    draw_all(bpy.context.scene)
    depth_list.relink_chosen()  # as a timer does where Blender tells nobody of a property that changed
    assert touched("canary") == []
    with depth_list._unheard():
        bpy.context.scene.fathom.depths[0].folder = "/canary/of/the/artist"
    depth_list.relink_chosen()
    assert touched("canary/of/the/artist")


def test_what_the_panel_says_of_a_strip_comes_from_no_place_that_stood_in_the_file(tmp_path, empty_file, touched):
    empty_file.fathom.output = "/canary/out"
    clip = SimpleNamespace(
        name="c",
        filepath="/canary/clip.mov",
        source="MOVIE",
        frame_offset=0,
        colorspace_settings=SimpleNamespace(name="sRGB"),
        library=None,
    )
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "theirs.blend"))
    scene = bpy.context.scene
    settings = settings_module.from_scene(scene)
    about = subject.of_clip(clip, settings, scene.fathom.output, scene=scene.name)
    assert subject.unfinished(about) is None
    assert touched("canary") == []
    scene.fathom.output = "/canary/mine"  # the artist's own choice
    about = subject.of_clip(clip, settings, scene.fathom.output, scene=scene.name)
    subject.unfinished(about)
    assert touched("/canary/mine") == ["/canary/mine"]


def test_only_paths_that_stay_beside_the_file_are_relative():
    assert places.is_relative("//depth/v001") and places.is_relative("//../depth")
    for path in ("///etc", "//C:/x", "//\\\\server\\share", "/x", "x", ""):
        assert not places.is_relative(path), path


def test_unfinished_work_of_others_is_not_asked_for_its_clip(tmp_path, empty_file, touched):
    folder = tmp_path / "street" / "v001"
    (folder / ".fathom").mkdir(parents=True)
    (folder / ".fathom" / "state.json").write_text(json.dumps({"fingerprint": "f", "plate": "/canary/street.mov"}))
    found = output._plate_of(folder)
    assert found is not None and not found.may_look
    assert touched("canary") == []


@pytest.mark.parametrize("written", ["state.json", "depth.json"])
def test_a_server_that_a_version_of_others_names_as_its_plate_is_not_asked(tmp_path, empty_file, touched, written):
    """Two slashes begin the name of a server there, and not the folder of the .blend file."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    version = tmp_path / "depth" / "plate" / "v001"
    version.parent.mkdir(parents=True)
    made = depth_maker.make(tmp_path / "own")
    if written == "depth.json":
        shutil.copytree(made, version)
        rewrite(version, path="//canary/share")
    else:
        (version / ".fathom").mkdir(parents=True)
        state = {"fingerprint": "f", "plate": "//canary/share/plate.0001.png"}
        (version / ".fathom" / "state.json").write_text(json.dumps(state))
    plate = source.from_file(tmp_path / "own" / "plate" / "plate.0001.png")
    _, place = estimation.prepare(plate, settings_module.Settings(), root=tmp_path / "depth")
    assert place.standing == "new" and place.folder == tmp_path / "depth" / "plate_own" / "v001"
    assert touched("canary/share") == []


@pytest.mark.parametrize("image", ["/canary/share/plate.0002.png", "//canary/share/plate.0002.png", "../canary/2.png"])
def test_an_image_of_a_strip_in_another_folder_is_not_looked_at(tmp_path, empty_file, touched, image):
    depth_maker.make(tmp_path)
    strips = versions.strips_of(empty_file.sequence_editor_create())
    strip = strips.new_image("theirs", str(tmp_path / "plate" / "plate.0001.png"), 1, 1)
    strip.elements.append(image)
    empty_file.fathom.output = "//"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "theirs.blend"))
    scene = bpy.context.scene
    strip = versions.strips_of(scene.sequence_editor)[0]
    settings = settings_module.from_scene(scene)
    assert subject.unfinished(subject.of_strip(strip, scene, settings, "//", scene=scene.name)) is None
    with pytest.raises(SourceError, match="one strip for each folder"):
        source.from_strip(strip, scene)
    assert touched("canary/") == []


def test_links_in_a_depth_folder_are_not_followed_before_building(tmp_path, empty_file, touched):
    folder = depth_maker.make(tmp_path)
    name = folder / "disparity.0003.exr"
    name.unlink()
    name.symlink_to("/canary/share/disparity.0003.exr")
    depths.load(folder)
    assert touched("canary") == []


@pytest.mark.parametrize("kind", ["entry", "image"])
def test_a_depth_of_the_same_job_takes_no_place_that_was_not_looked_at(tmp_path, empty_file, kind):
    own = depth_maker.make(
        tmp_path, camera=lambda frames: depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)
    )
    copied = tmp_path / "copy" / "depth"
    shutil.copytree(own, copied)
    bpy.ops.fathom.load_depth(directory=str(own))
    bpy.ops.fathom.build_depth_mesh()
    (tmp_path / "work").mkdir()
    blend = str(tmp_path / "work" / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=blend, relative_remap=False)
    if kind == "entry":
        item = empty_file.fathom.depths[0]
        item.folder = item.linked = str(own)
    else:
        empty_file.fathom.depths.clear()
    bpy.ops.wm.save_as_mainfile(filepath=blend, relative_remap=False)
    places._asked.clear()
    bpy.ops.wm.open_mainfile(filepath=blend)
    bpy.ops.fathom.load_depth(directory=str(copied))
    entries = [depths.absolute(item.folder) for item in bpy.context.scene.fathom.depths]
    assert entries == ([own, copied] if kind == "entry" else [copied])
    shown = {image.filepath for image in bpy.data.images if image.get("fathom_kind") == "disparity"}
    assert shown == {str(own / "disparity.0001.exr")}


def test_what_was_appended_brings_no_places_of_the_artists(tmp_path, empty_file):
    empty_file.name, empty_file.fathom.output = "Theirs", "/canary/out"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.fathom.output = "/mine/out"
    assert places.is_artists("/mine/out")
    for name in ("Theirs", "Theirs.001"):
        bpy.ops.wm.append(directory=f"{tmp_path}/theirs.blend/Scene/", filename="Theirs")
        assert not places.is_artists(bpy.data.scenes[name].fathom.output)
        places._stood.clear()


def test_a_path_of_another_system_is_gone_and_what_was_not_looked_at_is_not(empty_file):
    assert places.is_gone("C:\\depth\\v001" if os.name != "nt" else "/depth/v001")
    assert not places.is_gone("/canary/depth") and not places.is_gone("///canary/depth")


@pytest.mark.parametrize("up", ["../../../../../../../..", "..\\..\\..\\..\\..\\..\\..\\.."])
def test_a_relative_path_that_leads_over_the_root_of_the_disk_counts_as_an_absolute_one(
    tmp_path, empty_file, touched, up
):
    blend = str(tmp_path / "theirs.blend")
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    item = empty_file.fathom.depths.add()
    with depth_list._unheard():
        item.folder = item.linked = f"//{up}/canary/depth"
    empty_file.fathom.output = f"//{up}/canary/out"
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=blend)
    layout = draw_all(bpy.context.scene)
    missing_files.of_file()
    assert "fathom.check_files" in [button.name for button in layout.buttons]
    assert not places.is_artists(bpy.context.scene.fathom.output)
    assert touched("canary") == []
    assert places.is_relative("//depth") and places.is_relative("//../depth") and places.is_relative("//a/../../b")


def test_the_file_of_a_packed_plate_is_not_looked_at(tmp_path, empty_file, touched):
    depth = depths.load(depth_maker.make(tmp_path, frames=range(1, 2)))
    image = plates.plate_image(depth)
    image.pack()
    image.filepath = "/canary/share/plate.0001.png"
    assert plates.of_other_files(depth) is None and not touched("canary")
