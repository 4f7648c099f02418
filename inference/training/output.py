"""A training's output folder, and what a training is.

The output folder::

    training.json               settings and clips; a resumed training must have the same
    checkpoints/step-00001000/  Accelerate's: weights and optimizer; and their average; the last two are kept
    model/                      what estimates take: config.json, the weights (their average), model.json
    cache/                      latents and tokens; may be deleted
    log/                        TensorBoard's
    validation.jsonl            accuracy on the held clips, one line for each measurement
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..common.failures import Failure, unwritable
from ..common.files import make_folder, write_tensors
from ..contract import exit_codes, own_files, packages, records
from ..contract.records import Word
from ..contract.untrusted import RecordError
from ..models import trained
from ..models.trained import Terms
from .data import Clip, Data
from .recipe import FREE, Settings

RECORD, CHECKPOINTS, MODEL, CACHE, LOG = "training.json", "checkpoints", "model", "cache", "log"
AVERAGE, VALIDATION = "average.safetensors", "validation.jsonl"
ESTIMATES = "estimates"
_STEP = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """A training that has passed its checks.

    Attributes
    ----------
    network : str
        The estimator that the weights are for.
    stage : int
    settings : Settings
    data : Data
    clips, repeats
        What is trained on, and how often each clip comes in a round.
    unet : Path
        The folder of the weights that it begins with.
    svd : Path
        The folder with Stable Video Diffusion's autoencoder and image encoder.
    encoders : str
        What identifies their content.
    output : Path
    """

    network: str
    stage: int
    settings: Settings
    data: Data
    clips: Sequence[Clip]
    repeats: Sequence[int]
    unet: Path
    svd: Path
    encoders: str
    output: Path


@dataclass(frozen=True, kw_only=True)
class _Record:
    """The content of ``training.json``."""

    network: Word
    stage: int
    settings: dict[str, Any]
    weights: Word
    clips: tuple[Word, ...]
    content: Word = ""
    """Of `_content`; empty in records of earlier versions."""


def prepare(training: Training) -> None:
    """Record a training in its folder; it must be the same as that of an earlier run there.

    Failure also where one of its folders is a link: what lies there may be somebody else's.
    """
    make_folder(training.output)
    try:
        for name in (CACHE, LOG, MODEL):
            own_files.make_folder(training.output / name)
    except OSError as error:
        raise unwritable(error, training.output) from error
    own = _Record(
        network=training.network,
        stage=training.stage,
        settings=asdict(training.settings),
        weights=str(training.unet),
        clips=tuple(clip.name for clip in training.clips),
        content=_content(training),
    )
    file = training.output / RECORD
    try:
        other = records.load(_Record, file, strict=False)
    except FileNotFoundError:
        other = None
    except (OSError, RecordError) as error:
        raise Failure(
            exit_codes.BAD_OUTPUT, f"{file} cannot be read ({error}).", hint="Choose another output folder."
        ) from error
    if other is None:
        for folder in (training.output / MODEL, *checkpoints(training.output)):
            if folder.is_dir() and any(folder.iterdir()):
                raise Failure(
                    exit_codes.BAD_OUTPUT,
                    f"{folder} has files, and {training.output} has no {RECORD}: they are not of this training.",
                    hint="Choose another output folder, or move them away.",
                )
    if other is not None and (differences := _differences(own, other)):
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{training.output} has a training with other {', '.join(differences)}.",
            hint="Choose another output folder, or start the earlier training again as it was to resume it.",
        )
    try:
        own_files.save_text(file, records.dumps(own) + "\n")
    except OSError as error:
        raise unwritable(error, file) from error


def _differences(own: _Record, other: _Record) -> list[str]:
    """What of two records differs and changes what is learned, in words."""
    changed = [name for name in own.settings if own.settings[name] != other.settings.get(name) and name not in FREE]
    names = (("network", "network"), ("stage", "stage"), ("weights", "weights to begin with"), ("clips", "clips"))
    found = [words for name, words in names if getattr(own, name) != getattr(other, name)]
    if other.content and own.content != other.content and own.clips == other.clips:
        found.append("files of its clips, or another repeat or unknown of a set")
    return found + changed


def _content(training: Training) -> str:
    """A hash of what is trained on: each clip's share, and its files by name and size: copies have other times."""
    digest = hashlib.sha256()
    for clip, times in zip(training.clips, training.repeats):
        both = clip.truth.rgb_files, clip.truth.depth_files
        files = [[(file.name, file.stat().st_size) for file in each] for each in both]
        digest.update(json.dumps([clip.name, clip.is_far, times, files]).encode())
    return digest.hexdigest()


def is_written(training: Training, steps: int) -> bool:
    """Whether the folder has the model after so many steps, whole."""
    folder = training.output / MODEL
    try:
        found = trained.read(folder)
        return found.steps == steps and all(trained.described(folder, each.path) == each for each in found.files)
    except (OSError, Failure):
        return False


def is_measured(training: Training, steps: int) -> bool:
    """Whether the accuracy after so many steps is recorded."""
    try:
        text = (training.output / VALIDATION).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return f'{{"step": {steps},' in text


def make_work_folder(training: Training, steps: int) -> Path:
    """The folder of a measurement, empty but for what a killed run has left; its files may be deleted.

    Raises
    ------
    PathConflict
        It is a link, or has files of somebody else.
    """
    work = training.output / f"validation-{steps:08d}"
    own_files.make_folder(work)
    if {path.name for path in work.iterdir()} - {MODEL, ESTIMATES}:
        raise own_files.PathConflict(work, "has files that Fathom has not made")
    return work


def checkpoints(output: Path) -> list[Path]:
    """The folders of whole checkpoints, the newest last."""
    return sorted(path for path in (output / CHECKPOINTS).glob("step-*") if _STEP.fullmatch(path.name))


def sources_of(unet: Path) -> tuple[trained.Source, ...]:
    """What the weights in a folder are and were made from, as far as its record, or their name, says."""
    if not (unet / trained.RECORD).is_file():
        return (trained.Source(name=unet.name if unet.name != "unet" else f"{unet.parent.name}/unet"),)
    found = trained.read(unet)
    return (trained.Source(name=found.name, licence=found.licence.title), *found.trained_from, *found.data)


def save_model(
    training: Training,
    folder: Path,
    tensors: dict[str, Tensor],
    config: Mapping[str, Any],
    *,
    terms: Terms,
    steps: int,
) -> None:
    """Write a network as an estimator takes it: its weights and configuration, and last the record of them.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    own_files.make_folder(folder)
    write_tensors(folder / trained.WEIGHTS, tensors, {"format": "pt"})
    own_files.save_text(folder / trained.CONFIG, json.dumps(dict(config), indent=2) + "\n")
    record = trained.Trained(
        name=training.data.name,
        network=training.network,
        licence=terms,
        files=tuple(trained.described(folder, name) for name in (trained.CONFIG, trained.WEIGHTS)),
        trained_from=sources_of(training.unet),
        data=tuple(trained.Source(name=each.name, licence=each.license) for each in training.data.train),
        stage=training.stage,
        steps=steps,
        fathom=packages.fathom_version(),
    )
    trained.save(folder, record)
