"""Whether weights are what they should be: cheaply before an estimate, in full on request. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import exit_codes
from ..faults import Failure
from . import checksums, licences, store
from .checksums import Checksum, Lock, Stamp, Stamps
from .facts import Model

_CHUNK = 1 << 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

Check = Callable[[], None]
ReportBytes = Callable[[int], None]


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file that is not what it should be: `what` is one sentence that names it."""

    path: str
    what: str


def digest(path: Path, *, check: Check = _nothing, report: ReportBytes = _nothing) -> str:
    """The sha256 of a file, read piece by piece.

    Parameters
    ----------
    path : Path
    check : callable
        Called between pieces; raises to break off.
    report : callable
        Told the bytes of every piece that was read.
    """
    return _hash(path, hashlib.sha256(), check, report)


def git_id(path: Path) -> str:
    """The id that git gives to a file's content: the sha1 of ``blob SIZE NUL CONTENT``."""
    head = f"blob {path.stat().st_size}\0".encode()
    return _hash(path, hashlib.sha1(head, usedforsecurity=False), _nothing, _nothing)


def _hash(path: Path, digest: hashlib._Hash, check: Check, report: ReportBytes) -> str:
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            check()
            digest.update(piece)
            report(len(piece))
    return digest.hexdigest()


def checksum_of(path: Path, name: str, sha256: str) -> Checksum:
    """The checksum of a file as the hub would tell it, so that it can be compared with the hub's later.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Its path in the repository.
    sha256 : str
        Of its content.
    """
    in_git = not name.endswith(".safetensors")  # the hub keeps large files outside git, and has a sha256 of those alone
    return Checksum(path=name, size=path.stat().st_size, sha256=sha256, git_id=git_id(path) if in_git else "")


def lacks(models: Sequence[Model]) -> list[tuple[str, str]]:
    """What keeps models from being used, without reading a single weight.

    Returns
    -------
    list of (str, str)
        What is missing and the command that gets it, one sentence each.
    """
    try:
        return _files_lacking(models) + _licences_lacking(models)
    except Failure as failure:
        return [(failure.what, failure.cure)]


def _files_lacking(models: Sequence[Model]) -> list[tuple[str, str]]:
    found = []
    absent = [model for model in models if store.missing(model)]
    if absent:
        told = ", ".join(
            f"{model.label} ({store.size_text(_missing_size(model))}, {model.licence.title})" for model in absent
        )
        studio = store.studio_folder()
        where = f" in {studio} or" if studio else ""
        found.append(
            (f"Weights are missing{where} in {store.cache_folder()}: {told}.", store.download_command(*absent))
        )
    for model in models:
        if model in absent:
            continue
        lock = checksums.read_lock(model)
        if lock is None and not store.is_studios(model):
            what = f"The weights {model.label} in {store.folder(model)} were never verified."
            found.append((what, store.download_command(model)))
        for file in model.files:
            problem = _size_problem(model, file.path, lock)
            if problem:
                found.append((problem.what, cure(model)))
    return found


def _licences_lacking(models: Sequence[Model]) -> list[tuple[str, str]]:
    """Open licences of weights that are there; the download of the others asks for theirs."""
    open_ones = [model for model in models if not (store.missing(model) or licences.accepted(model.licence))]
    if not open_ones:
        return []
    titles = list(dict.fromkeys(model.licence.title for model in open_ones))
    several = "Licences were not accepted yet" if len(titles) > 1 else "A licence was not accepted yet"
    return [(f"{several}: {', '.join(titles)}.", store.download_command(*open_ones))]


def _missing_size(model: Model) -> int:
    lacking = set(store.missing(model))
    return sum(file.size for file in model.files if file.path in lacking)


def cure(model: Model) -> str:
    """What to do about damaged weights."""
    if store.is_studios(model):
        return f"Put the right file there, or clear {store.STUDIO} to use downloaded weights."
    return store.download_command(model)


def ensure(models: Sequence[Model], *, check: Check = _nothing, reading: Callable[[str], None] = _nothing) -> None:
    """Make sure, before an estimate, that weights are what was verified.

    A file whose size and time of change are those of its stamp is taken as it is; any other is read in full.
    Weights in a studio's folder that were never verified get their checksums recorded.

    Parameters
    ----------
    models : sequence of Model
    check : callable
        Called between pieces; raises to break off.
    reading : callable
        Told the label of a model before any of its files is read.

    Raises
    ------
    Failure
        MISSING: a file is missing or damaged; the sentence names it, the cure is a command.
    """
    for model in models:
        told: list[str] = []

        def tell(model: Model = model, told: list[str] = told) -> None:
            if not told:
                told.append(model.label)
                reading(model.label)

        problems = verify(model, trust_stamps=True, check=check, before_reading=tell)
        if problems:
            raise Failure(exit_codes.MISSING, " ".join(problem.what for problem in problems), cure=cure(model))


