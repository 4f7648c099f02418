"""Preview Frame, what it measures, and what that says of the whole clip."""

from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence, measured
from bl_ext.dev.fathom.inference.contract.catalogue import EstimatorFacts
from bl_ext.dev.fathom.inference.contract.job import Source
from bl_ext.dev.fathom.scene import depth as depth_module
from bl_ext.dev.fathom.scene import disk_status, forecast, preferences, preview, settings, source, subject
from bl_ext.dev.fathom.scene.versions import strips_of
from drawing import look


@pytest.fixture
def scene(empty_file, clip, tmp_path, monkeypatch):
    """A strip of the clip's frames 1001 to 1006 at 11 to 16, and a data folder of its own."""
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    disk_status.stop()
    files = sorted(clip.iterdir())
    editor = empty_file.sequence_editor_create()
    strip = strips_of(editor).new_image("street", str(files[0]), 1, 11)
    for file in files[1:]:
        strip.elements.append(file.name)
    editor.active_strip = strip
    empty_file.fathom.estimator = "running_mean"
    empty_file.fathom.output = str(tmp_path / "depth")
    yield empty_file
    disk_status.stop()


def test_it_estimates_around_the_playhead_and_shows_it(scene, worker, tmp_path):
    scene.frame_current = 13
    assert bpy.ops.fathom.preview_frame(count=3) == {"FINISHED"}
    (item,) = scene.fathom.depths
    folder = Path(item.folder)
    assert folder.is_relative_to(tmp_path / "home" / "previews") and preview.is_preview(item)
    sequence = depth_sequence.load(folder)
    assert (sequence.first_frame, sequence.last_frame, item.frame_offset) == (1002, 1004, -990)
    assert scene.fathom.view.show and "preview" in item.name
    assert not (tmp_path / "depth").exists()
    (known,) = measured.load(preferences.data_folder())
    assert (known.estimator, known.frames, known.pixels) == ("running_mean", 3, 64 * 48)
    assert known.seconds > 0 and known.peak_bytes > 1e6 and known.disk_bytes > 0

    scene.frame_current = 16
    assert bpy.ops.fathom.preview_frame(count=3) == {"FINISHED"}
    (item,) = scene.fathom.depths
    assert item.folder != str(folder) and not folder.exists(), "it takes the place of the one before"
    assert depth_sequence.load(item.folder).last_frame == 1006
    assert bpy.ops.fathom.estimate_video_depth() == {"FINISHED"}
    assert len(scene.fathom.depths) == 2 and (tmp_path / "depth").exists()
    assert [run.frames for run in measured.load(preferences.data_folder())] == [3, 3, 6]


@pytest.mark.slow
def test_its_length_is_in_seconds_of_the_clip_or_the_scene(scene, worker):
    scene.render.fps, scene.frame_current = 2, 12
    scene.fathom.preview_length = 1.0
    assert bpy.ops.fathom.preview_frame(count=5) == {"FINISHED"}
    assert depth_sequence.load(scene.fathom.depths[0].folder).last_frame == 1002
    assert bpy.ops.fathom.preview_frame(count=5, seconds=0.0) == {"FINISHED"}
    assert depth_sequence.load(scene.fathom.depths[0].folder).last_frame == 1005
    assert bpy.ops.fathom.preview_frame(seconds=1.5) == {"FINISHED"}
    plate = source.Plate(
        source=Source(kind="movie", path="/a.mov", fps=50.0), first_frame=1, last_frame=9, scene_start=1
    )
    assert [preview.count_of(seconds, plate, scene) for seconds in (0.0, 0.001, 0.5)] == [0, 1, 25]


@pytest.mark.slow
def test_what_shows_a_preview_keeps_it(scene, worker):
    scene.frame_current = 12
    bpy.ops.fathom.preview_frame(count=2)
    folder = Path(scene.fathom.depths[0].folder)
    bpy.ops.fathom.build_camera()
    bpy.ops.fathom.build_depth_mesh()
    scene.frame_current = 16
    bpy.ops.fathom.preview_frame(count=2)
    assert (folder / "depth.json").exists() and len(scene.fathom.depths) == 1


@pytest.mark.slow
def test_what_shows_a_preview_in_a_saved_file_or_as_a_strip_keeps_it(scene, worker, tmp_path):
    (tmp_path / "shots").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shots" / "street.blend"), check_existing=False)
    scene.frame_current = 12
    folders = []
    for build, frame in ((bpy.ops.fathom.build_depth_mesh, 14), (bpy.ops.fathom.add_depth_strip, 16)):
        bpy.ops.fathom.preview_frame(count=2)
        folders.append(depth_module.absolute(scene.fathom.depths[0].folder))
        assert build() == {"FINISHED"}
        scene.frame_current = frame
    bpy.ops.fathom.preview_frame(count=2)
    assert all((folder / "depth.json").exists() for folder in folders) and len(scene.fathom.depths) == 1


