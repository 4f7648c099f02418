"""What matching needs of the memory: by the dry run, in earnest, and in words."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from inference.common.failures import Failure
from inference.contract import exit_codes
from inference.estimators.stereodiff.stage1 import matching
from inference.estimators.stereodiff.stage1 import memory as stage1_memory
from inference.estimators.stereodiff.stage1.network import PairNetwork
from inference.estimators.stereodiff.stage1.pair_store import PairStore
from inference.video_diffusion import memory
from tests.inference.support.real_ledger import RealLedger

SMALL = {
    "encoder_dim": 64,
    "encoder_depth": 2,
    "encoder_heads": 4,
    "decoder_dim": 48,
    "decoder_depth": 12,
    "decoder_heads": 4,
    "head_levels": (16, 16, 24, 24),
    "head_width": 32,
}
FULL = (512, 384)


@pytest.fixture(scope="module")
def released():
    with torch.device("meta"):
        return PairNetwork()


def test_what_the_dry_run_says_lives_does_live(tmp_path):
    network = PairNetwork(**SMALL).requires_grad_(False).eval()
    size, batch = (128, 96), 4
    dry = stage1_memory._peak(stage1_memory.outlined(network, torch.float32), size, batch, "cpu")
    frames = list(np.random.default_rng(0).integers(0, 256, (7, 96, 128, 3), np.uint8))
    ledger = RealLedger()
    ledger.enter_all(network.parameters())
    weights = ledger.live
    with ledger:
        matching.match(
            network,
            frames,
            PairStore(tmp_path, 2),
            reach=2,
            batch=batch,
            device=torch.device("cpu"),
            size=size,
            smaller=lambda batching, place: pytest.fail("memory did not run out"),
        )
    assert ledger.peak > 2 * weights, "or only the weights would be compared"
    assert 0.98 * ledger.peak <= dry <= 1.1 * ledger.peak


def test_the_released_network(released):
    """571 million weights in float32, and one or sixteen pairs of 4:3."""
    needed = {
        batch: stage1_memory.needed_bytes(released, FULL, batch, dtype=torch.float32, kind="cuda") for batch in (1, 16)
    }
    assert 2.3e9 < needed[1] < 4e9
    assert needed[1] < needed[16] < 9e9


def test_the_heads_stay_in_float32(released):
    outline = stage1_memory.outlined(released, torch.float16)
    assert outline.enc_blocks[0].attn.qkv.weight.dtype == torch.float16
    assert {weight.dtype for weight in outline.downstream_head2.parameters()} == {torch.float32}
    half, single = (
        stage1_memory.needed_bytes(released, FULL, 16, dtype=dtype, kind="cuda")
        for dtype in (torch.float16, torch.float32)
    )
    assert half < single


def test_an_outline_copies_no_weight():
    network = PairNetwork(**SMALL)
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    outline = stage1_memory.outlined(network, torch.float32)
    assert all(weight.is_meta for weight in outline.parameters())
    assert [tuple(w.shape) for w in outline.parameters()] == [tuple(w.shape) for w in network.parameters()]
    for name, weight in network.named_parameters():
        assert torch.equal(weight, before[name])


@pytest.mark.slow
def test_more_memory_gives_larger_batches():
    network, size = PairNetwork(**SMALL), (64, 48)
    needed = [
        stage1_memory.needed_bytes(network, size, batch, dtype=torch.float32, kind="cuda")
        for batch in stage1_memory.BATCHES
    ]
    assert needed == sorted(needed, reverse=True) and len(set(needed)) == len(needed)
    for place in (0, 2):
        given = {"dtype": torch.float32, "free_bytes": needed[place], "kind": "cuda"}
        assert stage1_memory.choose_batch(network, size, **given) == stage1_memory.BATCHES[place]


@pytest.mark.parametrize(("kind", "elsewhere"), [("cuda", True), pytest.param("cpu", False, marks=pytest.mark.slow)])
def test_where_nothing_fits_one_sentence_has_the_numbers_and_the_cure(released, kind, elsewhere):
    with pytest.raises(Failure) as refused:
        stage1_memory.choose_batch(released, FULL, dtype=torch.float32, free_bytes=int(1.96e9), kind=kind)
    assert refused.value.code == exit_codes.UNSUPPORTED
    assert re.fullmatch(
        r"Matching needs about \d+\.\d GB for images of 512x384, and 1\.9 GB are free\.", refused.value.what
    )
    assert ("[[device=cpu]]" in refused.value.hint) == elsewhere
    assert "[[size" not in refused.value.hint, "the weights alone are more"


@pytest.mark.slow
def test_a_smaller_size_is_a_cure_where_it_helps():
    network, given = PairNetwork(**SMALL), {"dtype": torch.float32, "kind": "cpu"}
    small = stage1_memory.needed_bytes(network, (256, 192), 1, **given)
    with pytest.raises(Failure) as refused:
        stage1_memory.choose_batch(network, FULL, free_bytes=small, **given)
    told = re.search(r"choose a smaller size \(\[\[size=256\]\] needs about (\d\.\d) GB\)", refused.value.hint)
    assert told and float(told[1]) == pytest.approx(small / 1e9, abs=0.1)


def test_sizes_are_told_on_the_safe_side():
    assert memory.gigabytes(2.01e9) == "2.1" and memory.gigabytes(2.09e9, up=False) == "2.0"
