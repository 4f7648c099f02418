"""Whether weights are there and what they should be: by a look, before an estimate, or read in full.

A look reads the notes and asks the file system, and no weights. What has changed since it was verified, or never was,
is read before an estimate; `verify` reads every byte. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ..common.failures import Failure, unmet
from ..common.progress import Meter
from ..common.units import size_text
from ..contract import events, exit_codes
from ..contract.catalogue import Lack
from ..contract.depth_sequence import Weights
from . import notes, safetensors_header, store, trust
from .facts import Model, ModelFile
from .notes import Checksum, Lock, Stamp, Stamps

_CHUNK = 1 << 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
Check = Callable[[], None]
ReportBytes = Callable[[int], object]
Problems = dict[str, str]


def nothing(*_: object) -> None:
    """What is called where nobody listens."""


def ready(
    models: Sequence[Model], *, check: Check = nothing, reading: Callable[[str], None] = nothing
) -> tuple[Weights, ...]:
    """Make sure, before an estimate, that weights may be used and are what was verified.

    A file whose size and time of change are those of its stamp is taken as it is; any other is read in full.
    Weights in a studio's folder that were never verified get their checksums recorded.

    Parameters
    ----------
    models : sequence of Model
    check : callable
        Called between pieces; raises to break off.
    reading : callable
        Called with the label of a model before any of its files is read.

    Returns
    -------
    tuple of Weights
        What ``depth.json`` says of them.

    Raises
    ------
    Failure
        MISSING: a file is missing or damaged, or a licence not accepted; with the command that mends it.
    """
    looks, missing = _look_at_all(models)
    if missing:
        raise unmet(missing)
    weights = []
    for found in looks:
        problems, sums = read(found, check=check, before_reading=partial(reading, found.model.label))
        if problems:
            raise broken(found.model, problems)
        weights += [
            Weights(
                repository=found.model.repository,
                revision=store.used_revision(found.model),
                file=each.path,
                sha256=each.sha256,
                licence=found.model.licence.title,
            )
            for each in sums
        ]
    return tuple(weights)


def missing_requirements(models: Sequence[Model]) -> list[Lack]:
    """What keeps models from being used, by a look: files, checksums, licences."""
    return _look_at_all(models)[1]


def verify(models: Sequence[Model], *, emit: Callable[[events.Event], None], check: Check = nothing) -> None:
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
    looks, meter, found = [look(model) for model in models], Meter(emit, frames=0), []
    sizes = [sum(path.stat().st_size for path in each.paths() if path.is_file()) for each in looks]
    meter.plan(sum(sizes))
    for each, size in zip(looks, sizes):
        meter.stage("verify", f"Checking {each.model.label}")
        meter.begin(size)
        problems, _ = read(each, again=True, check=check, report=meter.count)
        if problems:
            failure = broken(each.model, problems)
            found.append(Lack(what=failure.what, cure=failure.cure))
    if found:
        raise unmet(found)
    meter.finish()


# A look


@dataclass(frozen=True, kw_only=True)
class Look:
    """A model as the notes and the file system have it.

    Attributes
    ----------
    folder : Path
        Where its files lie, or would.
    studio : bool
        Whether that is the studio's folder, which Fathom does not change.
    missing : tuple of ModelFile
        The files that are not there.
    problems : dict
        Path of a file to a sentence with what is wrong with it, as far as that can be said without reading it.
    """

    model: Model
    folder: Path
    studio: bool
    lock: Lock | None
    stamps: Stamps
    missing: tuple[ModelFile, ...]
    problems: Problems

    def paths(self) -> Iterator[Path]:
        """Where the files lie."""
        return (self.folder / file.path for file in self.model.files)

    def wanted(self, file: ModelFile) -> Checksum | None:
        """The checksum of a file, where one is known."""
        return self.lock.of(file.path) if self.lock else None

    def size(self, files: Iterable[ModelFile]) -> int:
        """Bytes of files of it, about as long as no checksums are known."""
        return sum((self.wanted(file) or file).size for file in files)

    def is_as_verified(self, file: ModelFile) -> bool:
        """Whether a file is, by size and time of change, what was verified."""
        stamp, wanted, status = self.stamps.of(file.path), self.wanted(file), (self.folder / file.path).stat()
        if stamp is None or wanted is None or wanted.sha256 != stamp.sha256:
            return False
        return (stamp.size, stamp.changed) == (status.st_size, status.st_mtime_ns)

    @property
    def state(self) -> Literal["missing", "incomplete", "unverified", "changed", "ready"]:
        """How it stands: without checksums it is unverified, and what has changed since is read before an estimate."""
        if self.missing:
            return "missing" if len(self.missing) == len(self.model.files) else "incomplete"
        if not all((wanted := self.wanted(file)) and wanted.sha256 for file in self.model.files):
            return "unverified"
        return "ready" if all(map(self.is_as_verified, self.model.files)) else "changed"

    @property
    def can_run(self) -> bool:
        """Whether the files are there and the licence is accepted."""
        return not list(_unmet([self]))


def look(model: Model) -> Look:
    """Look at a model.

    Raises
    ------
    Failure
        A note cannot be read, or ``FATHOM_WEIGHTS`` names no folder.
    """
    folder, lock = store.folder(model), notes.read_lock(model)
    studio, root = store.is_studios(model), store.root(model)
    problems = {}
    for file in model.files:
        wanted = lock.of(file.path) if lock else None
        problem = _size_problem(folder / file.path, file, wanted, root=root)
        if not problem and wanted is None and not studio:
            problem = f"The weights {model.label} in {folder} were never verified."
        if problem:
            problems[file.path] = problem
    return Look(
        model=model,
        folder=folder,
        studio=studio,
        lock=lock,
        stamps=notes.read_stamps(model, folder),
        missing=tuple(file for file in model.files if not (folder / file.path).is_file()),
        problems=problems,
    )


def _look_at_all(models: Sequence[Model]) -> tuple[list[Look], list[Lack]]:
    """A look at each model, and what keeps them from being used."""
    try:
        looks = [look(model) for model in models]
    except Failure as failure:
        return [], [Lack(what=failure.what, cure=failure.cure, kind="weights")]
    return looks, [Lack(what=what, cure=hint, kind="weights") for what, hint in _unmet(looks)]


def _unmet(looks: Sequence[Look]) -> Iterator[tuple[str, str]]:
    absent, there = [each for each in looks if each.missing], [each for each in looks if not each.missing]
    if absent:
        sizes = ", ".join(
            f"{each.model.label} ({size_text(sum(file.size for file in each.missing))}, {each.model.licence.title})"
            for each in absent
        )
        studio = store.studio_folder()
        where = f" in {studio} or" if studio else ""
        hint = store.download_command(*(each.model for each in absent))
        yield f"Weights are missing{where} in {store.cache_folder()}: {sizes}.", hint
    for each in there:
        for what in dict.fromkeys(each.problems.values()):
            yield what, _hint(each.model)
    # the download of what is missing asks for its licence
    open_ones = [each.model for each in there if not notes.accepted(each.model.licence)]
    if open_ones:
        titles = list(dict.fromkeys(model.licence.title for model in open_ones))
        several = "Licences were not accepted yet" if len(titles) > 1 else "A licence was not accepted yet"
        yield f"{several}: {', '.join(titles)}.", store.download_command(*open_ones)


def broken(model: Model, problems: Problems) -> Failure:
    """What is wrong with a model's files, and how to mend them."""
    return Failure(exit_codes.MISSING, " ".join(dict.fromkeys(problems.values())), cure=_hint(model))


