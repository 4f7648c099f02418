"""The folders that weights are stored in, and adding and removing files there. Standard library only.

The layout is that of the Hugging Face cache: ``blobs/`` has files named by checksum, ``snapshots/REVISION/`` has links
to them under their names in the repository (or, where the system creates no links, the files themselves).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ..common.failures import Failure
from ..contract import environment, exit_codes, own_files
from ..contract.untrusted import RecordError, is_folder
from . import notes, trust
from .facts import Model, ModelFile
from .notes import Checksum

_MAIN = Path(__file__).resolve().parents[1] / "__main__.py"
STUDIO = environment.WEIGHTS
PARTIAL = ".incomplete"
_CHOOSE = "Choose the folder again in Fathom's preferences, or clear it there."


def cache_folder() -> Path:
    """The folder of downloaded weights, in the layout of the Hugging Face cache."""
    return environment.data_folder() / "huggingface" / "hub"


def repository_folder(model: Model) -> Path:
    """The folder of a model's repository in that layout."""
    return cache_folder() / _cached_name(model)


def own_folder(model: Model) -> Path:
    """The folder of a model's downloaded files."""
    return repository_folder(model) / "snapshots" / notes.revision(model)


def studio_folder() -> Path | None:
    """The studio's folder of weights, see `environment.weights_folder`; None where none is named.

    Raises
    ------
    Failure
        USAGE: what is named is no folder, or the note of it cannot be read.
    """
    try:
        folder = environment.weights_folder()
    except (OSError, RecordError) as error:
        raise Failure(
            exit_codes.USAGE, f"The name of the weights' folder cannot be read ({error}).", hint=_CHOOSE
        ) from error
    if folder is not None and not is_folder(folder):
        setting = studio_setting()
        raise Failure(
            exit_codes.USAGE, f"{folder}, set in {setting}, is not a folder.", hint=f"Correct {setting} or clear it."
        )
    return folder


def studio_setting() -> str:
    """What names the studio's folder, for a sentence."""
    return STUDIO if os.environ.get(STUDIO) else "Weights Folder in Fathom's preferences"


def inside(folder: Path, model: Model) -> Path | None:
    """The folder of a model's files in one for several models: ``owner/name/…``, or a Hugging Face cache."""
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
    """The folder of a model's files, under their paths in the repository; it need not exist.

    The model's own for weights that were trained here; the studio's folder where that has the model; else the folder
    of downloaded files.
    """
    if model.folder:
        return Path(model.folder)
    studio = studio_folder()
    return (inside(studio, model) if studio else None) or own_folder(model)


def is_studios(model: Model) -> bool:
    """Whether a model is read from the studio's folder, which Fathom never changes."""
    return folder(model) != own_folder(model)


def root(model: Model) -> Path:
    """The user's folder of weights that must contain a model's files with all links resolved."""
    if model.folder:
        return Path(model.folder)
    studio = studio_folder()
    return studio if studio and is_studios(model) else cache_folder()


def own(path: Path) -> Path:
    """A file to write or remove in the folder of downloaded weights, checked with all links of its parents resolved.

    It may itself be a link, which is not followed.

    Raises
    ------
    Failure
        BAD_OUTPUT: it is outside that folder.
    """
    if not trust.is_inside(path.parent, cache_folder()):
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{path} is not changed, because a link in it points outside {cache_folder()}.",
            hint="Remove that link. Only the folder of all weights itself may be a link.",
        )
    return path


def missing(model: Model) -> list[str]:
    """The paths of a model's missing files."""
    return [file.path for file in model.files if not (folder(model) / file.path).is_file()]


def used_revision(model: Model) -> str:
    """The revision in use, that of a studio's cache where none was chosen; or `notes.UNKNOWN`."""
    revision, studio = notes.revision(model), studio_folder()
    return (only_snapshot(studio, model) if studio and revision == notes.UNKNOWN else None) or revision


