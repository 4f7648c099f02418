"""Frame numbers in the file names of image sequences, and which files form one sequence.

Blender uses a name's last number as the frame. People put sizes, versions and takes after it, so here the number that
varies from file to file is the frame; for a single file, or if nothing varies, it is the last, as in Blender. Standard
library only.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from .records import Bounds

LARGEST = 1_048_574
"""The last frame of Blender's timeline."""
Frame = Annotated[int, Bounds(0, LARGEST)]
"""A source frame, in Blender's numbering."""
_LAST_COUNTS = (999, 9999, 99999)
"""After these, the counters of cameras restart."""
_DIGITS = re.compile(r"([0-9]+)")  # ASCII digits only, as in Blender


class NumberingError(ValueError):
    """Files that are not a sequence of numbered images; the message is `what` and `hint` as one sentence."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what}; {hint}.")
        self.what, self.hint = what, hint


@dataclass(frozen=True)
class _Name:
    """A file name in parts: ``texts[0] digits[0] texts[1] … texts[-1]``, its extension in lower case."""

    name: str
    texts: tuple[str, ...]
    digits: tuple[str, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(map(int, self.digits))


def frame_number(name: str) -> int:
    """The frame number in one file name, as in Blender: its last number, or 1 if it has none.

    >>> frame_number("plate_v02.1001.exr")
    1001
    """
    digits = _parts(name).digits
    return int(digits[-1]) if digits else 1


def frame_numbers(names: Sequence[str]) -> tuple[int, ...]:
    """The frame numbers of the files of one sequence.

    Parameters
    ----------
    names : sequence of str
        File names in the order of their frames.

    Returns
    -------
    tuple of int
        For each name the number that varies. If several vary, it is the one that increases by one from file to file,
        the last of those; if the names differ in more than numbers, it is the last number of each.

    Raises
    ------
    NumberingError
        Several numbers vary and none increases by one, or the frames are negative.

    >>> frame_numbers(["shot.1001_4k.png", "shot.1002_4k.png"])
    (1001, 1002)
    """
    return _numbers(tuple(names))


def spans(numbers: Sequence[int], *, most: int = 3) -> str:
    """Ascending frames in words; only the first and the last for more than `most` stretches.

    >>> spans((1, 2, 3, 9)), spans((1, 3, 5, 7))
    ('1-3, 9', '4 frames between 1 and 7')
    """
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    if len(stretches) > most:
        return f"{len(numbers)} frames between {numbers[0]} and {numbers[-1]}"
    return ", ".join(str(s[0]) if len(s) == 1 else f"{s[0]}-{s[-1]}" for s in stretches)


def earlier_stay(numbers: Sequence[int], earlier: str = "export") -> str:
    """That the files of some frames stay beside those that replace others: whatever reads the sequence takes them too.

    `earlier` : what they were written by.
    """
    frames = spans(sorted(numbers), most=len(numbers))
    return f"Frames {frames} in the folder are of an earlier {earlier} and stay: delete them, or make them again."


def by_frame(names: Sequence[str]) -> dict[int, str]:
    """The files of one sequence by their frame number; see `frame_numbers`."""
    return dict(zip(frame_numbers(names), names))


def digits(names: Sequence[str], otherwise: int = 4) -> int:
    """How many digits the frame numbers of a sequence have at least; `otherwise` where there are no numbers.

    >>> digits(["plate.01001.exr", "plate.01002.exr"]), digits(["take2.8.png", "take2.10.png"]), digits([])
    (5, 1, 4)
    """
    index = _index_or_none(names) if names else None
    found = [len(_parts(name).digits[-1 if index is None else index]) for name in names if _parts(name).digits]
    return min(found, default=otherwise)


def check(names: Sequence[str], folder: str | Path, first: int | None = None, last: int | None = None) -> None:
    """Check that a sequence has each frame of a range once, in order; frames outside the range are ignored.

    Parameters
    ----------
    names : sequence of str
        File names in the order of their frames.
    folder : path
        For the message.
    first, last : int or None
        The requested frames, both included; None: the sequence's ends.

    Raises
    ------
    NumberingError
        One sentence on the first frame that is missing, duplicate, out of order or beyond Blender's last.
    """
    before: tuple[int, str] | None = None
    highest = max(frame_numbers(names))
    for number, name in zip(frame_numbers(names), names):
        wanted = (first is None or number >= first) and (last is None or number <= last)
        if wanted and number > LARGEST:
            raise NumberingError(
                f"{name} has the frame number {number}, and Blender's last frame is {LARGEST}", "renumber the files"
            )
        if before is not None:
            _check_step(before, (number, name), folder, first=first, last=last, highest=highest)
        if before is None or number > before[0]:
            before = number, name


def _check_step(
    before: tuple[int, str],
    after: tuple[int, str],
    folder: str | Path,
    *,
    first: int | None,
    last: int | None,
    highest: int,
) -> None:
    (earlier, one), (number, other) = before, after
    outside = (first is not None and max(earlier, number) < first) or (last is not None and min(earlier, number) > last)
    if outside or number == earlier + 1:
        return
    if number == earlier:
        raise NumberingError(f"{folder} has two files for frame {number}, {one} and {other}", "move one of them")
    if number < earlier:
        raise NumberingError(
            f"The sequence's files are not in frame order: {other} follows frame {earlier}",
            "sort them by frame number",
        )
    missing = earlier + 1 if first is None else max(earlier + 1, first)
    if missing < number and (last is None or missing <= last):
        began_again = earlier < 1000 and highest in _LAST_COUNTS and highest > earlier + 1
        raise NumberingError(
            f"Frame {missing} is missing from the sequence in {folder}: after {one} comes {other}",
            f"render or copy the missing frames, or, if a camera's counter restarted after {highest}, rename the files "
            f"from {one} on to {highest + 1} and up"
            if began_again
            else "render or copy the missing frames",
        )


def of_folder(names: Iterable[str], folder: str | Path) -> list[str]:
    """The single sequence that all image files of a folder form, in frame order.

    Raises
    ------
    NumberingError
        There is none, there are several, or the names do not show which number is the frame.
    """
    parts = [_parts(name) for name in sorted(names)]
    if not parts:
        raise NumberingError(f"{folder} contains no images", "choose a folder of numbered frames, or a movie file")
    patterns = defaultdict(list)
    for each in parts:
        patterns[each.texts].append(each)
    for each in parts:
        _reject_negative(each, len(each.digits) - 1)
    if len(parts) > 1 and not any(each.digits for each in parts):
        raise NumberingError(
            f"The images in {folder} have no frame numbers in their names ({_shown(parts)})",
            "number them with the digits 0-9, such as image.0001.png",
        )
    if len(patterns) > 1:
        raise NumberingError(
            f"{folder} contains more than one sequence ({_shown([files[0] for files in patterns.values()])})",
            "choose one frame of the sequence that you want",
        )
    return _in_order(parts)


def around(name: str, names: Iterable[str]) -> list[str]:
    """The sequence that one file among all image files of its folder belongs to, in frame order.

    Raises
    ------
    NumberingError
        The names do not show which number is the frame, or the frame is negative.
    """
    one = _parts(name)
    alike = [each for each in map(_parts, names) if each.texts == one.texts]
    if len(alike) < 2:
        _reject_negative(one, len(one.digits) - 1)
        return [name]
    # For each number, the files that differ from this one in that number alone.
    groups = [
        [each for each in alike if _without(each.numbers, index) == _without(one.numbers, index)]
        for index in range(len(one.digits))
    ]
    best = max(groups, key=lambda group: (len(group), groups.index(group)))
    return _in_order(best if len(best) > 1 else alike)


def name_of(path: str, files: Sequence[str], *, stream: int = 0) -> str:
    """A clip's name for folders and labels: a movie's file name without extension, a sequence's without number.

    Parameters
    ----------
    path : str
        The movie, or the folder of the sequence.
    files : sequence of str
        The sequence's file names; empty for a movie.
    stream : int
        Index of the movie's video stream; all but the first are numbered in the name.

    >>> name_of("/shots/cameras.mov", (), stream=1)
    'cameras stream 1'
    >>> name_of("/shots/street.mov", ()), name_of("/shots/street", ("0001.png", "0002.png"))
    ('street', 'street')
    >>> name_of("/shots/street", ("plate.1001.exr", "plate.1002.exr")), name_of("/", ("car (1).png", "car (2).png"))
    ('plate', 'car')
    """
    if not files:
        return (Path(path).stem or Path(path).name) + (f" stream {stream}" if stream else "")
    one, index = _parts(files[0]), _index_or_none(files)
    if index is None:
        return Path(files[0]).stem
    before = "".join(text + digits for text, digits in zip(one.texts[:index], one.digits)) + one.texts[index]
    return before.strip("._- ([{") or Path(path).name or Path(files[0]).stem


def pattern_of(files: Sequence[str]) -> str:
    """The name that all files of a sequence have, with # for the frame; the first one's where they are not numbered.

    >>> pattern_of(["sh010.1001.left.exr", "sh010.1002.left.exr"])
    'sh010.#.left.exr'
    """
    one, index = _parts(files[0]), _index_or_none(files)
    if index is None:
        return files[0]
    digits = [*one.digits[:index], "#", *one.digits[index + 1 :], ""]
    return "".join(text + number for text, number in zip(one.texts, digits))


def without_numbers(name: str) -> tuple[str, ...]:
    """The parts of a file name between its numbers: the same for all files of a sequence and of its versions.

    >>> without_numbers("plate_v02.1001.exr")
    ('plate_v', '.', '.exr')
    """
    return _parts(name).texts


def frame_in(files: Sequence[str], name: str) -> int | None:
    """The frame that a file has in the sequence that some files are of, whether it is one of them or not; None where it
    is of another: shots, versions and eyes may lie in one folder.

    >>> frame_in(["sh010_0001_v2.png", "sh010_0002_v2.png"], "sh010_0003_v2.png")
    3
    >>> frame_in(["sh010.1001.exr", "sh010.1002.exr"], "sh020.1003.exr") is None
    True
    """
    return next(frames_in(files, [name]))


def frames_in(files: Sequence[str], names: Iterable[str]) -> Iterator[int | None]:
    """As `frame_in`, of each of several names."""
    known, index, one = _by_name(tuple(files)), _index_or_none(files), _parts(files[0])
    for name in names:
        found, other = known.get(name), None if name in known or index is None else _parts(name)
        if other is not None and index is not None and one.texts == other.texts:
            others = (digits[:index] + digits[index + 1 :] for digits in (one.digits, other.digits))
            found = other.numbers[index] if len(set(others)) == 1 else None
        yield found


def blender_misses(names: Sequence[str]) -> tuple[str, str] | None:
    """The first file of a sequence that Blender does not find, and the name that Blender looks for instead.

    Blender counts up the last number of the first file's name; None if it finds all frames that way.

    >>> blender_misses(["plate.1.png", "plate.02.png"])
    ('plate.02.png', 'plate.2.png')
    """
    if len(names) == 1:
        return None
    path = Path(names[0])
    *head, digits, tail = _DIGITS.split(path.stem) if _parts(names[0]).digits else (path.stem, "", "")
    offset = int(digits or 0) - frame_numbers(names)[0]
    for number, name in by_frame(names).items():
        wanted = f"{''.join(head)}{number + offset:0{len(digits)}d}{tail}{path.suffix}" if digits else names[0]
        if name != wanted:
            return name, wanted
    return None


@lru_cache(maxsize=8)
def _by_name(names: tuple[str, ...]) -> dict[str, int]:
    try:
        return {name: number for number, name in by_frame(names).items()}
    except NumberingError:
        return {}


@lru_cache(maxsize=8)
def _numbers(names: tuple[str, ...]) -> tuple[int, ...]:
    index = _index(names)
    if index is None:
        return tuple(frame_number(name) for name in names)
    return tuple(_parts(name).numbers[index] for name in names)


def _index_or_none(names: Sequence[str]) -> int | None:
    """As `_index`; None as well where it is not clear."""
    try:
        return _index(tuple(names))
    except NumberingError:
        return None


@lru_cache(maxsize=8)
def _index(names: tuple[str, ...]) -> int | None:
    """Which of the numbers in the names is the frame; None if it is each name's own last, if any."""
    parts = [_parts(name) for name in names]
    one = parts[0]
    if not one.digits or any(each.texts != one.texts for each in parts):
        return None
    columns = list(zip(*(each.numbers for each in parts)))
    varying = [index for index, column in enumerate(columns) if len(set(column)) > 1]
    if len(varying) > 1:
        varying = _counting(columns, varying)
        if not varying:
            raise NumberingError(
                f"More than one number varies in the file names {names[0]} to {names[-1]}, and none increases by one",
                "choose one frame of the sequence that you want, or number the files by a single number",
            )
    index = varying[-1] if varying else len(columns) - 1
    if len(parts) > 1:
        _reject_negative(one, index)
    return index


