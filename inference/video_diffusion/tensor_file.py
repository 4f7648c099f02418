"""Reading the tensors and facts that `common.files.save_tensors` wrote for a later run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..contract import records
from ..models import safetensors_header


@dataclass(frozen=True)
class _Facts:
    facts: dict[str, Any]


_UNREADABLE = (OSError, SafetensorError, KeyError, ValueError, TypeError)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and the facts; None where there is nothing that can be read."""
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
