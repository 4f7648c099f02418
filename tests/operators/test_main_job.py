"""The main job by operators with the estimator that comes with Fathom: a filmed scene in, its geometry out."""

import bpy
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import depth_list
from depth_maker import write_png

WIDTH, HEIGHT, FOCAL, COUNT = 192, 144, 170.0, 14
WALLS = [  # axis, position on it, limits on the other two; x right, y down, z forth, in meters
    (1, 1.2, ((-20, 20), (0.1, 9.0))),
    (2, 9.0, ((-20, 20), (-8, 1.2))),
    (2, 4.0, ((-1.6, -0.4), (-0.2, 1.2))),
    (2, 5.5, ((0.6, 2.0), (-0.9, 1.2))),
]
OTHERS = {1: (0, 2), 2: (0, 1)}


def texture(seed, size=512):
    """Noise [size, size, 3] at several scales, 0..1, that repeats."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]) * size
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal((size, size, 3)), axes=(0, 1))
    smooth = np.fft.ifft2(spectrum / (4 + frequency[..., None]) ** 1.2, axes=(0, 1)).real
    return np.clip(0.5 + 0.22 * smooth / smooth.std(), 0, 1)


def look(x):
    """What a camera at (x, 0, 0) that looks along z sees: image [H, W, 3] 0..255 and distance [H, W]."""
    fine = 3
    v, u = (np.mgrid[: HEIGHT * fine, : WIDTH * fine] + 0.5) / fine - 0.5
    ray = np.stack([(u - (WIDTH - 1) / 2) / FOCAL, (v - (HEIGHT - 1) / 2) / FOCAL, np.ones_like(u)], axis=-1)
    origin = np.array([x, 0.0, 0.0])
    distance = np.full(u.shape, np.inf)
    image = np.zeros((*u.shape, 3))
    for number, (axis, position, limits) in enumerate(WALLS):
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (position - origin[axis]) / ray[..., axis]
            a, b = (origin[other] + reach * ray[..., other] for other in OTHERS[axis])
        inside = (reach > 0.05) & (reach < distance)
        for value, (low, high) in zip((a, b), limits):
            inside &= (value >= low) & (value <= high)
        pattern = texture(number)
        image[inside] = pattern[(a[inside] * 60).astype(int) % 512, (b[inside] * 60).astype(int) % 512]
        distance[inside] = reach[inside]
    image = image.reshape(HEIGHT, fine, WIDTH, fine, 3).mean(axis=(1, 3))
    return np.rint(image * 255).astype(np.uint8), distance[fine // 2 :: fine, fine // 2 :: fine]


def film(folder, positions):
    """Frames 1 to n of a camera at these places; returns their true distances."""
    folder.mkdir()
    distances = []
    for number, x in enumerate(positions, start=1):
        image, distance = look(x)
        write_png(folder / f"street.{number:04d}.png", image)
        distances.append(distance)
    return distances


def read_map(path):
    """A disparity map [H, W], top row first."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    values = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(values)
    values = values.reshape(image.size[1], image.size[0], 4)[::-1, :, 0].copy()
    bpy.data.images.remove(image)
    return values


@pytest.fixture
def python(inference_python, monkeypatch):
    monkeypatch.setenv("FATHOM_PYTHON", str(inference_python))


def test_a_filmed_scene_becomes_geometry(python, empty_file, tmp_path):
    truth = film(tmp_path / "street", 0.08 * np.arange(COUNT))
    kept = bpy.context.scene.fathom  # a path without turns tells nothing about the lens
    kept.use_focal_length, kept.focal_length, kept.sensor_width = True, FOCAL, WIDTH
    arguments = {"filepath": str(tmp_path / "street" / "street.0001.png"), "output": str(tmp_path / "depth")}
    assert bpy.ops.fathom.estimate_video_depth(**arguments, size=WIDTH) == {"FINISHED"}
    depth = depth_list.load(bpy.context.scene)
    assert depth.sequence.estimator == "automatic" and depth.sequence.shots[0].estimators == ("parallax",)
    assert depth.sequence.quantity == "inverse_depth"
    found = read_map(depth.folder / "disparity.0007.exr")
    actual = 1 / truth[6]
    rows = np.linspace(0, actual.shape[0] - 1, found.shape[0]).round().astype(int)
    columns = np.linspace(0, actual.shape[1] - 1, found.shape[1]).round().astype(int)
    actual = actual[rows][:, columns]
    scale = np.median(actual / np.maximum(found, 1e-6))
    wrong = np.abs(found * scale - actual) / actual
    assert np.median(wrong) < 0.03 and np.mean(wrong < 0.1) > 0.85
    assert bpy.ops.fathom.build_depth_mesh() == {"FINISHED"}
    mesh = next(o for o in bpy.data.objects if o.get("fathom_kind") == "mesh")
    assert len(mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices) >= found.size / 2
    camera = bpy.context.scene.camera
    assert camera.data.lens / camera.data.sensor_width == pytest.approx(FOCAL / WIDTH, rel=0.05)


@pytest.mark.slow
def test_a_locked_camera_is_declined_with_what_to_do(python, empty_file, tmp_path):
    film(tmp_path / "street", np.zeros(COUNT))
    with pytest.raises(RuntimeError, match="Get the weights of a learned network"):
        bpy.ops.fathom.estimate_video_depth(
            filepath=str(tmp_path / "street" / "street.0001.png"), output=str(tmp_path / "depth"), size=WIDTH
        )
    assert not list((tmp_path / "depth").rglob("depth.json"))