def _hint(model: Model) -> str:
    """What to do about damaged weights."""
    if store.is_studios(model):
        return f"Put the right file there, or clear {store.STUDIO} to use downloaded weights."
    return store.download_command(model)


def _size_problem(path: Path, file: ModelFile, wanted: Checksum | None, *, root: Path) -> str:
    """What the file system alone tells to be wrong with a file, below the folder `root` that the user named."""
    if not path.is_file():
        return f"The weights {path} are missing."
    if not trust.is_inside(path, root):
        return f"The weights {path} are not used: they are a link that leads out of {root}."
    size = path.stat().st_size
    if wanted is not None and size != wanted.size:
        return f"The weights {path} are damaged: {size} bytes, not {wanted.size}."
    if size > file.most:
        return f"The weights {path} are others: {size} bytes, not about {file.size}."
    if size < 1024 and path.read_bytes().startswith(_LFS_POINTER):
        return f"{path} is a Git LFS pointer and not the weights themselves, which `git lfs pull` would fetch."
    return ""


# Reading


def problems_of(model: Model, *, before_reading: Check = nothing, check: Check = nothing) -> Problems:
    """What is wrong with a model's files; those that agree with the lock are stamped; errors as `look`."""
    return read(look(model), check=check, before_reading=before_reading)[0]


