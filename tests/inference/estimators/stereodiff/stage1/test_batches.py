"""The pair network on a device: its batches, its numbers, its way there and back; and where the memory runs out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.common.failures import Failure
from inference.contract import exit_codes
from inference.estimators.stereodiff.settings import MONST3R
from inference.estimators.stereodiff.stage1 import batches, checkpoint_file, joining
from inference.estimators.stereodiff.stage1 import run as stage1
from inference.estimators.stereodiff.stage1.network import PairNetwork
from inference.models import store as models
from tests.inference.support.matched_shots import SETTINGS, contents, panned, run
from tests.marks import rest_slow


def test_pairs_are_decoded_in_batches(shot_of, monkeypatch):
    seen = []
    real = PairNetwork.decode
    monkeypatch.setattr(PairNetwork, "decode", lambda *given: seen.append(len(given[1])) or real(*given))
    run(shot_of(panned(6), batch=8))
    assert seen == [8, 8, 2]


def crowd(monkeypatch, room):
    """Have memory suffice for so many pairs at once; returns how many were decoded together."""
    real, done = PairNetwork.decode, []

    def decode(network, first, *more):
        if len(first) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.append(len(first))
        return real(network, first, *more)

    monkeypatch.setattr(PairNetwork, "decode", decode)
    return done


@pytest.mark.parametrize("room", rest_slow([1, 2]))
def test_where_memory_runs_out_the_batches_are_halved_with_one_warning(shot_of, monkeypatch, room):
    shot = shot_of(panned(6))
    done = crowd(monkeypatch, room)
    prior = run(shot)
    assert len(shot.frames.warned) == 1 and "memory ran out while frames were matched" in shot.frames.warned[0]
    assert set(done) == {room}
    monkeypatch.undo()
    assert prior.disparity(0).min() > 0


@pytest.mark.parametrize("batch", rest_slow([4, 1]))
def test_where_memory_suffices_for_no_pair_it_is_said_what_to_do(shot_of, monkeypatch, batch):
    crowd(monkeypatch, 0)
    with pytest.raises(Failure, match=r"too little memory.*even a single pair") as failure:
        run(shot_of(panned(4), batch=batch))
    assert failure.value.code == exit_codes.FAILED and "[[size=384]]" in failure.value.hint


def test_too_little_memory_is_refused_before_anything_is_matched(shot_of):
    with pytest.raises(Failure, match=r"Matching needs about .* GB are free") as failure:
        run(shot_of(panned(3), batch=0), replace(SETTINGS, memory_limit=1e-6))
    assert failure.value.code == exit_codes.UNSUPPORTED


def test_the_alignment_goes_to_the_processor_where_the_card_is_full(shot_of, monkeypatch):
    asked = []
    real = joining.join

    def join(*given, device, **more):
        asked.append(device.type)
        if device.type == "meta":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*given, device=device, **more)

    expected = contents(run(shot_of(panned(4))), 4)
    again = shot_of(panned(4), "other")
    with pytest.raises(KeyboardInterrupt):  # all pairs are done, on the CPU
        run(replace(again, progress=stop_at_alignment))
    monkeypatch.setattr(joining, "join", join)
    prior = stage1.match_shot(again, SETTINGS, torch.device("meta"), progress=again.progress)
    assert asked == ["meta", "cpu"] and contents(prior, 4) == expected
    assert len(again.frames.warned) == 1 and "so the CPU does it" in again.frames.warned[0]


def stop_at_alignment(stage, label, done, total):
    if stage == "align":
        raise KeyboardInterrupt


class Card(PairNetwork):
    """A network that notes where it was sent, and that finds no room on a GPU for `crowded` times."""

    def __init__(self, *, crowded=0):
        torch.nn.Module.__init__(self)
        self.crowded, self.sent = crowded, []

    def to(self, place):
        self.sent.append(str(place))
        if str(place) != "cpu" and self.crowded:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self


def test_the_network_leaves_the_device_also_where_something_goes_wrong():
    card = Card()
    with pytest.raises(KeyboardInterrupt), batches._on_device(card, torch.device("meta")):
        raise KeyboardInterrupt
    assert card.sent == ["meta", "cpu"]
    crowded = Card(crowded=1)
    with (
        pytest.raises(Failure, match="too little memory") as failure,
        batches._on_device(crowded, torch.device("meta")),
    ):
        pass
    assert crowded.sent == ["meta", "cpu"] and "[[device=cpu]]" in failure.value.hint


def rounding():
    """Whether matrix products and convolutions may be computed in TF32."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "allowed"), [("auto", True), ("fp32", False), ("bf16", True)])
def test_float32_is_rounded_as_in_the_reference_unless_it_is_asked_for(shot_of, monkeypatch, precision, allowed):
    seen = set()
    real = PairNetwork.decode
    monkeypatch.setattr(
        PairNetwork,
        "decode",
        lambda *given: seen.add((*rounding(), given[1].dtype)) or real(*given),
    )
    before = rounding()
    prior = run(shot_of(panned(4)), replace(SETTINGS, precision=precision))
    assert seen == {(allowed, allowed, torch.bfloat16 if precision == "bf16" else torch.float32)}
    assert rounding() == before
    assert np.isfinite(prior.disparity(3)).all()


@pytest.mark.slow
def test_a_job_reads_the_network_once_for_all_its_shots(shot_of, monkeypatch):
    read = []
    real = checkpoint_file.load
    monkeypatch.setattr(checkpoint_file, "load", lambda *given, **more: read.append(1) or real(*given, **more))
    batches.forget()
    run(shot_of(panned(3), "first"))
    run(shot_of(panned(4), "second"))
    assert len(read) == 1
    batches.forget()
    run(shot_of(panned(4), "third"))
    assert len(read) == 2


def test_damaged_weights_are_named(shot_of, studio, tmp_path, monkeypatch):
    place = tmp_path / "other" / MONST3R.repository
    place.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (place / name).write_bytes((studio / MONST3R.repository / name).read_bytes()[:50])
    monkeypatch.setenv(models.STUDIO, str(tmp_path / "other"))
    with pytest.raises(Failure, match=r"config\.json cannot be used"):
        run(shot_of(panned(3)))
