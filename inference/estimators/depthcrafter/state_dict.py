"""Reading a network's tensors from a safetensors file, and saying which one does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ... import exit_codes
from ...faults import Failure
from ...models import safetensors_header, store
from ...models.safetensors_header import Tensor

_OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""How attention in autoencoders was named before diffusers 0.17."""
_NOT_NEEDED = ("position_ids",)
"""Ends of names of tensors that older files carry and today's networks compute."""


_NUMBERS = ("F16", "BF16", "F32", "F64")
"""In which a network's weights may be written."""

Naming = Callable[[Sequence[str]], Mapping[str, Sequence[str]]]
"""Called with the names that a file holds, gives the file's names of each of the network's tensors. Where there are
several, they must hold the same; what is not mentioned is not used."""


def todays_names(held: Sequence[str]) -> dict[str, list[str]]:
    """The `Naming` of what diffusers and transformers have written, now or formerly."""
    return {_current(name): [name] for name in held if not name.endswith(_NOT_NEEDED)}


def read_into(network: torch.nn.Module, path: Path, *, naming: Naming = todays_names) -> None:
    """Fill a network, whose parameters may be on the meta device, from a file; the dtype becomes the file's.

    Raises
    ------
    Failure
        MISSING: the file is not there, is broken, or holds other tensors than the network has; the sentence names
        the first of them.
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
    """What a file of weights holds; a `Failure` (MISSING) where it is none, or not whole."""
    try:
        return safetensors_header.read(path)
    except (OSError, safetensors_header.HeaderError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> Failure:
    """The failure of a file of weights that cannot be used."""
    return Failure(
        exit_codes.MISSING,
        f"The file of weights {path} cannot be used: {reason.rstrip('.')}.",
        cure=f"Check what was downloaded. Run: {store.command('verify')}",
    )


def _compare(wanted: Mapping[str, list[int]], found: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """Refuse a file whose tensors are not exactly the network's; `found` has them by the file's own names."""
    for name, shape in wanted.items():
        if name not in found:
            raise damaged(path, f"it lacks the tensor {name}, so it belongs to another network")
        for old, other in found[name].items():
            if list(other.shape) != shape:
                raise damaged(
                    path,
                    f"its tensor {old} has the shape {list(other.shape)} and the network's has {shape}, so it belongs "
                    "to another network",
                )
            if other.dtype not in _NUMBERS:
                raise damaged(path, f"its tensor {old} holds {other.dtype}, and a network computes with real numbers")
    for name, olds in found.items():
        if name not in wanted:
            raise damaged(path, f"it holds the tensor {next(iter(olds))}, which the network does not have")


def _current(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    return name