@pytest.mark.slow
def test_previews_of_other_files_and_of_other_blenders_stay(scene, worker):
    bpy.ops.fathom.preview_frame(count=2)
    first = Path(scene.fathom.depths[0].folder)
    preview.file_opened()
    running = first.with_name("v009")
    (running / ".fathom").mkdir(parents=True)
    (running / "disparity.1001.exr").write_bytes(b"of a run in another Blender")
    scene.frame_current = 16
    bpy.ops.fathom.preview_frame(count=2)
    assert (first / "depth.json").exists() and (running / "disparity.1001.exr").exists()
    assert [Path(item.folder).name for item in scene.fathom.depths] == ["v010"]


def test_a_preview_that_another_file_or_blender_made_is_not_taken_for_ones_own(scene, worker):
    """Whoever made it deletes it, or this file would, although the other shows it."""
    bpy.ops.fathom.preview_frame(count=2)
    theirs = Path(scene.fathom.depths[0].folder)
    bpy.ops.fathom.preview_frame(count=2)
    assert [Path(item.folder) for item in scene.fathom.depths] == [theirs], "the same again is there already"
    preview.file_opened()
    bpy.ops.fathom.preview_frame(count=2)
    own = Path(scene.fathom.depths[0].folder)
    assert own.name == "v002" and own.parent == theirs.parent
    scene.frame_current = 16
    bpy.ops.fathom.preview_frame(count=2)
    assert (theirs / "depth.json").exists() and not own.exists()


@pytest.mark.slow
def test_what_a_saved_file_shows_of_a_preview_stays_when_the_open_one_shows_it_no_more(scene, worker, tmp_path):
    bpy.ops.fathom.preview_frame(count=2)
    folder = Path(scene.fathom.depths[0].folder)
    bpy.ops.fathom.build_depth_mesh()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "street.blend"), check_existing=False)
    bpy.data.batch_remove([*bpy.data.objects, *(image for image in bpy.data.images if "fathom_kind" in image)])
    scene.frame_current = 16
    bpy.ops.fathom.preview_frame(count=2)
    assert (folder / "depth.json").exists()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "street.blend"))
    assert depth_module.load(bpy.context.scene.fathom.depths[0].folder).folder == folder


def test_a_range_is_estimated_alone(scene, worker):
    chosen = scene.fathom
    chosen.use_range, chosen.range_start, chosen.range_end = True, 12, 14
    assert bpy.ops.fathom.estimate_video_depth() == {"FINISHED"}
    sequence = depth_sequence.load(scene.fathom.depths[0].folder)
    assert (sequence.first_frame, sequence.last_frame) == (1002, 1004)
    assert (sequence.size, sequence.processing_size, sequence.cuts) == (None, (64, 48), "auto")


def test_the_panel_says_what_it_will_take(scene):
    facts = EstimatorFacts(name="running_mean", label="Mean", default_size=64, has_confidence=True)
    about = subject.in_front(SimpleNamespace(scene=scene, area=None))
    assert subject.known_outlook(about, facts) == []
    look()
    (line,) = subject.known_outlook(about, facts)
    assert line.startswith("6 frames, 1 MB on disk at most")
    measured.add(
        preferences.data_folder(),
        measured.Measured(
            estimator="running_mean", settings="{}", frames=3, pixels=64 * 48, map_pixels=64 * 48, seconds=50,
            peak_bytes=300_000_000, disk_bytes=2_000_000,
        ),
    )  # fmt: skip
    disk_status.outdate()
    subject.known_outlook(about, facts)
    look()
    (line,) = subject.known_outlook(about, facts)
    assert line == "6 frames: about 1 min 40 s, 300 MB of memory, 4 MB on disk, by a run of 3 frames on this computer"


def test_a_disk_that_is_too_small_is_named():
    outlook = forecast.Outlook(frames=1, forecast=None, most_disk_bytes=5_000_000, free_bytes=2_000_000)
    assert forecast.describe(outlook)[1] == "Only 2 MB are free there"


@pytest.mark.parametrize(
    "at, count, expected", [(110, 4, (108, 111)), (1, 4, (105, 108)), (500, 4, (137, 140)), (110, 99, (105, 140))]
)
def test_the_window_lies_inside_the_plate(at, count, expected):
    plate = source.Plate(source=Source(kind="movie", path="/a.mov"), first_frame=5, last_frame=40, scene_start=105)
    found = preview.settings_for(settings.Settings(size=200, full_size=True), plate, scene_frame=at, count=count)
    assert (found.frames, found.size, found.full_size) == (expected, 200, False)
    assert preview.settings_for(settings.Settings(), plate, scene_frame=at, count=count).size == preview.SIZE
