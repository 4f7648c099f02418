"""The focal length that a clip's files name, as a hint for the camera solve.

It is no measurement: a file keeps the lens that was on the camera, while stabilization, a crop in the edit or a wide
converter have changed what the image shows. So it comes with how far it may be off, and the solve weighs it against the
tracks.

Where no sensor is named and the focal length is not one for 35 mm film, the sensor is taken to be between Super 35 (25
mm wide) and full frame (36 mm).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..contract.camera import SENSOR_WIDTH
from . import exr, tiff

_NAMED, _ASSUMED = 0.08, 0.2  # deviations of log f with a sensor, and without: stabilization crops by 10 % and more
_ASSUMED_SENSOR = math.sqrt(25.0 * 36.0)  # millimeters
_RANGE = 0.3, 10.0  # believed focal lengths, in image widths: the wide end of action cameras to a wildlife lens
_ZOOMS = 0.03  # difference in log f between frames of a sequence from which on its lens zooms
_NUMBER = re.compile(r"\s*(\d{1,6}(?:\.\d{1,9})?)\s*(?:mm)?\s*", re.IGNORECASE)
_FOR_FILM = ("focallength35mmequivalent", "focallengthin35mmfilm", "focallengthin35mmformat", "focallength35efl")
_OF_LENS = ("pinholefocallength", "effectivefocallength", "nominalfocallength", "lensfocallength", "focallength")
"""Ends of names, in order of preference, in lower case and without dots, spaces and the like."""
_EXIF, _MOST = 1 << 18, 64
"""Bytes in which a JPEG's Exif data lie, and pieces of them looked at."""


class LensTag(NamedTuple):
    """A focal length from metadata.

    Attributes
    ----------
    widths : float
        In lengths of the longer side of the image.
    deviation : float
        Standard deviation of its logarithm.
    """

    widths: float
    deviation: float


def of_movie(path: str | Path, *metadata: Mapping[str, str]) -> LensTag | None:
    """The lens in a movie's metadata: that which FFmpeg finds, and that of the tracks, which it leaves out."""
    return _of_names({name: value for each in (_keys_of_tracks(path), *metadata) for name, value in each.items()})


