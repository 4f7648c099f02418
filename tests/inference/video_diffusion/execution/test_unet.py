"""The UNet in pieces against diffusers' own forward pass, whatever the plan."""

import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from inference.common.failures import Cancelled  # noqa: E402
from inference.video_diffusion import dry_run  # noqa: E402
from inference.video_diffusion.execution import plain, unet  # noqa: E402
from inference.video_diffusion.execution.plan import Plan  # noqa: E402
from inference.video_diffusion.networks import random_networks  # noqa: E402
from tests.marks import rest_slow  # noqa: E402

# As the released one has: four resolutions, more layers to a block; and more than it: several transformer blocks.
DEEPER = {
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal"] * 3 + ["DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal"] + ["CrossAttnUpBlockSpatioTemporal"] * 3,
    "block_out_channels": [32, 64, 96, 96],
    "layers_per_block": 2,
    "transformer_layers_per_block": [2, 1, 1, 1],
    "num_attention_heads": [2, 4, 3, 3],
    "cross_attention_dim": 24,
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
}
PLANS = [
    Plan(),
    Plan(frames=1),
    Plan(frames=3),
    Plan(pixels=1),
    Plan(pixels=7),
    Plan(frames=2, pixels=50, skips_on_host=True, blocks_on_host=True),
]


@pytest.fixture(scope="module")
def nets(golden, fill):
    """The golden tiny UNet, and a deeper one."""
    made = {}
    for name, config in (("golden", {}), ("deeper", {"unet": DEEPER})):
        made[name] = fill(random_networks(config={**golden["config"], **config}).unet, 11)
    return made


def inputs(frames=7, height=8, width=16, *, device="cpu", seed=0):
    """What `predict` is given; on ``meta`` without values."""
    shapes = {"latents": (frames, 4, height, width), "video_latents": (frames, 4, height, width)}
    shapes |= {"embeddings": (frames, 24)}
    generator = torch.Generator().manual_seed(seed)
    made = {name: torch.randn(shape, generator=generator).to(device) for name, shape in shapes.items()}
    return made | {"added_ids": torch.tensor([7, 127, 0.02]).to(device), "timestep": torch.tensor(0.6867).to(device)}


