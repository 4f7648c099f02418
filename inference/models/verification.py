"""Whether weights are there and match their checksums. Standard library only.

`model_status` reads records and file sizes, but no weights. Before an estimate, `ready` reads files that were never
verified or changed since; `verify` reads every byte.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ..common.failures import Failure, unmet_requirements
from ..common.progress import Meter
from ..common.units import size_text
from ..contract import events, exit_codes
from ..contract.catalogue import MissingRequirement
from ..contract.depth_sequence import Weights
from ..contract.hints import setting
from . import notes, safetensors_header, store, trust
from .facts import Model, ModelFile
from .notes import Checksum, Lock, Stamp, Stamps

_CHUNK = 1 << 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
Check = Callable[[], None]
ReportBytes = Callable[[int], object]
Problems = dict[str, str]


def nothing(*_: object) -> None:
    """The default of callbacks."""


def ready(
    models: Sequence[Model], *, check: Check = nothing, reading: Callable[[str], None] = nothing
) -> tuple[Weights, ...]:
    """Check, before an estimate, that weights may be used and match their checksums, as ``depth.json`` records them.

    A file whose size and modification time are those of its stamp is not read; any other is read in full. Weights in a
    studio's folder that were never verified get their checksums recorded. `check` is called between pieces and raises
    to cancel; `reading` with the label of a model before any of its files is read.

    Raises
    ------
    Failure
        MISSING: a file is missing or damaged, or a license not accepted; with the command that fixes it.
    """
    statuses, missing = _all_statuses(models)
    if missing:
        raise unmet_requirements(missing)
    weights = []
    for found in statuses:
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


def missing_requirements(models: Sequence[Model]) -> list[MissingRequirement]:
    """Missing files, checksums and licenses of models; no weights are read."""
    return _all_statuses(models)[1]


def verify(models: Sequence[Model], *, emit: Callable[[events.Event], None], check: Check = nothing) -> None:
    """Read every byte of models; only the record of verified files is changed. `done` of progress is in bytes.

    Raises
    ------
    Failure
        MISSING: with all missing and damaged files, and the command that replaces only those.
    """
    statuses, meter, found = [model_status(model) for model in models], Meter(emit, frames=0), []
    sizes = [sum(path.stat().st_size for path in each.paths() if path.is_file()) for each in statuses]
    meter.plan(sum(sizes))
    for each, size in zip(statuses, sizes):
        meter.stage("verify", f"Checking {each.model.label}")
        meter.begin(size)
        problems, _ = read(each, again=True, check=check, report=meter.count)
        if problems:
            failure = broken(each.model, problems)
            found.append(MissingRequirement(what=failure.what, hint=failure.hint))
    if found:
        raise unmet_requirements(found)
    meter.finish()


# Status without reading weights


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """The status of a model by records and file system, without reading its weights.

    Attributes
    ----------
    folder : Path
        Of its files; it need not exist.
    studio : bool
        Whether that is the studio's folder, which Fathom does not change.
    missing : tuple of ModelFile
    problems : dict
        Path of a file to a sentence with its problem, as far as that is known without reading it.
    """

    model: Model
    folder: Path
    studio: bool
    lock: Lock | None
    stamps: Stamps
    missing: tuple[ModelFile, ...]
    problems: Problems

    def paths(self) -> Iterator[Path]:
        """The paths of the files."""
        return (self.folder / file.path for file in self.model.files)

    def wanted(self, file: ModelFile) -> Checksum | None:
        """The checksum of a file, where one is known."""
        return self.lock.of(file.path) if self.lock else None

    def size(self, files: Iterable[ModelFile]) -> int:
        """Bytes of files of it; approximate while no checksums are known."""
        return sum((self.wanted(file) or file).size for file in files)

    def is_as_verified(self, file: ModelFile) -> bool:
        """Whether a file has the size and modification time of its stamp."""
        stamp, wanted, status = self.stamps.of(file.path), self.wanted(file), (self.folder / file.path).stat()
        if stamp is None or wanted is None or wanted.sha256 != stamp.sha256:
            return False
        return (stamp.size, stamp.changed) == (status.st_size, status.st_mtime_ns)

    @property
    def state(self) -> Literal["missing", "incomplete", "unverified", "changed", "ready"]:
        """One word; `unverified` without checksums, `changed` where files are to be read before an estimate."""
        if self.missing:
            return "missing" if len(self.missing) == len(self.model.files) else "incomplete"
        if not all((wanted := self.wanted(file)) and wanted.sha256 for file in self.model.files):
            return "unverified"
        return "ready" if all(map(self.is_as_verified, self.model.files)) else "changed"

    @property
    def can_run(self) -> bool:
        """Whether the files are there and the license is accepted."""
        return not list(_missing([self]))


def model_status(model: Model) -> ModelStatus:
    """The status of a model.

    Raises
    ------
    Failure
        A record cannot be read, ``FATHOM_WEIGHTS`` does not name a folder, or one of weights is closed to this user.
    """
    try:
        return _status(model)
    except PermissionError as error:
        raise Failure(
            exit_codes.MISSING,
            f"The weights {model.label} cannot be read: permission is denied for {error.filename}.",
            hint="Ask its owner for the permission to read it, or name another folder of weights.",
        ) from error


def _status(model: Model) -> ModelStatus:
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
    return ModelStatus(
        model=model,
        folder=folder,
        studio=studio,
        lock=lock,
        stamps=notes.read_stamps(model, folder),
        missing=tuple(file for file in model.files if not (folder / file.path).is_file()),
        problems=problems,
    )


def _all_statuses(models: Sequence[Model]) -> tuple[list[ModelStatus], list[MissingRequirement]]:
    """The status of each model, and all missing requirements."""
    try:
        statuses = [model_status(model) for model in models]
    except Failure as failure:
        return [], [MissingRequirement(what=failure.what, hint=failure.hint, kind="weights")]
    return statuses, list(_missing(statuses))


def _missing(statuses: Sequence[ModelStatus]) -> Iterator[MissingRequirement]:
    trained = [each for each in statuses if each.missing and each.model.folder]
    for each in trained:
        names = ", ".join(file.path for file in each.missing)
        yield MissingRequirement(what=f"{each.folder} lacks {names}.", hint=_hint(each.model), kind="weights")
    absent = [each for each in statuses if each.missing and not each.model.folder]
    there = [each for each in statuses if not each.missing]
    if absent:
        sizes = ", ".join(
            f"{each.model.label} ({size_text(sum(file.size for file in each.missing))}, {each.model.licence.title})"
            for each in absent
        )
        studio = store.studio_folder()
        where = f" in {studio} or" if studio else ""
        what = f"Weights are missing{where} in {store.cache_folder()}: {sizes}."
        yield _to_download(what, [each.model for each in absent])
    for each in there:
        for what in dict.fromkeys(each.problems.values()):
            if each.studio:
                yield MissingRequirement(what=what, hint=_hint(each.model), kind="weights")
            else:
                yield _to_download(what, [each.model])
    # the download of what is missing asks for its license
    open_ones = [each.model for each in there if not notes.is_permitted(each.model.licence)]
    if open_ones:
        titles = list(dict.fromkeys(model.licence.title for model in open_ones))
        several = "Licenses were not accepted yet" if len(titles) > 1 else "A license was not accepted yet"
        yield _to_download(f"{several}: {', '.join(titles)}.", open_ones)


def _to_download(what: str, models: Sequence[Model]) -> MissingRequirement:
    """A requirement that the download of models provides."""
    names = tuple(model.name for model in models)
    return MissingRequirement(what=what, hint=store.download_command(*models), kind="weights", weights=names)


def broken(model: Model, problems: Problems) -> Failure:
    """The error for a model's problems, with the command that fixes them."""
    return Failure(exit_codes.MISSING, " ".join(dict.fromkeys(problems.values())), hint=_hint(model))


