"""Clips of any length, window by window: the published result, and the same bits after every interruption."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from inference.common.failures import Cancelled, Failure, UnsupportedShot  # noqa: E402
from inference.estimators.video_depth_anything import INFO, memory, network, phases, streaming, windows  # noqa: E402
from inference.estimators.video_depth_anything.pipeline import estimate_clip  # noqa: E402
from inference.estimators.video_depth_anything.window import Plan, WindowRun  # noqa: E402
from tests.inference.support import stoppable, tiny_video_depth  # noqa: E402
from tests.inference.support.stoppable import Frames, moving_images  # noqa: E402
from tests.marks import rest_slow  # noqa: E402

DEFAULTS = {parameter.name: parameter.default for parameter in INFO.parameters}
SIDE = 42


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Every network is the tiny one; ``tiny`` lists those that were loaded."""
    loaded = []

    def load(model):
        loaded.append(tiny_video_depth.tiny_network(metric="Metric" in model.repository))
        return loaded[-1]

    monkeypatch.setitem(network.VARIANTS, "vits", tiny_video_depth.tiny_variant())
    monkeypatch.setattr(streaming, "load", load)
    memory.needed_bytes.cache_clear()
    yield loaded
    memory.needed_bytes.cache_clear()


class Run(stoppable.Run):
    """One run over `frames`, in `folder`."""

    def __init__(self, frames, folder, *, finished=(), stop_at=None, shown=(), **changed):
        folder.mkdir(exist_ok=True)
        parameters = DEFAULTS | {"input_size": SIDE} | changed
        super().__init__(frames, folder, finished=finished, stop_at=stop_at, parameters=parameters)
        self.shot = stoppable.replaced(self.shot, shown=shown)

    def __call__(self):
        streaming.estimate_shot(self.shot)
        return self.clip


def clip(count, width=56, height=48):
    return Frames(moving_images(count, width=width, height=height))


def published(frames, **options):
    images = frames.images.astype(np.float32) / 255
    return estimate_clip(tiny_video_depth.tiny_network(**options), images, input_size=SIDE)


@pytest.mark.parametrize("count", rest_slow([1, 2, 22, 23, 32, 47], 2))
def test_published_joining_gives_the_published_result(tmp_path, count):
    frames = clip(count)
    found = Run(frames, tmp_path, joining="published")()
    wanted = published(frames)
    assert found.dtype == np.float32 and wanted.std() > 0.1
    assert np.abs(found - wanted).max() <= 1e-5 * wanted.max()


def test_whole_clip_joining_differs_from_it_by_the_levels_of_windows_alone(tmp_path):
    frames = clip(30)
    found, wanted = Run(frames, tmp_path)(), published(frames)
    first = slice(0, 22)  # of the first window, which has one scale and one shift
    scale, shift = np.polyfit(wanted[first].ravel(), found[first].ravel(), 1)
    seen = wanted[first] > 0.2 * wanted.max()
    assert np.abs(scale * wanted[first] + shift - found[first])[seen].max() < 0.02 * found.max()


def test_each_frame_is_encoded_once(tmp_path, monkeypatch):
    frames, encoded = clip(60), []
    levels = network.VideoDepthAnything.levels

    def counted(self, images, **options):
        if not images.is_meta:  # the memory plan's dry run
            encoded.append(len(images))
        return levels(self, images, **options)

    monkeypatch.setattr(network.VideoDepthAnything, "levels", counted)
    Run(frames, tmp_path, joining="published")()
    assert sum(encoded) == 60, "and not once in each window"


