"""Quick from beginning to end, with a network that is brightness itself."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.common.failures import Cancelled, UnsupportedShot
from inference.estimators.base import Shot
from inference.estimators.quick import network
from inference.estimators.quick.pipeline import estimate, phases

COUNT, SIZE = 20, (128, 72)


@pytest.fixture(autouse=True)
def compiled_code(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path_factory.getbasetemp() / "home"))


def brightness(image):
    """A network: what is bright is near."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


class Unsteady:
    """The same with another scale and shift in every frame, and noise on top."""

    def __init__(self):
        self.random = np.random.default_rng(1)
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        scale, shift = self.random.normal(1, 0.15), self.random.normal(0, 0.08)
        return (scale * brightness(image) + shift + self.random.normal(0, 0.02, image.shape[:2])).astype(np.float32)


def texture(seed=0, size=SIZE):
    """An image of soft blobs."""
    random = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3), np.float32)
    for cells in (6, 20):
        rough = random.uniform(40, 215, (cells, cells, 3)).astype(np.float32)
        total += 0.5 * cv2.resize(rough, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(total, 0, 255).astype(np.uint8)


class Frames:
    """Frames in memory, as the protocol has them."""

    def __init__(self, images):
        self.images = images
        self.height, self.width = images[0].shape[:2]
        self.numbers = range(1001, 1001 + len(images))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


@dataclass
class Run:
    """A run over images; `maps` is what it wrote."""

    images: list
    scratch: Path
    shown: tuple = ()
    maps: dict = field(default_factory=dict)
    reported: list = field(default_factory=list)

    def __call__(self, net=brightness, *, stop_at=None):
        return estimate(self.shot(stop_at), net)

    def shot(self, stop_at=None):
        def check():
            if stop_at is not None and stop_at(self):
                raise Cancelled

        def write(index, disparity, confidence=None):
            assert index not in self.maps and confidence is None
            self.maps[index] = disparity

        self.scratch.mkdir(exist_ok=True)
        return Shot(
            frames=Frames(self.images),
            parameters={},
            seed=0,
            camera=None,
            mattes=None,
            scratch=self.scratch,
            finished=frozenset(self.maps),
            write=write,
            progress=lambda stage, label, done, total: self.reported.append((stage, done / total)),
            check=check,
            shown=self.shown,
        )

    @property
    def all(self):
        return np.stack([self.maps[i] for i in range(len(self.images))])


@pytest.fixture
def run(tmp_path):
    def make(images, shown=(), name="scratch"):
        return Run(images, tmp_path / name, shown)

    return make


def unsteadiness(maps):
    """Mean change from frame to frame, in standard deviations of the maps."""
    return float(np.mean(np.abs(np.diff(maps, axis=0))) / maps.std())


def test_depth_that_changes_scale_and_shift_from_frame_to_frame_becomes_steady(run):
    made = run([texture()] * COUNT)
    made(Unsteady())
    raw = Unsteady()
    before = np.stack([raw(texture()) for _ in range(COUNT)])
    assert unsteadiness(made.all) < 0.12 * unsteadiness(before)
    agreement = np.corrcoef(made.all[7].ravel(), brightness(texture()).ravel())[0, 1]
    assert agreement > 0.97


def test_nothing_jumps_at_the_ends(run):
    made = run([texture()] * COUNT)
    made(Unsteady())
    change = np.abs(np.diff(made.all, axis=0)).mean(axis=(1, 2)) / made.all.std()
    assert max(change[0], change[1], change[-2], change[-1]) < max(0.06, 2 * np.median(change))


def test_depth_follows_what_moves(run):
    wide = texture(2, (SIZE[0] + 3 * COUNT, SIZE[1]))
    images = [np.ascontiguousarray(wide[:, 3 * i : 3 * i + SIZE[0]]) for i in range(COUNT)]
    made = run(images)
    made()
    for i in (0, 9, COUNT - 1):
        assert np.corrcoef(made.maps[i].ravel(), brightness(images[i]).ravel())[0, 1] > 0.97


@pytest.mark.parametrize("size", [(320, 240), (90, 160), (35, 20), (7, 5), (3, 200)])
def test_one_frame_of_any_shape_has_depth_of_its_size(run, size):
    made = run([texture(3, size)])
    assert made().warnings == ()
    assert made.maps[0].shape == (size[1], size[0]) and made.maps[0].dtype == np.float32
    assert np.isfinite(made.maps[0]).all()


def test_a_flash_is_bridged_and_named(run):
    images = [texture()] * COUNT
    images[8] = np.full_like(images[0], 255)
    images[9] = np.clip(texture().astype(int) + 120, 0, 255).astype(np.uint8)
    made = run(images)
    result = made()
    change = np.abs(np.diff(made.all, axis=0)).mean(axis=(1, 2)) / made.all.std()
    assert change.max() < 0.02
    assert "2 frames between 1009 and 1010" in result.warnings[0]


def test_light_that_goes_on_is_no_flash(run):
    dark = (texture() * 0.4).astype(np.uint8)
    made = run([dark] * 10 + [texture()] * 10)
    assert made().warnings == ()
    assert len(made.maps) == 20


def test_a_fade_to_black_keeps_its_depth(run):
    images = [(texture() * max(0.0, 1 - i / 15)).astype(np.uint8) for i in range(COUNT)]
    made = run(images)
    made()
    for i in range(COUNT):
        assert np.corrcoef(made.maps[i].ravel(), made.maps[0].ravel())[0, 1] > 0.9


def test_a_repeated_frame_has_the_depth_of_what_it_repeats_and_is_not_looked_at(run):
    net = Unsteady()
    made = run([texture(i // 2) for i in range(8)], shown=(0, 0, 2, 2, 4, 4, 6, 6))
    made(net)
    for i in range(0, 8, 2):
        np.testing.assert_array_equal(made.maps[i], made.maps[i + 1])
    assert net.calls == 4 * 4  # framings of each


@pytest.mark.parametrize(("count", "what"), [(1, "The frame is"), (5, "All 5 frames")])
def test_a_shot_that_shows_nothing_is_refused(run, count, what):
    with pytest.raises(UnsupportedShot, match=what):
        run([np.full((72, 128, 3), 90, np.uint8)] * count)()


@pytest.mark.parametrize("stage", ["look", "steady"])
def test_a_cancelled_run_goes_on_to_the_same_bits(run, stage):
    wide = texture(4, (SIZE[0] + 2 * COUNT, SIZE[1]))
    images = [np.ascontiguousarray(wide[:, 2 * i : 2 * i + SIZE[0]]) for i in range(COUNT)]
    whole = run(images, name="whole")
    whole()
    broken = run(images, name="broken")
    with pytest.raises(Cancelled):
        broken(stop_at=lambda made: len([name for name, _ in made.reported if name == stage]) >= 7)
    assert len(broken.maps) < COUNT
    broken()
    np.testing.assert_array_equal(broken.all, whole.all)


def test_progress_rises_to_the_end(run):
    made = run([texture()] * 6)
    made()
    done = [share for _, share in made.reported]
    assert done == sorted(done) and done[-1] == pytest.approx(1.0)


@pytest.mark.slow
def test_a_window_alone_decides_on_a_frame(run):
    images = [texture(i) for i in range(3 * COUNT)]
    one, other = run(images, name="one"), run([*images[:-1], texture(99)], name="other")
    one()
    other()
    middle = slice(0, 2 * COUNT)  # but for the unit that all maps share
    np.testing.assert_allclose(one.all[middle], other.all[middle], atol=2e-3)


def test_a_frame_is_shown_in_its_own_aspect_where_stretching_would_show():
    shown = []

    def net(image):
        shown.append(image)
        return brightness(image)

    network.infer(net, np.full((480, 640, 3), 200, np.uint8), check=lambda: None)
    for image, gray in zip(shown, (114, 255), strict=True):
        assert (image[:, 0] == gray).all() and (image[96, 160] == 200).all()
    shown.clear()
    network.infer(net, np.full((360, 640, 3), 200, np.uint8), check=lambda: None)
    assert len(shown) == 4 and (shown[0] == 200).all()


def test_framings_that_answer_at_other_scales_are_averaged_at_the_firsts():
    image = texture(5, (640, 360))
    count = 0

    def net(shown):
        nonlocal count
        count += 1
        return np.float32(count) * brightness(shown) + np.float32(10 * count)

    found = network.infer(net, image, check=lambda: None)
    small = brightness(cv2.resize(image, (320, 180), interpolation=cv2.INTER_AREA)) + 10
    assert np.abs(found - small).mean() < 0.15 * small.std()
    assert found.mean() == pytest.approx(small.mean(), abs=0.01)


def test_phases_in_pieces_make_the_same_bits(run):
    wide = texture(2, (SIZE[0] + 3 * COUNT, SIZE[1]))
    images = [np.ascontiguousarray(wide[:, 3 * i : 3 * i + SIZE[0]]) for i in range(COUNT)]
    images[6] = images[5]
    images[11] = np.full_like(images[11], 255)
    shown = tuple(5 if i == 6 else i for i in range(COUNT))
    whole, pieces = run(images, shown, "whole"), run(images, shown, "pieces")
    whole()
    names = [phase.name for phase in phases(pieces.shot(), brightness)]
    for name in names:
        for units in (range(13, COUNT), range(7), range(7, 13)):
            # each by a process of its own, which knows nothing but what the others have saved
            phase = next(each for each in phases(pieces.shot(), brightness) if each.name == name)
            files = phase.run(units if phase.kind == "frame" else range(phase.units))
            assert all(path.is_file() for path in files) and (files or name == "steady")
    np.testing.assert_array_equal(pieces.all, whole.all)
    assert pieces().warnings == (
        "Frame 1012 is a flash or blank: its depth is interpolated from the frames around it.",
    )
