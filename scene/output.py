"""Where an estimate goes: ``<root>/<clip>/v001`` and on, so that a new estimate never breaks a comp.

Nothing here needs Blender's data but `root_folder`, which resolves ``//``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import bpy

from ..inference.contract import depth_sequence, exit_codes, leftovers, made_mattes, numbering, own_files, plate_files
from ..inference.contract.depth_sequence import DepthSequence
from ..inference.contract.job import Job
from ..inference.contract.leftovers import LOG
from ..inference.contract.made_mattes import MadeMattes
from ..inference.contract.untrusted import absolute, is_there
from . import depth, places, weights
from .problems import Problem

_VERSION = re.compile(r"v(\d+)", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*\ufffd]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)
_LONGEST = 100
"""Bytes, not letters: that is what file systems count, and a Chinese character is three."""

_ATTEMPTS = 100
"""Folders that are tried to be taken: other Blenders may look for one in the same moment."""

Standing = Literal["new", "unfinished", "finished"]
_Wanted = TypeVar("_Wanted")
_Step = TypeVar("_Step")


class OutputError(Problem):
    """No output folder is known; the message is one sentence for the artist."""

    code = exit_codes.BAD_OUTPUT


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a job goes, and what lies there already: nothing, its unfinished work to resume, or its result."""

    folder: Path
    standing: Standing


class Claim:
    """A folder that this Blender has taken for a run: for any other it is not free until the run ends, whatever it ends
    by, as the operating system holds the lock.
    """

    def __init__(self, folder: Path, descriptor: int, made: tuple[Path, ...]) -> None:
        self._path, self._descriptor, self._made = folder / depth_sequence.SCRATCH / leftovers.CLAIM, descriptor, made

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        """End it, and remove what was made for it and is empty."""
        if self._descriptor < 0:
            return
        if os.name != "nt" and own_files.is_at(self._path, self._descriptor):  # Windows cannot delete an open file
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1
        with contextlib.suppress(OSError):
            if os.name == "nt":
                self._path.unlink(missing_ok=True)
            self._path.parent.rmdir()
        leftovers.remove_empty(self._made)


def claim(place: Place) -> Claim | None:
    """Take the folder of a place for a run that begins now; None where another Blender has, or it is not free any more.

    OutputError where it cannot be written.
    """
    made = leftovers.missing_folders(place.folder)
    scratch = place.folder / depth_sequence.SCRATCH
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        own_files.make_folder(scratch)
        descriptor = own_files.open_file(scratch / leftovers.CLAIM, os.O_CREAT | os.O_RDWR, alone=False)
    except FileNotFoundError:  # another Blender has just removed what it had made
        return None
    except OSError as error:
        raise OutputError(
            f"The output folder {place.folder} cannot be written "
            f"({error.strerror or error}): choose a folder that you may write to."
        ) from error
    if not own_files.lock(descriptor) or not own_files.is_at(scratch / leftovers.CLAIM, descriptor):
        os.close(descriptor)
        return None
    if not made and place.standing == "new" and _VERSION.fullmatch(place.folder.name):
        made = (place.folder,)  # another Blender made it just now, and was second to take it
    taken = Claim(place.folder, descriptor, made)
    if place.standing == "new" and not _is_free(place.folder):
        taken.release()
        return None
    return taken


def take(find: Callable[[], tuple[_Wanted, Place]]) -> tuple[_Wanted, Place, Claim | None]:
    """What `find` finds, which is asked again where another Blender takes the folder in the same moment.

    None: there is nothing to run, or another Blender runs the same, which the worker says. OutputError where the folder
    cannot be written.
    """
    for _ in range(_ATTEMPTS):
        wanted, place = find()
        taken = None if place.standing == "finished" else claim(place)
        if taken is not None or place.standing != "new":
            return wanted, place, taken
    raise OutputError(
        f"{place.folder} cannot be made, or other Blenders take it and every folder beside it: try again, or choose an "
        "output folder on a disk that is there."
    )


def held(taken: Claim | None, steps: Generator[_Step, bool | None, None]) -> Generator[_Step, bool | None, None]:
    """The steps of a run, at whose end the folder that was taken for it is let go."""
    try:
        yield from steps
    finally:
        if taken is not None:
            taken.release()


