"""The operators and the panel of a fit to a camera solve."""

from types import SimpleNamespace

import bpy
import depth_maker
import numpy as np
import pytest
import room_maker
from bl_ext.dev.fathom.panels import camera_solve
from bl_ext.dev.fathom.scene import camera_fit, fit_plot
from drawing import Recorder
from room_maker import Room


@pytest.fixture
def solved(tmp_path, empty_file):
    """The scene knows the depth of a clip that is solved; a fifth of the points are in the air."""
    room = Room()
    points = room.points(40)
    points[::5] *= 0.5
    folder, clip = room_maker.make(tmp_path, room, points=points)
    bpy.ops.fathom.load_depth(directory=str(folder))
    empty_file.frame_set(1005)
    return empty_file, clip


def drawn(scene):
    layout = Recorder()
    context = SimpleNamespace(scene=scene, region=SimpleNamespace(width=4000))
    camera_solve._CameraSolve.draw(SimpleNamespace(layout=layout), context)
    return layout


def test_fit_select_and_remove(solved):
    scene, clip = solved
    assert "Depth has its own distances" in drawn(scene).texts
    assert bpy.ops.fathom.fit_to_camera_solve() == {"FINISHED"}
    layout = drawn(scene)
    fit = scene.fathom.depths[0].fits[0]
    assert any(text.startswith("Frames 1001-1020: 3") and "tracks fit, to 0.0 %" in text for text in layout.texts)
    assert "<plot>" in layout.texts
    every = next(button for button in layout.buttons if button.text == "Select 8 Tracks That Do Not Fit")
    bpy.ops.fathom.select_fit_tracks(clip=every.clip, tracks=every.tracks)
    assert {track.name for track in clip.tracking.tracks if track.select} == {f"point {n}" for n in range(0, 40, 5)}
    one = next(button for button in layout.buttons if button.text.startswith("point "))
    bpy.ops.fathom.select_fit_tracks(clip=one.clip, tracks=one.tracks)
    assert [track.name for track in clip.tracking.tracks if track.select] == [one.tracks]
    assert clip.tracking.tracks.active.name == one.tracks
    assert bpy.ops.fathom.remove_fit() == {"FINISHED"}
    assert len(fit.keys) == 0 or len(scene.fathom.depths[0].fits) == 0
    assert "Depth has its own distances" in drawn(scene).texts


def test_what_stands_in_the_way_is_reported_and_changes_nothing(solved):
    scene, clip = solved
    with pytest.raises(RuntimeError, match="There is no movie clip 'other' in this file"):
        bpy.ops.fathom.fit_to_camera_solve(clip="other")
    clip.tracking.camera.pixel_aspect = 1.0
    with pytest.raises(RuntimeError, match="is not fitted to a camera solve here"):
        bpy.ops.fathom.remove_fit()
    with pytest.raises(RuntimeError, match="has none of these tracks any more"):
        bpy.ops.fathom.select_fit_tracks(clip=clip.name, tracks="none")
    assert len(scene.fathom.depths[0].fits) == 0


def test_all_shots_of_a_clip(tmp_path, empty_file):
    room = Room()
    folder = depth_maker.make(
        tmp_path,
        size=(160, 90),
        plate_size=room_maker.SIZE,
        frames=room.frames,
        shots=[(1001, 1010, "done"), (1011, 1020, "done")],
        disparity=lambda frame, width, height: room.inverse(frame, width, height) * (1 if frame < 1011 else 3),
    )
    clip = room_maker.load_clip(folder)
    room_maker.track(clip, room, room.points())
    room_maker.solve(clip)
    bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.ops.fathom.fit_to_camera_solve(all_shots=True)
    first, second = empty_file.fathom.depths[0].fits
    assert first.keys[0].scale == pytest.approx(3 * second.keys[0].scale, rel=0.01)
    empty_file.frame_set(1015)
    assert camera_fit.entry_at(empty_file) == second


def test_the_plot_tells_used_from_wild_and_beyond_infinity():
    distance = np.array([2.0, 5.0, 20.0, 5.0], np.float32)
    image = fit_plot.plotted(distance, np.array([2.0, 5.0, 4.0, 0.0], np.float32), np.array([True, True, False, False]))
    used, wild = (np.all(np.isclose(image, color), axis=-1) for color in (fit_plot._USED, fit_plot._WILD))
    assert used.sum() == 2 * 7 * 7 and wild.sum() == 2 * 7 * 7
    rows, columns = np.nonzero(used)
    assert np.abs(rows - columns).max() <= 6  # on the line
    assert wild[-10:].any() and not used[-10:].any()
    assert np.array_equal(fit_plot.plotted(distance[:0], distance[:0], distance[:0] > 0).shape, (256, 256, 4))
