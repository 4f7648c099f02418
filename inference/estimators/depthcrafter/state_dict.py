"""Reading a network's tensors from a safetensors file, and saying which one does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ... import exit_codes
from ...faults import Failure

_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""How attention in autoencoders was named before diffusers 0.17."""
_NOT_NEEDED = ("position_ids",)
"""Ends of names of tensors that older files carry and today's networks compute."""


def read_into(network: torch.nn.Module, path: Path) -> None:
    """Fill a network, whose parameters may be on the meta device, from a file; the dtype becomes the file's.

    Raises
    ------
    Failure
        MISSING: the file is not there, is broken, or holds other tensors than the network has; the sentence names
        the first of them.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            held = list(file.keys())
            names = {_current(name): name for name in held if not name.endswith(_NOT_NEEDED)}
            _compare(wanted, {name: tuple(file.get_slice(old).get_shape()) for name, old in names.items()}, path)
            tensors = {name: file.get_tensor(old) for name, old in names.items()}
    except (OSError, SafetensorError) as error:
        raise damaged(path, str(error)) from error
    network.load_state_dict(tensors, assign=True)


def damaged(path: Path, reason: str) -> Failure:
    """The failure of a file of weights that cannot be used."""
    return Failure(
        exit_codes.MISSING,
        f"The file of weights {path} cannot be used: {reason.rstrip('.')}.",
        cure="Check what was downloaded with: python -m inference models verify",
    )


def _compare(wanted: dict[str, Any], found: dict[str, Any], path: Path) -> None:
    """Refuse a file whose tensors are not exactly the network's."""
    for name, shape in wanted.items():
        if name not in found:
            raise damaged(path, f"it lacks the tensor {name}, so it belongs to another network")
        if found[name] != shape:
            raise damaged(
                path,
                f"its tensor {name} has the shape {list(found[name])} and the network's has {list(shape)}, so it "
                "belongs to another network",
            )
    for name in found:
        if name not in wanted:
            raise damaged(path, f"it holds the tensor {name}, which the network does not have")


def _current(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    return name
