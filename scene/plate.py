"""The plate as an image datablock, for materials, camera backgrounds and the compositor."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import bpy

from ..inference.contract import depth_sequence, exit_codes, exr_windows, numbering
from ..inference.contract.depth_sequence import is_foreign
from ..inference.contract.job import Source
from ..inference.contract.untrusted import is_file, is_folder
from . import lookup, memory, places, tags
from . import source as sources
from .depth import (
    Depth,
    DepthError,
    absolute,
    disparity_image,
    find_disparity_image,
    is_painted,
    portable_path,
    read_again,
    set_where_new,
    show_frames,
)
from .problems import Problem
from .source_files import SourceError, same_sequence


class PlateError(Problem):
    """A plate that cannot be shown; the message is one sentence for the artist."""

    code = exit_codes.BAD_CLIP


@lookup.once
def plate_image(depth: Depth) -> bpy.types.Image:
    """The image datablock of the clip that the depth belongs to, in the clip's own color space, alpha ignored.

    Frames are addressed as those of the depth: see `show_plate`. One that shows the clip already is used again, and its
    files are read again unless it was painted on; images that the artist loaded are left alone. The path is relative to
    the .blend file where that is saved. PlateError as for `require_shown`, or where this Blender does not know the
    clip's color space.
    """
    ask(depth)
    path = require_shown(depth)
    image = next((i for i in _plates(depth) if _shows(i, path)), None)
    if image is None:
        image = next((i for i in _plates(depth, of_job=True) if not _is_there(i)), None)
    is_known = image is not None
    image = image or _load(path, depth)
    _show_file(image, path, depth)
    if is_known:
        read_again(image)  # the clip may be another by now
    return image


def may_look(depth: Depth) -> bool:
    """Whether the plate's files may be looked at although the artist did not ask for them: see `places`."""
    return depth.plate is not None or not depth.names_place or places.may_look(Path(depth.source.path))


def ask(depth: Depth) -> None:
    """The artist asked for something that shows the plate."""
    places.ask(depth.source.path)


def of_other_files(depth: Depth) -> str | None:
    """That the depth is not of the plate's files as they are now, or that Blender shows others, which are packed.

    None where neither is so, or they may not be looked at.
    """
    if not may_look(depth):
        return None
    packed = filter(None, map(_packed, _plates(depth, of_job=True)))
    return depth_sequence.other_plate(depth.sequence, depth.source) or next(packed, None)


def _packed(image: bpy.types.Image) -> str | None:
    """That an image is packed with another content than its file has; None where it is not, or the file is missing.

    A place that the artist has not asked for is not looked at, see `places`.
    """
    if image.packed_file is None or not places.may_look(image.filepath, library=image.library):
        return None
    path = Path(places.expanded(image.filepath, library=image.library))
    if not is_file(path):
        return None
    if path.stat().st_size == image.packed_file.size and path.read_bytes() == image.packed_file.data:
        return None
    return (
        f"{image.name} shows what is packed in this .blend file, and not what {path.name} has by now: unless you "
        "painted it, choose Image > Unpack > Use Original Files in the Image Editor."
    )


