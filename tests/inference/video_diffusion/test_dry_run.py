"""Peaks and operations of a dry run, against what a hand can compute."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from inference.video_diffusion import dry_run  # noqa: E402

MB = 1 << 20


def block(megabytes, dtype=torch.float32, device="meta"):
    size = torch.empty((), dtype=dtype).element_size()
    return torch.empty(megabytes * MB // size, dtype=dtype, device=device)


def test_the_peak_is_what_lives_at_once():
    def work():
        a = block(8)
        b = a + 1  # 16
        del a  # 8
        c = block(4)  # 12
        del b  # 4
        d = torch.cat([c, c])  # 4 + 8
        return d.view(2, -1)[0]

    assert dry_run.peak_bytes(work) == 16 * MB


def test_views_share_what_they_show_and_hold_it():
    def work():
        part = block(8)[:10]
        more = block(2)
        return part, more

    assert dry_run.peak_bytes(work) == 10 * MB


def test_changes_in_place_need_nothing_more():
    assert dry_run.peak_bytes(lambda: block(8).add_(1).mul_(2)) == 8 * MB


def test_what_is_resident_counts_from_the_start_and_once():
    weights = block(16)
    assert dry_run.peak_bytes(lambda: block(1), resident=[weights, weights[:5]]) == 17 * MB
    assert dry_run.peak_bytes(lambda: weights * 2, resident=[weights]) == 32 * MB
    assert dry_run.bytes_of([weights, weights[3:]]) == 16 * MB


def test_the_computers_memory_is_not_counted_and_not_filled():
    def work():
        waiting = [block(64).cpu() for _ in range(1000)]  # 64 GB, if they were
        assert waiting[0].device.type == "cpu" and waiting[0].shape == (16 * MB,)
        kept = torch.empty(64 * MB, device="cpu", dtype=torch.float16)
        kept[: 16 * MB].copy_(block(32, torch.float16))
        back = waiting[7].to("meta")
        return back, kept

    assert dry_run.peak_bytes(work) == 64 * MB


def test_modules_can_wait_in_the_computers_memory():
    layer = nn.Linear(1024, 1024, bias=False, device="meta")  # 4 MB

    def work():
        layer.to("cpu")
        block(3)
        layer.to("meta")
        layer(torch.empty(1024, 1024, device="meta"))

    assert dry_run.peak_bytes(work, resident=layer.parameters()) == 12 * MB


def test_what_waited_returns_in_its_own_order():
    layer = nn.Conv2d(16, 32, 3, device="meta").to(memory_format=torch.channels_last)
    dry_run.peak_bytes(lambda: layer.to("cpu"))
    assert layer.weight.device.type == "cpu" and not any(layer.weight.stride())
    dry_run.peak_bytes(lambda: layer.to("meta"))
    assert layer.weight.is_contiguous(memory_format=torch.channels_last) and not layer.weight.is_contiguous()


def test_small_tensors_take_a_whole_block():
    assert dry_run.peak_bytes(lambda: [torch.empty(1, device="meta") for _ in range(10)]) == 10 * dry_run.BLOCK


def test_questions_to_values_are_answered():
    seen = []

    def work():
        value = block(1)
        seen.extend([bool(torch.isfinite(value).all()), int(value.sum()), value.max().item()])

    dry_run.peak_bytes(work)
    assert seen == [False, 0, 0.0]


@pytest.mark.parametrize("inference", [False, True])
def test_a_linear_layer(inference):
    layer = nn.Linear(256, 512, bias=False, device="meta", dtype=torch.float16)
    given = torch.empty(64, 1024, 256, device="meta", dtype=torch.float16)  # 32 MB in, 64 MB out

    def work():
        with torch.inference_mode(inference):
            return layer(given)

    assert dry_run.flops(work) == 2 * 64 * 1024 * 256 * 512
    assert dry_run.peak_bytes(work, resident=[given, layer.weight]) == 96 * MB + layer.weight.nbytes


@pytest.mark.parametrize("inference", [False, True])
def test_a_convolution_and_its_workspace(inference):
    layer = nn.Conv2d(16, 32, 3, padding=1, bias=False, device="meta")
    given = torch.empty(8, 16, 64, 128, device="meta")  # 4 MB in, 8 MB out
    ordered = torch.empty_like(given, memory_format=torch.channels_last)

    def run(tensor):
        def work():
            with torch.inference_mode(inference):
                return layer(tensor)

        return work

    assert dry_run.flops(run(given)) == 2 * 8 * 64 * 128 * 16 * 32 * 9
    assert dry_run.peak_bytes(run(given), resident=[given]) == 2 * (4 + 8) * MB
    assert dry_run.peak_bytes(run(ordered), resident=[ordered]) == (4 + 8) * MB


def test_a_temporal_convolution():
    layer = nn.Conv3d(16, 16, (3, 1, 1), padding=(1, 0, 0), bias=False, device="meta")
    given = torch.empty(1, 16, 10, 32, 64, device="meta")
    assert dry_run.flops(lambda: layer(given)) == 2 * 10 * 32 * 64 * 16 * 16 * 3


def test_group_norm_copies_what_is_channels_last():
    layer = nn.GroupNorm(4, 16, device="meta")
    given = torch.empty(8, 16, 64, 128, device="meta")  # 4 MB
    ordered = torch.empty_like(given, memory_format=torch.channels_last)
    statistics = 2 * dry_run.BLOCK  # mean and deviation of 8 x 4 groups
    assert dry_run.peak_bytes(lambda: layer(given), resident=[given]) == 8 * MB + statistics
    assert dry_run.peak_bytes(lambda: layer(ordered), resident=[ordered]) == 12 * MB + statistics


@pytest.mark.parametrize("inference", [False, True])
def test_attention_without_and_with_its_scores(inference):
    query, key, value = (torch.empty(2, 4, n, 64, device="meta", dtype=torch.float16) for n in (2048, 1024, 1024))

    def work():
        with torch.inference_mode(inference):
            return functional.scaled_dot_product_attention(query, key, value)

    assert dry_run.flops(work) == 2 * 2 * (2 * 4 * 2048 * 1024 * 64)
    inputs = [query, key, value]  # 2 + 1 + 1 MB, and 2 MB out
    fused = dry_run.peak_bytes(work, resident=inputs)
    assert 6 * MB <= fused <= 6.1 * MB  # beside the row sums that a fused kernel keeps
    plain = dry_run.peak_bytes(work, resident=inputs, fused_attention=False)
    assert plain >= 6 * MB + 2 * (2 * 4 * 2048 * 1024 * 2)


def test_resampling_needs_no_more_than_its_result():
    def work():
        with torch.inference_mode():
            return functional.interpolate(block(3).reshape(1, 3, 512, 512), (1024, 512), mode="bicubic")

    assert dry_run.peak_bytes(work) == 9 * MB


def test_what_was_real_stays_real():
    """The dry run touches nothing but what is on ``meta``."""
    seen = []

    def work():
        real = torch.arange(6.0).reshape(2, 3)
        query = torch.randn(1, 1, 3, 8)
        attended = functional.scaled_dot_product_attention(query, query, torch.ones(1, 1, 3, 8))
        seen.extend(
            [real.sum().item(), torch.allclose(attended, torch.ones(())), real.clone().copy_(real * 2)[1, 2].item()]
        )

    assert dry_run.peak_bytes(work) == 0
    assert seen == [15.0, True, 10.0]
