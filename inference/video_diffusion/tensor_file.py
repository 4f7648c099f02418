"""What a run keeps of its tensors, with a few facts, in one file that is either whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..common.files import atomic
from ..contract import records
from ..models import safetensors_header


@dataclass(frozen=True)
class _Facts:
    facts: dict[str, Any]


_UNREADABLE = (OSError, SafetensorError, KeyError, ValueError, TypeError)


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a file in the place of the one before, in one step; the facts must be what JSON knows."""
    with atomic(path) as temporary:
        # cloned: a view of a larger tensor would take all of it along
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, temporary, {"facts": json.dumps(facts)})


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `save` wrote; None where there is nothing that can be read."""
    try:
        safetensors_header.read(path)
        with safe_open(path, framework="pt") as file:
            facts = _facts(file)
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - it is no mapping
    except _UNREADABLE:
        return None


def facts(path: Path) -> dict[str, Any] | None:
    """The facts alone; None where there is nothing that can be read."""
    try:
        safetensors_header.read(path)
        with safe_open(path, framework="pt") as file:
            return _facts(file)
    except _UNREADABLE:
        return None


def _facts(file: safe_open) -> dict[str, Any]:
    kept = {"facts": records.parse(file.metadata()["facts"], where="facts")}
    return records.from_json(_Facts, kept, where="kept", strict=True).facts
