"""The autoencoder in pieces against diffusers' own, whatever the plan."""

import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from inference.common.failures import Cancelled  # noqa: E402
from inference.video_diffusion import dry_run  # noqa: E402
from inference.video_diffusion.execution import autoencoder, plain  # noqa: E402
from inference.video_diffusion.execution.plan import Plan  # noqa: E402
from inference.video_diffusion.networks import random_networks  # noqa: E402


@pytest.fixture(scope="module")
def vae(golden, fill):
    return fill(random_networks(config=golden["config"]).vae, 12)


def latents(frames=4, height=5, width=6, seed=0):
    return torch.randn(frames, 4, height, width, generator=torch.Generator().manual_seed(seed))


def apart(result, expected):
    return float((result - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("rows", [None, 1, 2, 7, 100])
def test_any_rows_decode_to_what_diffusers_decodes(vae, rows):
    expected = plain.decode(vae, latents())
    result = autoencoder.decode(vae, latents(), plan=Plan(decoder_rows=rows))
    assert result.shape == expected.shape == (4, 3, 40, 48) and result.is_contiguous()
    assert apart(result, expected) < 1e-5


@settings(max_examples=8)
@given(
    frames=st.integers(1, 3),
    height=st.integers(2, 4),
    width=st.integers(2, 4),
    rows=st.none() | st.integers(1, 33),
    seed=st.integers(0, 9),
)
def test_any_size_decodes_to_what_diffusers_decodes(vae, frames, height, width, rows, seed):
    given = latents(frames, height, width, seed)
    result = autoencoder.decode(vae, given, plan=Plan(decoder_rows=rows))
    assert apart(result, plain.decode(vae, given)) < 1e-5


@pytest.mark.parametrize("together", [1, 2, 8])
def test_any_frames_together_encode_to_what_diffusers_encodes(vae, together):
    pixels = torch.rand(5, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = plain.encode(vae, pixels)
    result = autoencoder.encode(vae, pixels, plan=Plan(encode_frames=together))
    assert result.shape == expected.shape == (5, 4, 4, 6) and result.is_contiguous()
    assert apart(result, expected) < 1e-5


def test_images_are_encoded_in_their_own_precision_whatever_the_weights(golden, fill):
    made = fill(random_networks(config=golden["config"]).vae, 12)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    torch.nn.Module.to(made, dtype=torch.bfloat16)
    result = autoencoder.encode(made, pixels)
    assert result.dtype == torch.float32
    # as if the weights had been rounded and kept in float32
    assert apart(result, plain.encode(torch.nn.Module.to(made, dtype=torch.float32), pixels)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_close_to_float32_as_diffusers_is(golden, fill, dtype):
    made = fill(random_networks(config=golden["config"]).vae, 12)
    exact = plain.decode(made, latents())
    half = torch.nn.Module.to(made, dtype=dtype)
    theirs = (plain.decode(half, latents()) - exact).square().mean().sqrt()
    for plan in (Plan(), Plan(decoder_rows=5)):
        result = autoencoder.decode(half, latents(), plan=plan)
        assert result.dtype == dtype
        assert (result - exact).square().mean().sqrt() < 1.15 * theirs


def test_every_call_gives_the_same_bits_and_changes_nothing(vae):
    given = latents()
    plan = Plan(decoder_rows=3)
    first, second = (autoencoder.decode(vae, given, plan=plan) for _ in range(2))
    assert torch.equal(first, second) and torch.equal(given, latents())


def test_check_is_called_between_pieces_and_can_end_the_work(vae):
    whole, pieces, encoding = [], [], []
    autoencoder.decode(vae, latents(), check=lambda: whole.append(1))
    autoencoder.decode(vae, latents(), plan=Plan(decoder_rows=4), check=lambda: pieces.append(1))
    autoencoder.encode(vae, torch.zeros(2, 3, 16, 16), check=lambda: encoding.append(1))
    assert len(whole) > 3 * 10 and len(pieces) > 4 * len(whole) and len(encoding) > 8

    def check():
        raise Cancelled

    with pytest.raises(Cancelled):
        autoencoder.decode(vae, latents(), check=check)
    with pytest.raises(Cancelled):
        autoencoder.encode(vae, torch.zeros(2, 3, 16, 16), check=check)


@pytest.mark.slow
def test_pieces_need_less_memory(golden):
    hollow = random_networks(config=golden["config"], device="meta").vae
    given = torch.empty(8, 4, 32, 32, device="meta")
    widest = 8 * 256 * 256 * 32 * 4  # bytes of the largest layer, which has 32 channels

    def at(rows, forward=autoencoder):
        return dry_run.peak_bytes(lambda: forward.decode(hollow, given, plan=Plan(decoder_rows=rows)))

    stock, whole, rows = at(None, plain), at(None), at(16)
    assert whole < 0.75 * stock
    assert rows < 0.75 * whole
    # what the layer is given and what it makes, and a little for the pieces
    assert rows < 2.4 * widest


def test_fewer_frames_together_are_encoded_in_less_memory(golden):
    hollow = random_networks(config=golden["config"], device="meta").vae
    pixels = torch.empty(8, 3, 128, 128, device="meta")

    def at(frames):
        plan = Plan(encode_frames=frames)
        return dry_run.peak_bytes(lambda: autoencoder.encode(hollow, pixels, plan=plan), resident=[pixels])

    assert at(1) < 0.35 * at(4) < 0.35 * at(8)


def test_a_doubled_image_is_convolved_with_fewer_products(golden):
    hollow = random_networks(config=golden["config"], device="meta").vae
    given = torch.empty(2, 4, 32, 32, device="meta")
    stock = dry_run.flops(lambda: plain.decode(hollow, given))
    assert dry_run.flops(lambda: autoencoder.decode(hollow, given)) < 0.92 * stock
