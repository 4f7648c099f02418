"""The pair network's results on disk, for the alignment and for resuming.

A result is stored only while the alignment may need it (`pairs.may_join`, `pairs.may_pose`) and deleted once a stronger
pair rules it out: about one and a half pairs a frame remain of the four that the paper's n = 2 makes. Each view is a
``.npy`` file of float32: half precision would quantize depth in steps of 0.05 %, which show as terraces, and
confidences may exceed its range. A line of ``scores.jsonl`` marks a pair as done; it is written
after the pair's files and before ruled-out files are deleted, so a run that is killed in between loses no file that it
counts on.

Where several processes match the pairs of some frames each (`PairPart`), scores are noted frame by frame instead, and
gathered once all are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ....common.files import load_array, save_array
from ....contract import own_files, records
from ....contract.numbering import Frame
from . import pairs
from .pairs import Pair, PointMap, known, scores

_SCORES, _NOTES = "scores.jsonl", "scored"
_VIEWS = own_files.Names(("######-######-######.npy",))
"""Names of the files of views."""
_WRITERS = 4
"""Files that are written at once, since each waits for the disk."""


@dataclass(frozen=True)
class _Scored:
    """A line of ``scores.jsonl``: a pair and its score."""

    line: tuple[Frame, Frame, float]


@dataclass(frozen=True)
class _Note:
    """The scores of a frame's pairs, by one of several processes."""

    lines: tuple[tuple[Frame, Frame, float], ...]


View = tuple[Pair, int]
"""A frame in a pair."""


