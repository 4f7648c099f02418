"""Stable Video Diffusion's networks: read from files and checked tensor by tensor, or with random
weights. The message about a weights file that does not fit names the first wrong tensor.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler, UNetSpatioTemporalConditionModel
from safetensors import SafetensorError, safe_open
from torch.nn.modules.module import register_module_parameter_registration_hook
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ..common.failures import Failure, first_line
from ..contract import exit_codes
from ..models import safetensors_header, store
from ..models.safetensors_header import Tensor

_LONGEST_CONFIG, _LONGEST_LIST = 1 << 20, 200
_LARGEST_NUMBER, _MOST_LAYERS = 1 << 16, 200
_FEW = 100
"""Tensors that a file may lack before the network is built, beside half of them."""
_COUNTS = re.compile("layers|depth|blocks|heads")
"""Names of settings that count layers or parts."""
CLASSES = {
    "unet": UNetSpatioTemporalConditionModel,
    "vae": AutoencoderKLTemporalDecoder,
    "image_encoder": CLIPVisionModelWithProjection,
}
RELEASED: dict[str, dict[str, Any]] = {
    "unet": {},  # diffusers' defaults are SVD's, except for the number of frames, which is not used
    "vae": {
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
    },
    "image_encoder": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 1024,
        "hidden_act": "gelu",
    },
    "scheduler": {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "interpolation_type": "linear",
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "timestep_type": "continuous",
        "use_karras_sigmas": True,
        "sigma_min": 0.002,
        "sigma_max": 700.0,
    },
}
"""Constructor arguments of the released networks."""
_OF_IMAGE_ENCODER = {
    *RELEASED["image_encoder"],
    *("num_channels", "layer_norm_eps", "attention_dropout", "initializer_range", "initializer_factor"),
}
"""Settings of the image encoder that are read. Others are not the network's: transformers would load the code that
``attn_implementation`` names, from whoever's repository."""
_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Names of autoencoder attention layers before diffusers 0.17, and today's."""
_NOT_NEEDED = ("position_ids",)
"""Name endings of tensors that older files contain and today's networks compute."""
_NUMBERS = ("F16", "BF16", "F32", "F64")
"""Data types that a network's weights may have."""
Naming = Callable[[Sequence[str]], Mapping[str, Sequence[str]]]
"""Maps the tensor names of a file to those of the network: for each of the network's tensors, the file's names. Tensors
of several names must be equal; names that are left out are not used."""


