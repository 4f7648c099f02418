"""A Mask of Blender's as matte images, rendered by the Sequencer with its splines, feather and animation."""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..inference.contract import own_files, records
from ..inference.contract.records import FilePath, RecordError
from . import places, versions, whole_files
from .depth import read_again
from .output import clip_folder
from .problems import Problem
from .source import Plate

_DRAFTS = ".fathom-matte-"
"""Beginning of the name of the folder that mattes are rendered into until all are: Blender counts by its own frames,
and writes through links."""
_A_DAY = 86400.0
"""Seconds after which no Blender renders into such a folder any more."""
_NAME = re.compile(r"matte\.-?[0-9]{4,}\.png", re.ASCII)


def name_of(frame: int) -> str:
    """The file name of a frame's matte."""
    return f"matte.{frame:04d}.png"


@dataclass(frozen=True, kw_only=True)
class _Owner:
    """Whose mattes a folder is for: the movie, or the folder of the image sequence; the mask, and the file it is in.

    A file that is not saved is this Blender's alone.
    """

    plate: FilePath
    mask: str = ""
    blend: FilePath = ""


def own_folder(parent: Path, mask: bpy.types.Mask, plate: Plate) -> Path:
    """The folder for a mask's mattes of a plate, in that of its clip, where a file beside it says whose it is.

    Clips of one name share that, and masks of different files have one name as a rule, whose folders would be one.
    Problem where nothing can be written.
    """
    blend = bpy.data.filepath or f"unsaved, {platform.node()} {os.getpid()}"
    own = _Owner(plate=plate.source.path, mask=mask.name, blend=blend)
    for number in itertools.count(1):
        name = f"mattes {mask.name}" if number == 1 else f"mattes {number} {mask.name}"
        folder = parent / clip_folder(name)
        note = folder.with_name(f"{folder.name}.json")
        try:
            if not os.path.lexists(note):  # another Blender may write it in this moment: the first stays
                parent.mkdir(parents=True, exist_ok=True)
                own_files.save_text(note, records.dumps(own) + "\n", keep=True)
            if records.load(_Owner, note, strict=False) == own:
                return folder
        except RecordError:
            continue
        except OSError as error:
            raise Problem(
                f"{parent} cannot be written ({error.strerror or error}): choose another output folder."
            ) from error
    raise AssertionError("there are more numbers than folders")


def rasterize(mask: bpy.types.Mask, plate: Plate, folder: Path) -> Path:
    """Write a matte for each frame of a plate into a folder, white inside the mask, under the clip's frame numbers.

    The mask is taken at the scene's frames, as editors show it; before its first frame and after its last it is as at
    those. Mattes of an earlier call go once all are rendered, also those of other frames: the mask may have changed
    since. Nothing is written through a link.

    Raises
    ------
    Problem
        The plate's size is not known, it begins before frame 0 of the timeline, or nothing can be written.
    """
    width, height = plate.source.width, plate.source.height
    if not (width and height):
        raise Problem(f"The size of {plate.name} is not known: open it as a clip in the Movie Clip Editor.")
    start = plate.scene_start
    if start < 0:
        raise Problem(
            f"{plate.name} begins at frame {start}, and Blender renders from frame 0 on: move it to the right."
        )
    scene, copied, drafts = bpy.data.scenes.new("Fathom"), mask.copy(), None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        own_files.make_folder(folder)
        _remove_leftovers(folder)
        drafts = Path(tempfile.mkdtemp(prefix=_DRAFTS, dir=folder))
        count = plate.last_frame - plate.first_frame + 1
        copied.frame_start, copied.frame_end = start, start + count + 1
        render = scene.render
        render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
        render.use_sequencer, render.use_compositing = True, False
        settings = render.image_settings
        settings.file_format, settings.color_mode, settings.color_depth = "PNG", "BW", "8"
        scene.view_settings.view_transform = "Standard"
        editor = scene.sequence_editor_create()
        versions.strips_of(editor).new_mask(name="mask", mask=copied, channel=1, frame_start=start)
        scene.frame_start, scene.frame_end = start, start + count - 1
        render.filepath = versions.as_render_path(drafts / "matte.")
        bpy.ops.render.render(animation=True, scene=scene.name)
        rendered = [Path(render.frame_path(frame=start + index)) for index in range(count)]
        targets = [folder / name_of(plate.first_frame + index) for index in range(count)]
        for path, target in zip(rendered, targets):  # before the first is replaced
            whole_files.require(path)
            if target.is_dir() and not target.is_symlink():
                raise own_files.PathConflict(target, "is a folder")
        # all go before the first comes: where this breaks off, mattes of two masks would look like those of one
        for earlier in [each for each in folder.iterdir() if _NAME.fullmatch(each.name) and own_files.is_file(each)]:
            own_files.remove(earlier)
        for path, target in zip(rendered, targets):
            own_files.replace(path, target)
    except (OSError, RuntimeError) as error:
        reason = error.sentence if isinstance(error, own_files.PathConflict) else getattr(error, "strerror", None)
        raise Problem(
            f"The mask {mask.name} cannot be written into {folder}: {reason or str(error).strip()}"
        ) from error
    finally:
        if drafts is not None:
            shutil.rmtree(drafts, ignore_errors=True)
        bpy.data.scenes.remove(scene)
        bpy.data.masks.remove(copied)
    for image in bpy.data.images:  # Blender goes on showing what it has read
        shown = image.filepath if image.source in ("FILE", "SEQUENCE") and image.library is None else ""
        if shown and os.path.normpath(places.expanded(shown)).startswith(os.path.normpath(folder) + os.sep):
            read_again(image)
    return folder


def _remove_leftovers(folder: Path) -> None:
    """Delete what Blenders that were killed more than a day ago have rendered."""
    for left in folder.glob(f"{_DRAFTS}*"):
        with contextlib.suppress(OSError):  # it has files of somebody else, or is a link
            if time.time() - left.lstat().st_mtime > _A_DAY:
                own_files.clear(left, own_files.Names(("matte.####.png",)))
                left.rmdir()
