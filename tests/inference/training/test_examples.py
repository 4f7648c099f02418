"""Examples: latents and tokens as an estimate makes them, from the cache or not."""

import os

import pytest
import torch

from inference.training import sequences
from inference.training.examples import Examples
from inference.video_diffusion.execution.forward import OWN


def examples(training, networks, **options):
    return Examples(
        training.settings, training.clips, training.repeats, networks, device=torch.device("cpu"), **options
    )


def same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("video", "tokens", "depth", "known"))


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def test_what_is_cached_is_what_was_made(training, tiny_networks, cache):
    made = training()
    fresh, kept = examples(made, tiny_networks, cache=None), examples(made, tiny_networks, cache=cache)
    numbers = range(4)
    first = [kept[number] for number in numbers]
    files = sorted(cache.iterdir())
    stamps = [file.stat().st_mtime_ns for file in files]
    again = [kept[number] for number in numbers]
    assert len(files) == 4 and [file.stat().st_mtime_ns for file in files] == stamps
    for number in numbers:
        assert same(first[number], again[number]) and same(first[number], fresh[number])
        assert first[number].augmentation == fresh[number].augmentation


def test_variants_come_again(training, tiny_networks, cache):
    kept = examples(training(variants=1), tiny_networks, cache=cache)
    for number in range(9):
        kept[number]
    assert len(list(cache.iterdir())) == 3


def test_a_changed_file_or_a_torn_cache_is_made_again(training, tiny_networks, cache):
    made = training()
    kept = examples(made, tiny_networks, cache=cache)
    before = kept[0]
    (file,) = cache.iterdir()
    file.write_bytes(b"torn")
    assert same(kept[0], before) and file.stat().st_size > 100
    clip, variant = sequences.clip_of(made.settings, made.repeats, 0)
    excerpt = sequences.drawn(made.settings, clip, 6, variant)
    depth = made.clips[clip].truth.depth_files[excerpt.first]
    stamp = depth.stat().st_mtime_ns
    try:
        os.utime(depth, ns=(stamp, stamp + 1_000_000_000))
        kept[0]
        assert len(list(cache.iterdir())) == 2
    finally:
        os.utime(depth, ns=(stamp, stamp))


def test_latents_are_those_of_an_estimate(training, tiny_networks):
    made = training()
    example = examples(made, tiny_networks, cache=None)[0]
    clip, variant = sequences.clip_of(made.settings, made.repeats, 0)
    excerpt = sequences.drawn(made.settings, clip, 6, variant)
    pixels = sequences.pixels(made.settings, made.clips[clip], excerpt)
    disparity = torch.from_numpy(pixels.disparity)[:, None].expand(-1, 3, -1, -1)
    latents = OWN.encode(tiny_networks.vae, 2 * disparity - 1) * tiny_networks.vae.config.scaling_factor
    torch.testing.assert_close(example.depth, latents, rtol=2e-3, atol=2e-3)
    noise = torch.randn(excerpt.length, 3, 64, 64, generator=torch.Generator().manual_seed(excerpt.noise_seed))
    images = 2 * torch.from_numpy(pixels.images).permute(0, 3, 1, 2) - 1 + excerpt.augmentation * noise
    torch.testing.assert_close(example.video, OWN.encode(tiny_networks.vae, images), rtol=2e-3, atol=2e-3)
    assert example.known.shape == (excerpt.length, 1, 8, 8) and bool(example.known.all())
    assert example.tokens.shape == (excerpt.length, 24) and not example.tokens.is_inference()


def test_a_latent_is_known_where_all_its_pixels_are(training, tiny_networks, tmp_path):
    from tests.inference.support import training_clips

    file = training_clips.write_set(tmp_path / "holes", clips=1, hole=True)
    made = training(file=file, smallest_crop=1.0, flip=0.0)
    example = examples(made, tiny_networks, cache=None)[0]
    assert not example.known[0, 0, -2:, :2].any() and bool(example.known[0, 0, :6].all())
    assert bool(example.known[0, 0, :, 2:].all())


def test_without_any_usable_clip_there_is_a_sentence(training, tiny_networks, tmp_path):
    from tests.inference.support import training_clips

    file = training_clips.write_set(tmp_path / "torn", clips=1)
    for depth in (tmp_path / "torn" / "clip-0" / "depth").iterdir():
        depth.write_bytes(depth.read_bytes()[:50])
    with pytest.raises(sequences.UnusableSequence, match="100 sequences in a row"):
        examples(training(file=file), tiny_networks, cache=None)[0]
