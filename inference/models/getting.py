"""Getting one file of weights: its bytes first, then its content verified, then its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import exit_codes, own_files
from ..faults import Failure
from ..run import files
from . import checksums, contents, inspection, notes, pins, placing, store
from .checksums import Checksum, Lock
from .facts import Model

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Who hears of the work.

    Attributes
    ----------
    check : callable
        Called between steps; raises to break off.
    report : callable
        Told the bytes that came; negative for bytes that must come anew.
    warn : callable
        Told, in a sentence, what does not stop the work.
    reading : callable
        Called before a content is verified.
    """

    check: Callable[[], None]
    report: Callable[[int], None]
    warn: Callable[[str], None]
    reading: Callable[[], None]


def had(model: Model, wanted: Checksum) -> int:
    """The bytes that an earlier, interrupted download has left of a file."""
    partial = placing.partial_path(model, wanted)
    size = partial.stat().st_size if partial.is_file() else 0
    return size if size <= wanted.size else 0


def fetch(model: Model, wanted: Checksum, token: str | None, steps: Steps) -> None:
    """Download a file from the hub, or from the address of its own.

    What an earlier run had left of it and proves to be damaged in the end is downloaded once more, from its start.

    Raises
    ------
    Failure
        MISSING: see `hub.fetch`; or what came is not what its checksum says.
    OSError
        The data folder cannot be written.
    """
    from . import address, hub

    partial, begun = placing.partial_path(model, wanted), had(model, wanted)
    if partial.is_file() and not begun:  # longer than the file ever was
        partial.unlink()
    steps.report(begun)
    for fresh in (not begun, True):
        if model.address:
            address.fetch(model, wanted, partial, check=steps.check, report=steps.report, warn=steps.warn)
        else:
            hub.fetch(model, wanted, partial, token=token, check=steps.check, report=steps.report, warn=steps.warn)
        if _take(model, wanted, partial, steps):
            return
        partial.unlink()
        if fresh:
            break
        steps.warn(f"What an earlier run had left of {wanted.path} is damaged; it is downloaded anew.")
        steps.report(-wanted.size)
    sender = address.server(model).address if model.address else hub.endpoint()
    raise Failure(
        exit_codes.MISSING,
        f"{sender} sent {wanted.path} of {model.repository} damaged: it is not what its checksum says.",
        cure="Start the same command again; if it stays so, try without the mirror or from another network.",
    )


def copy(model: Model, wanted: Checksum, source: Path, steps: Steps) -> None:
    """Copy a file from a folder that `store.inside` finds the model in.

    Parameters
    ----------
    wanted : Checksum
        Where neither of its checksums is known, those of the copy are recorded.

    Raises
    ------
    Failure
        MISSING: its content is not what it should be.
    OSError
        The file cannot be read, or the data folder not be written.
    """
    origin = (store.inside(source, model) or source) / wanted.path
    if not os.access(origin, os.R_OK):
        raise _bad_origin(f"{origin} cannot be read.")
    temporary = store.own(store.repository_folder(model) / "blobs" / f"copy-{os.getpid()}{placing.PARTIAL}")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)  # a link would be followed
    try:
        own_files.create(temporary)
        with open(origin, "rb") as reader, open(temporary, "wb") as writer:
            while piece := reader.read(_CHUNK):
                steps.check()
                writer.write(piece)
                steps.report(len(piece))
        if not (wanted.sha256 or wanted.git_id):
            sha256 = contents.digest(origin, check=steps.check)
            problem = contents.content_problem(origin, wanted.path, sha256, None)
            if problem:
                raise _bad_origin(problem.what)
            wanted = contents.checksum_of(origin, wanted.path, sha256)
            _record(model, wanted, source)
        if not _take(model, wanted, temporary, steps):
            raise _bad_origin(f"{origin} is not what the checksum says that was recorded for {wanted.path}.")
    finally:
        temporary.unlink(missing_ok=True)


def _take(model: Model, wanted: Checksum, partial: Path, steps: Steps) -> bool:
    """Give a file its name if its content is the wanted one, and note that it was verified."""
    files.sync(partial)
    steps.reading()
    sha256 = contents.digest(partial, check=steps.check)
    if contents.content_problem(partial, wanted.path, sha256, wanted):
        return False
    placing.place(model, wanted, partial)
    inspection.stamp(model, wanted.path, sha256)
    return True


def _record(model: Model, found: Checksum, source: Path) -> None:
    """Record the checksum of a file that came without the hub."""
    lock = checksums.read_lock(model) or Lock(
        repository=model.repository,
        revision=pins.revision(model),
        origin="folder",
        source=str(source),
        recorded=notes.now(),
        files=(),
    )
    checksums.write_lock(model, replace(lock, files=(*lock.files, found)))


def _bad_origin(what: str) -> Failure:
    return Failure(exit_codes.MISSING, what, cure="Put the right file there, or choose another folder.")
