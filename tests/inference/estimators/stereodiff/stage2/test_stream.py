"""Stage 2 as a stream: one range for the shot, windows that agree, the same bits however it is stopped or split."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.common.failures import Cancelled, Failure
from inference.estimators.stereodiff import INFO
from inference.estimators.stereodiff.prior import value_range
from inference.estimators.stereodiff.settings import Settings
from inference.estimators.stereodiff.stage2 import refinement
from inference.estimators.stereodiff.stage2.stream import Refinement, work_of
from inference.video_diffusion import dry_run, memory, stages
from inference.video_diffusion.execution.forward import OWN
from inference.video_diffusion.execution.plan import Plan
from inference.video_diffusion.networks import random_networks
from inference.video_diffusion.placement import Placement
from inference.video_diffusion.stream import CHECKPOINT
from inference.video_diffusion.windows import Blending, segments
from tests.inference.golden.fill import fill
from tests.inference.support.stoppable import Frames, Run, moving_images
from tests.marks import rest_slow

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "depthcrafter.json").read_text())
DEFAULTS = {parameter.name: parameter.default for parameter in INFO.parameters}
CPU = torch.device("cpu")
WINDOWS = {"window": 6, "overlap": 2, "decode_chunk": 4}
COUNT = 13


def _networks():
    made = random_networks(config=GOLDEN["config"])
    for offset, network in enumerate((made.unet, made.vae, made.image_encoder)):
        fill(network, GOLDEN["weight_seed"] + offset)
    return made


@pytest.fixture(scope="module")
def networks():
    return _networks()


@pytest.fixture
def fresh_networks():
    """To be changed."""
    return _networks()


class Made:
    """A prior in memory: smooth disparities between 0.5 and 2.5 that move, and a few wild ones."""

    camera = None

    def __init__(self, count, size=(40, 30), *, has_confidence=True):
        self.size, self.has_confidence = size, has_confidence
        wide = cv2.resize(np.random.default_rng(3).uniform(0.5, 2.5, (4, 9)).astype(np.float32), (3 * size[0], size[1]))
        self.maps = np.stack([np.roll(wide, i, axis=1)[:, : size[0]] for i in range(count)])
        self.maps[0, 0, :2] = 1e-3, 1e3

    def disparity(self, index):
        return self.maps[index]

    def confidence(self, index):
        return (self.maps[index] / self.maps.max()).astype(np.float32)


def parameters(**changed):
    return Settings(**DEFAULTS | changed)


class Stage(Run):
    """One run of the second stage."""

    def __init__(self, networks, folder, *, count=COUNT, frames=None, prior=None, forward=OWN, smaller=None, **changed):
        frames = frames or Frames(moving_images(count))
        folder.mkdir(exist_ok=True)
        run = {name: changed.pop(name) for name in ("finished", "stop_at", "stop_after") if name in changed}
        super().__init__(frames, folder, **run)
        placement = Placement(networks, CPU, Plan(), smaller=smaller or (lambda plan: None), warn=self.warnings.append)
        prior = prior or Made(len(frames))
        self.stage = Refinement(self.shot, parameters(**changed), prior, placement, forward=forward)

    def __call__(self):
        self.stage.run()
        return self.clip


def by_hand(networks, frames, prior, settings, seed=7):
    """The same from the functions, the whole clip at once."""
    common = {"device": CPU, "attempt": lambda work: work(Plan())}
    numbers, count = frames.numbers, len(frames)
    low, high = value_range(prior, count, settings.range_quantile)
    sigma = refinement.noise_level(networks.scheduler, settings)
    plate, latents = [], []
    for start in range(0, count, 8):
        some = range(start, min(start + 8, count))
        images = torch.from_numpy(frames.images[some.start : some.stop]).permute(0, 3, 1, 2).float() / 255
        grain = torch.stack([refinement.pixel_noise(seed, numbers[i], 64, 64) for i in some])
        plate.append(stages.encode(networks, images, settings.noise_augmentation * grain, **common))
        maps = refinement.stretched(torch.from_numpy(prior.maps[some.start : some.stop]), low, high)
        latents.append(refinement.encode_prior(networks, maps, (64, 64), resize=settings.resize, **common))
    plate, latents = stages.Encoded.joined(plate), torch.cat(latents)
    blending, found = Blending(settings.overlap), []
    windows = segments(count, settings.window, settings.overlap)
    for window in windows:
        noise = torch.stack([refinement.frame_noise(seed, numbers[i], 64, 64) for i in window])
        some = slice(window.start, window.stop)
        given = {"sigma": sigma, "noise_augmentation": settings.noise_augmentation} | common
        refined = refinement.refine(networks, latents[some], plate[some], noise, **given)
        maps = torch.cat(
            [
                stages.decode(networks, refined[start : start + settings.decode_chunk], **common)
                for start in range(0, len(window), settings.decode_chunk)
            ]
        )
        found += [map_ for _, map_ in blending.through(window, maps, last=window is windows[-1])]
    return refinement.unstretched(torch.stack(found), low, high).numpy()


@pytest.mark.parametrize(
    ("count", "changed"),
    rest_slow(
        [
            (1, {}),
            (2, {"resize": "bilinear"}),
            (5, {"noise_augmentation": 0.0}),
            (2, {"refine_sigma": 0.9, "range_quantile": 0.2}),
            (2, {"spacing": "trailing", "range_quantile": 0.0}),
            (COUNT, WINDOWS),
            (9, {"window": 5, "overlap": 4, "decode_chunk": 2}),
            (7, {"window": 3, "overlap": 0}),
        ],
        2,
        rows=True,
        spread=True,
    ),
    ids=str,
)
def test_a_stream_gives_what_its_functions_give(networks, tmp_path, count, changed):
    frames, prior = Frames(moving_images(count)), Made(count)
    maps = Stage(networks, tmp_path, frames=frames, prior=prior, **changed)()
    assert maps.shape == (count, 64, 64) and maps.dtype == np.float32 and maps.std() > 0
    np.testing.assert_array_equal(maps, by_hand(networks, frames, prior, parameters(**changed)))


def test_maps_stay_in_the_units_of_the_prior_and_above_0(networks, tmp_path):
    prior = Made(5)
    maps = Stage(networks, tmp_path, count=5, prior=prior)()
    low, high = np.quantile(prior.maps, [0.01, 0.99])
    assert 0.4 < low <= maps.min() * 1.001 and maps.max() <= high * 1.001 < 3


def test_maps_and_confidence_have_the_working_size(networks, tmp_path):
    run = Stage(networks, tmp_path, frames=Frames(moving_images(2, width=70, height=52)))
    assert run().shape == (2, 52, 70)
    assert run.confidences[0].shape == (52, 70) and 0 <= run.confidences[0].min() < run.confidences[0].max() <= 1
    run = Stage(networks, tmp_path / "without", count=1, prior=Made(1, has_confidence=False))
    run()
    assert run.confidences == {0: None}


def test_frames_are_read_once_and_in_time(networks, tmp_path):
    frames = Frames(moving_images(30))
    run = Stage(networks, tmp_path, frames=frames, window=10, overlap=2, decode_chunk=4, stop_after=0)
    with pytest.raises(Cancelled):
        run()
    assert frames.asked == list(range(16))  # the first window's, to the end of a chunk of 8, before the first map


def _killed_and_resumed(networks, folder, stops, **changed):
    """Maps of a shot whose run is stopped at each of the calls in turn, and then goes on to its end."""
    kept = {}
    for stop_at in (*stops, None):
        run = Stage(networks, folder, finished=kept, stop_at=stop_at, **changed)
        with contextlib.suppress(Cancelled):
            run.stage.run()
        assert not kept.keys() & run.maps.keys()
        kept |= run.maps
    return np.stack([kept[index] for index in range(COUNT)])


@pytest.fixture(scope="module")
def uninterrupted(networks, tmp_path_factory):
    """The maps of whole runs, by what is shared between windows, and how often each looked whether to stop."""
    found = {}
    torch.set_num_threads(1)  # as the tests; other shares of the work round otherwise
    for sharing in (False, True):
        run = Stage(networks, tmp_path_factory.mktemp("whole"), latent_sharing=sharing, **WINDOWS)
        found[sharing] = (run(), run.calls)
    return found


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), sharing=st.booleans())
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    networks, uninterrupted, tmp_path_factory, one_thread, data, sharing
):
    expected, calls = uninterrupted[sharing]
    stops = data.draw(st.lists(st.integers(1, calls), min_size=1, max_size=2))
    folder = tmp_path_factory.mktemp("cut")
    found = _killed_and_resumed(networks, folder, stops, latent_sharing=sharing, **WINDOWS)
    np.testing.assert_array_equal(found, expected)


def test_the_frames_of_finished_windows_are_not_read_again(networks, uninterrupted, tmp_path):
    frames = Frames(moving_images(COUNT))
    expected, calls = uninterrupted[False]
    found = _killed_and_resumed(networks, tmp_path / "cut", [calls - 2], frames=frames, **WINDOWS)
    np.testing.assert_array_equal(found, expected)
    assert frames.asked == list(range(COUNT))


def test_a_torn_checkpoint_and_a_lost_map_are_made_up_for(networks, uninterrupted, tmp_path):
    expected, _ = uninterrupted[False]
    np.testing.assert_array_equal(Stage(networks, tmp_path, **WINDOWS)(), expected)
    lost = Stage(networks, tmp_path, finished=set(range(COUNT)) - {1}, **WINDOWS)
    np.testing.assert_array_equal(lost(), expected[[1]])
    (tmp_path / CHECKPOINT).write_bytes(b"torn")
    np.testing.assert_array_equal(Stage(networks, tmp_path, **WINDOWS)(), expected)


@pytest.fixture
def decoded(monkeypatch):
    """Every window's maps before they are blended, by the window's first frame."""
    found = {}
    through = Blending.through

    def noting(self, window, maps, *, last):
        found[window.start] = torch.stack(list(maps)).double().numpy()
        return through(self, window, torch.from_numpy(found[window.start]).float(), last=last)

    monkeypatch.setattr(Blending, "through", noting)
    return found


def _fits(decoded, window, overlap):
    """Scale and shift, by least squares, from each window's maps of the overlap to the next one's."""
    starts = sorted(decoded)
    for first, second in itertools.pairwise(starts):
        before, after = decoded[first][window - overlap :].ravel(), decoded[second][:overlap].ravel()
        yield np.polyfit(before, after, 1)


def _looking_at_single_frames(networks, firmness):
    """Networks whose layers over time are faded out, the more the firmer: a frame looks the same in all windows."""
    for network in (networks.unet, networks.vae):
        for layer in network.modules():
            if hasattr(layer, "mix_factor"):
                layer.mix_factor.data.fill_(-firmness if layer.switch_spatial_to_temporal_mix else firmness)
    networks.vae.decoder.time_conv_out.weight.data[:, :, [0, 2]] /= 1 + math.exp(firmness)
    return networks


@pytest.mark.parametrize(("firmness", "exact"), [(2, 0.05), (20, 1e-5)])
def test_windows_agree_in_scale_and_shift(fresh_networks, tmp_path, decoded, firmness, exact):
    """All windows share the shot's range and each frame's noise, so nothing needs to be aligned between them."""
    networks = _looking_at_single_frames(fresh_networks, firmness)
    Stage(networks, tmp_path, count=18, window=8, overlap=3)()
    fits = list(_fits(decoded, 8, 3))
    assert len(fits) == 2
    for scale, shift in fits:
        assert scale == pytest.approx(1, abs=exact) and shift == pytest.approx(0, abs=exact)


def test_windows_would_not_agree_with_noise_of_their_own(fresh_networks, tmp_path, decoded, monkeypatch):
    networks = _looking_at_single_frames(fresh_networks, 20)
    real, drawn = refinement.frame_noise, itertools.count()
    monkeypatch.setattr(refinement, "frame_noise", lambda seed, *frame: real(seed + next(drawn), *frame))
    Stage(networks, tmp_path, count=18, window=8, overlap=3)()
    assert all(abs(scale) < 0.5 for scale, _ in _fits(decoded, 8, 3))


@pytest.mark.parametrize("sharing", [False, True])
def test_latents_are_shared_between_windows_if_asked_for(networks, tmp_path, monkeypatch, sharing):
    steps, decoded = [], []
    refine, decode = refinement.refine, stages.decode

    def refining(networks, prior, *arguments, **named):
        steps.append((prior, refine(networks, prior, *arguments, **named)))
        return steps[-1][1]

    def decoding(networks, latents, **named):
        decoded.append(latents)
        return decode(networks, latents, **named)

    monkeypatch.setattr(refinement, "refine", refining)
    monkeypatch.setattr(stages, "decode", decoding)
    Stage(networks, tmp_path, count=10, latent_sharing=sharing, **WINDOWS)()
    (_, first), (second_prior, second) = steps
    assert torch.equal(second_prior[:2], first[-2:]) == sharing
    assert sum(map(len, decoded)) == (10 if sharing else 12)
    if sharing:  # stitched from the first window's to the second's, both included
        torch.testing.assert_close(torch.cat(decoded), torch.cat([first[:5], second[1:]]))


def test_progress_reaches_its_end_and_never_runs_backwards(networks, tmp_path):
    run = Stage(networks, tmp_path, **WINDOWS)
    run()
    done = [entry[2] for entry in run.told]
    assert done == sorted(done) and done[-1] == pytest.approx(run.told[-1][3], rel=0.2)
    assert run.told[-1][3] == pytest.approx(work_of(COUNT, parameters(**WINDOWS), (64, 64)))
    assert {"Refining window 2 of 3", "Encoding frames and their depth"} <= {entry[1] for entry in run.told}


def test_a_flat_shot_stays_flat(networks, tmp_path):
    prior = Made(3)
    prior.maps[:] = 0.25
    run = Stage(networks, tmp_path, count=3, prior=prior)
    np.testing.assert_array_equal(run(), np.full((3, 64, 64), 0.25, np.float32))
    assert len(run.warnings) == 1 and "nothing to refine" in run.warnings[0]


def _failing(name, at, error):
    """A forward pass that raises at the calls counted in `at`, and the plans it is called with."""
    real, plans = getattr(OWN, name), []

    def failing(*arguments, **named):
        plans.append(named["plan"])
        if len(plans) in at:
            raise error
        return real(*arguments, **named)

    return dataclasses.replace(OWN, **{name: failing}), plans


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["predict", "decode", "encode"])
def test_lack_of_memory_steps_the_plan_down_once_and_changes_nothing(networks, uninterrupted, tmp_path, stage):
    forward, plans = _failing(stage, {2}, torch.OutOfMemoryError("CUDA out of memory"))
    small = Plan(frames=2, networks_on_host=True)
    run = Stage(networks, tmp_path, forward=forward, smaller=lambda plan: small, **WINDOWS)
    np.testing.assert_allclose(run(), uninterrupted[False][0], rtol=0, atol=1e-3)  # other pieces round otherwise
    assert len(run.warnings) == 1 and "memory" in run.warnings[0]
    assert plans[:3] == [Plan(), Plan(), small] and set(plans[2:]) == {small}


def test_values_that_are_no_numbers_are_never_written(fresh_networks, tmp_path):
    fresh_networks.unet.conv_out.bias.data[0] = float("nan")
    run = Stage(fresh_networks, tmp_path, count=3)
    with pytest.raises(Failure, match=r"not finite.*3 of the 3 frames"):
        run()
    assert not run.maps and not (tmp_path / CHECKPOINT).exists()


def test_a_decoder_that_overflows_is_told_by_the_frame(fresh_networks, tmp_path):
    fresh_networks.vae.decoder.time_conv_out.bias.data[0] = float("inf")
    run = Stage(fresh_networks, tmp_path, count=3)
    with pytest.raises(Failure, match="frame 101"):
        run()
    assert not run.maps


@pytest.mark.parametrize(("stage", "what"), [("encode", "prior"), ("denoise", "step")])
@pytest.mark.parametrize("pieces", rest_slow(["whole", "pieces", "smallest"]))
def test_the_plan_s_dry_run_covers_the_step_and_the_prior(monkeypatch, stage, what, pieces):
    """Memory is planned by DepthCrafter's stages; those of the refinement must need no more under any plan."""
    outline = random_networks(config=GOLDEN["config"], device="meta", dtype=torch.float16)
    case = memory.Case(networks=outline, width=192, height=128, window=9)
    plans = {"whole": Plan(), "pieces": Plan(encode_frames=1, frames=2, pixels=50), "smallest": memory.smallest(case)}
    planned = memory._peak(case, stage, plans[pieces])

    def own(case, stage, placement):
        common = {"device": memory.META, "attempt": placement.attempt}
        if what == "prior":
            maps = dry_run.on_host((8, 120, 180), torch.float32)
            return refinement.encode_prior(outline, maps, (192, 128), resize="bilinear", **common)
        latents = dry_run.on_host((9, 4, 16, 24), torch.float32)
        embeddings = dry_run.on_host((9, outline.image_encoder.config.projection_dim), torch.float16)
        conditions = stages.Encoded(latents, embeddings)
        return refinement.refine(outline, latents, conditions, latents, noise_augmentation=0.02, **common)

    monkeypatch.setattr(memory, "_stage", own)
    assert case.weights() / 10 < memory._peak(case, stage, plans[pieces]) <= planned


@pytest.mark.slow
def test_where_nothing_fits_the_sentence_names_the_stage():
    outline = random_networks(config=GOLDEN["config"], device="meta", dtype=torch.float16)
    case = memory.Case(networks=outline, width=64, height=64, window=2)
    with pytest.raises(Failure, match=r"StereoDiff's second stage needs about .* GB are free"):
        memory.choose_plan(case, 1000, who="StereoDiff's second stage")