def _hint(model: Model) -> str:
    """The fix for damaged weights."""
    if model.folder:
        return f"Copy the folder again from where it was trained, or leave {setting('weights')} empty."
    if store.is_studios(model):
        return f"Replace the file, or clear {store.studio_setting()} to use downloaded weights."
    return store.download_command(model)


def _size_problem(path: Path, file: ModelFile, wanted: Checksum | None, *, root: Path) -> str:
    """A problem with a file below the user's folder `root` that shows without reading its content; else empty."""
    if not path.is_file():
        return f"The weights {path} are missing."
    if not trust.is_inside(path, root):
        return f"The weights {path} are not used: they are a link to a file outside {root}."
    size = path.stat().st_size
    if wanted is not None and size != wanted.size:
        return f"The weights {path} are damaged: {size} bytes, not {wanted.size}."
    if size > file.max_size:
        return f"The weights {path} are not the expected ones: {size} bytes, not about {file.size}."
    if size < 1024 and path.read_bytes().startswith(_LFS_POINTER):
        return f"{path} is a Git LFS pointer, not the weights; run `git lfs pull` in that folder."
    return ""


# Reading


def problems_of(model: Model, *, before_reading: Check = nothing, check: Check = nothing) -> Problems:
    """Problems of a model's files; files that match the lock are stamped; errors as for `model_status`."""
    return read(model_status(model), check=check, before_reading=before_reading)[0]