def of_stills(files: Sequence[Path]) -> LensTag | None:
    """The lens in the metadata of a sequence's first, middle and last file; None where they differ, as in a zoom."""
    chosen = dict.fromkeys(files[at] for at in (0, len(files) // 2, -1)) if files else {}
    found = [_of_still(file) for file in chosen]
    tags = [tag for tag in found if tag is not None]
    logs = [math.log(tag.widths) for tag in tags]
    return tags[0] if tags and len(tags) == len(found) and max(logs) - min(logs) <= _ZOOMS else None


def _of_still(path: Path) -> LensTag | None:
    try:
        if path.suffix.lower() == ".exr":
            return _of_exr(exr.read_header(path))
        if path.suffix.lower() in (".jpg", ".jpeg", ".jpe"):
            with path.open("rb") as file:
                return _of_jpeg(file.read(_EXIF))
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, ArithmeticError, struct.error):
        pass  # what is wrong with a file is reported when its pixels are read
    return None


def _of_exr(header: Mapping[str, Any]) -> LensTag | None:
    """OpenEXR's standard attributes for cameras (3.2), or what other programs write in names like those of movies."""
    sensor = header.get("sensorOverallDimensions")  # millimeters
    acquired, pitch = header.get("sensorAcquisitionRectangle"), header.get("sensorPhotositePitch")  # and micrometers
    width = max(_floats(sensor), default=None)
    if acquired is not None and pitch is not None:
        (left, top), (right, down) = (_floats(corner) for corner in acquired)
        width = (1 + max(right - left, down - top)) * float(pitch) / 1000
    return _of_names({name: value for name, value in header.items() if _is_plain(value)}, sensor=width)


def _of_names(values: Mapping[str, Any], *, sensor: float | None = None) -> LensTag | None:
    """The lens in named values; `sensor` is its longer side in millimeters."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): value for name, value in values.items()}
    film = _first(plain, _FOR_FILM)
    if film is not None:
        return _tag(film / SENSOR_WIDTH, _NAMED)
    lens = _first(plain, _OF_LENS)
    if lens is None:
        return None
    return _tag(lens / _ASSUMED_SENSOR, _ASSUMED) if not sensor else _tag(lens / sensor, _NAMED)


def _first(values: Mapping[str, Any], ends: Iterable[str]) -> float | None:
    """The value, in millimeters, of the first name with the first of some ends."""
    for end in ends:
        for name, value in values.items():
            length = _millimeters(value) if name.endswith(end) else None
            if length is not None:
                return length
    return None


def _millimeters(value: Any) -> float | None:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        value = match[1] if match else "nan"
    length = float(value)
    return length if 0 < length < math.inf else None


def _tag(widths: float, deviation: float) -> LensTag | None:
    return LensTag(widths, deviation) if _RANGE[0] <= widths <= _RANGE[1] else None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or (hasattr(value, "__float__") and not hasattr(value, "__len__"))


def _floats(values: Any) -> list[float]:
    return [] if values is None else [float(value) for value in values]


# ------------------------------------------------------------------------------------------------------------- Exif

_DIRECTORY, _FOCAL_LENGTH, _FOR_FILM_TAG = 34665, 37386, 41989
_PIXELS, _DENSITY, _UNIT = 40962, 41486, 41488  # across the image, on the sensor
_UNITS = {2: 25.4, 3: 10.0}  # millimeters


def _of_jpeg(data: bytes) -> LensTag | None:
    """Exif 2.32, section 4.6.5: focal length, that for 35 mm film, and the sensor's size by its density of pixels."""
    mark = b"Exif\0\0"
    at = data.find(mark, 0, _MOST) if data.startswith(b"\xff\xd8") else -1
    exif = data[at + len(mark) :] if at >= 0 else b""
    if not tiff.is_tiff(exif):
        return None
    directory = tiff.number(exif, _DIRECTORY)
    if directory is None:
        return None

    def read(tag: int) -> float | None:
        return tiff.number(exif, tag, directory=int(directory))

    film = read(_FOR_FILM_TAG)
    if film:
        return _tag(film / SENSOR_WIDTH, _NAMED)
    pixels, density, unit = read(_PIXELS), read(_DENSITY), _UNITS.get(int(read(_UNIT) or 2))
    sensor = pixels / density * unit if pixels and density and unit else None
    return _of_names({"FocalLength": read(_FOCAL_LENGTH) or 0.0}, sensor=sensor)


# -------------------------------------------------------------------------------------------------------- QuickTime

# QuickTime File Format, "Metadata": a ``meta`` box holds ``keys``, a list of names, and ``ilst``, values by their
# numbers in that list. Telephones put the lens into the one of the track.

_LARGEST = 1 << 26  # bytes of a header that is read; an hour's takes a few million
_MOST_BOXES = 4096  # boxes in one
_TEXT = 1  # kind of a value in UTF-8


def _keys_of_tracks(path: str | Path) -> dict[str, str]:
    """Texts by their names, of all tracks, the first of each name; none where the file has none or is another kind."""
    found: dict[str, str] = {}
    try:
        with Path(path).open("rb") as file:
            header = _header(file)
        for track in _inside(header, b"trak"):
            for meta in _inside(track, b"meta"):
                for name, value in _pairs(meta):
                    found.setdefault(name, value)
    except (OSError, struct.error):
        pass  # what is wrong with a file is reported when its images are read
    return found


def _header(file: BinaryIO) -> bytes:
    """What is in a file's ``moov`` box; nothing where it has none."""
    for _ in range(_MOST_BOXES):
        head = file.read(8)
        if len(head) < 8:
            break
        size, kind = struct.unpack(">I4s", head)
        room = size - 8
        if size == 1:
            room = struct.unpack(">Q", file.read(8))[0] - 16
        if kind == b"moov":
            return file.read(room) if 0 <= room <= _LARGEST else b""
        if size == 0 or room < 0:
            break
        file.seek(min(room, 1 << 62), 1)
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes in a box."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _inside(data: bytes, wanted: bytes) -> Iterator[bytes]:
    return (content for kind, content in _boxes(data) if kind == wanted)


def _pairs(meta: bytes) -> Iterator[tuple[str, str]]:
    """Names and texts in a ``meta`` box; MP4's begins with a version, QuickTime's does not."""
    parts = dict(_boxes(meta if meta[4:8] == b"hdlr" else meta[4:]))
    names = [name.decode("utf-8", "replace") for _, name in _boxes(parts.get(b"keys", b"")[8:])]
    for number, item in _boxes(parts.get(b"ilst", b"")):
        index = int.from_bytes(number, "big") - 1
        for value in _inside(item, b"data"):
            if 0 <= index < len(names) and value[:4] == struct.pack(">I", _TEXT):
                yield names[index], value[8:].decode("utf-8", "replace").rstrip("\0")