def root_folder(path: str) -> Path:
    """The folder that a setting such as ``//depth`` means, absolute.

    OutputError where it is empty, or relative to a .blend file that has not been saved.
    """
    if not path.strip():
        raise OutputError("No output folder is chosen: choose one in the Fathom panel.")
    if path.startswith("//") and not bpy.data.filepath:
        raise OutputError(
            f"This file is not saved, so there is no folder for {path}: save the file, or choose an output folder."
        )
    return absolute(places.expanded(path))


def clip_folder(name: str) -> str:
    """The clip's name as a folder's name that every platform takes.

    >>> clip_folder("street: take 2?")
    'street_ take 2_'
    """
    name = _NOT_IN_NAMES.sub("_", name).encode("utf-8", "ignore")[:_LONGEST].decode("utf-8", "ignore").strip(" .")
    return f"_{name}" if not name or _RESERVED.match(name) else name


def place(root: Path, clip: str, wanted: Job, *, new_version: bool = False, taken: Collection[Path] = ()) -> Place:
    """Find the folder for a job under ``<root>/<clip>``, or ``<root>/<clip>_<folder>`` where another clip has that.

    Clips of one name in different folders are distinguished by their paths, in whatever order they come.

    The newest version that holds the same job, finished or not, is the job's own, so that the same request goes on with
    what is there; with `new_version` it gets another. Any other job gets the version after the last. A finished result
    is passed over when a file that the job reads is newer than it. The output folder of `wanted` does not count, and
    the folders that are `taken` are other jobs', begun or not.

    OutputError where what lies there already cannot be read.
    """
    try:
        return _place(root, clip, wanted, new_version, set(taken))
    except OSError as error:
        raise OutputError(
            f"The output folder {root} cannot be read ({error.strerror or error}): choose a folder that you may write "
            "to."
        ) from error


def _place(root: Path, clip: str, wanted: Job, new_version: bool, taken: set[Path]) -> Place:
    folder_of_clip = clip_root(root, clip, wanted)
    numbers = versions_in(folder_of_clip)
    named = ((_VERSION.fullmatch(folder.name), folder) for folder in taken if folder.parent == folder_of_clip)
    numbers |= {int(match[1]): folder for match, folder in named if match}
    fingerprint = wanted.fingerprint()
    if not new_version:
        for _, folder in sorted(numbers.items(), reverse=True):
            if folder in taken:
                continue
            made = _made(folder)
            if made is not None and made.fingerprint == fingerprint and not input_changed(wanted, folder, made):
                return Place(folder=folder, standing="finished")
            if depth_sequence.unfinished_fingerprint(folder) == fingerprint:
                return Place(folder=folder, standing="unfinished")
    last = max(numbers, default=0)
    if (
        last and numbers[last] not in taken and is_free(numbers[last])
    ):  # left by a run that ended before its first frame
        return Place(folder=numbers[last], standing="new")
    return Place(folder=folder_of_clip / version_name(last + 1), standing="new")


def clip_root(root: Path, clip: str, wanted: Job) -> Path:
    """The clip's folder: of its name alone, unless that is a file or another clip's."""
    plate = Path(depth_sequence.plate_file(wanted.source))
    parents = [parent.name for parent in plate.parents if parent.name and parent.name != clip]
    digest = hashlib.sha256(os.fsencode(os.path.realpath(plate.parent)))
    for part in numbering.without_numbers(plate.name):
        digest.update(b"\0" + os.fsencode(part))
    first = f"{clip}_depth" if (root / clip_folder(clip)).is_file() else clip  # the clip itself, without an ending
    names = (
        first,
        *(f"{clip}_{parent}" for parent in parents[:1]),
        f"{clip[: _LONGEST // 8]}_{digest.hexdigest()[:8]}",
    )
    folders = [root / clip_folder(name) for name in names]
    owners = [_owner(folder, plate, wanted) for folder in folders]
    if "ours" in owners:
        return folders[owners.index("ours")]
    return next((folder for folder, owner in zip(folders, owners) if owner == "nobody"), folders[-1])


def _owner(parent: Path, plate: Path, wanted: Job) -> Literal["ours", "another", "nobody"]:
    """Whose versions a folder holds; those of a clip that is gone are nobody's: it may be ours, before it was moved."""
    owner: Literal["ours", "another", "nobody"] = "nobody"
    for folder in versions_in(parent).values():
        other = _plate_of(folder)
        if other is None:
            same = depth_sequence.unfinished_fingerprint(folder) == wanted.fingerprint()
        else:
            same = _is_of(other, plate)
        if same:
            return "ours"
        if other is not None and (not other.may_look or is_there(other.path)):
            owner = "another"
    return owner


