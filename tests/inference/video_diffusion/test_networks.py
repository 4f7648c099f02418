"""Networks from files: what fits is read, and what does not is named."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.common.failures import Failure
from inference.contract import exit_codes
from inference.video_diffusion import networks
from inference.video_diffusion.weights import DEPTHCRAFTER, SVD
from tests.inference.support import tiny_models

UNET = "diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.fp16.safetensors"


@pytest.fixture
def folders(tmp_path):
    tiny_models.write(tmp_path, dtype="float32")
    return tmp_path / DEPTHCRAFTER.repository, tmp_path / SVD.repository


def _changed(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_networks_come_from_files_as_they_were_written(folders, tiny_networks):
    found = networks.load(*folders)
    for part in networks.CLASSES:
        expected = getattr(tiny_networks, part).state_dict()
        for name, tensor in getattr(found, part).state_dict().items():
            assert torch.equal(tensor, expected[name]), name
    assert found.scheduler.config.sigma_max == 700


def test_half_precision_leaves_the_encoder_in_float32(folders):
    found = networks.load(*folders, dtype=torch.float16)
    kinds = {name: {p.dtype for p in module.parameters()} for name, module in found.vae.named_children()}
    assert kinds == {"encoder": {torch.float32}, "quant_conv": {torch.float32}, "decoder": {torch.float16}}
    assert {p.dtype for p in found.unet.parameters()} == {torch.float16}
    assert not any(p.requires_grad for p in found.unet.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("conv_in.bias"), r"tensor conv_in\.bias is missing"),
        (lambda t: t.update({"conv_in.bias": torch.zeros(3)}), r"conv_in\.bias has the shape \[3\].*\[32\]"),
        (lambda t: t.update({"lora.up": torch.zeros(3)}), r"has the tensor lora\.up"),
    ],
)
def test_weights_of_another_network_are_named_by_tensor_and_file(folders, change, said):
    _changed(folders[0] / UNET, change)
    with pytest.raises(Failure, match=said) as failure:
        networks.load(*folders)
    assert str(folders[0] / UNET) in failure.value.what and failure.value.code == exit_codes.MISSING
    assert "models verify" in failure.value.hint


@pytest.mark.parametrize("damage", ["truncated", "gone", "empty"])
def test_broken_files_are_named(folders, damage):
    path = folders[1] / VAE
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 5000])
    with pytest.raises(Failure, match=r"cannot be used") as failure:
        networks.load(*folders)
    assert str(path) in failure.value.what


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_configuration_is_named(folders, text):
    path = folders[0] / "config.json"
    path.write_text(text)
    with pytest.raises(Failure, match=r"config\.json cannot be used"):
        networks.load(*folders)


def test_a_foreign_class_name_in_the_configuration_does_not_matter(folders):
    path = folders[0] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": "SomebodysOwnUNet"}))
    assert networks.load(*folders).unet.config.in_channels == 8


def test_old_names_of_attention_are_understood(folders):
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def rename(tensors):
        for name in list(tensors):
            for new, former in old.items():
                if new in name:
                    tensors[name.replace(new, former)] = tensors.pop(name)

    expected = networks.load(*folders).vae.state_dict()
    _changed(folders[1] / VAE, rename)
    found = networks.load(*folders).vae.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_the_released_networks_have_their_published_sizes():
    found = networks.random_networks(device="meta", dtype=torch.float16)
    sizes = {part: sum(p.numel() for p in getattr(found, part).parameters()) for part in networks.CLASSES}
    assert sizes == {"unet": 1_524_623_082, "vae": 97_742_847, "image_encoder": 632_076_800}
    assert len(found.unet.state_dict()) == 1428


@pytest.mark.parametrize("damage", ["longer", "another head", "integers"])
def test_a_file_that_its_head_does_not_describe_is_named(folders, damage):
    path = folders[0] / UNET
    content = path.read_bytes()
    if damage == "longer":
        path.write_bytes(content + bytes(8))
    elif damage == "another head":
        path.write_bytes((1 << 40).to_bytes(8, "little") + content[8:])
    else:
        _changed(path, lambda tensors: tensors.update({"conv_in.bias": torch.zeros(32, dtype=torch.int64)}))
    with pytest.raises(Failure, match=r"cannot be used") as failure:
        networks.load(*folders)
    assert str(path) in failure.value.what and len(failure.value.what) < 1000


@pytest.mark.parametrize(
    "facts",
    [
        {"num_hidden_layers": 10**9},
        {"image_size": 10**9},
        {"image_size": 10**400},
        {"hidden_size": -(10**12)},
        {"hidden_act": "nothing"},
        {"hidden_size": "wide"},
        {"patch_size": 0},
        {"image_size": 65536, "patch_size": 1},
        {"more": [[[[[[1]]]]]]},
        {"more": list(range(10_000))},
    ],
    ids=str,
)
def test_a_configuration_beyond_any_network_is_named(folders, facts):
    path = folders[1] / "image_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    with pytest.raises(Failure, match=r"cannot be used") as failure:
        networks.load(*folders)
    assert str(path) in failure.value.what


def test_a_configuration_of_far_more_layers_than_the_file_has_is_named_at_once(folders):
    """Every number in it is one of a real network; together they are millions of layers."""
    path, count = folders[0] / "config.json", 50
    facts = {
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal"] * count,
        "up_block_types": ["CrossAttnUpBlockSpatioTemporal"] * count,
        "block_out_channels": [32] * count,
        "layers_per_block": 200,
        "transformer_layers_per_block": 200,
        "num_attention_heads": 1,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    with pytest.raises(Failure, match=r"config\.json cannot be used: it describes a network with more tensors"):
        networks.load(*folders)


def test_code_that_a_configuration_names_is_not_looked_for(folders):
    """transformers would fetch it from that repository, or say that the package which fetches it is missing."""
    path = folders[1] / "image_encoder" / "config.json"
    found = {"attn_implementation": "somebody/kernel", "auto_map": {"AutoModel": "somebody/code--module.Class"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | found))
    assert networks.load(*folders).image_encoder.config._attn_implementation != "somebody/kernel"


@pytest.mark.parametrize(
    "facts",
    [
        {"timestep_spacing": "evil"},
        {"interpolation_type": "evil"},
        {"prediction_type": "evil"},
        {"final_sigmas_type": "evil"},
        {"num_train_timesteps": 0},
        {"sigma_max": "big"},
        {"steps_offset": "x"},
    ],
    ids=str,
)
def test_noise_levels_that_a_run_cannot_have_are_named_before_it(folders, facts):
    """Libraries look at them when the first frames are denoised."""
    path = folders[1] / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    with pytest.raises(Failure, match=r"scheduler_config\.json cannot be used"):
        networks.load(*folders)


@pytest.mark.parametrize("value", ["x", 0, -1, None])
def test_a_scale_of_latents_that_is_none_is_named(folders, value):
    path = folders[1] / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scaling_factor": value}))
    with pytest.raises(Failure, match=r"config\.json cannot be used: its scaling_factor is no number above 0"):
        networks.load(*folders)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 100_000 + "}", " " * (2 << 20)])
def test_a_configuration_that_is_a_bomb_is_named(folders, text):
    path = folders[1] / "scheduler" / "scheduler_config.json"
    path.write_text(text)
    with pytest.raises(Failure, match=r"scheduler_config\.json cannot be used"):
        networks.load(*folders)
