"""Maps and plates of somebody else: Blender is given no file that is none of a depth's, or more than memory holds."""

import json
import os
import struct
import zlib

import bpy
import depth_maker
import numpy as np
import OpenEXR
import pytest
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import memory, missing_files, source
from bl_ext.dev.fathom.scene import plate as plates
from bl_ext.dev.fathom.scene.plate import PlateError
from bl_ext.dev.fathom.scene.source import SourceError

BUILD = ("build_camera", "build_depth_mesh", "build_fog", "add_compositing_fog")


def filmed(frames):
    return depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)


def rewrite(folder, edit):
    path = folder / "depth.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def press(names=BUILD):
    """Press buttons; what each says, empty where it built."""
    said = []
    for name in names:
        try:
            getattr(bpy.ops.fathom, name)()
            said.append("")
        except RuntimeError as problem:
            assert "Traceback" not in str(problem), problem
            said.append(str(problem))
    return said


def small_file_of_a_large_image(path, side):
    """A black PNG of one bit a pixel."""
    packed, row = zlib.compressobj(9), b"\0" * (side // 8 + 1)
    body = b"".join(packed.compress(row) for _ in range(side)) + packed.flush()

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


@pytest.mark.parametrize("name", ["disparity", "confidence"])
def test_a_image_of_another_format_is_no_map_whatever_it_is_called(tmp_path, empty_file, name):
    folder = depth_maker.make(tmp_path, camera=filmed, confidence=depth_maker.slanted)
    small_file_of_a_large_image(folder / f"{name}.0003.exr", 2000)
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert all(f"{name}.0003.exr is no OpenEXR image" in sentence for sentence in press())
    assert not any(image.get("fathom_kind") == name for image in bpy.data.images)


@pytest.mark.parametrize(
    "channels", [["Z"], ["R", "G", "B"], ["Y", "left.Y"], ["ViewLayer.Combined.Y"], ["Y", "depth.Z"]]
)
def test_a_map_of_other_channels_is_not_taken_for_depth(tmp_path, empty_file, channels):
    folder = depth_maker.make(tmp_path, camera=filmed)
    pixels = {name: np.full((16, 24), 0.5, np.float32) for name in channels}
    OpenEXR.File({"type": OpenEXR.scanlineimage}, pixels).write(str(folder / "disparity.0002.exr"))
    bpy.ops.fathom.load_depth(directory=str(folder))
    named = ", ".join(sorted(channels))
    assert all(f"disparity.0002.exr has the channels {named}, and a depth map has Y alone" in each for each in press())


def test_a_map_of_several_parts_is_none(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    shared = np.array([0, 0], np.int32), np.array([23, 15], np.int32)
    parts = []
    for width, height in ((24, 16), (3000, 2000)):
        header = {"type": OpenEXR.scanlineimage, "displayWindow": shared}
        parts.append(OpenEXR.Part(header, {"Y": np.zeros((height, width), np.float32)}, f"part{width}"))
    OpenEXR.File(parts).write(str(folder / "disparity.0002.exr"))
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert all("has the channels Y, Y, and a depth map has Y alone" in sentence for sentence in press())


def test_empty_and_missing_maps_are_shown_as_missing(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    depth = depths.load(folder)
    (folder / "disparity.0002.exr").write_bytes(b"")
    (folder / "disparity.0003.exr").unlink()
    assert depth.unreadable is None


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("name", ["disparity", "confidence"])
def test_a_first_map_that_leads_nowhere_is_said_in_a_sentence(tmp_path, empty_file, name):
    folder = depth_maker.make(tmp_path, camera=filmed, confidence=depth_maker.slanted)
    (folder / f"{name}.0001.exr").unlink()
    (folder / f"{name}.0001.exr").symlink_to("/nowhere/map.exr")
    bpy.ops.fathom.load_depth(directory=str(folder))
    said = press()
    assert "Blender cannot read" in said[1] and f"{name}.0001.exr" in said[1]


@pytest.mark.skipif(os.name == "nt", reason="paths are shorter there")
def test_a_depth_beyond_the_longest_path_of_blenders_is_said_in_a_sentence(tmp_path, empty_file, monkeypatch):
    deep = tmp_path
    monkeypatch.chdir(tmp_path)
    for _ in range(6):
        os.mkdir("x" * 200)
        os.chdir("x" * 200)
        deep /= "x" * 200
    folder = depth_maker.make(deep, camera=filmed)
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert all(press())


def test_maps_that_memory_does_not_suffice_for_are_not_given_to_blender(tmp_path, empty_file, monkeypatch):
    folder = depth_maker.make(tmp_path, camera=filmed)
    rewrite(folder, lambda data: data.update(width=60_000, height=60_000))
    bpy.ops.fathom.load_depth(directory=str(folder))
    monkeypatch.setattr(memory, "free_bytes", lambda: 20_000_000_000)
    for sentence in press():
        assert "60000x60000, which take 57.6 GB of memory to show, and 20.0 GB are free" in sentence
    assert not any(image.get("fathom_kind") for image in bpy.data.images if image.get("fathom_kind") != "plate")


def test_a_plate_that_says_it_is_huge_makes_no_huge_image(tmp_path, empty_file, monkeypatch):
    folder = depth_maker.make(tmp_path, camera=filmed)
    rewrite(folder, lambda data: data["source"].update(width=65_536, height=65_536))
    bpy.ops.fathom.load_depth(directory=str(folder))
    monkeypatch.setattr(memory, "free_bytes", lambda: 20_000_000_000)
    (sentence,) = press(["add_compositing_fog"])
    assert "65536x65536, which take 68.7 GB" in sentence
    assert not any(image.source == "GENERATED" for image in bpy.data.images)


def test_an_exr_plate_that_memory_does_not_suffice_for_is_not_shown(tmp_path, empty_file, monkeypatch):
    folder = depth_maker.make(tmp_path, camera=filmed)
    for path in (tmp_path / "plate").iterdir():
        depth_maker.write_map(path.with_suffix(".exr"), np.zeros((300, 400)))
    names = [f"plate.{number:04d}.exr" for number in range(1, 6)]
    rewrite(folder, lambda data: data["source"].update(files=names))
    monkeypatch.setattr(memory, "free_bytes", lambda: 1_000_000)
    with pytest.raises(PlateError, match=r"plate\.0001\.exr is 400x300, which take 0\.0 GB of memory"):
        plates.require_shown(depths.load(folder))


@pytest.mark.parametrize("ending", ["exr", "png"])
def test_a_plate_with_a_header_of_gigabytes_is_not_shown_whatever_it_is_called(tmp_path, empty_file, ending):
    folder = depth_maker.make(tmp_path, camera=filmed)
    first = tmp_path / "plate" / f"plate.0001.{ending}"
    depth_maker.write_map(tmp_path / "map.exr", np.zeros((16, 24)))
    data = (tmp_path / "map.exr").read_bytes()
    for path in list((tmp_path / "plate").iterdir()):
        path.with_suffix(f".{ending}").write_bytes(data)
    with open(first, "wb") as file:
        file.write(data[:8] + b"big\0string\0" + struct.pack("<i", 2**31 - 16))
        file.seek(2**31 - 16, 1)
        file.write(data[8:])
    rewrite(folder, lambda data: data["source"].update(files=[f"plate.{n:04d}.{ending}" for n in range(1, 6)]))
    with pytest.raises(PlateError, match=rf"plate\.0001\.{ending} cannot be shown, since it has a header of more than"):
        plates.require_shown(depths.load(folder))


def test_what_is_free_is_known_or_nothing_is_said():
    free = memory.free_bytes()
    assert free is None or free > 50_000_000
    assert memory.shortage(24, 16) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("ending", ["png", "exr"])
def test_blender_does_not_wait_for_a_plate_that_is_a_pipe(tmp_path, empty_file, ending):
    folder = depth_maker.make(tmp_path, camera=filmed)
    names = [f"plate.{number:04d}.{ending}" for number in range(1, 6)]
    for name in names:
        (tmp_path / "plate" / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / "plate" / name)
    rewrite(folder, lambda data: data["source"].update(files=names))
    bpy.ops.fathom.load_depth(directory=str(folder))
    said = press()
    assert said[0] == "" and all("is no file" in sentence for sentence in (said[1], said[3]))
    missing_files.of_file()
    with pytest.raises(SourceError):
        source.from_file(tmp_path / "plate" / names[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_strip_whose_frame_is_a_pipe_is_not_waited_for(tmp_path, empty_file):
    from tests.blender_images import fresh_sequencer

    depth_maker.write_map(tmp_path / "f.0001.exr", np.zeros((16, 24)))
    strip = fresh_sequencer(empty_file).new_image("f", str(tmp_path / "f.0001.exr"), 1, 1)
    strip.elements.append("f.0002.exr")
    os.mkfifo(tmp_path / "f.0002.exr")
    with pytest.raises(SourceError, match=r"Frame 2 .* is missing"):
        source.from_strip(strip, empty_file)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to this account")
@pytest.mark.parametrize("kind", ["movie", "sequence"])
def test_a_plate_that_may_not_be_looked_at_is_said_in_a_sentence(tmp_path, empty_file, kind):
    folder = depth_maker.make(tmp_path, camera=filmed)
    rewrite(folder, lambda data: data["source"].update(kind=kind, path="../plate/inner"))
    (tmp_path / "plate").chmod(0)
    try:
        bpy.ops.fathom.load_depth(directory=str(folder))
        assert any("plate" in sentence for sentence in missing_files.of_file())
        assert press()[0] == ""
        with pytest.raises(SourceError):
            source.from_file(tmp_path / "plate" / "plate.0001.png")
    finally:
        (tmp_path / "plate").chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="names are shorter there")
def test_paths_of_a_file_that_no_system_takes_are_said_in_a_sentence(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.ops.fathom.build_depth_mesh()
    for image in bpy.data.images:
        if image.get("fathom_kind") in ("disparity", "plate"):
            image.filepath = f"//{'x' * 300}/disparity.0001.exr"
    empty_file.fathom.output = f"//{'z' * 300}"
    empty_file.fathom.depths[0].folder = f"//{'w' * 300}"
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "theirs.blend"))
    missing_files.forget()
    assert any("w" * 300 in sentence for sentence in missing_files.of_file())
    assert all(press())
    for long in ("y" * 300, "y/" * 3000):
        with pytest.raises(RuntimeError, match="There is nothing at"):
            bpy.ops.fathom.estimate_video_depth(filepath=f"/{long}.mov", output=str(tmp_path))


def test_a_folder_of_the_plate_that_cannot_be_read_is_said_in_a_sentence(tmp_path, empty_file, monkeypatch):
    """As on a disk that has gone, whoever asks."""
    depth = depths.load(depth_maker.make(tmp_path, camera=filmed))
    scandir = os.scandir

    def gone(path):
        if "plate" in str(path):
            raise OSError(116, "Stale file handle", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", gone)
    with pytest.raises(PlateError, match=r"cannot be read \(Stale file handle\)"):
        plates.require_plate(depth)