class _Other(NamedTuple):
    """The plate that a folder of depth names, and whether it may be looked at: see `places`."""

    path: Path
    may_look: bool


def _is_of(other: _Other, plate: Path) -> bool:
    """Whether the plate that a folder names is of the clip that a plate is of."""
    if numbering.without_numbers(other.path.name) != numbering.without_numbers(plate.name):
        return False
    folders = {os.path.normpath(plate.parent), os.path.realpath(plate.parent)}
    theirs = os.path.normpath(other.path.parent)
    return theirs in folders or (other.may_look and os.path.realpath(theirs) in folders)


def _plate_of(folder: Path) -> _Other | None:
    """The clip of the result or of the unfinished work in a folder: its movie, or its sequence's first file."""
    try:
        written = depth_sequence.read(folder)
    except depth_sequence.DepthSequenceError:
        plate = depth_sequence.unfinished_plate(folder)
        return _Other(Path(plate), places.may_look(Path(plate))) if plate else None
    plate = Path(depth_sequence.plate_file(depth_sequence.located(written, folder).source))
    return _Other(plate, not depth_sequence.names_elsewhere(written, folder) or places.may_look(plate))


def versions_in(parent: Path) -> dict[int, Path]:
    """Version number to folder, of the versions in a folder."""
    if not parent.is_dir():
        return {}
    matches = ((_VERSION.fullmatch(path.name), path) for path in parent.iterdir())
    return {int(match.group(1)): path for match, path in matches if match}


def version_name(number: int) -> str:
    """The name of a version's folder."""
    return f"v{number:03d}"


def _made(folder: Path) -> DepthSequence | None:
    """The result that lies whole in a folder; None where it cannot be read or maps are missing."""
    try:
        return depth.load(folder).sequence
    except depth.DepthError:
        return None


def input_changed(wanted: Job, folder: Path, made: DepthSequence | MadeMattes) -> bool:
    """Whether a file that the job reads has changed since the result in a folder was made.

    They have where they are not as the result says, or, where it does not say, were written after it: the clip's, the
    mattes, of a depth sequence or of trained weights that the job takes the record, the color configuration, and the
    revision of weights.
    """
    first, last = wanted.first_frame, wanted.last_frame
    files: list[Path] = []
    if made.plate_files is None:
        files = [path for _, path in plate_files.paths(wanted.source, first, last)]
    elif made.plate_files.are_others(plate_files.look(wanted.source, first, last)):
        return True
    if isinstance(made, DepthSequence) and _has_other_weights(made):
        return True
    others, of_mattes = plate_files.beside(wanted.mattes, wanted.parameters), isinstance(made, MadeMattes)
    if isinstance(made, MadeMattes) or made.other_files is None:
        files += others
    elif made.other_files.are_others(
        plate_files.look_at(others, colors=plate_files.color_config(wanted.source.ocio_config))
    ):
        return True
    made_at = (folder / (made_mattes.SIDECAR if of_mattes else depth_sequence.SIDECAR)).stat().st_mtime_ns
    return any(path.stat().st_mtime_ns > made_at for path in files if path.exists())


def _has_other_weights(made: DepthSequence) -> bool:
    """Whether it is known that there is another revision of a network's weights now than a result was made with."""
    now: dict[str, set[str]] = {}
    for each in weights.known() or ():
        if each.state in ("ready", "changed") and re.fullmatch("[0-9a-f]{40}", each.revision):
            now.setdefault(each.repository, set()).add(each.revision)
    return any(each.revision not in now.get(each.repository, {each.revision}) for each in made.weights)


def is_free(folder: Path) -> bool:
    """Whether a folder holds nothing that a new job could spoil, and no Blender has taken it."""
    return _is_free(folder) and not leftovers.is_held(folder, leftovers.CLAIM)


def _is_free(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    scratch = folder / depth_sequence.SCRATCH
    left = [path for path in scratch.iterdir() if not path.name.startswith("lock")] if scratch.is_dir() else []
    return not left and {path.name for path in folder.iterdir()} <= {LOG, depth_sequence.SCRATCH}
