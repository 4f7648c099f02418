"""What tests of the operators share: a small clip, and a worker that also has the estimators for tests."""

from pathlib import Path

import numpy as np
import pytest

WORKER = Path(__file__).resolve().parents[1] / "inference" / "support" / "worker.py"


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image [H, W, 3] uint8, top row first, with Blender's own means."""
    import bpy

    height, width = image.shape[:2]
    written = bpy.data.images.new("frame", width, height)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = image[::-1] / 255.0
    written.pixels.foreach_set(rgba.ravel())
    written.file_format = "PNG"
    written.filepath_raw = str(path)
    written.save()
    bpy.data.images.remove(written)


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A folder of six frames, 1001 to 1006, 64x48: a texture that moves."""
    folder = tmp_path_factory.mktemp("street")
    texture = np.random.default_rng(1).integers(30, 226, (6, 20, 3)).repeat(8, axis=0).repeat(8, axis=1)
    for number in range(1001, 1007):
        shift = 2 * (number - 1001)
        write_png(folder / f"plate.{number}.png", texture[:, shift : shift + 64].astype(np.uint8))
    return folder


@pytest.fixture
def listed(tmp_path) -> Path:
    """The scene knows the depth of three shots, frames 1-2, 3 and 4-5, the second unsupported; this is its folder."""
    import bpy
    import depth_maker  # only now: Blender enables the extension after this file is read

    folder = depth_maker.make(
        tmp_path,
        shots=[(1, 2, "done"), (3, 3, "refused"), (4, 5, "done")],
        camera=lambda frames: depth_maker.dolly(frames, width=24, height=16, focal_length=26.0),
    )
    bpy.ops.fathom.load_depth(directory=str(folder))
    return folder


@pytest.fixture
def worker(inference_python, monkeypatch) -> Path:
    """Have operators start the worker for tests, in the inference environment."""
    from bl_ext.dev.fathom.inference.contract import client

    monkeypatch.setattr(client, "MAIN", WORKER)
    monkeypatch.setenv("FATHOM_PYTHON", str(inference_python))
    return inference_python


@pytest.fixture(autouse=True)
def _nothing_goes_on():
    from bl_ext.dev.fathom.scene import current_run  # only now: Blender enables the extension after this file is read

    current_run.end_current()
    yield
    current_run.end_current()
