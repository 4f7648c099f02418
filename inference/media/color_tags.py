"""Color metadata of files: codes in a movie's header, and chunks, profiles and attributes of stills.

What Blender uses of it was found by experiment: 4.2 nothing, 4.5 the primaries of ACES2065-1 and CIE XYZ in an EXR, 5.0
and 5.2 also the codes and identifiers below; none uses an ICC profile, a PNG's gamma or a DPX header.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..contract.depth_sequence import plate_file
from ..contract.hints import setting
from ..contract.job import Source
from . import exr, icc, tiff
from .color import encode_srgb, find
from .color_config import named_config


@dataclass(frozen=True, kw_only=True)
class ColorTag:
    """The color metadata of a file.

    Attributes
    ----------
    space : str or None
        Identifier (Color Interop Forum) of the space in which Blender 5 reads the file; None: the default of its
        format.
    says : str
        Words for the artist, if colors would be clearly wrong without it, such as 'the transfer function PQ'.
    option : str or None
        Identifier of a space to try if the metadata is ignored.
    """

    space: str | None = None
    says: str = ""
    option: str | None = None


NOTHING = ColorTag()

# Codes of ITU-T H.273.
_PRIMARIES = {9: "BT.2020", 10: "CIE XYZ", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS = {8: "linear", 9: "logarithmic", 10: "logarithmic", 16: "PQ (HDR)", 17: "SMPTE ST 428", 18: "HLG (HDR)"}
_LINEAR, _PQ, _HLG = 8, 16, 18
_SPACES = {
    (1, 4): "g22_rec709_scene",
    (1, 8): "lin_rec709_scene",
    (9, 1): "g24_rec2020_display",
    (9, 8): "lin_rec2020_scene",
    (9, 16): "pq_rec2020_display",
    (9, 18): "hlg_rec2020_display",
    (10, 8): "lin_ciexyzd65_scene",
    (12, 1): "srgb_p3d65_display",
    (12, 8): "lin_p3d65_scene",
    (12, 13): "srgb_p3d65_display",
}
_BT709 = (1, 1)

_SRGB = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
_ACES = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
_XYZ = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)
_KNOWN = {
    "lin_ap0_scene": _ACES,
    "lin_ap1_scene": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
    "lin_rec2020_scene": (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329),
    "lin_p3d65_scene": (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329),
}
"""Chromaticities x, y of red, green, blue and white."""


def of_codes(primaries: int, transfer: int, *, still: bool = False) -> ColorTag:
    """The color metadata in a movie's header, or a PNG's cICP chunk (`still`), by its codes of ITU-T H.273."""
    parts = []
    if transfer in _TRANSFERS:
        parts.append(f"the transfer function {_TRANSFERS[transfer]}")
    if primaries in _PRIMARIES:
        parts.append(f"the primaries {_PRIMARIES[primaries]}")
    says = " and ".join(parts)
    space = _SPACES.get((primaries, transfer))
    if still and (primaries, transfer) == _BT709:
        space = "g24_rec709_display"
    return ColorTag(space=space, says=says, option=space or (_nearest(primaries, transfer) if says else None))


def _nearest(primaries: int, transfer: int) -> str | None:
    if transfer == _PQ:
        return "pq_rec2020_display"
    if transfer == _HLG:
        return "hlg_rec2020_display"
    if transfer == _LINEAR:
        return {9: "lin_rec2020_scene", 11: "lin_p3d65_scene"}.get(primaries, "lin_rec709_scene")
    if transfer in _TRANSFERS:
        return None
    return {9: "g24_rec2020_display", 11: "srgb_p3d65_display", 12: "srgb_p3d65_display"}.get(primaries)


def of_still(path: Path) -> ColorTag:
    """The color metadata of an image file; nothing if it cannot be read, which is reported when its pixels are."""
    try:
        with np.errstate(all="ignore"):
            return _exr(path) if path.suffix.lower() == ".exr" else _of_data(path.read_bytes())
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, ArithmeticError, struct.error, zlib.error):
        return NOTHING


def _of_data(data: bytes) -> ColorTag:
    if data.startswith(b"\x89PNG"):
        return _png(data)
    if data.startswith((b"SDPX", b"XPDS")):
        return _dpx(data)
    profile = _profile(data)
    if profile is None:
        return _ADOBE if _is_adobes(data) else NOTHING
    return _by_profile(profile)


def space_of(source: Source, tag: ColorTag, *, default: str) -> tuple[str, str | None]:
    """The color space in which a clip is read, and a warning if its file's metadata differs, with the space to choose.

    The source's color space, chosen in Blender or by a person, has priority; `default` is Blender's for this format.
    """
    named = find(tag.space, source.ocio_config) if tag.space is not None else None
    if source.colorspace is None and named is not None:
        return named, None
    space = source.colorspace or default
    if not tag.says or space != default or space == named:
        return space, None
    option = find(tag.option, source.ocio_config) if tag.option is not None else None
    because, advice = "", f"to {option}" if option else "to the space that it is in"
    if tag.option is not None and option is None:
        config = named_config(source.ocio_config) or "that OCIO has built in"
        because, advice = f" since the OCIO configuration {config} has no such space", f"or {setting('ocio_config')}"
    return space, (
        f"{plate_file(source)} says that it has {tag.says} but is read as {space}{because}; if that looks wrong, set "
        f"{setting('colorspace')} {advice}."
    )


# -------------------------------------------------------------------------------------------------------------- EXR


def _exr(path: Path) -> ColorTag:
    """In Blender's order: ACES2065-1, then the name, then CIE XYZ; primaries count where they are exactly those."""
    header = exr.read_header(path)
    found = header.get("chromaticities")
    primaries = _SRGB if found is None else tuple(float(value) for value in np.ravel(np.asarray(found, float)))
    if header.get("acesImageContainerFlag") == 1 or _near(primaries, _ACES, within=_EXACT):
        return ColorTag(space="lin_ap0_scene", says="the primaries of ACES2065-1", option="lin_ap0_scene")
    named = header.get("colorInteropID")
    if isinstance(named, str) and _SPACE.fullmatch(named) and named != "unknown":
        return ColorTag(space=named, says=f"the color space {named}", option=named)
    if _near(primaries, _XYZ, within=_EXACT):
        return ColorTag(space="lin_ciexyze_scene", says="the primaries CIE XYZ", option="lin_ciexyze_scene")
    if not _visible(_to_xyz(primaries), lambda values: values, linear=True):
        return NOTHING
    option = next((space for space, values in _KNOWN.items() if _near(primaries, values)), None)
    return ColorTag(says="other primaries than Rec.709", option=option)


