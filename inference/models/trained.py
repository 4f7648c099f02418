"""Weights that were trained here: a folder with its files and a record of them, ``model.json``.

Fathom reads such a folder in place and never changes it. The record has the checksums of the files, what they were
trained from and with, and the terms under which they may be used, which whoever trained them fills in: Fathom knows
none, and estimates nothing with weights that name none. Standard library only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..common.failures import Failure
from ..contract import exit_codes, own_files, records
from ..contract.hints import setting
from ..contract.records import Word
from ..contract.untrusted import RecordError
from . import trust
from .facts import Licence, Model, ModelFile

RECORD = "model.json"
CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
"""The files of a network, as diffusers names them."""
_LONGEST = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of use of trained weights: their title, one sentence, and where their text is."""

    title: Word = ""
    summary: Word = ""
    url: Word = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What weights were made from: other weights, or a set of clips, each with its license in words."""

    name: Word
    licence: Word = ""


@dataclass(frozen=True, kw_only=True)
class TrainedFile:
    """A file of trained weights."""

    path: Word
    size: int
    sha256: Word

    def __post_init__(self) -> None:
        trust.validate_path(self.path)
        trust.validate_size(self.size)
        trust.validate_digests(self.sha256, "")
        if not self.sha256:
            raise ValueError("it has no sha256")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The content of ``model.json``.

    Attributes
    ----------
    name : str
        What whoever trained the weights calls them.
    network : str
        The estimator that they are for.
    licence : Terms
        To be filled in by whoever trained them; without a title they are not used.
    files : tuple of TrainedFile
    trained_from, data : tuple of Source
        The weights that the training began with, and the sets of clips.
    stage, steps : int
    fathom : str
        The version of Fathom.
    """

    name: Word
    network: Word
    licence: Terms
    files: tuple[TrainedFile, ...]
    trained_from: tuple[Source, ...] = ()
    data: tuple[Source, ...] = ()
    stage: int = 0
    steps: int = 0
    fathom: Word = ""


def save(folder: Path, record: Trained) -> None:
    """Write the record of a folder, in one step."""
    own_files.save_text(folder / RECORD, records.dumps(record) + "\n")


def described(folder: Path, path: str) -> TrainedFile:
    """A file of the folder, with its size and checksum."""
    with open(folder / path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return TrainedFile(path=path, size=(folder / path).stat().st_size, sha256=digest)


def read(folder: str | Path) -> Trained:
    """The record of a folder.

    Raises
    ------
    Failure
        USAGE: it has none, or it is not valid.
    """
    place = Path(folder)
    try:
        found = records.load(Trained, place / RECORD, strict=False, most=_LONGEST)
    except OSError as error:
        raise Failure(
            exit_codes.USAGE,
            f"{place} has no trained weights: its {RECORD} cannot be read ({error.strerror}).",
            hint="Choose the folder 'model' of a training.",
        ) from error
    except (RecordError, ValueError) as error:
        raise Failure(
            exit_codes.USAGE,
            f"{place / RECORD} is not a record of trained weights ({error}).",
            hint="Copy the folder again from where it was trained.",
        ) from error
    if {file.path for file in found.files} != {CONFIG, WEIGHTS}:
        raise Failure(
            exit_codes.USAGE,
            f"{place / RECORD} does not list {CONFIG} and {WEIGHTS} alone.",
            hint="Copy the folder again from where it was trained.",
        )
    return found


def model(folder: str | Path, *, networks: tuple[str, ...]) -> Model:
    """The trained weights in a folder, which must be for one of some networks.

    Raises
    ------
    Failure
        USAGE: as `read`; or they are for another network, or name no license.
    """
    place, found = Path(folder).absolute(), read(folder)
    if found.network not in networks:
        raise Failure(
            exit_codes.USAGE,
            f"The weights in {place} were trained for {found.network}, not for {networks[0]}.",
            hint=f"Choose the estimator {found.network}, or leave {setting('weights')} empty.",
        )
    if not found.licence.title.strip():
        raise Failure(
            exit_codes.USAGE,
            f"{place / RECORD} names no license.",
            hint="Write the terms under which these weights may be used into its field licence.title; every "
            "depth.json names them.",
        )
    files = tuple(ModelFile(path=each.path, size=each.size, sha256=each.sha256) for each in found.files)
    weights = next(each for each in files if each.path == WEIGHTS)
    return Model(
        name=f"trained-{hashlib.sha256(str(place).encode('utf-8', 'surrogateescape')).hexdigest()[:16]}",
        label=found.name,
        repository=f"trained/{found.name}",
        revision=weights.sha256[:40],
        revision_checked=True,
        licence=Licence(
            name="trained",
            title=found.licence.title,
            summary=found.licence.summary,
            url=found.licence.url,
            needs_acceptance=False,
        ),
        files=files,
        folder=str(place),
    )