@pytest.mark.slow
@pytest.mark.parametrize("joining", rest_slow(["whole_clip", "published"]))
def test_a_run_that_was_stopped_anywhere_resumes_to_the_same_bits(tmp_path, joining):
    frames = clip(50)
    whole = Run(frames, tmp_path / "whole", joining=joining)
    expected = whole()
    for stop_at in (1, whole.calls // 3, whole.calls // 2, whole.calls - 20):
        first = Run(frames, tmp_path / f"{stop_at}", stop_at=stop_at, joining=joining)
        with pytest.raises(Cancelled):
            first()
        second = Run(frames, tmp_path / f"{stop_at}", finished=first.maps, joining=joining)
        second()
        assert not set(first.maps) & set(second.maps)
        both = first.maps | second.maps
        np.testing.assert_array_equal(np.stack([both[index] for index in range(50)]), expected)


def test_windows_that_are_saved_need_no_network(tmp_path, tiny):
    frames = clip(30)
    expected = Run(frames, tmp_path)()
    assert len(tiny) == 1
    again = Run(frames, tmp_path, finished=set(range(30)) - {7})
    np.testing.assert_array_equal(again(), expected[[7]])
    assert len(tiny) == 1
    assert Run(frames, tmp_path, finished=range(30)).calls == 0


def test_saved_windows_are_not_kept_open(tmp_path):
    """Windows deletes no file that is mapped, and a run ends with removing its windows."""
    run = Run(clip(60), tmp_path / "shot")
    run()
    raw = streaming.RawMaps(run.shot, streaming.Settings(**run.shot.parameters))
    maps = [raw.at(window, 1) for window in range(4)]
    assert all(type(each) is np.ndarray and each.base is None for each in maps)
    if hasattr(psutil.Process, "memory_maps"):
        assert not [each.path for each in psutil.Process().memory_maps() if each.path.startswith(str(tmp_path))]


@pytest.mark.parametrize(("order", "frames_at_once"), [((2, 0, 1, 3), 1), ((3, 2, 1, 0), 4), ((1, 3, 0, 2), 3)])
def test_windows_are_the_same_in_any_order(tmp_path, monkeypatch, order, frames_at_once):
    monkeypatch.setitem(memory.PLANS, "cpu", (Plan(frames=frames_at_once, fine=2),))
    frames = clip(50)
    one, other = Run(frames, tmp_path / "one"), Run(frames, tmp_path / "other")
    in_order, shuffled = (
        streaming.RawMaps(run.shot, streaming.Settings(**run.shot.parameters)) for run in (one, other)
    )
    assert in_order.missing() == [0, 1, 2, 3], "three windows and the anchor"
    for raw, windows_ in ((in_order, range(4)), (shuffled, order)):
        for window in windows_:
            raw.estimate(window)
    for name in ("window.000000.npy", "window.000001.npy", "window.000002.npy", "anchor.npy"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_frames_that_repeat_others_are_estimated_once(tmp_path):
    frames = clip(24)
    on_twos = Frames(np.repeat(frames.images, 2, axis=0))
    shown = tuple(index - index % 2 for index in range(48))
    expected = Run(frames, tmp_path / "ones")()
    found = Run(on_twos, tmp_path / "twos", shown=shown)()
    np.testing.assert_array_equal(found, np.repeat(expected, 2, axis=0))


@pytest.mark.parametrize(
    ("size", "seen"),
    rest_slow(
        [((56, 48), (56, 42)), ((48, 56), (42, 56)), ((91, 51), (70, 42)), ((57, 57), (42, 42)), ((200, 30), (98, 14))],
        2,
        rows=True,
    ),
)
def test_maps_have_the_size_of_the_frames(tmp_path, size, seen):
    run = Run(clip(3, *size), tmp_path)
    assert run().shape == (3, *size[::-1])
    assert np.load(tmp_path / "window.000000.npy").shape == (3, *seen[::-1])


def test_metric_depth_is_inverse_meters(tmp_path):
    frames = clip(30)
    found = Run(frames, tmp_path, metric=True, joining="published")()
    depth = published(frames, metric=True)
    assert np.isfinite(found).all() and found.max() == pytest.approx(1 / streaming._NEAREST)
    seen = depth > streaming._NEAREST
    np.testing.assert_allclose(1 / found[seen], depth[seen], rtol=1e-4, atol=1e-5)  # of depths up to 6 meters


def test_progress_reaches_its_end_and_never_runs_backwards(tmp_path):
    run = Run(clip(50), tmp_path)
    run()
    done = [each[2] for each in run.told if each[0] != "load"]
    assert done == sorted(done) and done[-1] == pytest.approx(run.told[-1][3])
    labels = [each[1] for each in run.told]
    assert {
        "Estimating window 1 of 3",
        "Estimating window 3 of 3",
        "Estimating frames across the shot together",
    } <= set(labels)


@pytest.mark.slow
def test_memory_that_runs_out_makes_the_pieces_smaller(tmp_path, monkeypatch):
    monkeypatch.setitem(memory.PLANS, "cpu", (Plan(frames=4, fine=4), Plan(frames=2, fine=2), Plan()))
    frames = clip(30)
    expected = Run(frames, tmp_path / "all")()
    levels, sizes = network.VideoDepthAnything.levels, []

    def scarce(self, images, **options):
        sizes.append(len(images))
        if len(images) > 2 and len(sizes) > 5 and not images.is_meta:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return levels(self, images, **options)

    monkeypatch.setattr(network.VideoDepthAnything, "levels", scarce)
    run = Run(frames, tmp_path / "scarce")
    np.testing.assert_allclose(run(), expected, rtol=0, atol=1e-4 * expected.max())
    assert run.warnings == [
        "The memory ran out, so the estimate continues in smaller pieces, which is slower. No finished work is lost."
    ]
    monkeypatch.setattr(network.VideoDepthAnything, "levels", lambda *_, **__: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(Failure, match="The memory ran out again"):
        Run(frames, tmp_path / "none")()


def test_too_little_memory_is_told_with_what_would_fit(tmp_path):
    with pytest.raises(Failure, match=r"needs about 0\.\d GB for images of 56x42, and 0\.0 GB are free") as failure:
        Run(clip(3), tmp_path, memory_limit=0.01)()
    assert "Close other programs" in failure.value.hint


@pytest.mark.slow
def test_values_that_leave_half_precision_are_estimated_in_full(tmp_path, monkeypatch):
    frames = clip(12)
    expected = Run(frames, tmp_path / "full")()
    finish = network.VideoDepthAnything.finish

    def overflowing(self, first, *others, **options):
        maps = finish(self, first, *others, **options)
        return maps * np.inf if first.dtype == torch.bfloat16 else maps

    monkeypatch.setattr(network.VideoDepthAnything, "finish", overflowing)
    run = Run(frames, tmp_path / "half", precision="bf16")
    np.testing.assert_array_equal(run(), expected)
    assert len(run.warnings) == 1 and "float32 instead" in run.warnings[0]


def test_weights_whose_values_are_not_finite_are_declined(tmp_path, monkeypatch):
    monkeypatch.setattr(network.VideoDepthAnything, "finish", lambda self, first, *_, **__: first[:, 0] * np.nan)
    monkeypatch.setattr(WindowRun, "__call__", lambda *_, **__: np.full((12, 42, 56), np.nan, np.float32))
    with pytest.raises(Failure, match="not finite, although it runs in float32"):
        Run(clip(12), tmp_path)()


def test_a_shot_without_depth_is_unsupported(tmp_path, monkeypatch):
    monkeypatch.setattr(WindowRun, "__call__", lambda *_, **__: np.zeros((12, 42, 56), np.float32))
    with pytest.raises(UnsupportedShot, match="sees the same distance everywhere in the shot"):
        Run(clip(12), tmp_path)()


def test_half_precision_stays_close(tmp_path):
    frames = clip(8)
    full, half = Run(frames, tmp_path / "full")(), Run(frames, tmp_path / "half", precision="bf16")()
    assert 0 < np.abs(full - half).mean() < 0.02 * full.max()


@pytest.mark.parametrize(
    ("frame", "on_cpu", "size"),
    [
        ((924, 520), False, (924, 518)),
        ((924, 520), True, (518, 294)),
        ((520, 924), True, (294, 518)),
        ((924, 387), False, (938, 392)),
        ((640, 640), False, (518, 518)),
        ((512, 288), False, (518, 294)),
        ((4096, 2304), False, (924, 518)),
    ],
)
def test_the_network_sees_images_that_suit_the_device(frame, on_cpu, size):
    settings = streaming.Settings(**DEFAULTS)
    assert settings.image_size(*frame, on_cpu=on_cpu) == size
    assert windows.network_size(*frame, 294) == streaming.Settings(**DEFAULTS | {"input_size": 300}).image_size(
        *frame, on_cpu=on_cpu
    )


@pytest.mark.slow(seconds=100)
def test_compiled_parts_give_the_same_depth(tmp_path):
    frames = clip(5)
    plain, compiled = Run(frames, tmp_path / "plain")(), Run(frames, tmp_path / "compiled", compile=True)()
    assert np.abs(plain - compiled).max() <= 1e-4 * plain.max()


def test_a_compiler_that_is_missing_is_told_in_a_sentence(tmp_path, monkeypatch):
    import torch._dynamo

    def fail(*_, **__):
        raise torch._dynamo.exc.BackendCompilerFailed(fail, RuntimeError("no compiler"), None)

    frames = clip(3)
    Run(frames, tmp_path / "plain")()  # the memory plan is known from now on
    monkeypatch.setattr(network.VideoDepthAnything, "compile_parts", lambda self: None)
    monkeypatch.setattr(WindowRun, "__call__", fail)
    with pytest.raises(Failure, match="could not be compiled on this machine"):
        Run(frames, tmp_path / "compiled", compile=True)()


def test_windows_in_pieces_make_the_same_bits(tmp_path):
    frames = clip(60)
    expected = Run(frames, tmp_path / "whole")()
    for units in (range(2, 4), range(2)):
        # each by a process of its own, which knows nothing but what the others have saved
        (phase,) = phases(Run(frames, tmp_path / "pieces").shot)
        assert (phase.kind, phase.units) == ("window", 4), "three windows and the anchor"
        assert [path.is_file() for path in phase.run(units)] == [True, True]
    np.testing.assert_array_equal(Run(frames, tmp_path / "pieces")(), expected)


def test_it_starts_without_the_packages_of_video_diffusion():
    """They take as long to load as ten frames take, in each chunk on a farm."""
    code = (
        "import sys, inference.estimators.video_depth_anything.streaming; "
        "sys.exit(bool({'diffusers', 'transformers', 'accelerate'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[4], check=False).returncode
        == 0
    )