_EXACT = 1e-6
_SPACE = re.compile(r"[\w .:-]{1,80}")
"""Valid names of spaces: short, and without control characters."""


def _near(one: tuple[float, ...], other: tuple[float, ...], *, within: float = 2e-3) -> bool:
    return bool(np.allclose(one, other, rtol=0, atol=within))


# -------------------------------------------------------------------------------------------------------------- PNG


_LARGEST_PROFILE = 1 << 24
"""Bytes of a profile that are unpacked; those of cameras and printers have less than 4 MB."""
_MOST_PIECES = 10_000
"""Chunks, or segments, of a file that are looked at."""


def _png(data: bytes) -> ColorTag:
    """By the order of precedence in the PNG specification (third edition, 4.3)."""
    chunks = dict(_png_chunks(data))
    if "cICP" in chunks:
        return of_codes(chunks["cICP"][0], chunks["cICP"][1], still=True)
    if "iCCP" in chunks:
        packed = chunks["iCCP"].split(b"\0", 1)[1][1:]
        return _by_profile(zlib.decompressobj().decompress(packed, _LARGEST_PROFILE))
    if "sRGB" in chunks or not {"gAMA", "cHRM"} & set(chunks):
        return NOTHING
    gamma = struct.unpack(">I", chunks["gAMA"])[0] / 1e5 if "gAMA" in chunks else 1 / 2.2
    white_first = [value / 1e5 for value in struct.unpack(">8I", chunks["cHRM"])] if "cHRM" in chunks else None
    chromaticities = _SRGB if white_first is None else (*white_first[2:], *white_first[:2])
    if gamma <= 0 or not _visible(_to_xyz(chromaticities), lambda values: values ** (1 / gamma)):
        return NOTHING
    parts = [f"the gamma {gamma:.3g}"] if abs(gamma - 1 / 2.2) > 0.02 else []
    if not _near(chromaticities, _SRGB):
        parts.append("other primaries than sRGB")
    linear = abs(gamma - 1) < 0.02 and len(parts) == 1
    return ColorTag(says=" and ".join(parts), option="lin_rec709_scene" if linear else None)


