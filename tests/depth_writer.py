"""Finished depth sequences made by hand, for tests of what reads them."""

from inference.contract import depth_sequence
from inference.contract.depth_sequence import DepthSequence, Range, Shot, disparity_name
from inference.contract.job import Source
from inference.media.exr import write_map


def write_depth(folder, maps, *, files, shots=None, source=None, estimator="e", refused=()):
    """A depth sequence of a clip of numbered images.

    `maps` has source frames and arrays; `shots` first and last frames of each, one over all if None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in maps.items():
        write_map(folder / disparity_name(number), values)
    spread = Range(minimum=0.0, maximum=4.0, p1=0.1, p99=3.9)
    shots = shots or [(min(maps), max(maps))]
    height, width = next(iter(maps.values())).shape
    sequence = DepthSequence(
        source=Source(kind="sequence", path=str(source or folder), files=tuple(files)),
        first_frame=min(first for first, _ in shots),
        last_frame=max(last for _, last in shots),
        width=width,
        height=height,
        quantity="relative_disparity",
        shots=tuple(
            Shot(first_frame=first, last_frame=last, status="refused", reason="It shows nothing.")
            if (first, last) in refused
            else Shot(first_frame=first, last_frame=last, status="done", range=spread)
            for first, last in shots
        ),
        estimator=estimator,
        fingerprint="f",
    )
    depth_sequence.save(sequence, folder)
    return sequence
