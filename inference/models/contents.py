"""The content of files of weights, by their checksums. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import exit_codes
from ..faults import Failure
from . import safetensors_header, trust
from .checksums import Checksum
from .facts import ModelFile

_CHUNK = 1 << 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

Check = Callable[[], None]
ReportBytes = Callable[[int], None]


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
