"""What is known of the content of weights: the lock file of checksums, and the stamps of what was verified.

The lock is written once, at the first download, from the hub's metadata of the pinned revision (or, for a studio's
folder that never saw the hub, from the files themselves) and never changed to fit anything later. The stamps are a
note of which files were found to agree with it, by size and time of change. Files are read and compared here as well.
Standard library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..common.failures import Failure
from ..contract import exit_codes, records
from ..contract.web_address import without_secrets
from . import pins, safetensors_header, trust
from .facts import Model, ModelFile

_CHUNK = 1 << 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
Check = Callable[[], None]
ReportBytes = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Checksum:
    """The content that a file must have.

    Attributes
    ----------
    path : str
        In the repository.
    size : int
        Bytes.
    sha256 : str
        Of the content; empty as long as only the git id is known.
    git_id : str
        The file's git blob id, for files that the hub keeps in git itself and gives no sha256 of; else empty.
    """

    path: str
    size: int
    sha256: str = ""
    git_id: str = ""

    def __post_init__(self) -> None:
        trust.need_path(self.path)
        trust.need_size(self.size)
        trust.need_digests(self.sha256, self.git_id)


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The checksums of a model's files at its revision.

    Attributes
    ----------
    origin : 'hub', 'folder' or 'fathom'
        Whether they are the hub's, were computed from files that came without the hub, or are fixed by Fathom itself.
    source : str
        The hub's address, or the folder, or the files' own address; a password is taken out of it.
    recorded : str
        When, as an ISO date and time; empty for those that Fathom fixes.
    """

    repository: str
    revision: str
    origin: Literal["hub", "folder", "fathom"]
    source: str
    recorded: str
    files: tuple[Checksum, ...]

    def __post_init__(self) -> None:
        if len({each.path.casefold() for each in self.files}) < len(self.files):
            raise ValueError("it names a file twice")
        if self.origin != "folder":
            object.__setattr__(self, "source", without_secrets(self.source))

    def of(self, path: str) -> Checksum | None:
        """The checksum of a file; None where the lock has none."""
        return next((each for each in self.files if each.path == path), None)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A file as it was when its content was verified."""

    path: str
    size: int
    changed: int
    sha256: str

    def __post_init__(self) -> None:
        trust.need_path(self.path)
        trust.need_size(self.size)
        trust.need_digests(self.sha256, "")


@dataclass(frozen=True, kw_only=True)
class Stamps:
    """The verified files in `folder`."""

    folder: str
    files: tuple[Stamp, ...] = ()

    def of(self, path: str) -> Stamp | None:
        """The stamp of a file; None where it was not verified."""
        return next((each for each in self.files if each.path == path), None)


def lock_path(model: Model) -> Path:
    """The lock file of a model at its revision."""
    return pins.notes_folder() / "checksums" / f"{model.name}-{pins.revision(model)[:12]}.json"


def read_lock(model: Model) -> Lock | None:
    """The checksums of a model, those that Fathom fixes or those recorded; None where none were recorded yet.

    Raises
    ------
    Failure
        MISSING: the lock file cannot be read, or is of another revision.
    """
    if model.address:
        return _fixed(model)
    path = lock_path(model)
    try:
        lock = records.load(Lock, path, strict=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Failure(
            exit_codes.MISSING,
            f"The lock file of checksums {path} cannot be read ({error}).",
            cure=f"Remove the weights '{model.name}' (models remove {model.name}) and download them again.",
        ) from error
    revision = pins.revision(model)
    if (lock.repository, lock.revision) != (model.repository, revision):
        raise Failure(
            exit_codes.MISSING,
            f"The lock file of checksums {path} is of {lock.repository} at {lock.revision}, not of {model.repository} "
            f"at {revision}.",
            cure=f"Remove the weights '{model.name}' (models remove {model.name}) and download them again.",
        )
    return lock


def _fixed(model: Model) -> Lock:
    files = tuple(Checksum(path=file.path, size=file.size, sha256=file.sha256) for file in model.files)
    return Lock(
        repository=model.repository,
        revision=model.revision,
        origin="fathom",
        source=model.address,
        recorded="",
        files=files,
    )


def write_lock(model: Model, lock: Lock) -> None:
    """Keep the checksums of a model."""
    pins.write_note(lock_path(model), records.dumps(lock))


def read_stamps(model: Model, folder: Path) -> Stamps:
    """What was verified of a model's files in `folder`; nothing where that cannot be told."""
    try:
        stamps = records.load(Stamps, _stamps_path(model), where="stamps", strict=False)
    except (OSError, ValueError):
        return Stamps(folder=str(folder))
    return stamps if stamps.folder == str(folder) else Stamps(folder=str(folder))