def _counting(columns: Sequence[Sequence[int]], varying: Sequence[int]) -> list[int]:
    """Which of the varying numbers increase by one; otherwise the only one that mostly does, with gaps."""
    steps = {index: [after - before for before, after in zip(columns[index], columns[index][1:])] for index in varying}
    counting = [index for index in varying if set(steps[index]) == {1}]
    gapped = [i for i in varying if min(steps[i]) > 0 and 2 * steps[i].count(1) > len(steps[i])]
    return counting or (gapped if len(gapped) == 1 else [])


def _reject_negative(one: _Name, index: int) -> None:
    """Raise an error for frames such as ``shot.-0001.png``, read as 1 by Blender; a dash after a word is no minus."""
    if index >= 0 and re.search(r"(^|[._])-$", one.texts[index]) and (index == 0 or one.texts[index] != "-"):
        raise NumberingError(
            f"{one.name} has a negative frame number, and Blender has none in file names",
            "renumber the files from 0 or 1 on",
        )


def _in_order(parts: Sequence[_Name]) -> list[str]:
    """The names of one sequence in frame order."""
    names = [each.name for each in sorted(parts, key=lambda each: (each.numbers, each.name))]
    return [name for _, name in sorted(zip(frame_numbers(names), names))]


def _shown(parts: Sequence[_Name]) -> str:
    return ", ".join(each.name for each in parts[:4]) + (", …" if len(parts) > 4 else "")


def _without(numbers: tuple[int, ...], index: int) -> tuple[int, ...]:
    return numbers[:index] + numbers[index + 1 :]


@lru_cache(maxsize=4096)
def _parts(name: str) -> _Name:
    path = Path(name)
    pieces = _DIGITS.split(path.stem)
    return _Name(name=name, texts=(*pieces[:-1:2], pieces[-1] + path.suffix.lower()), digits=tuple(pieces[1::2]))