def apart(result, expected):
    return float((result - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", rest_slow(["golden", "deeper"]))
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_any_plan_gives_what_diffusers_gives(nets, name, plan):
    given = inputs()
    expected = plain.predict(nets[name], **given)
    result = unet.predict(nets[name], **given, plan=plan)
    assert result.shape == expected.shape and result.is_contiguous()
    assert apart(result, expected) < 1e-5


@settings(max_examples=12)
@given(
    frames=st.integers(1, 6),
    rows=st.sampled_from([8, 12]),
    columns=st.sampled_from([8, 12, 16]),
    plan=st.builds(
        Plan,
        frames=st.none() | st.integers(1, 7),
        pixels=st.none() | st.integers(1, 100),
        skips_on_host=st.booleans(),
        blocks_on_host=st.booleans(),
    ),
    seed=st.integers(0, 9),
)
def test_any_size_and_any_pieces_give_what_diffusers_gives(nets, frames, rows, columns, plan, seed):
    given = inputs(frames, rows, columns, seed=seed)
    expected = plain.predict(nets["golden"], **given)
    assert apart(unet.predict(nets["golden"], **given, plan=plan), expected) < 1e-5


def test_nothing_of_what_is_given_changes_and_every_call_gives_the_same_bits(nets):
    given = inputs()
    before = {name: tensor.clone() for name, tensor in given.items()}
    weights = {name: tensor.clone() for name, tensor in nets["golden"].state_dict().items()}
    plan = Plan(frames=3, pixels=20)
    first, second = (unet.predict(nets["golden"], **given, plan=plan) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(given[name], before[name]) for name in given)
    after = nets["golden"].state_dict()
    assert all(torch.equal(after[name], weights[name]) for name in weights)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_close_to_float32_as_diffusers_is(golden, fill, dtype):
    net = fill(random_networks(config=golden["config"]).unet, 11)
    given = inputs()
    exact = plain.predict(net, **given)
    half = torch.nn.Module.to(net, dtype=dtype)
    theirs = (plain.predict(half, **given) - exact).square().mean().sqrt()
    for plan in (Plan(), Plan(frames=2, pixels=30)):
        result = unet.predict(half, **given, plan=plan)
        assert result.dtype == dtype
        assert (result - exact).square().mean().sqrt() < 1.15 * theirs


def test_check_is_called_between_pieces_and_can_end_the_work(nets):
    given = inputs()
    calls = {}
    for plan in (Plan(), Plan(frames=1), Plan(frames=1, pixels=8)):
        seen = []
        unet.predict(nets["golden"], **given, plan=plan, check=lambda seen=seen: seen.append(1))
        calls[plan] = len(seen)
    few, more, most = calls.values()
    # even with all at once, once for each half of each residual block and transformer
    assert few > 4 * 9
    assert more > 2 * few and most > 1.2 * more

    left = iter(range(20))

    def check():
        if next(left, None) is None:
            raise Cancelled

    with pytest.raises(Cancelled):
        unet.predict(nets["golden"], **given, plan=Plan(frames=1), check=check)


def test_sides_that_cannot_be_halved_often_enough_are_named(nets):
    given = inputs(2, 8, 18)
    with pytest.raises(ValueError, match=r"multiples of 4, not \[8, 18\]"):
        unet.predict(nets["golden"], **given)


@pytest.fixture(scope="module")
def hollow(golden):
    """The golden UNet without values."""
    return random_networks(config=golden["config"], device="meta").unet


def peak(work, net):
    return dry_run.peak_bytes(work, resident=net.parameters())


@pytest.mark.slow
def test_pieces_need_less_memory(hollow):
    given = inputs(40, 16, 32, device="meta")
    frame = 16 * 32 * 32 * 4  # bytes of a frame of the widest layer

    def at(plan, forward=unet):
        return peak(lambda: forward.predict(hollow, **given, plan=plan), hollow)

    stock, whole = at(Plan(), plain), at(Plan())
    pieces = at(Plan(frames=2, pixels=24))
    without_skips = at(Plan(frames=2, pixels=24, skips_on_host=True))
    assert whole < 0.75 * stock
    assert pieces < 0.75 * whole
    # three skip connections are left of the widest size when its layers begin, one of them in use
    assert without_skips <= pieces - 1.8 * 40 * frame
    weights = dry_run.bytes_of(hollow.parameters())
    # a layer's input (twice as wide: doubled before), its result, and a little for the pieces
    assert without_skips < weights + 4.0 * 40 * frame


def test_a_network_in_the_computers_memory_is_brought_layer_by_layer(golden):
    # wide layers and small images: nearly all that is needed are weights
    config = {**golden["config"]["unet"], "block_out_channels": [128, 256, 256]}
    hollow = random_networks(config={**golden["config"], "unet": config}, device="meta").unet
    given = inputs(1, 8, 8, device="meta")
    weights = dry_run.bytes_of(hollow.parameters())
    resident = peak(lambda: unet.predict(hollow, **given), hollow)
    with torch.device("cpu"):
        waiting = torch.nn.Module.to_empty(hollow, device="cpu")
    brought = dry_run.peak_bytes(lambda: unet.predict(waiting, **given, plan=Plan(blocks_on_host=True)))
    assert resident > weights
    assert brought < 0.3 * weights


@pytest.mark.slow
def test_attention_to_one_token_costs_no_products_over_places(hollow):
    given = inputs(8, 16, 16, device="meta")
    ours = dry_run.flops(lambda: unet.predict(hollow, **given))
    stock = dry_run.flops(lambda: plain.predict(hollow, **given))
    assert 0.5 * stock < ours < 0.97 * stock
