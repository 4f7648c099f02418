"""Layers through ``torch.compile`` against the same layers as they are."""

import shutil
import sysconfig
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from inference.common.failures import Failure  # noqa: E402
from inference.contract import exit_codes  # noqa: E402
from inference.video_diffusion.execution import unet  # noqa: E402
from inference.video_diffusion.execution.compiling import caller  # noqa: E402
from inference.video_diffusion.execution.plan import Plan  # noqa: E402
from inference.video_diffusion.networks import random_networks  # noqa: E402

COMPILER = (
    any(map(shutil.which, ("g++", "c++", "clang++"))) and Path(sysconfig.get_path("include"), "Python.h").exists()
)

# One resolution and few widths, so that few graphs have to be compiled.
NARROW = {
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal"],
    "up_block_types": ["CrossAttnUpBlockSpatioTemporal"],
    "block_out_channels": [32],
    "num_attention_heads": [2],
}


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Nothing is known of earlier compilations, here or on disk."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="torch.compile needs a C++ compiler and Python's headers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiled_layers_give_what_they_give_as_they_are(golden, fill, fresh):
    configs = {**golden["config"], "unet": {**golden["config"]["unet"], **NARROW}}
    net = fill(random_networks(config=configs).unet, 11)

    def given(frames, rows):
        generator = torch.Generator().manual_seed(frames)
        shapes = {"latents": (frames, 4, rows, 6), "video_latents": (frames, 4, rows, 6), "embeddings": (frames, 24)}
        made = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        return made | {"added_ids": torch.tensor([7, 127, 0.02]), "timestep": torch.tensor(0.5)}

    compiled = unet.predict(net, **given(5, 4), plan=Plan(compiled=True))
    assert apart(compiled, unet.predict(net, **given(5, 4))) < 1e-5
    once = graphs()
    assert 5 < once < 20
    # a window of another length and size is served by the same graphs
    other = unet.predict(net, **given(4, 7), plan=Plan(compiled=True))
    assert apart(other, unet.predict(net, **given(4, 7))) < 1e-5
    assert graphs() == once
    assert torch.equal(compiled, unet.predict(net, **given(5, 4), plan=Plan(compiled=True)))


def apart(result, expected):
    return float((result - expected).abs().max() / expected.abs().max())


def test_what_cannot_be_compiled_raises_instead_of_running_as_it_is(fresh):
    def layer(values):
        torch._dynamo.graph_break()
        return values + 1

    with caller(Plan(compiled=True)) as call, pytest.raises(torch._dynamo.exc.Unsupported):
        call(layer, torch.zeros(2, 3))
    with caller(Plan()) as call:
        assert torch.equal(call(layer, torch.zeros(2, 3)), torch.ones(2, 3))


def test_a_machine_without_compiler_is_told_in_one_sentence(fresh):
    def layer(values):
        return torch.sin(values) + 1

    without = torch._inductor.config.patch({"cpp.cxx": ("/nowhere/g++",)})
    with without, caller(Plan(compiled=True)) as call, pytest.raises(Failure) as raised:
        call(layer, torch.zeros(2, 3))
    assert raised.value.code == exit_codes.MISSING
    assert "/nowhere/g++" in raised.value.why and "compile=false" in raised.value.hint
