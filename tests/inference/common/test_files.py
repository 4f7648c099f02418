"""Writing in one step, and reading of arrays."""

import ast
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.common import files
from inference.common.failures import unwritable
from inference.common.files import save_array, save_arrays, save_json, save_tensors, sync_folder
from inference.contract.camera import Camera
from inference.contract.records import load
from inference.media.exr import write_map

CAMERA = Camera(width=4, height=3, focal_length=2.0, principal_point=(1.5, 1.0))


def test_what_is_saved_reads_back_alike_and_leaves_nothing_else(tmp_path):
    save_json(tmp_path / "camera.json", CAMERA)
    save_array(tmp_path / "one.npy", np.arange(6.0).reshape(2, 3))
    save_arrays(tmp_path / "two.npz", a=np.arange(3), b=np.float32([[0.5]]))
    assert load(Camera, tmp_path / "camera.json", strict=True) == CAMERA
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), np.arange(6.0).reshape(2, 3))
    with np.load(tmp_path / "two.npz") as data:
        assert {name: data[name].tolist() for name in data} == {"a": [0, 1, 2], "b": [[0.5]]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera.json", "one.npy", "two.npz"]


def test_tensors_are_saved_with_their_facts_and_without_what_they_are_views_of(tmp_path):
    torch = pytest.importorskip("torch")
    from inference.video_diffusion.stream import load_checkpoint

    whole = torch.arange(1_000_000.0)
    save_tensors(tmp_path / "a.safetensors", {"part": whole[:5]}, {"done": 3})
    tensors, facts = load_checkpoint(tmp_path / "a.safetensors")
    assert tensors["part"].tolist() == [0, 1, 2, 3, 4]
    assert facts == {"done": 3}
    assert (tmp_path / "a.safetensors").stat().st_size < 1000


@pytest.mark.parametrize(
    ("name", "save", "error"),
    [
        ("a.json", lambda path: save_json(path, replace(CAMERA, focal_length=float("nan"))), ValueError),
        ("a.npy", lambda path: save_array(path, _Unwritable()), ZeroDivisionError),
        ("a.npz", lambda path: save_arrays(path, whole=np.arange(9), part=_Unwritable()), ZeroDivisionError),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_file_and_nothing_else(tmp_path, name, save, error):
    (tmp_path / name).write_text("old")
    with pytest.raises(error):
        save(tmp_path / name)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "old")]


class _Unwritable:
    def __array__(self, dtype=None, copy=None):
        raise ZeroDivisionError


def test_a_folder_that_cannot_be_synced_is_passed_over(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError("not here")

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)


def test_arrays_of_every_layout_read_back_alike(tmp_path):
    for index, array in enumerate(
        [np.zeros((0, 3)), np.array(2.5), np.arange(12).reshape(3, 4).T, np.array([True]), np.arange(8)[::2]]
    ):
        save_array(tmp_path / f"{index}.npy", array)
        found = np.load(tmp_path / f"{index}.npy")
        assert found.dtype == array.dtype and found.shape == array.shape and np.array_equal(found, array)


@pytest.mark.parametrize("save", [save_array, write_map])
def test_a_disk_that_fills_up_says_so(tmp_path, save):
    """numpy and OpenEXR give no error number, by which a run knows that it can be resumed."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    values = np.random.default_rng(0).random((300, 300), np.float32)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            save(tmp_path / "a", values)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "disk is full" in unwritable(caught.value, tmp_path).what


def test_arrays_are_read_in_many_threads_at_once(tmp_path, monkeypatch):
    """Python's parser, which reads their headers, is not safe there: it fails where another thread comes in between."""
    files.save_array(tmp_path / "one.npy", np.arange(6.0))
    files.save_arrays(tmp_path / "more.npz", a=np.arange(6.0), b=np.zeros(2))
    at_once = []
    parse = ast.literal_eval

    def literal_eval(text):
        at_once.append(1)
        time.sleep(0.001)
        assert len(at_once) == 1, "another thread is parsing"
        value = parse(text)
        at_once.pop()
        return value

    monkeypatch.setattr(ast, "literal_eval", literal_eval)

    def read(_):
        mapped = files.load_array(tmp_path / "one.npy", mapped=True)
        return np.array_equal(files.load_array(tmp_path / "one.npy"), mapped) and list(
            files.load_arrays(tmp_path / "more.npz", "b")
        ) == ["b"]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(40)))
    assert list(files.load_arrays(tmp_path / "more.npz")) == ["a", "b"]


def test_arrays_are_read_nowhere_else():
    root = Path(files.__file__).parents[1]
    users = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if "np.load(" in path.read_text("utf-8")}
    assert users == {"common/files.py"}