def require_plate(depth: Depth) -> Path:
    """The movie, or the sequence's first file that has depth, after checking that all files are there.

    PlateError, where one is missing or the path is another kind of system's, which is not looked at then, names what is
    written in ``depth.json``.
    """
    sequence, source = depth.sequence, depth.source  # of the files only names are looked at: panels ask
    if is_foreign(source.path):
        raise PlateError(
            f"The plate {source.path} lies on another computer, or elsewhere; show with Find Plate where it lies here."
        )
    path = Path(source.path)
    if source.kind == "movie":
        if not is_file(path):
            raise PlateError(f"The plate {path} is missing; put the movie there, or show with Find Plate where it is.")
        return path
    wanted = _wanted(depth)
    try:
        present = {entry.name for entry in os.scandir(path)} if is_folder(path) else set()
    except OSError as error:
        raise PlateError(
            f"The folder of the plate {path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    for number, name in wanted.items():
        if name not in present:
            raise PlateError(
                f"Frame {number} of the plate is missing ({path / name}); put the sequence there, or show "
                "with Find Plate where it is."
            )
    if not wanted:
        raise PlateError(f"{path} holds no frames {sequence.first_frame}-{sequence.last_frame} of the plate.")
    return path / next(iter(wanted.values()))


def _wanted(depth: Depth) -> dict[int, str]:
    """Names of a sequence's files by frame, of the frames that have depth."""
    sequence = depth.sequence
    frames = numbering.by_frame(depth.source.files).items()
    return {number: name for number, name in frames if sequence.first_frame <= number <= sequence.last_frame}


def require_shown(depth: Depth) -> Path:
    """As `require_plate`, but PlateError as well for what Blender shows otherwise than it is, or has no memory for.

    The depth of such a plate is right all the same. Opens every EXR of it.
    """
    path = require_plate(depth)
    if depth.source.stream:
        raise PlateError(
            f"The plate is video stream {depth.source.stream} of {path}, and Blender's images show the first alone; "
            "export that stream as a movie of its own and show it with Find Plate."
        )
    if depth.source.kind == "movie":
        return path
    names, folder = list(_wanted(depth).values()), path.parent
    for name in names:
        if not is_file(folder / name):  # Blender would wait for a pipe
            raise PlateError(f"The plate {folder / name} is no file; export the clip again.")
    if (missed := numbering.blender_misses(names)) is not None:
        raise PlateError(
            f"Blender cannot play the plate {names[0]} to {names[-1]}: it counts up the last number of a file name, so "
            f"it looks for {missed[1]} in the place of {missed[0]}; rename the files so that the frame number comes "
            "last and the rest is alike."
        )
    for name in names:  # Blender tells a format by what is in a file
        try:
            exr_windows.check_headers(folder / name)
        except exr_windows.LargeHeader as error:
            raise PlateError(f"The plate {folder / name} cannot be shown, since {error}: render it again.") from error
        except (OSError, ValueError):  # another format, or damaged
            continue
        windows = exr_windows.of_file(folder / name)
        for width, height in map(exr_windows.size, (windows.display, *windows.data) if windows else ()):
            if (shortfall := memory.shortage(width, height)) is not None:
                raise PlateError(
                    f"The plate {folder / name} is {shortfall}: close other programs, or use a smaller plate."
                )
    if exr_windows.shared_display(folder / name for name in names) is not None:
        raise PlateError(
            f"Blender cannot show the plate {names[0]} to {names[-1]} in place, for the data windows of its files "
            "differ; write the files without auto-crop."
        )
    return path


def with_plate(depth: Depth, path: str | Path) -> Depth:
    """The depth with its plate at another place than ``depth.json`` says, after a look whether it is that plate.

    `path` is the movie, a frame of the sequence or the folder that holds it; also frames of what was a movie, and the
    other way round. PlateError where it cannot be read, has not the plate's size, or not the frames that the depth was
    made of.
    """
    sequence, written = depth.sequence, depth.sequence.source
    places.ask(places.expanded(str(path)))
    try:
        found = _read(absolute(path), written.stream)
    except (SourceError, DepthError) as error:
        raise PlateError(str(error)) from error
    places.ask(found.source.path)  # a sequence's folder, where a frame of it was chosen
    source, count = found.source, found.last_frame  # Blender's versions count a movie's frames to within one
    other = None
    if found.first_frame > sequence.first_frame or found.last_frame < sequence.last_frame:
        other = (
            f"it has the frames {found.first_frame}-{found.last_frame}, and the depth is of frames "
            f"{sequence.first_frame}-{sequence.last_frame}"
        )
    elif written.kind == source.kind == "movie" and abs((written.frame_count or count) - count) > 1:
        other = f"it has {count} frames, and the clip of the depth had {written.frame_count}"
    elif written.width and source.width and (written.width, written.height) != (source.width, source.height):
        other = f"it is {source.width}x{source.height}, and the clip of the depth was {written.width}x{written.height}"
    if other is not None:
        raise PlateError(f"{path} is not the plate of {depth.name}: {other}; choose the clip that was estimated.")
    if written.colorspace is not None and _suffix(written) == _suffix(source):
        source = replace(source, colorspace=written.colorspace)
    return replace(depth, plate=replace(source, fps=written.fps or source.fps))


def _read(path: Path, stream: int) -> sources.Plate:
    """A clip's video stream of that number, or its only one: the stream may have become a movie of its own."""
    try:
        return sources.from_file(path, stream=stream)
    except SourceError:
        return sources.from_file(path)


def known_plate(depth: Depth, path: Path, colorspace: str | None) -> Depth:
    """As `with_plate`, for a movie or a sequence's first file that was found before: no file is opened."""
    source = replace(depth.sequence.source, kind="movie", path=str(path), files=(), colorspace=colorspace, stream=0)
    if path.suffix.lower() in bpy.path.extensions_image:
        files = same_sequence(path) if is_folder(path.parent) else []
        source = replace(source, kind="sequence", path=str(path.parent), files=tuple(files) or (path.name,))
    return replace(depth, plate=source)


def repoint_plate(depth: Depth, *, moved_from: str = "") -> None:
    """Let the images of the plate that this file has show the plate where it lies now: what was built goes with them.

    Images that show the movie or first file `moved_from` go with it, also where that still is. Nothing is done where
    the plate is missing or cannot be shown.
    """
    if not may_look(depth):
        return
    try:
        path = require_shown(depth)
        for image in _plates(depth, of_job=True):
            if _shows(image, path) or not _is_there(image) or (moved_from and _shows(image, Path(moved_from))):
                _show_file(image, path, depth)
                read_again(image)  # Blender remembers files that were missing
                if (maps := find_disparity_image(depth)) is not None:
                    _note(maps, image)
    except PlateError:
        return


def put_plate(place: bpy.types.Node | bpy.types.CameraBackgroundImage, depth: Depth) -> None:
    """Let a node or a camera's background show the plate, unless it shows what the artist put there: an image of their
    own, one that was painted on, or the plate's with another file, such as a graded version. The plate of an earlier
    estimate in the same folder is none of theirs.
    """
    plate, maps, shown = plate_image(depth), disparity_image(depth), place.image
    if shown is not None:
        is_plates = tags.text(shown, tags.KIND) == "plate" and not is_painted(shown)
        if not is_plates or (_is_there(shown) and _file_of(shown) not in (_file_of(plate), *_given(maps))):
            return
    if shown != plate:
        place.image = plate
    _note(maps, plate)


def show_plate(user: bpy.types.ImageUser, depth: Depth) -> None:
    """Let an image user show the plate in step with the depth, clamped at the sequence's ends; see `show_frames`."""
    sequence = depth.sequence
    show_frames(user, sequence.first_frame, sequence.last_frame, frame_offset=depth.frame_offset)


def plate_size(depth: Depth) -> tuple[int, int]:
    """Displayed size of the plate in pixels; that of the maps where neither the source nor a camera tells it."""
    source = depth.sequence.source
    if source.width is not None and source.height is not None:
        return source.width, source.height
    for shot in depth.sequence.shots:
        if shot.camera is not None:
            return shot.camera.width, shot.camera.height
    return depth.sequence.width, depth.sequence.height


def pixel_aspect(depth: Depth) -> float:
    """Width of the plate's pixels over their height, as the cameras of its shots say; 1 where there is none."""
    known = (shot.camera for shot in depth.sequence.shots if shot.camera is not None)
    return next((camera.pixel_aspect for camera in known), 1.0)


def _load(path: Path, depth: Depth) -> bpy.types.Image:
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError as error:
        raise PlateError(f"Blender cannot read the plate {path}: {str(error).strip().rstrip('.')}.") from error
    is_movie = depth.source.kind == "movie"
    if 0 in image.size or is_movie != (image.source == "MOVIE"):  # an unreadable file does load, without pixels
        bpy.data.images.remove(image)
        raise PlateError(f"Blender cannot read the plate {path}; export the clip again in a format that Blender plays.")
    image.name = depth.label("Plate")
    return tags.tag(image, "plate")


def _show_file(image: bpy.types.Image, path: Path, depth: Depth) -> None:
    source = depth.source
    if source.kind == "sequence" and (len(source.files) == 1 or not _is_numbered(path, depth)):
        kind = "FILE"
    else:
        kind = source.kind.upper()
    set_where_new(image, source=kind, alpha_mode="NONE", filepath=portable_path(path))
    if source.colorspace is not None:
        try:
            set_where_new(image.colorspace_settings, name=source.colorspace)
        except TypeError as error:
            raise PlateError(
                f"This Blender knows no color space '{source.colorspace}', which {path.name} is in; start it "
                "with the OCIO configuration that the clip was estimated with."
            ) from error
    jobs = tags.jobs(image)
    if depth.sequence.fingerprint not in jobs:
        tags.set_text(image, tags.JOB, " ".join([*jobs, depth.sequence.fingerprint]))


def _plates(depth: Depth, *, of_job: bool = False) -> list[bpy.types.Image]:
    """Images of plates that Fathom made; `of_job`: only those that show the plate of this depth."""
    return [i for i in tags.images("plate") if not of_job or depth.sequence.fingerprint in tags.jobs(i)]


def _is_there(image: bpy.types.Image) -> bool:
    return not places.is_gone(image.filepath, library=image.library)


def _file_of(image: bpy.types.Image) -> str:
    return places.resolved(image.filepath, library=image.library)


def _given(maps: bpy.types.Image) -> set[str]:
    """Where the plates lie that what was built of an image of maps was given, see `_note`."""
    folder = Path(_file_of(maps)).parent
    return {os.path.normpath(folder / each) for each in _noted(maps)}


def _note(maps: bpy.types.Image, plate: bpy.types.Image) -> None:
    """Note that what is built of an image of maps is given a plate: its whole path, which stays right where the .blend
    file goes elsewhere, and the one from the maps, which does where all of them go.
    """
    file, noted = _file_of(plate), _noted(maps)
    paths = [file]
    with suppress(ValueError):  # another drive on Windows
        paths.append(os.path.relpath(file, Path(_file_of(maps)).parent))
    if new := [path for path in paths if path not in noted]:
        tags.set_text(maps, tags.PLATES, "\n".join([*noted, *new]))


def _noted(maps: bpy.types.Image) -> list[str]:
    return [each for each in tags.text(maps, tags.PLATES).split("\n") if each]


def _suffix(source: Source) -> str:
    return Path(source.files[0] if source.files else source.path).suffix.lower()


def _is_numbered(path: Path, depth: Depth) -> bool:
    """Whether Blender takes a file for the first of the depth's frames: a still alone may bear another number."""
    digits = re.search(r"[0-9]", path.stem) is not None
    return digits and numbering.frame_number(path.name) == depth.sequence.first_frame


def _shows(image: bpy.types.Image, path: Path) -> bool:
    if image.library is not None:
        return False
    plain = os.path.normpath(places.expanded(image.filepath))
    return plain == os.path.normpath(path) or places.resolved(image.filepath) == places.resolved(str(path))