def _png_chunks(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 8
    for _ in range(_MOST_PIECES):
        if at + 8 > len(data):
            return
        size, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            return
        yield name.decode("latin-1"), data[at + 8 : at + 8 + size]
        at += 12 + size


# -------------------------------------------------------------------------------------------------------------- DPX

_DPX_TRANSFER = 801  # SMPTE ST 268, the first image element


def _dpx(data: bytes) -> ColorTag:
    transfer = data[_DPX_TRANSFER]
    if transfer in (1, 3):
        return ColorTag(says="logarithmic values (printing density)")
    if 4 <= transfer <= 10:  # the kinds of video
        return ColorTag(says="values of video, which are not linear", option="srgb_rec709_display")
    return NOTHING


# ----------------------------------------------------------------------------------------------------- ICC profiles


def _by_profile(data: bytes) -> ColorTag:
    profile = icc.read(data)
    if profile is None or (profile.to_xyz is not None and not _visible(profile.to_xyz, profile.decode)):
        return NOTHING
    if profile.to_xyz is None and "srgb" in profile.name.lower():
        return NOTHING
    return ColorTag(says=f"the ICC profile {profile.name or 'without a name'}", option=_of_profile(profile))


def _of_profile(profile: icc.Profile) -> str | None:
    name = profile.name.lower()
    return next((space for word, space in _PROFILES.items() if word in name), None)


_PROFILES = {
    "display p3": "srgb_p3d65_display",
    "adobe rgb": "g22_adobergb_scene",
    "2020": "g24_rec2020_display",
    "linear srgb": "lin_rec709_scene",
}
"""Words in the names of profiles, and the spaces that they mean."""


def _profile(data: bytes) -> bytes | None:
    """The ICC profile in a JPEG, WebP or TIFF file."""
    mark = b"ICC_PROFILE\0"
    parts = [part for kind, part in _segments(data) if kind == 0xE2 and part.startswith(mark)]
    if parts:
        return b"".join(part[len(mark) + 2 :] for part in parts)  # after each part's number and their count
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return next((part for name, part in _riff_chunks(data) if name == b"ICCP"), None)
    if tiff.is_tiff(data):
        return _tiff_profile(data)
    return None


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """A JPEG's segments before its pixels: the marker's second byte, and what is in it; none of any other file."""
    at = 2
    for _ in range(_MOST_PIECES if data.startswith(b"\xff\xd8") else 0):
        if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] == 0xDA:
            return
        size = struct.unpack_from(">H", data, at + 2)[0]
        yield data[at + 1], data[at + 4 : at + 2 + size]
        at += 2 + size


_ADOBE = ColorTag(says="the colors of Adobe RGB", option="g22_adobergb_scene")


def _is_adobes(data: bytes) -> bool:
    """Whether a JPEG's Exif data says so, as cameras do without a profile (DCF: interoperability index R03)."""
    return any(kind == 0xE1 and part.startswith(b"Exif") and b"R03\0" in part for kind, part in _segments(data))


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    for _ in range(_MOST_PIECES):
        if at + 8 > len(data):
            return
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


_TIFF_PROFILE = 34675


def _tiff_profile(data: bytes) -> bytes | None:
    field = tiff.fields(data).get(_TIFF_PROFILE)
    return None if field is None else data[field.at : field.end]


# ------------------------------------------------------------------------------------------------ what can be seen

_VISIBLE = 12 / 255
_GRID = np.stack(np.meshgrid(*[np.linspace(0, 1, 5)] * 3), axis=-1).reshape(-1, 3).astype(np.float32)


def _visible(to_xyz: NDArray, decode: Callable[[NDArray], NDArray], *, linear: bool = False) -> bool:
    """Whether a color looks clearly different when it is read as sRGB, or as linear Rec.709.

    `decode` converts the file's values to linear ones, in [0, 1]; `to_xyz` [3, 3] those to CIE XYZ adapted to D50.
    """
    values = decode(_GRID) @ to_xyz.T @ np.linalg.inv(_to_xyz(_SRGB)).T
    shown = encode_srgb(np.clip(values, 0, 1).astype(np.float32))
    return bool(np.abs(shown - (encode_srgb(_GRID) if linear else _GRID)).max() > _VISIBLE)


def _to_xyz(chromaticities: tuple[float, ...]) -> NDArray:
    """From linear RGB of these primaries and white to CIE XYZ adapted to D50 (Bradford)."""
    x, y = np.array(chromaticities).reshape(4, 2).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    primaries, white = columns[:, :3], columns[:, 3]
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapted = np.linalg.inv(bradford) @ np.diag((bradford @ icc.D50) / (bradford @ white)) @ bradford
    return adapted @ (primaries * np.linalg.solve(primaries, white))
