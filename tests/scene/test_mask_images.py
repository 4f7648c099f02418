"""A mask becomes mattes with the clip's frame numbers."""

import os
from dataclasses import replace
from pathlib import Path

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract.job import Source
from bl_ext.dev.fathom.scene import mask_images, source
from bl_ext.dev.fathom.scene.problems import Problem


def plate(width=64, height=48):
    street = Source(kind="movie", path="/street.mov", width=width, height=height)
    return source.Plate(source=street, first_frame=5, last_frame=7, scene_start=105)


def box(left, right):
    mask = bpy.data.masks.new("box")
    spline = mask.layers.new(name="layer").splines.new()
    spline.points.add(3)
    # in a mask, the unit is the longer side, about the middle
    for point, co in zip(spline.points, ((left, 0.25), (right, 0.25), (right, 0.75), (left, 0.75))):
        point.co, point.handle_type = co, "VECTOR"
    spline.use_cyclic = True
    return mask


def test_each_frame_has_a_matte(empty_file, tmp_path):
    folder = mask_images.rasterize(box(0.25, 0.5), plate(), tmp_path / "mattes")
    assert sorted(path.name for path in folder.iterdir()) == [f"matte.{n:04d}.png" for n in (5, 6, 7)]
    for path in folder.iterdir():
        image = bpy.data.images.load(str(path))
        assert tuple(image.size) == (64, 48)
        row = np.array(image.pixels[:]).reshape(48, 64, 4)[24, :, 0]
        assert (row[18:30] > 0.99).all() and (row[:14] < 0.01).all() and (row[34:] < 0.01).all()
    assert len(bpy.data.scenes) == 1 and len(bpy.data.masks) == 1
    mask_images.rasterize(box(0.25, 0.5), plate(), tmp_path / "mattes")


def shown(image):
    row = np.array(image.pixels[:]).reshape(48, 64, 4)[24, :, 0]
    return row[24] > 0.5, row[40] > 0.5


def test_mattes_of_an_edited_mask_are_shown_at_once(empty_file, tmp_path):
    """In the effects and the mesh that have the mattes of before."""
    folder = mask_images.rasterize(box(0.25, 0.5), plate(), tmp_path / "mattes")
    image = bpy.data.images.load(str(folder / "matte.0005.png"))
    assert shown(image) == (True, False)
    mask_images.rasterize(box(0.5, 0.75), plate(), folder)
    assert shown(image) == (False, True)


def test_what_cannot_be_written_is_said(empty_file, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="cannot be written"):
        mask_images.rasterize(box(0, 1), plate(), tmp_path / "file")
    with pytest.raises(Problem, match="size"):
        mask_images.rasterize(box(0, 1), plate(None, None), tmp_path)


