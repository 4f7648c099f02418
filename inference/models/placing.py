"""Putting weights where they belong in the data folder, and taking them away. Standard library only.

The layout is the Hugging Face cache's own: ``blobs/`` holds contents by their checksum, ``snapshots/REVISION/``
their names, as links (or, where the system makes none, as the contents themselves).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from . import checksums, pins, store, trust
from .checksums import Checksum
from .facts import Model

PARTIAL = ".incomplete"


def partial_path(model: Model, wanted: Checksum) -> Path:
    """Where the bytes of a file are gathered until all have come; its folder is made.

    What lies there is a file that was begun, or nothing: a link to what could be lost, or a pipe, is removed.

    Raises
    ------
    Failure
        BAD_OUTPUT: a link leads from there to elsewhere.
    """
    path = store.own(_blob(model, wanted).with_name(_blob(model, wanted).name + PARTIAL))
    path.parent.mkdir(parents=True, exist_ok=True)
    if (path.is_symlink() and not path.is_char_device()) or path.is_fifo():
        path.unlink()
    return path


def place(model: Model, wanted: Checksum, partial: Path) -> None:
    """Give a verified content its name among the model's files, in one step."""
    blob, pointer = store.own(_blob(model, wanted)), store.own(store.own_folder(model) / wanted.path)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    temporary = pointer.with_name(f".tmp-{os.getpid()}-{pointer.name}")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # Windows makes links for developers and administrators only
        os.replace(partial, pointer)
        return
    os.replace(partial, blob)
    os.replace(temporary, pointer)


def discard(model: Model, path: str) -> None:
    """Remove a file of a model, and its content where nothing else names it."""
    pointer = store.own(store.own_folder(model) / path)
    if pointer.is_symlink() or pointer.exists():
        pointer.unlink()
        _sweep(model)


def remove(model: Model, others: Iterable[Model]) -> int:
    """Remove a model's files from the data folder, with partial downloads, checksums and stamps.

    Parameters
    ----------
    model : Model
    others : iterable of Model
        All others that there are; what one of them shares with it stays.

    Returns
    -------
    int
        The bytes that are free now.
    """
    repository = store.repository_folder(model)
    before = _used(repository)
    shared = {file.path for other in others if _same(other, model) for file in other.files}
    for file in model.files:
        if file.path not in shared:
            store.own(store.own_folder(model) / file.path).unlink(missing_ok=True)
    if not any(other.repository == model.repository for other in others):
        for partial in repository.glob(f"blobs/*{PARTIAL}"):
            if partial.is_symlink() or partial.is_file():
                store.own(partial).unlink()
    _sweep(model)
    _prune(repository)
    checksums.forget(model)
    return before - _used(repository)


def _same(one: Model, other: Model) -> bool:
    return (one.repository, pins.revision(one)) == (other.repository, pins.revision(other))


def _blob(model: Model, wanted: Checksum) -> Path:
    """Where a content lies: the hub's cache names it by what the hub calls its ETag."""
    return store.repository_folder(model) / "blobs" / (wanted.git_id or wanted.sha256)


def _sweep(model: Model) -> None:
    """Remove contents that no revision names any more; partial downloads stay."""
    repository = store.repository_folder(model)
    named = {path.resolve() for path in repository.glob("snapshots/**/*") if path.is_file()}
    for blob in repository.glob("blobs/*"):
        if trust.is_digest(blob.name) and blob.resolve() not in named:
            store.own(blob).unlink()


def _prune(folder: Path) -> None:
    """Remove the folders in which nothing is left, from the inside out."""
    inner = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    for path in [*sorted(inner, key=lambda p: len(p.parts), reverse=True), folder]:
        with contextlib.suppress(OSError):  # something is left in it, or it was never there
            path.rmdir()


def _used(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