@dataclass(frozen=True)
class Networks:
    """The networks of one run, without gradients.

    The autoencoder's encoder is in float32, which the released one needs; its decoder in the dtype of the run.
    """

    unet: Any
    vae: Any
    image_encoder: Any
    scheduler: Any

    @property
    def modules(self) -> tuple[torch.nn.Module, ...]:
        """All that holds weights."""
        return self.unet, self.vae, self.image_encoder

    def prepared(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Networks:
        """Move the networks in place to a device and the dtypes of a run, ready for inference; returns itself.

        Convolution weights become channels last, like their inputs.
        """
        for network in self.modules:
            network.requires_grad_(False).eval()
        # the encoder directly to float32: bfloat16 in between would round the file's weights
        for part in (self.vae.encoder, self.vae.quant_conv):
            part.to(device=device, dtype=torch.float32)
        for part in (self.unet, self.vae.decoder, self.image_encoder):
            torch.nn.Module.to(part, device=device, dtype=dtype)  # diffusers' own `to` warns needlessly
        for network in self.modules:
            for layer in network.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        return self


def load(depth: Path, svd: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Networks:
    """Read the networks from their folders: a depth UNet, and the rest from Stable Video Diffusion's repository.

    Raises
    ------
    Failure
        MISSING: a file is not there, is broken, or belongs to another network; the message names file and tensor.
    """
    files = {
        "unet": (depth / "config.json", unet_file(depth)),
        "vae": (svd / "vae" / "config.json", svd / "vae" / "diffusion_pytorch_model.fp16.safetensors"),
        "image_encoder": (svd / "image_encoder" / "config.json", svd / "image_encoder" / "model.fp16.safetensors"),
    }
    found = {}
    for part, (config, weights) in files.items():
        facts, held = read_config(config), header(weights)
        with _config_errors(config), _at_most(len(held)):
            network = _empty(part, facts)
        read_into(network, weights)
        found[part] = network
    path = svd / "scheduler" / "scheduler_config.json"
    facts = read_config(path)
    with _config_errors(path):
        _try(EulerDiscreteScheduler.from_config(facts))
        scheduler = EulerDiscreteScheduler.from_config(facts)
    return Networks(**found, scheduler=scheduler).prepared(device, dtype)


def unet_file(folder: Path) -> Path:
    """The weights of a UNet in its folder: in the precision that they were trained in, or else in half of it."""
    names = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
    return next((folder / name for name in names if (folder / name).exists()), folder / names[0])


def random_networks(
    *,
    seed: int = 0,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Networks:
    """Networks with random weights, to measure speed and memory without the released ones.

    `config` has constructor arguments by part; None: those of the released networks. On ``meta`` nothing is allocated.
    """
    config = config or RELEASED
    generator = None if str(device) == "meta" else torch.Generator(device).manual_seed(seed)
    found = {}
    for part in CLASSES:
        network = _empty(part, dict(config[part]))
        if generator is not None:
            fill_randomly(network, generator, dtype)
        found[part] = network
    scheduler = EulerDiscreteScheduler.from_config(dict(config["scheduler"]))
    return Networks(**found, scheduler=scheduler).prepared(device, dtype)


@contextmanager
def _config_errors(path: Path) -> Iterator[None]:
    """Turn any error that a library raises over a configuration into a `Failure` (MISSING) that names the file."""
    try:
        yield
    except Exception as error:
        raise damaged(path, first_line(error)) from error


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """End the building of a network (ValueError) that has far more parameters than its file has tensors.

    Each number of a configuration is bounded, but their product is not: layers of layers of layers take hours. Where
    few are missing, they are named later.
    """
    left = itertools.count(2 * count + _FEW, -1)

    def counted(*_: object) -> None:
        if next(left) <= 0:
            raise ValueError(f"it describes a network with more tensors than the {count} of its file")

    hook = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()


def _is_modest(value: Any, most: int, *, deep: int = 3) -> bool:
    """Whether a configuration's value is within the bounds of any real network."""
    if isinstance(value, (list, dict)):
        inner = value if isinstance(value, list) else list(value.values())
        return deep > 0 and len(inner) <= _LONGEST_LIST and all(_is_modest(v, most, deep=deep - 1) for v in inner)
    is_bounded = not isinstance(value, (int, float)) or abs(value) <= most
    return is_bounded or (isinstance(value, float) and math.isinf(value))  # JSON has no infinite numbers


def _try(scheduler: Any) -> None:
    """Raise what some values of a configuration would raise in a run, after everything was loaded."""
    scheduler.set_timesteps(2)
    noise = torch.zeros(1, 1, 1, 1)
    for timestep in scheduler.timesteps:
        noise = scheduler.step(scheduler.scale_model_input(noise, timestep), timestep, noise).prev_sample
    if not torch.isfinite(scheduler.sigmas).all() or not torch.isfinite(noise).all():
        raise ValueError("its noise levels are not finite")


def _empty(part: str, config: dict[str, Any]) -> Any:
    """A network without weights; only buffers that no file contains are allocated."""
    with init_empty_weights(include_buffers=False):
        if part == "image_encoder":
            known = {name: value for name, value in config.items() if name in _OF_IMAGE_ENCODER}
            facts: Any = CLIPVisionConfig.from_dict(known)
            parts = (facts.image_size // facts.patch_size) ** 2
            if parts > _LARGEST_NUMBER:  # the network's own list of them is no weight, and is allocated
                raise ValueError(f"its image has {parts} parts, beyond any real network")
            return CLIPVisionModelWithProjection(facts)
        network = CLASSES[part].from_config(config)
    if part == "vae":
        factor = network.config.scaling_factor
        if not isinstance(factor, (int, float)) or not 0 < factor < math.inf:
            raise ValueError("its scaling_factor is no number above 0")
    return network


def fill_randomly(network: torch.nn.Module, generator: torch.Generator, dtype: torch.dtype) -> None:
    """Fill a network without weights with random ones, on the generator's device.

    They are scaled so that a layer's output is about as large as its input, and half precision stays finite.
    """
    for name, parameter in list(network.named_parameters()):
        owner, _, last = name.rpartition(".")
        values = _random_values(last, parameter.shape, generator, dtype)
        setattr(network.get_submodule(owner), last, torch.nn.Parameter(values, requires_grad=False))


def _random_values(name: str, shape: torch.Size, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    values = torch.empty(shape, device=generator.device, dtype=dtype)
    if len(shape) < 2:
        return values.fill_(1.0 if name == "weight" else 0.0)
    return values.normal_(generator=generator).mul_(1 / math.sqrt(math.prod(shape[1:])))


def read_config(path: Path) -> dict[str, Any]:
    """A network's ``config.json``; a `Failure` (MISSING) where it is not one.

    The file is untrusted, and its values become loops and memory, so they are bounded, far above any real network.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_LONGEST_CONFIG + 1)
        config = json.loads(text[:_LONGEST_CONFIG].decode("utf-8"))
    except RecursionError as error:
        raise damaged(path, "it is nested too deeply") from error
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(config, dict):
        raise damaged(path, "it is not a JSON object")
    for key, value in config.items():
        most = _MOST_LAYERS if _COUNTS.search(key) else _LARGEST_NUMBER
        if not _is_modest(value, most):
            raise damaged(path, f"its value of {key[:100]!a} is beyond any real network")
    # the depth UNet names its authors' own class; the arguments are SVD's
    return {key: value for key, value in config.items() if not key.startswith("_")}


def todays_names(held: Sequence[str]) -> dict[str, list[str]]:
    """The `Naming` for files of diffusers and transformers, of current and earlier versions."""
    return {_current(name): [name] for name in held if not name.endswith(_NOT_NEEDED)}


def read_into(network: torch.nn.Module, path: Path, *, naming: Naming = todays_names) -> None:
    """Load a network's weights, whose parameters may be on the meta device, from a file; the dtype becomes the file's.

    Raises
    ------
    Failure
        MISSING: the file is not there, is broken, or has other tensors than the network; the message names
        the first one.
    """
    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    tensors = {}
    held = header(path)
    names = naming(list(held))
    _compare(wanted, {name: {old: held[old] for old in olds} for name, olds in names.items()}, path)
    try:
        with safe_open(path, framework="pt") as file:
            for name, (old, *others) in names.items():
                tensors[name] = file.get_tensor(old)
                for other in others:
                    if not torch.equal(tensors[name], file.get_tensor(other)):
                        raise damaged(path, f"its tensors {old} and {other} should be the same and are not")
    except (OSError, SafetensorError) as error:
        raise damaged(path, str(error)) from error
    network.load_state_dict(tensors, assign=True)


def header(path: Path) -> dict[str, Tensor]:
    """The tensors in a weights file; a `Failure` (MISSING) where it is not one, or is incomplete."""
    try:
        return safetensors_header.read(path)
    except (OSError, safetensors_header.HeaderError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> Failure:
    """The failure of a weights file that cannot be used."""
    return Failure(
        exit_codes.MISSING,
        f"The weights file {path} cannot be used: {reason.rstrip('.')}.",
        hint=f"Check the downloaded files. Run: {store.command('verify')}",
    )


def _compare(wanted: Mapping[str, list[int]], found: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """Check that a file's tensors are exactly the network's; `found` has them by the file's own names."""
    for name, shape in wanted.items():
        if name not in found:
            raise damaged(path, f"the tensor {name} is missing, so it belongs to another network")
        for old, other in found[name].items():
            if list(other.shape) != shape:
                raise damaged(
                    path,
                    f"its tensor {old} has the shape {list(other.shape)} and the network's has {shape}, so it belongs "
                    "to another network",
                )
            if other.dtype not in _NUMBERS:
                raise damaged(path, f"its tensor {old} has the data type {other.dtype}, not a floating-point one")
    for name, olds in found.items():
        if name not in wanted:
            raise damaged(path, f"it has the tensor {next(iter(olds))}, which the network does not have")


def _current(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    return name