def read(
    found: ModelStatus,
    *,
    again: bool = False,
    check: Check = nothing,
    report: ReportBytes = nothing,
    before_reading: Check = nothing,
) -> tuple[Problems, tuple[Checksum, ...]]:
    """Compare a model's files with the lock, and stamp those that match; unchanged files only if `again`.

    `report` is called with the bytes of each piece, or of a file that is not read; `before_reading` before the first
    file is read. Returns the problems by path, and the checksums of the files that match, with their sha256.
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
        with contextlib.suppress(Failure):  # the data folder is read-only on a farm: the next run reads them again
            notes.write_stamps(model, replace(found.stamps, files=tuple(kept)))
    if not problems:
        # the first checksums, or the sha256 of files known by their git id
        lock = found.lock or notes.new_lock(model, "folder", str(found.folder))
        if lock.files != tuple(sums):
            notes.write_lock(model, replace(lock, files=tuple(sums)))
    return problems, tuple(sums)


def first_checksum(model: Model, path: Path, name: str, source: Path, *, check: Check) -> Checksum:
    """Record the checksum of a file that is copied from the user's folder `source`; `name`: its path in the repository.

    Raises
    ------
    Failure
        MISSING: the file is damaged.
    """
    sha256 = digest(path, check=check)
    problem = _content_problem(path, name, sha256, None)
    if problem:
        raise Failure(exit_codes.MISSING, problem, hint="Replace the file, or choose another folder.")
    found, lock = _checksum(path, name, sha256), notes.read_lock(model) or notes.new_lock(model, "folder", str(source))
    notes.write_lock(model, replace(lock, files=(*lock.files, found)))
    return found


def take(model: Model, wanted: Checksum, path: Path, *, check: Check) -> bool:
    """Move a file into place and stamp it if its content matches; returns whether it does."""
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
    """The sha256 of a file, read piece by piece: `check` is called between them, `report` with the bytes of each."""
    return _hash(path, hashlib.sha256(), check, report)


def git_id(path: Path) -> str:
    """Git's id of a file's content: the sha1 of ``blob SIZE NUL CONTENT``."""
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
    """The checksum of a file in the hub's form, so that it can be compared with the hub's later."""
    in_git = not name.endswith(".safetensors")  # the hub lists a sha256 only for files that it stores outside git
    return Checksum(path=name, size=path.stat().st_size, sha256=sha256, git_id=git_id(path) if in_git else "")


def _content_problem(path: Path, name: str, sha256: str, wanted: Checksum | None) -> str:
    """A problem with a file of that sha256, else empty; without a checksum the blob name of its cache must match."""
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
    elif not (wanted_sha256 or wanted_git) and name.endswith(".safetensors"):  # else a truncated file would be accepted
        try:
            safetensors_header.read(path)
        except safetensors_header.HeaderError as error:
            what = str(error)
    return f"The weights {path} are damaged: {what}." if what else ""


def fixed_content(path: Path, file: ModelFile) -> bytes:
    """The content of a small file whose checksum Fathom fixes, read once and verified.

    The caller parses exactly the verified bytes, even if the file changes in the meantime.

    Raises
    ------
    Failure
        MISSING: the file is missing, or does not match its checksum.
    """
    try:
        with open(path, "rb") as opened:
            content = opened.read(file.size + 1)
    except OSError as error:
        what = f"The weights {path} cannot be read ({error.strerror or error})."
        raise Failure(exit_codes.MISSING, what, hint="Run models verify.") from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        what = f"The weights {path} are damaged: they do not match the checksum that Fathom fixes."
        raise Failure(exit_codes.MISSING, what, hint="Run models verify, which shows how to replace them.")
    return content
