"""Depth maps are read as they were written, without Blender, and nothing else is."""

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
