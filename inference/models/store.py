"""Where weights lie on this computer, and what of them is there. Standard library only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .. import environment
from ..depth_sequence import Weights
from .facts import Model


def cache_folder() -> Path:
    """Where downloaded weights lie, in the Hugging Face cache's own layout."""
    return environment.data_folder() / "huggingface" / "hub"


def folder(model: Model) -> Path:
    """The folder in which a model's files lie under their paths in the repository; it need not exist."""
    return cache_folder() / f"models--{model.repository.replace('/', '--')}" / "snapshots" / model.revision


def missing(model: Model) -> list[str]:
    """The files of a model that are not there."""
    return [file.path for file in model.files if not (folder(model) / file.path).is_file()]


def records(models: Sequence[Model]) -> tuple[Weights, ...]:
    """What ``depth.json`` says of the weights that took part."""
    return tuple(
        Weights(
            repository=model.repository,
            revision=model.revision,
            file=file.path,
            sha256="",
            licence=model.licence.title,
        )
        for model in models
        for file in model.files
    )


def download_command(model: Model) -> str:
    """The command that downloads a model."""
    return f"Run: {sys.executable} -m inference models download {model.name}"