def download_command(*models: Model) -> str:
    """The command that downloads models, asks for their licenses, and replaces damaged files."""
    return f"Run: {command('download', *(model.name for model in models))}"


def command(*arguments: str) -> str:
    """A ``models`` command line that works in any working directory, with this process's data folder."""
    home = ["--data-folder", str(environment.data_folder())] if os.environ.get("FATHOM_HOME") else []
    words = [sys.executable, str(_MAIN), *home, "models", *arguments]
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _cached_name(model: Model) -> str:
    return f"models--{model.repository.replace('/', '--')}"


def partial_path(model: Model, wanted: Checksum) -> Path:
    """The partial file of a download; its folder is created, and a link or pipe in its place is removed.

    Raises
    ------
    Failure
        BAD_OUTPUT: a link in the path points elsewhere.
    """
    path = own(_blob(model, wanted).with_name(_blob(model, wanted).name + PARTIAL))
    path.parent.mkdir(parents=True, exist_ok=True)
    if (path.is_symlink() and not path.is_char_device()) or path.is_fifo():
        path.unlink()
    return path


def partial_bytes(model: Model) -> int:
    """Bytes of a model's files that an interrupted download left to be resumed."""
    folder = repository_folder(model) / "blobs"
    found = folder.glob(f"*{PARTIAL}") if is_folder(folder) else ()
    return sum(path.stat().st_size for path in found if path.is_file() and not path.is_symlink())


def place(model: Model, wanted: Checksum, partial: Path) -> None:
    """Move a verified file into place among the model's files, in one step."""
    blob, pointer = own(_blob(model, wanted)), own(own_folder(model) / wanted.path)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    temporary = pointer.with_name(f".tmp-{os.getpid()}-{pointer.name}")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # Windows allows links for developers and administrators only
        own_files.replace(partial, pointer)
        return
    own_files.replace(partial, blob)
    own_files.replace(temporary, pointer)


def converted_file(model: Model, file: ModelFile) -> Path:
    """Where the tensors of a ``.pth`` file are kept as safetensors, see `pickled`; named by the release's sha256."""
    return repository_folder(model) / "converted" / f"{file.sha256}.safetensors"


def discard(model: Model, path: str) -> None:
    """Remove a file of a model, and its blob where no other file links to it."""
    pointer = own(own_folder(model) / path)
    if pointer.is_symlink() or pointer.exists():
        pointer.unlink()
        _sweep(model)


def remove(model: Model, others: Iterable[Model]) -> int:
    """Remove a model's files, with partial downloads, checksums and stamps; returns the bytes freed.

    Files shared with one of the `others`, which are all other models, stay.
    """
    repository = repository_folder(model)
    before = _used(repository)
    shared = {file.path for other in others if _same(other, model) for file in other.files}
    for file in model.files:
        if file.path not in shared:
            own(own_folder(model) / file.path).unlink(missing_ok=True)
            own(converted_file(model, file)).unlink(missing_ok=True)
            notes.forget_converted(converted_file(model, file).name)
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
    """The path of a blob: the hub's cache names it by the hub's ETag."""
    return repository_folder(model) / "blobs" / (wanted.git_id or wanted.sha256)


def _sweep(model: Model) -> None:
    """Remove blobs that no snapshot links to; partial downloads stay."""
    repository = repository_folder(model)
    named = {path.resolve() for path in repository.glob("snapshots/**/*") if path.is_file()}
    for blob in repository.glob("blobs/*"):
        if trust.is_digest(blob.name) and blob.resolve() not in named:
            own(blob).unlink()


def _prune(folder: Path) -> None:
    """Remove empty folders, innermost first."""
    inner = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    for path in [*sorted(inner, key=lambda p: len(p.parts), reverse=True), folder]:
        with contextlib.suppress(OSError):  # not empty, or it does not exist
            path.rmdir()


def _used(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
