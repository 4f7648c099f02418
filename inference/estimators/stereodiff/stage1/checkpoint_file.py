"""The pair network from the published files of DUSt3R and MonST3R, whose tensor names are mapped to the network's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ....video_diffusion.networks import damaged, header, read_config, read_into
from .network import PairNetwork

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SIZES = {
    "enc_embed_dim": "encoder_dim",
    "enc_depth": "encoder_depth",
    "enc_num_heads": "encoder_heads",
    "dec_embed_dim": "decoder_dim",
    "dec_depth": "decoder_depth",
    "dec_num_heads": "decoder_heads",
}
"""The configuration's names of the network's sizes; missing ones have the released value."""
_INFINITY = float("inf")
_FIXED: dict[str, tuple[Any, ...]] = {
    "patch_size": (16,),
    "pos_embed": ("RoPE100",),
    "head_type": ("dpt",),
    "output_mode": ("pts3d",),
    "depth_mode": (["exp", -_INFINITY, _INFINITY], ["exp", None, None], ["exp"]),
    "conf_mode": (["exp", 1, _INFINITY], ["exp", 1, None], ["exp", 1]),
}
"""Further settings of the configuration, with the values that describe the network that is built here."""
_LEVELS = tuple(f"downstream_head1.dpt.act_postprocess.{level}.0.bias" for level in range(4))
_JOINED = "downstream_head1.dpt.scratch.refinenet1.out_conv.bias"
_FIRST, _SECOND = "dec_blocks.", "dec_blocks2."
UNUSED = re.compile(r"mask_token|.*\.act_[1-4]_postprocess\..*")
"""Tensors of the pretraining, and duplicates in old checkpoints."""
_TWICE = re.compile(r"(.*\.scratch\.)layer(\d)_rn\.(.*)")
"""Layers of the heads that have two names; a file may have either or both."""


def load(folder: Path, *, dtype: torch.dtype = torch.float32) -> PairNetwork:
    """Read the network from the folder of its two files, into host memory; the heads are in float32, see `prepared`.

    Raises
    ------
    Failure
        MISSING: a file is not there, is broken, or belongs to another network; the message names file and tensor.
    """
    network = _empty(folder / CONFIG, folder / WEIGHTS)
    read_into(network, folder / WEIGHTS, naming=names)
    return prepared(network, dtype)


def prepared(network: PairNetwork, dtype: torch.dtype) -> PairNetwork:
    """The network prepared for inference in a dtype; heads end in exponentials, which overflow half precision."""
    network.eval().requires_grad_(False)
    network.to(dtype)
    network.downstream_head1.float()
    network.downstream_head2.float()
    return network


def names(held: Sequence[str]) -> dict[str, list[str]]:
    """The file's names of the network's tensors (`video_diffusion.networks.Naming`).

    A file of a network that was never trained on pairs has one decoder, which initializes both.
    """
    found: dict[str, list[str]] = {}
    for name in held:
        own = current_name(name)
        if own is not None:
            found.setdefault(own, []).append(name)
    if not any(name.startswith(_SECOND) for name in found):
        firsts = [name for name in found if name.startswith(_FIRST)]
        found |= {_SECOND + name.removeprefix(_FIRST): found[name] for name in firsts}
    return found


def _empty(config_path: Path, weights_path: Path) -> PairNetwork:
    """The network without weights; the sizes of its heads, which no configuration has, come from the tensors."""
    config = read_config(config_path)
    _check(config, config_path)
    sizes = {own: config[theirs] for theirs, own in SIZES.items() if theirs in config}
    heads = _head_sizes(weights_path)
    try:
        with torch.device("meta"):
            return PairNetwork(**sizes, **heads)
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise damaged(config_path, str(error)) from error


def _check(config: Mapping[str, Any], path: Path) -> None:
    for name, allowed in _FIXED.items():
        if name in config and config[name] not in allowed:
            raise damaged(
                path, f"its {name} is {config[name]!r} and not {allowed[0]!r}, so it belongs to another network"
            )


def _head_sizes(path: Path) -> dict[str, Any]:
    """Sizes of the heads in a file; empty where the tensors are missing, which is reported once the file is read."""
    held = header(path)
    if not held.keys() >= {*_LEVELS, _JOINED} or not all(held[name].shape for name in (*_LEVELS, _JOINED)):
        return {}
    return {"head_levels": [held[name].shape[0] for name in _LEVELS], "head_width": held[_JOINED].shape[0]}


def current_name(name: str) -> str | None:
    """The network's own name for a checkpoint's tensor; None: it is not used."""
    if UNUSED.fullmatch(name):
        return None
    twice = _TWICE.fullmatch(name)
    return f"{twice[1]}layer_rn.{int(twice[2]) - 1}.{twice[3]}" if twice else name
