"""``evaluate``: how close a depth sequence is to the truth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import depth_sequence, exit_codes, faults, records
from ..depth_sequence import DepthSequence, DepthSequenceError, Shot, disparity_name
from ..faults import Failure
from ..job import frame_number

if TYPE_CHECKING:
    from ..evaluation.metrics import Scores
    from ..evaluation.truth import Truth


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "evaluate",
        help="compare a depth sequence with the truth",
        description="Print AbsRel, delta1 and flicker of every shot, with one scale and shift a shot.",
    )
    verb.add_argument("depth", metavar="DEPTH_DIR", help="folder with a depth.json")
    verb.add_argument(
        "--truth",
        metavar="DIR",
        required=True,
        help="folder with depth/00000.png … (16 bits, millimetres) and camera.json, for the clip's frames in order",
    )
    verb.add_argument("--json", action="store_true", help="print every number as JSON")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    try:
        rows = _measure(Path(options.depth), Path(options.truth))
    except (Failure, DepthSequenceError, ImportError) as error:
        told = faults.explain(error)
        sys.stderr.write(told.message + "\n")
        return told.code
    if options.json:
        print(json.dumps([_as_json(shot, scores) for shot, scores in rows], indent=2))
    else:
        print("frames          AbsRel  delta1  flicker")
        for shot, scores in rows:
            flicker = "-" if scores.flicker is None else f"{scores.flicker:.4f}"
            frames = f"{shot.first_frame}-{shot.last_frame}"
            print(f"{frames:14}  {scores.absolute_relative:.4f}  {scores.delta1:.4f}  {flicker}")
    return exit_codes.OK


def _measure(folder: Path, truth_folder: Path) -> list[tuple[Shot, Scores]]:
    from ..evaluation.metrics import MetricsError
    from ..evaluation.truth import TruthError, open_truth
    from ..media.errors import ClipError

    sequence = depth_sequence.load(folder)
    try:
        truth = open_truth(truth_folder)
        return [(shot, _scores(folder, sequence, shot, truth)) for shot in sequence.done_shots]
    except (TruthError, MetricsError) as error:
        raise Failure(exit_codes.USAGE, str(error)) from error
    except ClipError as error:
        raise Failure(exit_codes.BAD_CLIP, str(error)) from error


def _scores(folder: Path, sequence: DepthSequence, shot: Shot, truth: Truth) -> Scores:
    from ..evaluation.metrics import score
    from ..media.exr import read_map

    origin = _first_frame_of_clip(sequence)
    if shot.last_frame - origin >= len(truth):
        raise Failure(
            exit_codes.USAGE,
            f"The truth has {len(truth)} frames and the depth goes on to frame {shot.last_frame} of a clip that begins "
            f"at {origin}.",
            cure="Give the truth of this very clip.",
        )
    frames = range(shot.first_frame - origin, shot.last_frame - origin + 1)
    return score(lambda index: read_map(folder / disparity_name(index + origin)), truth, frames)


def _first_frame_of_clip(sequence: DepthSequence) -> int:
    """The frame that the truth's first picture belongs to."""
    source = sequence.source
    return frame_number(source.files[0]) if source.kind == "sequence" else 1


def _as_json(shot: Shot, scores: Scores) -> dict[str, object]:
    return {"first_frame": shot.first_frame, "last_frame": shot.last_frame, **records.to_json(scores)}
