"""Clips of any name: one folder whoever asks, and names that are no UTF-8 from the clip to the mesh."""

import os
import shutil
from pathlib import Path

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence, exit_codes
from bl_ext.dev.fathom.operators import command_line

from tests.blender_images import fresh_sequencer, trim

pytestmark = pytest.mark.usefixtures("empty_file")


def estimate(output, **arguments):
    return bpy.ops.fathom.estimate_video_depth(output=str(output), estimator="running_mean", **arguments)


def command(*arguments):
    return command_line.main(["estimate", *map(str, arguments), "--estimator", "running_mean"])


def results(output: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(output)) for path in output.rglob("depth.json"))


@pytest.mark.parametrize("numbered", ["{:05d}.png", "plate.{:04d}.png"])
def test_strip_clip_folder_and_frame_are_one_clip(numbered, worker, clip, tmp_path):
    folder, output = tmp_path / "street", tmp_path / "depth"
    folder.mkdir()
    files = [folder / numbered.format(number) for number in range(1001, 1007)]
    for old, new in zip(sorted(clip.iterdir()), files):
        shutil.copy(old, new)
    strip = fresh_sequencer(bpy.context.scene).new_image("A.001", str(files[0]), 1, 1)
    for file in files[1:]:
        strip.elements.append(file.name)
    estimate(output, strip=strip.name)
    movie_clip = bpy.data.movieclips.load(str(files[0]))
    movie_clip.name = "whatever.png.001"
    estimate(output, clip=movie_clip.name)
    estimate(output, filepath=str(folder))
    assert command(folder, "--output", output) == exit_codes.OK
    assert command(files[2], "--output", output) == exit_codes.OK
    assert results(output) == ["street/v001" if numbered[0] == "{" else "plate/v001"]
    assert len(bpy.context.scene.fathom.depths) == 1


def test_a_refused_clip_leaves_nothing(worker, clip, tmp_path):
    with pytest.raises(RuntimeError, match="unsupported"):
        estimate(tmp_path / "shots" / "depth", filepath=str(clip / "plate.1001.png"), parameters='{"refused": -1}')
    assert not (tmp_path / "shots").exists()
    assert command(tmp_path / "none.mov", "--output", tmp_path / "shots") == exit_codes.BAD_CLIP
    assert not (tmp_path / "shots").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no names that are no Unicode")
def test_names_that_are_no_utf_8(worker, clip, tmp_path):
    home = tmp_path / os.fsdecode(b"r\xe9sum\xe9")
    folder = home / os.fsdecode(b"caf\xe9")
    output = home / os.fsdecode(b"d\xe9pth")
    folder.mkdir(parents=True)
    for number, file in enumerate(sorted(clip.iterdir()), 1):
        shutil.copy(file, folder / os.fsdecode(b"caf\xe9.%04d.png" % number))
    first = str(min(folder.iterdir()))
    assert estimate(output, filepath=first) == {"FINISHED"}
    (item,) = bpy.context.scene.fathom.depths
    assert Path(item.folder) == output / "caf_" / "v001"
    assert depth_sequence.load(item.folder).source.path == str(folder)
    bpy.ops.fathom.build_depth_mesh(focal_length=35.0)
    bpy.ops.wm.save_as_mainfile(filepath=str(home / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(home / "shot.blend"))
    assert any(o.get("fathom_kind") == "mesh" for o in bpy.data.objects)
    plate = next(image for image in bpy.data.images if image.get("fathom_kind") == "plate")
    assert bpy.path.abspath(plate.filepath) == first
    assert estimate(output, filepath=first) == {"FINISHED"}, "found again"
    assert command(first, "--output", output) == exit_codes.OK
    assert results(output) == ["caf_/v001"]
    Path(first).unlink()
    with pytest.raises(RuntimeError, match="There is nothing at"):
        estimate(output, filepath=first)
    assert command(first, "--output", output) == exit_codes.BAD_CLIP


def test_digits_behind_the_frame_number(worker, clip, tmp_path):
    folder = tmp_path / "shot"
    folder.mkdir()
    for number, file in enumerate(sorted(clip.iterdir()), 1001):
        shutil.copy(file, folder / f"shot.{number}_4k.png")
    strip = fresh_sequencer(bpy.context.scene).new_image("shot", str(folder / "shot.1001_4k.png"), 1, 1)
    for number in range(1002, 1007):
        strip.elements.append(f"shot.{number}_4k.png")
    trim(strip, start=1, end=1)
    estimate(tmp_path / "depth", strip="shot")
    sequence = depth_sequence.load(tmp_path / "depth" / "shot" / "v001")
    assert (sequence.first_frame, sequence.last_frame) == (1002, 1005)
    with pytest.raises(RuntimeError, match="rename the files so that the frame number comes last"):
        bpy.ops.fathom.build_depth_mesh(focal_length=35.0)
    assert bpy.ops.fathom.build_fog(focal_length=35.0) == {"FINISHED"}, "what needs no plate is built"
