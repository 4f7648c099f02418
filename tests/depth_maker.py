"""Depth sequences of known content, with their plates, for the tests on Blender's side.

Tests say ``import depth_maker``: ``tests/`` is on the path (``pythonpath`` in ``pyproject.toml``).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.camera import Camera, Pose
from bl_ext.dev.fathom.inference.contract.depth_sequence import DepthSequence, Range, Shot
from bl_ext.dev.fathom.inference.contract.job import Source


def write_map(path, values):
    """One channel Y, float32, ZIP, as the worker writes it."""
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, {"Y": np.ascontiguousarray(values, np.float32)}).write(str(path))


def write_png(path, rgb):
    """An 8-bit RGB image [H, W, 3] uint8, exactly these values."""
    import struct
    import zlib

    height, width = rgb.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(rgb, np.uint8))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def slanted(frame, width, height):
    """Disparity [H, W] of a smooth, tilted, bulging surface that changes from frame to frame; all positive."""
    y, x = np.mgrid[0:height, 0:width]
    u, v = (x + 0.5) / width, (y + 0.5) / height
    return 0.2 + 0.3 * v + 0.1 * np.sin(3 * u + 0.7 * frame) + 0.02 * (frame % 5)


def smooth_image(frame, width, height):
    """A plate [H, W, 3] uint8 of soft colors that tells left from right, top from bottom and frame from frame."""
    y, x = np.mgrid[0:height, 0:width]
    u, v = (x + 0.5) / width, (y + 0.5) / height
    red = 0.15 + 0.7 * u
    green = 0.15 + 0.7 * v
    blue = 0.5 + 0.3 * np.sin(6 * u + 4 * v + frame)
    return np.round(255 * np.stack([red, green, blue], axis=-1)).astype(np.uint8)


def dolly(frames, *, width, height, focal_length, principal_point=None, distortion=(0.0, 0.0), step=0.1, yaw=0.02):
    """A camera that moves right, forward and turns a little each frame."""
    poses = []
    for i, frame in enumerate(frames):
        c, s = np.cos(yaw * i), np.sin(yaw * i)
        matrix = np.array([[c, 0, s, step * i], [0, 1, 0, -0.02 * i], [-s, 0, c, 0.5 * step * i], [0, 0, 0, 1.0]])
        poses.append(Pose(frame=frame, camera_to_world=tuple(map(tuple, matrix.tolist()))))
    middle = ((width - 1) / 2, (height - 1) / 2)
    return Camera(
        width=width,
        height=height,
        focal_length=focal_length,
        principal_point=principal_point or middle,
        distortion=distortion,
        poses=tuple(poses),
    )


def make(
    folder,
    *,
    size=(24, 16),
    plate_size=None,
    frames=range(1, 6),
    shots=None,
    quantity="inverse_depth",
    quantities=None,
    camera=None,
    disparity: Callable = slanted,
    image: Callable = smooth_image,
    confidence: Callable | None = None,
    plate_name="plate.{:04d}.png",
    source: Source | None = None,
):
    """Write a depth sequence to ``folder/depth`` and its plate to ``folder/plate``.

    Parameters
    ----------
    folder : Path
    size, plate_size : (width, height)
        Of the maps and of the plate; the plate's is the maps' by default.
    frames : range
        Source frames.
    shots : list of (first, last, status) or None
        One done shot over all frames by default. Unsupported shots have no maps.
    quantity : str
    quantities : dict or None
        First frame of a shot to the shot's own quantity.
    camera : Camera, callable taking the shot's frames, or None
        None: no camera in ``depth.json``.
    disparity, image, confidence : callable (frame, width, height) -> array
    source : Source or None
        The plate, where it is not the sequence of images that is written here.

    Returns
    -------
    Path
        The depth folder.
    """
    out, plates = Path(folder) / "depth", Path(folder) / "plate"
    out.mkdir(parents=True)
    plates.mkdir(parents=True)
    width, height = size
    plate_width, plate_height = plate_size or size
    for frame in frames:
        write_png(plates / plate_name.format(frame), image(frame, plate_width, plate_height))
    records = []
    for first, last, status in shots or [(frames[0], frames[-1], "done")]:
        if status == "refused":
            records.append(
                Shot(first_frame=first, last_frame=last, status="refused", reason="The camera stands still.")
            )
            continue
        maps = {n: np.asarray(disparity(n, width, height), np.float32) for n in range(first, last + 1)}
        for n, values in maps.items():
            write_map(out / depth_sequence.disparity_name(n), values)
            if confidence is not None:
                write_map(out / depth_sequence.confidence_name(n), confidence(n, width, height))
        values = np.stack(list(maps.values()))
        # 0 is at or beyond the far end, and not of the range
        p1, p99 = np.percentile(values[values != 0] if values.any() else values, [1, 99])
        shot_camera = camera(range(first, last + 1)) if callable(camera) else camera
        spread = Range(minimum=float(values.min()), maximum=float(values.max()), p1=float(p1), p99=float(p99))
        own = (quantities or {}).get(first)
        records.append(
            Shot(first_frame=first, last_frame=last, status="done", range=spread, camera=shot_camera, quantity=own)
        )
    sequence = DepthSequence(
        source=source
        or Source(
            kind="sequence",
            path=str(plates),
            files=tuple(plate_name.format(n) for n in frames),
            width=plate_width,
            height=plate_height,
        ),
        first_frame=frames[0],
        last_frame=frames[-1],
        width=width,
        height=height,
        quantity=quantity,
        shots=tuple(records),
        estimator="made",
        fingerprint="made",
        confidence="made up" if confidence is not None else None,
    )
    depth_sequence.save(sequence, out)
    return out