def packed(
    points1: Tensor, confidences1: Tensor, points2: Tensor, confidences2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The network's results for B pairs in the format of the store, computed on their device, which is fastest.

    Parameters
    ----------
    points1, points2 : Tensor [B, H, W, 3]
        Of the first and of the second frame of each pair, on any device.
    confidences1, confidences2 : Tensor [B, H, W]

    Returns
    -------
    views1, views2 : Tensor [B, H, W, 4]
        float32: points and confidences, the latter 0 where they or the points are not finite.
    scores : Tensor [B]
        float64, see `pairs.scores`.
    """
    given = (points1, confidences1, points2, confidences2)
    if points1.device.type == "mps":  # without float64
        points1, confidences1, points2, confidences2 = (each.cpu() for each in given)
    confidences1, confidences2 = known(points1, confidences1), known(points2, confidences2)
    views = (
        torch.cat([points, confidences[..., None]], dim=-1).float()
        for points, confidences in ((points1, confidences1), (points2, confidences2))
    )
    return next(views), next(views), scores(confidences1, confidences2)


class PairPart:
    """The results of the pairs of some frames, by one of several processes that each have some; see `gather`.

    A pair is that of its later frame. Once all of a frame's pairs are saved, a note of their scores marks them as done;
    the first note stays. Nothing of another process's is deleted, and nothing that any may need.

    Parameters
    ----------
    folder : Path
        That of a `PairStore`; notes lie beside it.
    count, reach : int
        Frames of the shot, and the paper's n.
    frames : range
        Those whose pairs are saved here; others are not.
    """

    def __init__(self, folder: Path, *, count: int, reach: int, frames: range) -> None:
        self.folder, self._reach, self.frames = folder, reach, frames
        for each in (folder, folder.parent / _NOTES):
            each.mkdir(parents=True, exist_ok=True)
        self._of_frame: dict[int, set[Pair]] = {}
        for pair in pairs.pairs(count, reach):
            self._of_frame.setdefault(max(pair), set()).add(pair)
        self._scores: dict[Pair, float] = {}
        for frame in frames:
            self._scores |= _read_note(self.note(frame)) or {}

    @property
    def done(self) -> frozenset[Pair]:
        """The pairs that need not be computed here, among them all of other frames."""
        others = (found for frame, found in self._of_frame.items() if frame not in self.frames)
        return frozenset(self._scores).union(*others)

    def note(self, frame: int) -> Path:
        """The file that marks the pairs of a frame as done."""
        return self.folder.parent / _NOTES / f"{frame:06}.json"

    def add(self, chosen: Sequence[Pair], views1: Tensor, views2: Tensor, scores: Tensor) -> None:
        """As `PairStore.add`; pairs of other frames are left to others."""
        views1, views2 = views1.cpu(), views2.cpu()
        found = dict(zip(chosen, scores.tolist(), strict=True))
        for row, pair in enumerate(chosen):
            if max(pair) in self.frames and pair not in self._scores:
                for frame in dict.fromkeys(pair):
                    planes = (views1 if frame == pair[0] else views2)[row]
                    save_array(self.folder / _name((pair, frame)), planes.numpy())
        self._scores |= {pair: score for pair, score in found.items() if max(pair) in self.frames}
        for frame in sorted({max(pair) for pair in chosen}.intersection(self.frames)):
            own = self._of_frame[frame]
            if own <= self._scores.keys() and not self.note(frame).exists():
                self._drop_ruled_out(frame)
                lines = [[*pair, self._scores[pair]] for pair in sorted(own)]
                own_files.save_text(self.note(frame), json.dumps(lines) + "\n", keep=True)

    def _drop_ruled_out(self, frame: int) -> None:
        near = range(frame - self._reach, frame + 1)
        for pair in (pair for each in near for pair in self._of_frame.get(each, ()) if pair in self._scores):
            wanted = _wanted(self._scores, pair, self._reach)
            for view in ((pair, side) for side in dict.fromkeys(pair)):
                if view not in wanted:
                    (self.folder / _name(view)).unlink(missing_ok=True)


def gather(folder: Path, *, count: int, reach: int) -> None:
    """Have a `PairStore` in the folder find what `PairPart`s of all frames have saved; else nothing is changed."""
    if len(_lines(folder / _SCORES)) >= len(pairs.pairs(count, reach)):
        return
    found: dict[Pair, float] = {}
    for frame in range(count):
        own = _read_note(folder.parent / _NOTES / f"{frame:06}.json")
        if own is None and (frame or count == 1):  # the first frame is in no pair as the later one
            return
        found |= own or {}
    own_files.save_text(folder / _SCORES, "".join(_line(pair, score) for pair, score in found.items()))


def _read_note(path: Path) -> dict[Pair, float] | None:
    """The scores in a note of a frame's pairs; None where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
        lines = records.loads(_Note, f'{{"lines": {text}}}', where=path.name, strict=True).lines
    except (OSError, UnicodeDecodeError, records.RecordError):
        return None
    return {(first, second): score for first, second, score in lines}


def _wanted(scores: Mapping[Pair, float], pair: Pair, reach: int) -> list[View]:
    """The views of a pair that the alignment may still need."""
    if pairs.may_join(scores, pair, reach):
        return [(pair, frame) for frame in dict.fromkeys(pair)]
    return [(pair, pair[0])] if pairs.may_pose(scores, pair, reach) else []


class PairStore:
    """The results of a shot's pairs, in a folder for them alone; those of an earlier run in it are used."""

    def __init__(self, folder: Path, reach: int) -> None:
        self.folder, self._reach = folder, reach
        folder.mkdir(parents=True, exist_ok=True)
        self._scores = self._read_scores()
        wanted = {view for pair in self._scores for view in self._wanted(pair)}
        there = {path.name for path in folder.iterdir() if _VIEWS.has_file((path.name,))}
        self._saved = {view for view in wanted if _name(view) in there}
        self._lost = {pair for pair, _ in wanted - self._saved}
        for name in there - {_name(view) for view in self._saved}:  # left by a run that was killed during its cleanup
            (folder / name).unlink()

    @property
    def scores(self) -> dict[Pair, float]:
        """The pairs that were added, with their scores."""
        return dict(self._scores)

    @property
    def done(self) -> frozenset[Pair]:
        """The pairs that need not be computed (again)."""
        return frozenset(self._scores.keys() - self._lost)

    def add(self, pairs: Sequence[Pair], views1: Tensor, views2: Tensor, scores: Tensor) -> None:
        """Save the network's results for some pairs, as `packed`; on return they are done, for later runs too."""
        views1, views2 = views1.cpu(), views2.cpu()
        self._scores |= zip(pairs, scores.tolist(), strict=True)
        self._lost.difference_update(pairs)
        wanted = [(row, view) for row, pair in enumerate(pairs) for view in self._wanted(pair)]

        def write(each: tuple[int, View]) -> None:
            row, view = each
            self._write(view, (views1 if view[1] == view[0][0] else views2)[row])

        with ThreadPoolExecutor(_WRITERS) as writers:
            list(writers.map(write, wanted))
        self._saved.update(view for _, view in wanted)
        self._note(pairs)
        self._clean_up(pairs)

    def read(self, pair: Pair, frame: int) -> PointMap:
        """A saved view: points and confidences of a pair's frame, float32, in host memory."""
        if (pair, frame) not in self._saved:
            raise KeyError(f"frame {frame} of the pair {pair} is not saved")
        planes = torch.from_numpy(load_array(self.folder / _name((pair, frame))))
        return PointMap(planes[..., :3], planes[..., 3])

    @property
    def saved(self) -> frozenset[View]:
        """The views that can be read."""
        return frozenset(self._saved)

    def keep(self, views: Set[View]) -> None:
        """Delete all but some views; pairs that lose a needed view are no longer done."""
        for view in self._saved - views:
            self._lost.add(view[0])
            (self.folder / _name(view)).unlink()
        self._saved &= views

    def clear(self) -> None:
        """Delete everything."""
        for path in (self.folder.parent / _NOTES).glob("*.json"):  # first, with the scores: no pair counts as done then
            path.unlink()
        (self.folder / _SCORES).unlink(missing_ok=True)
        for path in list(self.folder.iterdir()):
            if _VIEWS.has_file((path.name,)):
                path.unlink()
        self._scores, self._saved, self._lost = {}, set(), set()

    def _wanted(self, pair: Pair) -> list[View]:
        return _wanted(self._scores, pair, self._reach)

    def _write(self, view: View, planes: Tensor) -> None:
        save_array(self.folder / _name(view), planes.numpy())

    def _note(self, pairs: Iterable[Pair]) -> None:
        with open(self.folder / _SCORES, "a", encoding="utf-8") as file:
            file.write("".join(_line(pair, self._scores[pair]) for pair in pairs))
            file.flush()
            os.fsync(file.fileno())

    def _clean_up(self, pairs: Sequence[Pair]) -> None:
        """Delete the views that new pairs rule out, which are among their neighbors."""
        frames = [frame for pair in pairs for frame in pair]
        near = range(min(frames) - self._reach, max(frames) + self._reach + 1)
        for first in near:
            for second in range(first - self._reach, first + self._reach + 1):
                pair = (first, second)
                if pair in self._scores:
                    saved = {(pair, first), (pair, second)} & self._saved
                    for view in saved.difference(self._wanted(pair)):
                        (self.folder / _name(view)).unlink()
                        self._saved.remove(view)

    def _read_scores(self) -> dict[Pair, float]:
        path = self.folder / _SCORES
        lines = _lines(path)
        text = "".join(f"{line}\n" for line in lines)
        scores: dict[Pair, float] = {}
        for line in lines:
            try:
                first, second, found = records.loads(_Scored, f'{{"line": {line}}}', where=_SCORES, strict=True).line
            except records.RecordError:  # the last line of a run that was killed
                continue
            scores[first, second] = found
        whole = "".join(_line(pair, found) for pair, found in scores.items())
        if whole != text:
            own_files.save_text(path, whole)
        return scores


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _line(pair: Pair, found: float) -> str:
    return json.dumps([*pair, found]) + "\n"


def _name(view: View) -> str:
    (first, second), frame = view
    return f"{first:06}-{second:06}-{frame:06}.npy"
