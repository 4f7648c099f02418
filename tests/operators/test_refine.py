"""Refining from Blender: the operator, the function, the command, and what becomes of the list."""

import os
import shutil

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence, exit_codes
from bl_ext.dev.fathom.inference.contract.job import JobError
from bl_ext.dev.fathom.operators import command_line
from bl_ext.dev.fathom.scene import current_run, refine
from bl_ext.dev.fathom.scene import depth as depths

pytestmark = pytest.mark.usefixtures("empty_file")


@pytest.fixture
def listed(tmp_path):
    """A depth at half the plate's size on the list, at other scene frames, with a fit; returns its folder."""
    folder = depth_maker.make(tmp_path / "a", plate_size=(48, 32), frames=range(1, 4))
    bpy.ops.fathom.load_depth(directory=str(folder), frame_offset=50)
    fit = bpy.context.scene.fathom.depths[0].fits.add()
    fit.job, fit.first_frame, fit.last_frame, fit.notes = "made", 1, 3, "by hand"
    key = fit.keys.add()
    key.frame, key.scale, key.shift = 1, 2.0, 0.5
    fit.tracks.add().name = "point"
    return folder


def test_the_refined_depth_is_on_the_list_where_the_depth_stood(worker, listed):
    scene = bpy.context.scene
    scene.fathom.refine.smooth = 0
    assert bpy.ops.fathom.refine_depth(edge=1.0) == {"FINISHED"}
    target = listed.with_name("depth_refined")
    written = depth_sequence.load(target)
    assert (written.width, written.height) == (48, 32)
    assert (written.refinement["smooth"], written.refinement["edge"]) == (0, 1.0)
    item = scene.fathom.depths[scene.fathom.active_depth]
    assert (len(scene.fathom.depths), item.name, item.frame_offset) == (2, "plate depth_refined", 50)
    assert "refined" in item.summary
    (fit,) = item.fits
    assert (fit.job, fit.notes, fit.tracks[0].name) == (written.fingerprint, "by hand", "point")
    assert [(key.frame, key.scale, key.shift) for key in fit.keys] == [(1, 2.0, 0.5)]

    scene.fathom.active_depth = 0
    made = (target / "depth.json").stat().st_mtime_ns
    assert bpy.ops.fathom.refine_depth(edge=1.0) == {"FINISHED"}, "it is there already"
    assert (target / "depth.json").stat().st_mtime_ns == made
    assert len(scene.fathom.depths) == 2 and scene.fathom.active_depth == 1


@pytest.mark.slow
def test_other_settings_go_beside_and_a_function_does_the_same(worker, listed):
    first = refine.refine(depths.load(listed), {"smooth": 0})
    other = refine.refine(depths.load(listed, frame_offset=7), {"smooth": 0, "edge": -1.0, "long_side": 64})
    assert [each.folder.name for each in (first, other)] == ["depth_refined", "depth_refined2"]
    assert (other.frame_offset, other.sequence.width) == (7, 64)
    _, place = refine.prepare(depths.load(listed), {"smooth": 0})
    assert (place.standing, place.folder) == ("finished", first.folder)
    _, place = refine.prepare(depths.load(listed), {"smooth": 0}, new_version=True)
    assert place.folder.name == "depth_refined3"


def test_what_was_refined_of_other_mattes_or_maps_is_not_there_already(worker, tmp_path, listed):
    """The files keep their times, as from a backup or a vendor: only what was read says that they are others."""
    mattes = tmp_path / "sky"
    shutil.copytree(tmp_path / "a" / "plate", mattes)
    values = {"smooth": 0, "sky_mattes": str(mattes)}
    refine.refine(depths.load(listed), values)
    assert refine.prepare(depths.load(listed), values)[1].standing == "finished"
    for path in (sorted(mattes.iterdir())[1], listed / depth_sequence.disparity_name(2), listed / "depth.json"):
        content, facts = path.read_bytes(), path.stat()
        path.write_bytes(content + b"\n")
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        _, place = refine.prepare(depths.load(listed), values)
        assert (place.standing, place.folder.name) == ("new", "depth_refined2"), path
        path.write_bytes(content)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert refine.prepare(depths.load(listed), values)[1].standing == "finished"


def test_what_cannot_be_refined_is_said_in_a_sentence(worker, tmp_path, listed):
    with pytest.raises(JobError, match="fringe"):
        refine.prepare(depths.load(listed), {"fringe": 99})
    for path in (tmp_path / "a" / "plate").iterdir():
        path.unlink()
    with pytest.raises(RuntimeError):
        bpy.ops.fathom.refine_depth()
    assert not listed.with_name("depth_refined").exists()
    assert current_run.last().outcome == "failed"
    bpy.context.scene.fathom.depths.clear()
    with pytest.raises(RuntimeError, match="no depth to refine"):
        bpy.ops.fathom.refine_depth()


def test_a_cancelled_run_leaves_nothing_half_done(worker, listed):
    wanted, place = refine.prepare(depths.load(listed))
    steps = refine.steps(wanted)
    next(steps)
    steps.close()
    assert not (place.folder / "depth.json").exists()
    assert depths.load(listed).sequence.width == 24


@pytest.mark.slow
def test_the_command(worker, listed):
    arguments = ["refine", str(listed), "--smooth", "0", "--sky"]
    assert command_line.main(arguments) == exit_codes.OK
    assert depth_sequence.load(listed.with_name("depth_refined")).refinement["sky"] is True
    assert command_line.main(arguments) == exit_codes.BAD_OUTPUT
    assert np.isfinite(depth_sequence.load(listed).shots[0].range.p1)
