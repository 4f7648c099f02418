"""What an estimate is about: the clip in front of the artist and how it is to be estimated, as plain values.

Panels compare subjects whenever they are drawn, so making one opens no file. It holds nothing of Blender's: undo,
another file or another scene leave it as it is, and what is shown beside it still belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import bpy

from ..inference.contract import depth_sequence
from ..inference.contract.job import JobError
from . import current_run, estimation, output, places, source, versions
from . import settings as settings_module
from .output import OutputError
from .seen import Seen
from .settings import Settings
from .source import Plate, SourceError

STRIPS = {"MOVIE", "IMAGE", "MOVIECLIP"}
"""Types of strips that show a clip."""
_SWITCHES = ("use_reverse_frames", "strobe", "use_deinterlace", "undistort", "stabilize2d", "stream_index")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A strip or clip, and its settings.

    Attributes
    ----------
    kind : 'strip' or 'clip'
    name : str
    shows : tuple
        What decides which frames of which file it shows, wherever it lies on the timeline.
    settings : str
        As text: settings hold a dict.
    root : str
        Folder of the depth sequences, absolute; empty where there is none.
    sequencer, scene : str
        Names of the scenes that hold the strip and the settings; they do not count.
    files : tuple of str
        The paths of its file as they stand in the .blend file; they do not count.
    """

    kind: Literal["strip", "clip"]
    name: str
    shows: tuple[Any, ...]
    settings: str
    root: str
    sequencer: str = field(default="", compare=False)
    scene: str = field(default="", compare=False)
    files: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What lies on the disk for a subject: see `scene.output.Place`; of unfinished work the share that is done."""

    standing: output.Standing
    share: float = 0.0


def of_strip(strip: Any, sequencer: bpy.types.Scene, settings: Settings, root: str, *, scene: str) -> Subject | None:
    """The subject that a strip is; None where it shows no clip."""
    if strip is None or strip.type not in STRIPS:
        return None
    times = versions.times_of(strip)
    begin = times.content_start
    shown = (times.left - begin, times.right - begin, times.content_end - begin, times.trim_start, times.trim_end)
    switches = tuple(getattr(strip, name, None) for name in _SWITCHES)
    if strip.type == "MOVIECLIP":
        clip = versions.clip_of(strip)
        file = _of_clip(clip) if clip is not None else ()
        stored = [each.filepath for each in (bpy.data.movieclips if clip is None else (clip,))]
    else:
        names = [element.filename for element in (strip.elements[:1] if strip.type == "IMAGE" else ())]
        path = strip.directory if strip.type == "IMAGE" else strip.filepath
        count = len(strip.elements) if strip.type == "IMAGE" else 0
        file = (source.absolute(path, sequencer), *names, count, strip.colorspace_settings.name)
        stored = [path, *filter(depth_sequence.is_absolute, names)]
    return Subject(
        kind="strip",
        name=strip.name,
        shows=(strip.type, file, shown, switches),
        settings=repr(settings),
        root=_root(root),
        sequencer=sequencer.name,
        scene=scene,
        files=tuple(stored),
    )


def of_clip(clip: bpy.types.MovieClip, settings: Settings, root: str, *, scene: str) -> Subject | None:
    """The subject that a clip of the Movie Clip Editor is; None without one."""
    if clip is None:
        return None
    return Subject(
        kind="clip",
        name=clip.name,
        shows=_of_clip(clip),
        settings=repr(settings),
        root=_root(root),
        scene=scene,
        files=(clip.filepath,),
    )


def in_front(context: bpy.types.Context) -> Subject | None:
    """What stands in front of the artist: the clip of the Movie Clip Editor, else the active strip."""
    scene = context.scene
    settings, root = settings_module.from_scene(scene), scene.fathom.output
    if context.area is not None and context.area.type == "CLIP_EDITOR":
        return of_clip(context.space_data.clip, settings, root, scene=scene.name)
    sequencer = versions.sequencer_scene(context)
    strip = sequencer.sequence_editor.active_strip if sequencer.sequence_editor else None
    return of_strip(strip, sequencer, settings, root, scene=scene.name)


def standing(subject: Subject) -> Standing:
    """What lies on the disk for a subject. It opens the clip, unless the folder of depth sequences is not there."""
    new = Standing(standing="new")
    scene = bpy.data.scenes.get(subject.scene)
    if scene is None or not subject.root:
        return new
    settings = settings_module.from_scene(scene)
    named = filter(depth_sequence.is_absolute, map(str, settings.parameters.values()))
    if not all(map(places.is_artists, (scene.fathom.output, *subject.files, *named))):
        return new
    if not Path(subject.root).is_dir():
        return new
    if repr(settings) != subject.settings:  # changed since it was asked for; it is asked for anew
        return new
    try:
        plate = _plate(subject)
        if plate is None:
            return new
        _, place = estimation.prepare(plate, settings, root=Path(subject.root))
    except (SourceError, JobError, OutputError):
        return new
    if place.standing != "unfinished":
        return Standing(standing=place.standing)
    return Standing(standing="unfinished", share=depth_sequence.unfinished_share(place.folder))


_seen = Seen(lambda asked: standing(asked[0]), holds=15.0)
"""Fifteen seconds: another Blender, or a farm, may have gone on."""


def known_standing(subject: Subject | None) -> Standing | None:
    """`standing` as far as is known: nothing is opened, panels ask. With each run that ends it may be another."""
    return None if subject is None else _seen.of((subject, current_run.count_ended()))


def look(subject: Subject) -> Standing:
    """`standing`, which is known from now on."""
    return _seen.look((subject, current_run.count_ended()))


def _plate(subject: Subject) -> Plate | None:
    """The plate of a subject; None where it is gone."""
    if subject.kind == "clip":
        clip = bpy.data.movieclips.get(subject.name)
        return source.from_clip(clip) if clip is not None else None
    sequencer = bpy.data.scenes.get(subject.sequencer)
    editor = sequencer.sequence_editor if sequencer is not None else None
    strip = versions.strips_of(editor, nested=True).get(subject.name) if editor else None
    return source.from_strip(strip, sequencer) if strip is not None else None


def _of_clip(clip: bpy.types.MovieClip) -> tuple[Any, ...]:
    return (source.absolute(clip.filepath, clip), clip.source, clip.frame_offset, clip.colorspace_settings.name)


def _root(path: str) -> str:
    try:
        return str(output.root_folder(path))
    except OutputError:
        return ""