def write_stamps(model: Model, stamps: Stamps) -> None:
    """Keep what was verified."""
    pins.write_note(_stamps_path(model), records.dumps(stamps))


def forget(model: Model) -> None:
    """Remove the lock and the stamps of a model, and what was chosen of it."""
    for path in (lock_path(model), _stamps_path(model)):
        path.unlink(missing_ok=True)
    pins.forget(model)


def _stamps_path(model: Model) -> Path:
    return pins.notes_folder() / "verified" / f"{model.name}-{pins.revision(model)[:12]}.json"


def nothing(*_: object) -> None:
    """What is called where nobody listens."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file that is not what it should be: `what` is one sentence that names it."""

    path: str
    what: str


def digest(path: Path, *, check: Check = nothing, report: ReportBytes = nothing) -> str:
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
    return _hash(path, hashlib.sha1(head, usedforsecurity=False), nothing, nothing)


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
        named = blob.name if blob.parent.name == "blobs" and trust.is_digest(blob.name) else ""
        wanted_sha256, wanted_git = (named if len(named) == 64 else ""), (named if len(named) == 40 else "")
    else:
        wanted_sha256, wanted_git = wanted.sha256, "" if wanted.sha256 else wanted.git_id
    if wanted_sha256 and wanted_sha256 != sha256:
        what = f"The weights {path} are damaged: their sha256 is {sha256}, not {wanted_sha256}."
        return Problem(path=name, what=what)
    if wanted_git and wanted_git != (found := git_id(path)):
        return Problem(path=name, what=f"The weights {path} are damaged: their git id is {found}, not {wanted_git}.")
    if not (wanted_sha256 or wanted_git) and name.endswith(".safetensors"):  # else one cut short would be believed
        try:
            safetensors_header.read(path)
        except safetensors_header.HeaderError as error:
            return Problem(path=name, what=f"The weights {path} are damaged: {error}.")
    return None


def fixed_content(path: Path, file: ModelFile) -> bytes:
    """The content of a small file of which Fathom itself fixes the checksum, read once and verified as it was read.

    Whoever parses it is given no other bytes than those, whatever became of the file since it was verified.

    Raises
    ------
    Failure
        MISSING: it is not there, or not what the checksum says.
    """
    try:
        with open(path, "rb") as opened:
            content = opened.read(file.size + 1)
    except OSError as error:
        what = f"The weights {path} cannot be read ({error.strerror or error})."
        raise Failure(exit_codes.MISSING, what, cure="Run models verify.") from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        what = f"The weights {path} are damaged: they are not those whose checksum Fathom fixes."
        raise Failure(exit_codes.MISSING, what, cure="Run models verify, which says how to replace them.")
    return content


def size_problem(path: Path, file: ModelFile, wanted: Checksum | None, *, root: Path) -> Problem | None:
    """What the file system alone tells to be wrong with a file.

    Parameters
    ----------
    path : Path
        The file.
    file : ModelFile
        What it should be.
    wanted : Checksum or None
        None: any content will do, of about that size.
    root : Path
        The folder that the user named, out of which no link may lead.
    """
    name = file.path
    if not path.is_file():
        return Problem(path=name, what=f"The weights {path} are missing.")
    if not trust.is_inside(path, root):
        return Problem(path=name, what=f"The weights {path} are not used: they are a link that leads out of {root}.")
    size = path.stat().st_size
    if wanted is not None and size != wanted.size:
        return Problem(path=name, what=f"The weights {path} are damaged: {size} bytes, not {wanted.size}.")
    if size > file.most:
        return Problem(path=name, what=f"The weights {path} are others: {size} bytes, not about {file.size}.")
    if size < 1024:
        with open(path, "rb") as opened:
            if opened.read(len(_LFS_POINTER)) == _LFS_POINTER:
                what = f"{path} is a Git LFS pointer and not the weights themselves, which `git lfs pull` would fetch."
                return Problem(path=name, what=what)
    return None
