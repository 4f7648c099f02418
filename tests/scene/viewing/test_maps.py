"""Depth maps are read as they were written, without Blender, and nothing else is."""

import io
import os
import struct
import time
import zlib

import numpy as np
import OpenEXR
import pytest
from bl_ext.dev.fathom.scene.viewing import maps

rng = np.random.default_rng(7)


def write(path, values, *, compression=OpenEXR.ZIP_COMPRESSION, channel="Y", **header):
    OpenEXR.File(
        {"type": OpenEXR.scanlineimage, "compression": compression, **header}, {channel: np.ascontiguousarray(values)}
    ).write(str(path))
    return path


@pytest.mark.parametrize("compression", [OpenEXR.ZIP_COMPRESSION, OpenEXR.ZIPS_COMPRESSION, OpenEXR.NO_COMPRESSION])
@pytest.mark.parametrize("shape", [(1, 1), (16, 5), (37, 23)])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_values_are_those_that_were_written(tmp_path, compression, shape, kind):
    smooth = np.add.outer(np.linspace(0, 1, shape[0]), np.linspace(0, 3, shape[1])).astype(kind)
    for values in (smooth, rng.normal(size=shape).astype(kind)):  # noise is stored as it is
        found = maps.read(write(tmp_path / "map.exr", values, compression=compression))
        assert found.dtype == np.float32 and np.array_equal(found, values.astype(np.float32))


def test_what_is_no_map_is_declined(tmp_path):
    values = np.zeros((40, 8), np.float32)
    whole = write(tmp_path / "map.exr", values).read_bytes()
    write(tmp_path / "red.exr", values, channel="R")
    write(tmp_path / "piz.exr", values, compression=OpenEXR.PIZ_COMPRESSION)
    (tmp_path / "empty.exr").write_bytes(b"")
    (tmp_path / "text.exr").write_text("no image")
    (tmp_path / "short.exr").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "folder.exr").mkdir()
    for name in ("red", "piz", "empty", "text", "short", "folder"):
        with pytest.raises(maps.MapError, match=rf"{name}\.exr cannot be shown"):
            maps.read(tmp_path / f"{name}.exr")
    with pytest.raises(FileNotFoundError):
        maps.read(tmp_path / "missing.exr")


def test_a_damaged_header_is_declined_whatever_it_says(tmp_path):
    whole = bytearray(write(tmp_path / "map.exr", np.zeros((20, 8), np.float32)).read_bytes())
    path = tmp_path / "damaged.exr"
    for at in range(4, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            assert maps.read(path).size <= 16384**2
        except maps.MapError:
            continue


def test_the_cache_reads_what_is_wanted_and_keeps_what_fits(tmp_path):
    paths = [write(tmp_path / f"{i}.exr", np.full((10, 10), i, np.float32)) for i in range(4)]
    cache = maps.Cache(most_bytes=1000)  # two maps and a half
    assert cache.of(paths[0]) is None and list(cache.wanted) == [paths[0]]
    assert cache.read(paths[0]) and not cache.wanted
    assert not cache.read(paths[0]), "nothing new"
    assert cache.of(paths[0])[0, 0] == 0
    for path in paths[1:3]:
        cache.read(path)
    assert cache.of(paths[0]) is None and cache.of(paths[2])[0, 0] == 2
    missing, bad = tmp_path / "later.exr", tmp_path / "bad.exr"
    bad.write_text("no map")
    assert cache.of(missing) is None and not cache.read(missing), "it may come"
    write(missing, np.ones((2, 2), np.float32))
    assert cache.read(missing) and cache.of(missing) is not None
    assert cache.read(bad) and cache.of(bad) is None and bad not in cache.wanted and "bad.exr" in cache.problems[bad]
    cache.forget()
    assert cache.of(missing) is None


def test_chunks_that_are_longer_than_their_pixels_are_declined_at_once(tmp_path):
    path = write(tmp_path / "map.exr", np.zeros((4000, 1), np.float32), compression=OpenEXR.ZIPS_COMPRESSION)
    data = bytearray(path.read_bytes())
    end = zlib.compress(bytes(4)) + bytes(20_000_000)
    at = len(data)
    table = maps.exr_windows.stored(io.BytesIO(bytes(data))).chunks
    data[table : table + 8 * 4000] = struct.pack("<4000Q", *[at] * 4000)
    path.write_bytes(bytes(data) + struct.pack("<ii", 0, len(end)) + end)
    begun = time.process_time()
    with pytest.raises(maps.MapError):
        maps.read(path)
    assert time.process_time() - begun < 1


def test_a_link_is_not_followed(tmp_path):
    path = write(tmp_path / "map.exr", np.ones((2, 2), np.float32))
    (tmp_path / "link.exr").symlink_to(path)
    (tmp_path / "lost.exr").symlink_to(tmp_path / "nowhere")
    for name in ("link", "lost"):
        with pytest.raises(maps.MapError, match="is a link"):
            maps.read(tmp_path / f"{name}.exr")


def test_a_map_that_was_being_copied_is_read_once_it_is_whole(tmp_path):
    path, cache = write(tmp_path / "map.exr", np.ones((2, 2), np.float32)), maps.Cache()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert cache.read(path) and path in cache.problems and not cache.check()
    path.write_bytes(whole)
    assert cache.of(path) is None and not cache.wanted, "drawing opens no file"
    assert cache.check() and cache.of(path) is None and path in cache.wanted
    assert cache.read(path) and cache.of(path)[0, 0] == 1 and not cache.problems and not cache.check()


def test_another_map_of_the_same_name_is_seen(tmp_path):
    path, cache = tmp_path / "map.exr", maps.Cache()

    def estimated(value):
        write(tmp_path / "new.exr", np.full((2, 2), value, np.float32))
        os.replace(tmp_path / "new.exr", path)

    estimated(1)
    assert cache.read(path) and cache.of(path)[0, 0] == 1
    assert not cache.check() and not cache.check() and not cache.read(path)
    estimated(2)
    assert cache.of(path)[0, 0] == 1, "drawing opens no file"
    assert cache.check() and cache.of(path) is None
    assert cache.read(path) and cache.of(path)[0, 0] == 2
    estimated(3)
    assert cache.read(path) and cache.of(path)[0, 0] == 3, "a new frame is read as it is now"
    path.unlink()
    assert cache.check() and cache.of(path) is None and not cache.read(path)
