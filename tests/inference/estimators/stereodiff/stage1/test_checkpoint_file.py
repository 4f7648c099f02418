"""The pair network from files: what fits is read under any of its names, and what does not is named."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.common.failures import Failure
from inference.contract import exit_codes
from inference.estimators.stereodiff.settings import MONST3R
from inference.estimators.stereodiff.stage1 import checkpoint_file
from tests.inference.support import tiny_models

HEAD = "downstream_head1.dpt."


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return tiny_models.write(tmp_path_factory.mktemp("models")) / MONST3R.repository


@pytest.fixture
def folder(written, tmp_path):
    for path in written.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture
def expected():
    return tiny_models.pair_network().state_dict()


def _changed(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors")


def assert_same(network, expected):
    found = network.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def test_the_network_comes_from_its_files_as_it_was_written(folder, expected):
    network = checkpoint_file.load(folder)
    assert_same(network, expected)
    assert not network.training and not any(weight.requires_grad for weight in network.parameters())


def test_half_precision_leaves_the_heads_in_float32(folder):
    network = checkpoint_file.load(folder, dtype=torch.float16)
    kinds = {name: {weight.dtype for weight in part.parameters()} for name, part in network.named_children()}
    heads = {"downstream_head1", "downstream_head2"}
    assert {name for name, dtypes in kinds.items() if dtypes == {torch.float32}} == heads
    assert {name for name, dtypes in kinds.items() if dtypes == {torch.float16}} == kinds.keys() - heads
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        found = network.decode(*(network.encode(images.half()) for _ in range(2)), 32, 48)
        exact = checkpoint_file.load(folder)(images, images)
    for half, single in zip(found, exact):
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, single, rtol=0.02, atol=0.02)


def test_second_names_and_what_is_not_used_are_tolerated(folder, expected):
    def add(tensors):
        for level in range(1, 5):
            twin = tensors[f"{HEAD}scratch.layer{level}_rn.weight"]
            tensors[f"{HEAD}scratch.layer_rn.{level - 1}.weight"] = twin
            tensors[f"{HEAD}act_{level}_postprocess.0.weight"] = torch.zeros(1)
        tensors["mask_token"] = torch.zeros(1, 1, 32)

    _changed(folder, add)
    assert_same(checkpoint_file.load(folder), expected)


def test_a_file_with_one_decoder_gives_both(folder, expected):
    def drop(tensors):
        for name in list(tensors):
            if name.startswith("dec_blocks2."):
                del tensors[name]

    _changed(folder, drop)
    found = checkpoint_file.load(folder).state_dict()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name.replace("dec_blocks2.", "dec_blocks.")]), name


def test_weights_that_a_configuration_does_not_size_are_the_released_ones(folder):
    (folder / "config.json").write_text("{}")
    with pytest.raises(Failure, match=r"patch_embed\S+ has the shape \[32, 3, 16, 16\].*\[1024, 3, 16, 16\]"):
        checkpoint_file.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("enc_norm.bias"), r"tensor enc_norm\.bias is missing"),
        (lambda t: t.pop("dec_blocks2.3.norm_y.bias"), r"tensor dec_blocks2\.3\.norm_y\.bias is missing"),
        (lambda t: t.pop(HEAD + "scratch.layer2_rn.weight"), r"tensor \S+layer_rn\.1\.weight is missing"),
        (lambda t: t.pop(HEAD + "act_postprocess.2.0.bias"), r"tensor \S+ (has the shape|is missing)"),
        (lambda t: t.update({"enc_norm.bias": torch.zeros(3)}), r"enc_norm\.bias has the shape \[3\].*\[32\]"),
        (lambda t: t.update({"lora.up": torch.zeros(3)}), r"has the tensor lora\.up"),
        (
            lambda t: t.update(
                {
                    HEAD + "scratch.layer_rn.0.weight": t[HEAD + "scratch.layer1_rn.weight"] + 1,
                }
            ),
            r"layer1_rn\.weight and \S+layer_rn\.0\.weight should be the same|"
            r"layer_rn\.0\.weight and \S+layer1_rn\.weight should be the same",
        ),
    ],
)
def test_weights_of_another_network_are_named_by_tensor_and_file(folder, change, said):
    _changed(folder, change)
    with pytest.raises(Failure, match=said) as failure:
        checkpoint_file.load(folder)
    assert str(folder / "model.safetensors") in failure.value.what and failure.value.code == exit_codes.MISSING
    assert "models verify" in failure.value.hint


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"head_type": "linear"}, r"head_type is 'linear'.*'dpt'"),
        ({"output_mode": "pts3d+desc24"}, "output_mode"),
        ({"depth_mode": ["linear", -1, 1]}, "depth_mode"),
        ({"dec_depth": 8}, "12 blocks, not 8"),
        ({"enc_num_heads": 0}, "zero"),
        ({"enc_embed_dim": "wide"}, "cannot be used"),
    ],
)
def test_a_configuration_of_another_network_is_named(folder, facts, said):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    with pytest.raises(Failure, match=said) as failure:
        checkpoint_file.load(folder)
    assert str(path) in failure.value.what


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "gone", "empty"])
def test_broken_files_are_named(folder, name, damage):
    path = folder / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 100])
    with pytest.raises(Failure, match="cannot be used") as failure:
        checkpoint_file.load(folder)
    assert str(path) in failure.value.what