def verify(
    model: Model,
    *,
    trust_stamps: bool = False,
    check: Check = _nothing,
    report: ReportBytes = _nothing,
    before_reading: Callable[[], None] = _nothing,
) -> list[Problem]:
    """Compare a model's files with the lock, and stamp those that agree.

    Parameters
    ----------
    model : Model
    trust_stamps : bool
        Whether a file that has not changed since it was verified is not read again.
    check, report : callable
        As for `digest`; `report` hears of files that are not read as well.
    before_reading : callable
        Called before a file is read.

    Returns
    -------
    list of Problem
        Empty where all files are as they should be.

    Raises
    ------
    Failure
        MISSING: the lock cannot be read.
    """
    folder = store.folder(model)
    lock = checksums.read_lock(model)
    stamps = checksums.read_stamps(model, folder)
    kept: list[Stamp] = []
    sums: list[Checksum] = []
    problems = []
    for file in model.files:
        path, stamp = folder / file.path, stamps.of(file.path)
        problem = _size_problem(model, file.path, lock)
        if problem:
            problems.append(problem)
            continue
        status = path.stat()
        wanted = lock.of(file.path) if lock else None
        if wanted is None and not store.is_studios(model):
            problems.append(Problem(path=file.path, what=f"The weights {path} were never verified."))
            continue
        if not (trust_stamps and stamp and _still(stamp, status.st_size, status.st_mtime_ns, wanted)):
            before_reading()
            sha256 = digest(path, check=check, report=report)
            problem = content_problem(path, file.path, sha256, wanted)
            if problem:
                problems.append(problem)
                continue
            stamp = Stamp(path=file.path, size=status.st_size, changed=status.st_mtime_ns, sha256=sha256)
        else:
            report(status.st_size)
        kept.append(stamp)
        sums.append(replace(wanted, sha256=stamp.sha256) if wanted else checksum_of(path, file.path, stamp.sha256))
    checksums.write_stamps(model, Stamps(folder=str(folder), files=tuple(kept)))
    if not problems:
        _keep(model, lock, tuple(sums), folder)
    return problems


def stamp(model: Model, path: str, sha256: str) -> None:
    """Note that a file in the data folder was found to have a content."""
    folder = store.own_folder(model)
    status = (folder / path).stat()
    stamps = checksums.read_stamps(model, folder)
    others = tuple(each for each in stamps.files if each.path != path)
    seen = Stamp(path=path, size=status.st_size, changed=status.st_mtime_ns, sha256=sha256)
    checksums.write_stamps(model, replace(stamps, files=(*others, seen)))


def _keep(model: Model, lock: Lock | None, sums: tuple[Checksum, ...], folder: Path) -> None:
    """Write the lock where it learnt something: its first files, or the sha256 of files known by their git id."""
    if lock is None:
        lock = Lock(
            repository=model.repository,
            revision=model.revision,
            origin="folder",
            source=str(folder),
            recorded=checksums.now(),
            files=sums,
        )
    elif lock.files == sums:
        return
    checksums.write_lock(model, replace(lock, files=sums))


def is_as_verified(model: Model) -> bool:
    """Whether all files are, by size and time of change, what was verified."""
    folder, lock = store.folder(model), checksums.read_lock(model)
    stamps = checksums.read_stamps(model, folder)
    for file in model.files:
        seen, status = stamps.of(file.path), (folder / file.path).stat()
        if seen is None or not _still(seen, status.st_size, status.st_mtime_ns, lock.of(file.path) if lock else None):
            return False
    return True


def _still(stamp: Stamp, size: int, changed: int, wanted: Checksum | None) -> bool:
    agrees = wanted is not None and wanted.sha256 == stamp.sha256
    return agrees and (stamp.size, stamp.changed) == (size, changed)


def _size_problem(model: Model, name: str, lock: Lock | None) -> Problem | None:
    """What the file system alone tells to be wrong with a file."""
    path = store.folder(model) / name
    if not path.is_file():
        return Problem(path=name, what=f"The weights {path} are missing.")
    size, wanted = path.stat().st_size, lock.of(name) if lock else None
    if wanted is not None and size != wanted.size:
        return Problem(path=name, what=f"The weights {path} are damaged: {size} bytes, not {wanted.size}.")
    if size < 1024:
        with open(path, "rb") as file:
            if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
                what = f"{path} is a Git LFS pointer and not the weights themselves, which `git lfs pull` would fetch."
                return Problem(path=name, what=what)
    return None


def content_problem(path: Path, name: str, sha256: str, wanted: Checksum | None) -> Problem | None:
    """What is wrong with the content of a file whose sha256 is known.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Its path in the repository.
    wanted : Checksum or None
        None: the name that a Hugging Face cache gave to the content is all there is to compare with.
    """
    blob = path.resolve()
    if wanted is None:
        named = blob.name if blob.parent.name == "blobs" else ""
        wanted_sha256, wanted_git = (named if len(named) == 64 else ""), (named if len(named) == 40 else "")
    else:
        wanted_sha256, wanted_git = wanted.sha256, "" if wanted.sha256 else wanted.git_id
    if wanted_sha256 and wanted_sha256 != sha256:
        what = f"The weights {path} are damaged: their sha256 is {sha256}, not {wanted_sha256}."
        return Problem(path=name, what=what)
    if wanted_git and wanted_git != (found := git_id(path)):
        return Problem(path=name, what=f"The weights {path} are damaged: their git id is {found}, not {wanted_git}.")
    return None
