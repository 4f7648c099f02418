"""Pieces of layers against torch's own layers: norms whose statistics are joined, rewritten convolutions, spans."""

import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from inference.video_diffusion.execution import convolution, norm, pieces, transformer  # noqa: E402


def group_norm(channels=64, groups=32, seed=0):
    torch.manual_seed(seed)
    layer = nn.GroupNorm(groups, channels).requires_grad_(False)
    layer.weight.normal_()
    layer.bias.normal_()
    return layer, norm.GroupNorm(layer.weight, layer.bias, groups, layer.eps)


def stock(layer, values):
    """A GroupNorm of [n, rows, columns, channels] by torch's own layer in float64."""
    layer = layer.double()
    return layer(values.double().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


@settings(max_examples=25)
@given(
    rows=st.integers(1, 9),
    piece=st.integers(1, 9),
    mean=st.sampled_from([0.0, 3.0, 300.0]),
    split=st.sampled_from([(64,), (40, 24), (24, 40)]),
)
def test_statistics_of_pieces_joined_are_those_of_the_whole(rows, piece, mean, split):
    layer, weights = group_norm()
    values = torch.randn(2, rows, 5, 64, generator=torch.Generator().manual_seed(rows)) + mean
    parts = values.split(split, dim=-1)  # a group of two lies in both where the first has an odd half
    known = norm.beside(
        norm.joined(norm.moments(part[:, some]) for some in pieces.spans(rows, piece)) for part in parts
    )
    result = norm.normalized(parts, *norm.affine(known, weights), silu=False)
    # the values themselves are known to one part in 10^7 of their mean
    assert torch.allclose(result.double(), stock(layer, values), atol=2e-5 + 2e-6 * mean)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mean", [0.0, 20.0])
def test_statistics_in_half_precision_are_as_good_as_torchs_own(dtype, mean):
    layer, weights = group_norm()
    values = (torch.randn(2, 40, 30, 64, generator=torch.Generator().manual_seed(1)) + mean).to(dtype)
    result = norm.normalized((values,), *norm.affine(norm.moments(values), weights), silu=False)
    assert result.dtype == dtype
    exact = stock(layer, values)
    theirs = nn.functional.group_norm(
        values.permute(0, 3, 1, 2), 32, weights.weight.to(dtype), weights.bias.to(dtype), weights.eps
    ).permute(0, 2, 3, 1)
    assert (result - exact).abs().mean() <= 1.1 * (theirs - exact).abs().mean()


def test_statistics_of_large_values_do_not_overflow_in_half_precision():
    values = torch.full((1, 4, 4, 32), 3e4, dtype=torch.float16)
    values[:, ::2] *= -1
    known = norm.moments(values)
    assert torch.equal(known.mean, torch.zeros(1, 32))
    assert torch.allclose(known.squares, torch.full((1, 32), 16 * 3e4**2))


@pytest.mark.parametrize("way", [norm._shifted, norm._welford])  # of the CPU, and of GPUs
def test_either_way_to_statistics_in_float32_bears_means_far_from_zero(way):
    values = torch.randn(3, 500, 32) * torch.rand(32).add(0.5) + 300 * torch.randn(32)
    known, exact = way(values), values.double()
    assert torch.allclose(known.mean.double(), exact.mean(1), atol=1e-3)
    squares = (exact - exact.mean(1, keepdim=True)).square().sum(1)
    assert torch.allclose(known.squares.double(), squares, rtol=1e-4)


def test_statistics_over_frames_and_places_are_pooled_from_those_of_frames():
    values = torch.randn(3, 4, 5, 32) + torch.randn(3, 1, 1, 32)
    pooled, whole = norm.pooled(norm.moments(values)), norm.moments(values.reshape(1, 60, 32))
    assert pooled.number == whole.number == 60
    assert torch.allclose(pooled.mean, whole.mean, atol=1e-6)
    assert torch.allclose(pooled.squares, whole.squares, rtol=1e-5)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_bias_is_counted_in_without_being_added(in_place):
    layer, weights = group_norm()
    values, bias = torch.randn(2, 4, 5, 64), 3 * torch.randn(64)
    expected = functional.silu(stock(layer, values + bias))
    by = norm.affine(norm.moments(values), weights, bias)
    result = norm.normalized((values,), *by, silu=True, in_place=in_place)
    assert torch.allclose(result.double(), expected, atol=1e-5)
    assert (result is values) is in_place


@settings(max_examples=20)
@given(rows=st.integers(1, 7), columns=st.integers(1, 6), piece=st.integers(1, 7))
def test_a_doubled_image_is_never_made(rows, columns, piece):
    torch.manual_seed(rows)
    layer = nn.Conv2d(6, 5, 3, padding=1).requires_grad_(False)
    values = torch.randn(2, rows, columns, 6)
    expected = layer(functional.interpolate(values.permute(0, 3, 1, 2), scale_factor=2.0, mode="nearest"))
    by = convolution.doubling(layer.weight, layer.bias)
    whole = pieces.Whole(2 * rows, axis=1)
    for some in pieces.spans(rows, piece):
        top, bottom = some.start == 0, some.stop == rows
        source = values[:, some.start - (not top) : some.stop + (not bottom)]
        made = convolution.double(source, by, top=top, bottom=bottom)
        whole.put(slice(2 * some.start, 2 * some.stop), made)
    assert torch.allclose(whole.tensor, expected.permute(0, 2, 3, 1), atol=1e-5)


def test_a_convolution_over_time_is_one_of_a_image_of_frames_and_places():
    layer = nn.Conv3d(8, 5, (3, 1, 1), padding=(1, 0, 0)).requires_grad_(False)
    values = torch.randn(4, 3, 7, 8)  # frames, rows, columns, channels
    expected = layer(values.permute(3, 0, 1, 2)[None])[0].permute(1, 2, 3, 0)
    by = convolution.Convolution(layer.weight.squeeze(4), layer.bias)
    result = convolution.convolve(values.reshape(1, 4, 21, 8), by, padding=(1, 0)).reshape(4, 3, 7, 5)
    assert torch.allclose(result, expected, atol=1e-6)


@given(
    total=st.integers(1, 300),
    size=st.none() | st.integers(1, 400),
    most=st.none() | st.integers(1, 90),
    elements=st.sampled_from([1, 2**25, 2**31]),
)
def test_spans_cover_everything_once_in_pieces_no_larger_than_allowed(total, size, most, elements):
    found = list(pieces.spans(total, size, most=most, elements=elements))
    assert [place for some in found for place in range(some.start, some.stop)] == list(range(total))
    lengths = [some.stop - some.start for some in found]
    largest = max(lengths)
    assert largest <= min(size or total, most or total)
    assert largest == 1 or largest * elements <= pieces.MOST_ELEMENTS
    assert len(set(lengths[:-1])) <= 1 and lengths[-1] <= largest


def test_a_piece_that_is_the_whole_is_not_copied():
    piece = torch.randn(3, 4)
    whole = pieces.Whole(3)
    whole.put(slice(0, 3), piece)
    assert whole.tensor is piece


@pytest.mark.parametrize("order", [(2, 0, 1, 3), (0, 2, 1, 3), (0, 1, 2, 3)])
def test_attentions_result_is_mapped_whatever_order_it_has_in_memory(order):
    result = torch.randn(5, 2, 3, 4)  # places, heads, frames, width
    weight, bias = torch.randn(8, 8), torch.randn(8)
    laid_out = torch.empty([result.shape[axis] for axis in order]).permute(*(order.index(axis) for axis in range(4)))
    laid_out.copy_(result)
    expected = functional.linear(result.permute(2, 0, 1, 3).flatten(2), weight, bias)
    assert torch.allclose(transformer.projected(laid_out, weight, bias), expected, atol=1e-5)
