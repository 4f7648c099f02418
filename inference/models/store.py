"""Where weights lie on this computer, what of them is there, and how they come and go. Standard library only.

The layout is the Hugging Face cache's own: ``blobs/`` holds contents by their checksum, ``snapshots/REVISION/``
their names, as links (or, where the system makes none, as the contents themselves).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..common.failures import Failure
from ..contract import environment, exit_codes
from ..contract.untrusted import absolute, is_folder
from . import notes, trust
from .facts import Model
from .notes import Checksum

STUDIO = "FATHOM_WEIGHTS"
"""Environment variable that names a studio's folder of weights."""
_MAIN = Path(__file__).resolve().parents[1] / "__main__.py"
PARTIAL = ".incomplete"


def cache_folder() -> Path:
    """Where downloaded weights lie, in the Hugging Face cache's own layout."""
    return environment.data_folder() / "huggingface" / "hub"


def repository_folder(model: Model) -> Path:
    """The folder of a model's repository in that layout: ``blobs`` with contents, ``snapshots`` with names."""
    return cache_folder() / _cached_name(model)


def own_folder(model: Model) -> Path:
    """Where a model's files lie once they are downloaded."""
    return repository_folder(model) / "snapshots" / notes.revision(model)


def studio_folder() -> Path | None:
    """The studio's folder of weights; None where none is named.

    Raises
    ------
    Failure
        USAGE: the environment variable names no folder.
    """
    named = os.environ.get(STUDIO)
    if not named:
        return None
    folder = absolute(named)
    if not is_folder(folder):
        raise Failure(
            exit_codes.USAGE, f"{folder}, named by {STUDIO}, is no folder.", cure="Correct that variable or clear it."
        )
    return folder


def inside(folder: Path, model: Model) -> Path | None:
    """The folder of a model's files in a folder that holds several models.

    Parameters
    ----------
    folder : Path
        Holds ``owner/name/…`` with the files under their paths in the repository, or is a Hugging Face cache.

    Returns
    -------
    Path or None
        None where neither is there.
    """
    revision = notes.revision(model)
    if revision == notes.UNKNOWN:
        revision = only_snapshot(folder, model) or revision
    for candidate in (folder / model.repository, folder / _cached_name(model) / "snapshots" / revision):
        if candidate.is_dir():
            return candidate
    return None


def only_snapshot(folder: Path, model: Model) -> str | None:
    """The one revision that a Hugging Face cache has of a model; None where it has none, several, or is no cache."""
    names = [path.name for path in (folder / _cached_name(model) / "snapshots").glob("*") if path.is_dir()]
    found = [name for name in names if trust.is_revision(name)]
    return found[0] if len(found) == 1 and not (folder / model.repository).is_dir() else None


def folder(model: Model) -> Path:
    """The folder in which a model's files lie under their paths in the repository; it need not exist.

    It is the studio's where that has the model, else the one that downloads fill.
    """
    studio = studio_folder()
    return (inside(studio, model) if studio else None) or own_folder(model)


def is_studios(model: Model) -> bool:
    """Whether a model is taken from the studio's folder, which Fathom reads and never changes."""
    return folder(model) != own_folder(model)


def root(model: Model) -> Path:
    """The folder that the user named for weights, in which a model's files must really lie."""
    studio = studio_folder()
    return studio if studio and is_studios(model) else cache_folder()


def own(path: Path) -> Path:
    """A path among the downloaded weights, once it is certain that no link leads from there to elsewhere.

    Parameters
    ----------
    path : Path
        Of what is to be written or removed; its own last part may be a link, which is never followed.

    Raises
    ------
    Failure
        BAD_OUTPUT: it lies elsewhere.
    """
    if not trust.is_inside(path.parent, cache_folder()):
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{path} is not touched, for a link leads from there out of {cache_folder()}.",
            cure="Remove that link; a folder for all weights may be a link, one inside it may not.",
        )
    return path


def missing(model: Model) -> list[str]:
    """The files of a model that are not there."""
    return [file.path for file in model.files if not (folder(model) / file.path).is_file()]


def used_revision(model: Model) -> str:
    """The revision of what is used, which a studio's cache may tell where nothing was chosen; or `notes.UNKNOWN`."""
    revision, studio = notes.revision(model), studio_folder()
    return (only_snapshot(studio, model) if studio and revision == notes.UNKNOWN else None) or revision


def download_command(*models: Model) -> str:
    """The command that downloads models, asks for their licences, and replaces what is damaged."""
    return f"Run: {command('download', *(model.name for model in models))}"


def command(*arguments: str) -> str:
    """A command line of the verb ``models`` that works in any folder, with this process's data folder."""
    home = ["--data-folder", str(environment.data_folder())] if os.environ.get("FATHOM_HOME") else []
    words = [sys.executable, str(_MAIN), *home, "models", *arguments]
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _cached_name(model: Model) -> str:
    return f"models--{model.repository.replace('/', '--')}"


def partial_path(model: Model, wanted: Checksum) -> Path:
    """Where the bytes of a file are gathered until all have come; its folder is made.

    What lies there is a file that was begun, or nothing: a link to what could be lost, or a pipe, is removed.

    Raises
    ------
    Failure
        BAD_OUTPUT: a link leads from there to elsewhere.
    """
    path = own(_blob(model, wanted).with_name(_blob(model, wanted).name + PARTIAL))
    path.parent.mkdir(parents=True, exist_ok=True)
    if (path.is_symlink() and not path.is_char_device()) or path.is_fifo():
        path.unlink()
    return path


def place(model: Model, wanted: Checksum, partial: Path) -> None:
    """Give a verified content its name among the model's files, in one step."""
    blob, pointer = own(_blob(model, wanted)), own(own_folder(model) / wanted.path)
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
    pointer = own(own_folder(model) / path)
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
    repository = repository_folder(model)
    before = _used(repository)
    shared = {file.path for other in others if _same(other, model) for file in other.files}
    for file in model.files:
        if file.path not in shared:
            own(own_folder(model) / file.path).unlink(missing_ok=True)
    if not any(other.repository == model.repository for other in others):
        for partial in repository.glob(f"blobs/*{PARTIAL}"):
            if partial.is_symlink() or partial.is_file():
                own(partial).unlink()
    _sweep(model)
    _prune(repository)
    notes.forget(model)
    return before - _used(repository)


def _same(one: Model, other: Model) -> bool:
    return (one.repository, notes.revision(one)) == (other.repository, notes.revision(other))


def _blob(model: Model, wanted: Checksum) -> Path:
    """Where a content lies: the hub's cache names it by what the hub calls its ETag."""
    return repository_folder(model) / "blobs" / (wanted.git_id or wanted.sha256)


def _sweep(model: Model) -> None:
    """Remove contents that no revision names any more; partial downloads stay."""
    repository = repository_folder(model)
    named = {path.resolve() for path in repository.glob("snapshots/**/*") if path.is_file()}
    for blob in repository.glob("blobs/*"):
        if trust.is_digest(blob.name) and blob.resolve() not in named:
            own(blob).unlink()


def _prune(folder: Path) -> None:
    """Remove the folders in which nothing is left, from the inside out."""
    inner = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    for path in [*sorted(inner, key=lambda p: len(p.parts), reverse=True), folder]:
        with contextlib.suppress(OSError):  # something is left in it, or it was never there
            path.rmdir()


def _used(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
