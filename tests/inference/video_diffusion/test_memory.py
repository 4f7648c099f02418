"""Plans: what fits, what is the next smaller, and what is said where nothing does."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marks import rest_slow

torch = pytest.importorskip("torch")

from inference.common.failures import Failure  # noqa: E402
from inference.contract import exit_codes  # noqa: E402
from inference.video_diffusion import device, dry_run, memory, stages  # noqa: E402
from inference.video_diffusion.execution import pieces  # noqa: E402
from inference.video_diffusion.execution.plan import Plan  # noqa: E402
from inference.video_diffusion.networks import random_networks  # noqa: E402
from tests.inference.support.real_ledger import RealLedger  # noqa: E402

_cases = {}


@pytest.fixture(scope="session")
def released():
    """Networks of the released sizes, which on ``meta`` need no memory."""
    return random_networks(device="meta", dtype=torch.float16)


def tiny(golden, *, size=(128, 64), window=12, kind="cuda", unet=(), **more):
    """A case of tiny networks; what was found of it is kept, as a session's tests ask for the same plans."""
    key = (size, window, kind, *more.items(), *unet)
    if key not in _cases:
        config = golden["config"] | {"unet": golden["config"]["unet"] | dict(unet)}
        networks = random_networks(config=config, device="meta", dtype=torch.float16)
        width, height = size
        _cases[key] = memory.Case(networks=networks, width=width, height=height, window=window, kind=kind, **more)
    return _cases[key]


@pytest.fixture(autouse=True)
def only_what_grows(request, monkeypatch):
    """Tiny networks are counted without the bytes that no network is too small for."""
    if "released" not in request.fixturenames:
        monkeypatch.setattr(dry_run, "WORKSPACE", 0)


@pytest.mark.slow
def test_a_card_of_12_gb_takes_the_full_window(released):
    """Within what is left when CUDA has taken its own share."""
    case = memory.Case(networks=released, width=1024, height=576, window=110)
    plan = memory.choose_plan(case, int(12e9 - device.CUDA_CONTEXT))
    assert memory.peak_bytes(case, plan) + device.CUDA_CONTEXT < 12e9
    assert not plan.blocks_on_host and not plan.skips_on_host


@pytest.mark.slow
def test_the_margin_is_on_top_of_the_dry_run(released):
    case = memory.Case(networks=released, width=256, height=128, window=2)
    live = memory._peak(case, "decode", Plan())
    assert case.weights() < live
    assert memory.needed_bytes(case, Plan())["decode"] == int(live * dry_run.ALLOCATOR["cuda"] + dry_run.WORKSPACE)
    assert case.weights() == pytest.approx(2 * (1_524_623_082 + 97_742_847 + 632_076_800) + 2 * 34.2e6, rel=1e-3)