def test_earlier_mattes_stay_where_not_all_can_be_replaced(empty_file, tmp_path, monkeypatch):
    folder = mask_images.rasterize(box(0.25, 0.5), plate(), tmp_path / "mattes")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    require = mask_images.whole_files.require

    def full(path):
        if "0106" in path.name:
            path.write_bytes(b"")  # as Blender leaves it, which says nothing
        require(path)

    monkeypatch.setattr(mask_images.whole_files, "require", full)
    with pytest.raises(Problem, match=r"box.* cannot be written into .*: a file is not whole; the disk may be full"):
        mask_images.rasterize(box(0, 0.1), plate(), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()
    (folder / "matte.0007.png").unlink()
    (folder / "matte.0007.png").mkdir()
    with pytest.raises(Problem, match=r"matte\.0007\.png is a folder"):
        mask_images.rasterize(box(0, 0.1), plate(), folder)
    assert all((folder / name).read_bytes() == before[name] for name in list(before) if "0007" not in name)


def test_no_folder_has_mattes_of_two_masks(empty_file, tmp_path, monkeypatch):
    """As where a part of the clip is tried with an edited mask, or Blender ends while mattes are replaced."""
    folder, mask = tmp_path / "mattes", box(0.25, 0.5)
    mask_images.rasterize(mask, plate(), folder)
    (folder / "roto.0005.png").write_bytes(b"of somebody")
    earlier = {path.read_bytes() for path in folder.iterdir()}
    replace_file = mask_images.own_files.replace

    def ended(path, target):
        if target.name == "matte.0006.png":
            raise OSError("ended")
        replace_file(path, target)

    monkeypatch.setattr(mask_images.own_files, "replace", ended)
    with pytest.raises(Problem):
        mask_images.rasterize(box(0, 0.1), plate(), folder)
    monkeypatch.undo()
    left = [path for path in folder.iterdir() if path.name.startswith("matte")]
    assert [path.name for path in left] == ["matte.0005.png"] and left[0].read_bytes() not in earlier
    mask_images.rasterize(mask, plate(), folder)
    mask_images.rasterize(box(0, 0.1), replace(plate(), last_frame=6), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["matte.0005.png", "matte.0006.png", "roto.0005.png"]


def test_what_a_blender_that_was_killed_has_rendered_goes_after_a_day(empty_file, tmp_path):
    folder = tmp_path / "mattes"
    for name in ("old", "new", "theirs"):
        (folder / f".fathom-matte-{name}").mkdir(parents=True)
        (folder / f".fathom-matte-{name}" / "matte.0105.png").write_bytes(b"")
    (folder / ".fathom-matte-theirs" / "notes.txt").write_text("")
    for name in ("old", "theirs"):
        os.utime(folder / f".fathom-matte-{name}", (0, 0))
    mask_images.rasterize(box(0, 1), plate(), folder)
    assert sorted(path.name for path in folder.glob(".*")) == [".fathom-matte-new", ".fathom-matte-theirs"]


def test_masks_whose_folders_would_be_one_have_their_own(empty_file, tmp_path):
    made = [mask_images.own_folder(tmp_path, bpy.data.masks.new(name), plate()) for name in ("a:b", "a_b")]
    assert [folder.name for folder in made] == ["mattes a_b", "mattes 2 a_b"]
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))
    assert mask_images.own_folder(tmp_path, bpy.data.masks["a:b"], plate()).name == "mattes 3 a_b"
    assert mask_images.own_folder(tmp_path, bpy.data.masks["a:b"], plate()).name == "mattes 3 a_b"


def test_one_press_makes_mattes_beside_the_depth(empty_file, tmp_path):
    image = tmp_path / "street.0001.png"
    depth_maker.write_png(image, depth_maker.smooth_image(1, 64, 48))
    clip = bpy.data.movieclips.load(str(image))
    empty_file.fathom.output = str(tmp_path / "depth")
    with pytest.raises(RuntimeError, match="has 0 masks"):
        bpy.ops.fathom.use_mask(clip=clip.name)
    box(0.25, 0.5)
    assert bpy.ops.fathom.use_mask(clip=clip.name) == {"FINISHED"}
    folder = tmp_path / "depth" / "street" / "mattes box"
    assert [path.name for path in folder.iterdir()] == ["matte.0001.png"]
    assert empty_file.fathom.mattes == str(folder)


def test_two_blenders_whose_files_are_not_saved_have_mattes_of_their_own(empty_file, tmp_path, monkeypatch):
    mask = bpy.data.masks.new("Mask")
    assert not bpy.data.filepath
    folders = [mask_images.own_folder(tmp_path, mask, plate()) for _ in range(2)]
    monkeypatch.setattr(mask_images.os, "getpid", lambda: 1)
    folders.append(mask_images.own_folder(tmp_path, mask, plate()))
    assert [folder.name for folder in folders] == ["mattes Mask", "mattes Mask", "mattes 2 Mask"]