def read(
    found: Look,
    *,
    again: bool = False,
    check: Check = nothing,
    report: ReportBytes = nothing,
    before_reading: Check = nothing,
) -> tuple[Problems, tuple[Checksum, ...]]:
    """Compare a model's files with the lock, and stamp those that agree.

    Parameters
    ----------
    found : Look
    again : bool
        Whether a file that has not changed since it was verified is read as well.
    check, report : callable
        As for `digest`; `report` is called for files that are not read as well.
    before_reading : callable
        Called before the first file is read.

    Returns
    -------
    problems : dict
        Empty where all files are as they should be.
    sums : tuple of Checksum
        Of the files that are, with their sha256.
    """
    model, problems, sums, kept = found.model, dict(found.problems), [], []
    is_first = True
    for file in model.files:
        if file.path in found.problems:
            continue
        path, wanted, stamp = found.folder / file.path, found.wanted(file), found.stamps.of(file.path)
        if again or stamp is None or not found.is_as_verified(file):
            if is_first:
                before_reading()
            is_first = False
            status = path.stat()
            sha256 = digest(path, check=check, report=report)
            problem = _content_problem(path, file.path, sha256, wanted)
            if problem:
                problems[file.path] = problem
                continue
            stamp = Stamp(path=file.path, size=status.st_size, changed=status.st_mtime_ns, sha256=sha256)
        else:
            report(stamp.size)
        kept.append(stamp)
        sums.append(replace(wanted, sha256=stamp.sha256) if wanted else _checksum(path, file.path, stamp.sha256))
    if tuple(kept) != found.stamps.files:
        with contextlib.suppress(Failure):  # a farm's read-only data folder: the next run reads them again
            notes.write_stamps(model, replace(found.stamps, files=tuple(kept)))
    if not problems:
        # the lock learns its first files, or the sha256 of files that are known by their git id
        lock = found.lock or notes.new_lock(model, "folder", str(found.folder))
        if lock.files != tuple(sums):
            notes.write_lock(model, replace(lock, files=tuple(sums)))
    return problems, tuple(sums)


def first_checksum(model: Model, path: Path, name: str, source: Path, *, check: Check) -> Checksum:
    """Record the checksum of a file that comes from a folder and not from the hub.

    Parameters
    ----------
    model : Model
    path : Path
        The file.
    name : str
        Its path in the repository.
    source : Path
        The folder that the user named.
    check : callable
        As for `digest`.

    Raises
    ------
    Failure
        MISSING: by itself it is damaged already.
    """
    sha256 = digest(path, check=check)
    problem = _content_problem(path, name, sha256, None)
    if problem:
        raise Failure(exit_codes.MISSING, problem, cure="Put the right file there, or choose another folder.")
    found, lock = _checksum(path, name, sha256), notes.read_lock(model) or notes.new_lock(model, "folder", str(source))
    notes.write_lock(model, replace(lock, files=(*lock.files, found)))
    return found


def take(model: Model, wanted: Checksum, path: Path, *, check: Check) -> bool:
    """Give a file its name among the model's if its content is the wanted one, and note that it was verified."""
    sha256, folder = digest(path, check=check), store.own_folder(model)
    if _content_problem(path, wanted.path, sha256, wanted):
        return False
    store.place(model, wanted, path)
    status, stamps = (folder / wanted.path).stat(), notes.read_stamps(model, folder)
    others = (each for each in stamps.files if each.path != wanted.path)
    seen = Stamp(path=wanted.path, size=status.st_size, changed=status.st_mtime_ns, sha256=sha256)
    notes.write_stamps(model, replace(stamps, files=(*others, seen)))
    return True


def digest(path: Path, *, check: Check = nothing, report: ReportBytes = nothing) -> str:
    """The sha256 of a file, read piece by piece.

    Parameters
    ----------
    path : Path
    check : callable
        Called between pieces; raises to break off.
    report : callable
        Called with the bytes of every piece that was read.
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


def _checksum(path: Path, name: str, sha256: str) -> Checksum:
    """The checksum of a file as the hub would tell it, so that it can be compared with the hub's later."""
    in_git = not name.endswith(".safetensors")  # the hub keeps large files outside git, and has a sha256 of those alone
    return Checksum(path=name, size=path.stat().st_size, sha256=sha256, git_id=git_id(path) if in_git else "")


def _content_problem(path: Path, name: str, sha256: str, wanted: Checksum | None) -> str:
    """What is wrong with a file whose sha256 is known; without a checksum the name that a cache gave it must agree."""
    blob, what = path.resolve(), ""
    if wanted is None:
        named = blob.name if blob.parent.name == "blobs" and trust.is_digest(blob.name) else ""
        wanted_sha256, wanted_git = (named if len(named) == 64 else ""), (named if len(named) == 40 else "")
    else:
        wanted_sha256, wanted_git = wanted.sha256, "" if wanted.sha256 else wanted.git_id
    if wanted_sha256 and wanted_sha256 != sha256:
        what = f"their sha256 is {sha256}, not {wanted_sha256}"
    elif wanted_git and wanted_git != (found := git_id(path)):
        what = f"their git id is {found}, not {wanted_git}"
    elif not (wanted_sha256 or wanted_git) and name.endswith(".safetensors"):  # else one cut short would be believed
        try:
            safetensors_header.read(path)
        except safetensors_header.HeaderError as error:
            what = str(error)
    return f"The weights {path} are damaged: {what}." if what else ""


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
