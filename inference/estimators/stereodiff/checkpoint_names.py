"""How the released checkpoints of DUSt3R and MonST3R name their tensors."""

from __future__ import annotations

import re

UNUSED = re.compile(r"mask_token|.*\.act_[1-4]_postprocess\..*")
"""Tensors of the pretraining, and second names of old checkpoints."""
_TWICE = re.compile(r"(.*\.scratch\.)layer(\d)_rn\.(.*)")
"""The layers of the heads that have two names; a file may hold either or both."""


def current(name: str) -> str | None:
    """The network's own name for a checkpoint's tensor; None: it is not used."""
    if UNUSED.fullmatch(name):
        return None
    twice = _TWICE.fullmatch(name)
    return f"{twice[1]}layer_rn.{int(twice[2]) - 1}.{twice[3]}" if twice else name
