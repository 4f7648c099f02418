"""Whether weights are what they should be: cheaply before an estimate, in full on request. Standard library only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..common.failures import Failure
from ..common.progress import Meter
from ..contract import events, exit_codes
from . import checksums, licences, pins, store
from .checksums import (
    Check,
    Checksum,
    Lock,
    Problem,
    ReportBytes,
    Stamp,
    Stamps,
    checksum_of,
    content_problem,
    digest,
    nothing,
    size_problem,
)
from .facts import Model


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
            wanted = lock.of(file.path) if lock else None
            problem = size_problem(store.folder(model) / file.path, file, wanted, root=store.root(model))
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


def ensure(models: Sequence[Model], *, check: Check = nothing, reading: Callable[[str], None] = nothing) -> None:
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
        problems = problems_of(model, trust_stamps=True, check=check, before_reading=partial(reading, model.label))
        if problems:
            raise Failure(exit_codes.MISSING, " ".join(problem.what for problem in problems), cure=cure(model))


def problems_of(
    model: Model,
    *,
    trust_stamps: bool = False,
    check: Check = nothing,
    report: ReportBytes = nothing,
    before_reading: Callable[[], None] = nothing,
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
        Called before the first file is read.

    Returns
    -------
    list of Problem
        Empty where all files are as they should be.

    Raises
    ------
    Failure
        MISSING: the lock cannot be read.
    """
    folder, root = store.folder(model), store.root(model)
    lock = checksums.read_lock(model)
    stamps = checksums.read_stamps(model, folder)
    kept: list[Stamp] = []
    sums: list[Checksum] = []
    problems, told = [], False
    for file in model.files:
        path, stamp = folder / file.path, stamps.of(file.path)
        wanted = lock.of(file.path) if lock else None
        problem = size_problem(path, file, wanted, root=root)
        if problem:
            problems.append(problem)
            continue
        status = path.stat()
        if wanted is None and not store.is_studios(model):
            problems.append(Problem(path=file.path, what=f"The weights {path} were never verified."))
            continue
        if not (trust_stamps and stamp and _still(stamp, status.st_size, status.st_mtime_ns, wanted)):
            if not told:
                before_reading()
                told = True
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
    if tuple(kept) != stamps.files:
        with contextlib.suppress(Failure):  # a farm's read-only data folder: the next run reads them again
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
            revision=pins.revision(model),
            origin="folder",
            source=str(folder),
            recorded=pins.now(),
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


def verify(
    models: Sequence[Model], *, emit: Callable[[events.Event], None], check: Callable[[], None] = lambda: None
) -> None:
    """Read every byte of models; nothing is changed but the note of what was verified.

    Parameters
    ----------
    models : sequence of Model
    emit : callable
        Takes events; `done` and `total` of progress are bytes.
    check : callable
        Called between pieces; raises to break off.

    Raises
    ------
    Failure
        MISSING: naming every file that is missing or damaged, with the command that replaces those and no others.
    """
    meter = Meter(emit, frames=0)
    meter.plan(sum(_bytes_of(model) for model in models))
    found, cures = [], []
    for model in models:
        size, read = _bytes_of(model), 0
        meter.stage("verify", f"Checking {model.label}")
        meter.begin(size)

        def report(count: int, size: int = size) -> None:
            nonlocal read
            read += count
            meter.part(read / max(size, 1))

        problems = problems_of(model, check=check, report=report)
        if problems:
            found += [problem.what for problem in problems]
            cures.append(cure(model))
    if found:
        raise Failure(exit_codes.MISSING, " ".join(found), cure=" ".join(cures))
    meter.finish()


def _bytes_of(model: Model) -> int:
    paths = [store.folder(model) / file.path for file in model.files]
    return sum(path.stat().st_size for path in paths if path.is_file())