def test_clips_of_one_name_have_mattes_of_their_own(empty_file, tmp_path):
    """Every shot's plate may be called so, and the mask of every file."""
    empty_file.fathom.output = str(tmp_path / "depth")
    made = []
    for shot, sides in (("s010", (0, 0.3)), ("s020", (0.5, 1)), ("s010", (0, 0.2))):
        (tmp_path / shot).mkdir(exist_ok=True)
        image = tmp_path / shot / "plate.0001.png"
        depth_maker.write_png(image, depth_maker.smooth_image(1, 64, 48))
        clip, mask = bpy.data.movieclips.load(str(image), check_existing=True), box(*sides)
        before = {path: path.read_bytes() for path in made}
        assert bpy.ops.fathom.use_mask(clip=clip.name) == {"FINISHED"}
        made.append(Path(empty_file.fathom.mattes) / "matte.0001.png")
        others = {path for path in before if path.parent != made[-1].parent}
        assert all(path.read_bytes() == before[path] for path in others)
        bpy.data.masks.remove(mask)
    assert [path.parent.name for path in made] == ["mattes box", "mattes 2 box", "mattes box"]
    (tmp_path / "depth" / "plate" / "mattes box.json").write_text("{")
    box(0, 1)
    assert bpy.ops.fathom.use_mask(clip=clip.name) == {"FINISHED"}
    assert empty_file.fathom.mattes == str(tmp_path / "depth" / "plate" / "mattes 3 box")


def test_a_clip_that_another_blender_was_faster_with_has_its_own(empty_file, tmp_path, monkeypatch):
    ours, theirs = plate(), replace(plate(), source=replace(plate().source, path="/elsewhere/street.mov"))
    mask, save = box(0, 1), mask_images.own_files.save_text

    def late(path, text, **how):
        monkeypatch.setattr(mask_images.own_files, "save_text", save)
        assert mask_images.own_folder(tmp_path, mask, theirs).name == "mattes box"
        save(path, text, **how)

    monkeypatch.setattr(mask_images.own_files, "save_text", late)
    assert mask_images.own_folder(tmp_path, mask, ours).name == "mattes 2 box"
    assert mask_images.own_folder(tmp_path, mask, theirs).name == "mattes box"


def test_nothing_is_written_through_a_link(empty_file, tmp_path):
    secret, folder = tmp_path / "secret", tmp_path / "mattes"
    secret.write_text("mine")
    folder.mkdir()
    for name in ("matte.0005.png", "rendering.0105.png", "matte.0105.png"):
        (folder / name).symlink_to(secret)
    mask_images.rasterize(box(0, 1), plate(), folder)
    assert secret.read_text() == "mine" and not (folder / "matte.0005.png").is_symlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "linked").symlink_to(elsewhere)
    with pytest.raises(Problem, match="is a link"):
        mask_images.rasterize(box(0, 1), plate(), tmp_path / "linked")
    assert list(elsewhere.iterdir()) == []


def test_a_pipe_or_a_folder_in_the_place_of_a_matte_holds_nothing_up(empty_file, tmp_path):
    folder = tmp_path / "mattes"
    folder.mkdir()
    os.mkfifo(folder / "matte.0005.png")
    (folder / "matte.0006.png").mkdir()
    with pytest.raises(Problem, match="cannot be written"):
        mask_images.rasterize(box(0, 1), plate(), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["matte.0005.png", "matte.0006.png"], "no drafts are left"


def test_a_clip_before_the_timelines_beginning_is_declined(empty_file, tmp_path):
    with pytest.raises(Problem, match="begins at frame -3, and Blender renders from frame 0 on"):
        mask_images.rasterize(box(0, 1), replace(plate(), scene_start=-3), tmp_path / "mattes")
    assert not (tmp_path / "mattes").exists()
    folder = mask_images.rasterize(box(0, 1), replace(plate(), scene_start=0), tmp_path / "mattes")
    assert len(list(folder.iterdir())) == 3


def test_braces_in_a_folders_name_are_its_own(empty_file, tmp_path):
    """Blender takes them for variables from 4.5 on."""
    for name in ("{blend_name}", "{x"):
        (tmp_path / name).mkdir()
        folder = mask_images.rasterize(box(0, 1), plate(), tmp_path / name / "mattes")
        assert sorted(path.name for path in folder.iterdir()) == [f"matte.{n:04d}.png" for n in (5, 6, 7)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["{blend_name}", "{x"]