@pytest.mark.slow
@settings(max_examples=20)
@given(kind=st.sampled_from(["cuda", "cpu"]), shares=st.tuples(st.floats(0.2, 1.2), st.floats(0.2, 1.2)))
def test_less_memory_never_gives_a_plan_that_needs_more(golden, kind, shares):
    case = tiny(golden, kind=kind)
    most = memory.peak_bytes(case, Plan())
    needed = []
    for share in sorted(shares):
        try:
            plan = memory.choose_plan(case, int(share * most))
        except Failure:
            assert not needed, "what fits into less fits into more"
            continue
        needed.append(memory.peak_bytes(case, plan))
        assert needed[-1] <= share * most
    assert needed == sorted(needed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", rest_slow(["cuda", "cpu"]))
def test_stepping_down_ends_at_the_smallest_plan(golden, kind):
    case = tiny(golden, kind=kind)
    plan, peaks = Plan(compiled=True), []
    while plan is not None:
        peaks.append(sum(memory.needed_bytes(case, plan).values()))
        assert len(peaks) < 20 and plan.compiled
        plan = memory.step_down(case, plan)
    assert len(peaks) > 1
    assert peaks == sorted(peaks, reverse=True)
    assert memory.step_down(case, memory.smallest(case)) is None


@pytest.mark.slow
def test_stepping_down_where_memory_ran_out_leaves_the_rest(golden):
    case = tiny(golden, size=(256, 192), kind="cpu")
    smaller = memory.step_down(case, Plan(), "decode")
    assert smaller.decoder_rows is not None and smaller.frames is None and smaller.encode_frames == 8
    assert memory.step_down(case, memory.smallest(case), "decode") is None
    card = tiny(golden)
    before, after = (memory.needed_bytes(card, plan) for plan in (Plan(), memory.step_down(card, Plan(), "decode")))
    assert after["decode"] < 0.9 * before["decode"]


def test_only_a_card_relies_on_the_computers_memory(golden):
    case = tiny(golden, kind="cpu")
    least = memory.smallest(case)
    assert least.frames == 1 and not least.networks_on_host and not least.skips_on_host and not least.blocks_on_host
    assert memory.choose_plan(case, memory.peak_bytes(case, least)).networks_on_host is False
    card = tiny(golden)
    assert memory.smallest(card).blocks_on_host
    assert memory.peak_bytes(card, memory.smallest(card)) < memory.peak_bytes(case, least)


@pytest.mark.slow
def test_every_setting_saves_memory_where_it_applies(golden):
    case = tiny(golden)

    def needs(stage, **settings):
        return memory.needed_bytes(case, Plan(**settings))[stage]

    away = {"networks_on_host": True}
    assert needs("denoise", **away) < needs("denoise")
    assert needs("denoise", **away, frames=2, pixels=8) < needs("denoise", **away)
    assert needs("denoise", **away, frames=2, pixels=8, skips_on_host=True) < needs(
        "denoise", **away, frames=2, pixels=8
    )
    assert needs("denoise", **away, blocks_on_host=True) < needs("denoise", **away)
    assert needs("decode", decoder_rows=16) < needs("decode")
    assert needs("encode", encode_frames=1) < needs("encode")


def test_guidance_keeps_one_more_result(golden):
    plain, guided = tiny(golden), tiny(golden, guided=True)
    assert memory.peak_bytes(guided, Plan()) >= memory.peak_bytes(plain, Plan())


@pytest.mark.slow
def test_pieces_that_are_left_out_of_a_dry_run_need_no_more(golden, monkeypatch):
    plan = Plan(frames=1, pixels=8, decoder_rows=8, encode_frames=1, networks_on_host=True, skips_on_host=True)
    quick = memory.needed_bytes(tiny(golden), plan)
    monkeypatch.setattr(pieces, "few", torch.no_grad)
    whole = memory.needed_bytes(replace(tiny(golden)), plan)
    assert whole == {stage: pytest.approx(size, rel=0.02) for stage, size in quick.items()}


@pytest.mark.parametrize("stage", ["encode", "denoise", "decode"])
def test_what_the_dry_run_says_lives_does_live(golden, tiny_networks, stage):
    plan = Plan(frames=3, pixels=100, encode_frames=2, decoder_rows=32)
    case = replace(tiny(golden, window=8), networks=memory.outlined(tiny_networks, torch.float32))
    dry = memory._peak(case, stage, plan)

    cpu = torch.device("cpu")
    common = {"device": cpu, "attempt": lambda work: work(plan)}
    latents, tokens = torch.randn(8, 4, 8, 16), torch.randn(8, tiny_networks.image_encoder.config.projection_dim)
    images = torch.rand(8, 3, 64, 128)
    ledger = RealLedger()
    ledger.enter_all(
        tensor
        for network in (tiny_networks.unet, tiny_networks.vae, tiny_networks.image_encoder)
        for tensor in (*network.parameters(), *network.buffers())
    )
    with ledger:
        if stage == "encode":
            stages.encode(tiny_networks, images, images, **common)
        elif stage == "decode":
            stages.decode(tiny_networks, latents, **common)
        else:
            conditions = stages.Encoded(latents, tokens)
            stages.denoise(tiny_networks, latents, conditions, steps=1, guidance=1.0, noise_augmentation=0.02, **common)
    assert dry == pytest.approx(ledger.peak, rel=0.04)  # of which it counts the images twice


@pytest.mark.slow
def test_where_nothing_fits_one_sentence_has_the_numbers_and_the_cure(released):
    case = memory.Case(networks=released, width=1024, height=576, window=2)
    with pytest.raises(Failure) as refused:
        memory.choose_plan(case, int(3.9e9))
    assert refused.value.code == exit_codes.UNSUPPORTED
    assert re.fullmatch(
        r"DepthCrafter needs about \d+\.\d GB at 1024x576 in windows of 2 frames, and 3\.9 GB are free\.",
        refused.value.what,
    )
    hint = re.fullmatch(
        r"Choose a smaller size \(\[\[size=(\d+)\]\] needs about (\d+\.\d) GB\), "
        r"or close other programs that use the memory\.",
        refused.value.hint,
    )
    assert hint, refused.value.hint
    assert int(hint[1]) < 1024 and float(hint[2]) <= 3.9


@pytest.mark.slow
def test_a_shorter_window_is_a_cure_where_it_helps(golden):
    wide = [("block_out_channels", (64, 128, 128))]
    case = tiny(golden, size=(256, 192), window=110, decode_chunk=1, kind="cpu", unet=wide)
    needed = memory.needed_bytes(case, memory.smallest(case))
    others = max(needed["encode"], needed["decode"])
    assert others < needed["denoise"]
    with pytest.raises(Failure) as refused:
        memory.choose_plan(case, (others + needed["denoise"]) // 2)
    assert "a shorter window ([[window=" in refused.value.hint


def test_where_not_even_one_small_frame_fits_the_sentence_says_so(golden):
    with pytest.raises(Failure) as refused:
        memory.choose_plan(tiny(golden, window=1), 1000)
    assert "in windows of 1 frame, and 0.0 GB are free." in refused.value.what
    assert refused.value.hint == "Close other programs that use the memory, or choose the estimator parallax."


def test_outlines_have_the_sizes_and_dtypes_of_the_networks(tiny_networks):
    outline = memory.outlined(tiny_networks, torch.float16)
    for part in ("unet", "vae", "image_encoder"):
        real, drawn = getattr(tiny_networks, part).state_dict(), getattr(outline, part).state_dict()
        assert {name: tensor.shape for name, tensor in real.items()} == {n: t.shape for n, t in drawn.items()}
        assert all(tensor.is_meta for tensor in drawn.values())
    assert outline.unet.conv_in.weight.dtype == torch.float16
    assert outline.vae.encoder.conv_in.weight.dtype == torch.float32
    assert dict(outline.scheduler.config)["sigma_max"] == dict(tiny_networks.scheduler.config)["sigma_max"]
