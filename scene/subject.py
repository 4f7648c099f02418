"""What an estimate is about: the clip in front of the artist and how it is to be estimated, as plain values.

Panels compare subjects whenever they are drawn, so making one opens no file. It holds nothing of Blender's: undo,
another file or another scene leave it as it is, and what is shown beside it still belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import bpy

from ..inference.contract import depth_sequence
from ..inference.contract.catalogue import EstimatorFacts
from ..inference.contract.untrusted import is_folder
from . import current_run, estimation, forecast, output, places, preferences, source, versions
from . import settings as settings_module
from .disk_status import Seen
from .forecast import Outlook
from .output import OutputError
from .problems import PROBLEMS
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


def of_strip(strip: Any, sequencer: bpy.types.Scene, settings: Settings, root: str, *, scene: str) -> Subject | None:
    """The subject that a strip is; None where it shows no clip."""
    if strip.type not in STRIPS:
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


def of_clip(clip: bpy.types.MovieClip, settings: Settings, root: str, *, scene: str) -> Subject:
    """The subject that a clip of the Movie Clip Editor is."""
    return Subject(
        kind="clip",
        name=clip.name,
        shows=_of_clip(clip),
        settings=repr(settings),
        root=_root(root),
        scene=scene,
        files=(clip.filepath,),
    )


def of(shown: Any, sequencer: bpy.types.Scene, settings: Settings, root: str, *, scene: str) -> Subject | None:
    """The subject that a movie clip or a strip is; None where it shows no clip."""
    if isinstance(shown, bpy.types.MovieClip):
        return of_clip(shown, settings, root, scene=scene)
    return of_strip(shown, sequencer, settings, root, scene=scene)


def in_front(context: bpy.types.Context) -> Subject | None:
    """The subject in front of the artist, with the settings of the scene; None where there is none."""
    scene = context.scene
    try:
        shown, sequencer = shown_in(context)
    except SourceError:
        return None
    return of(shown, sequencer, settings_module.from_scene(scene), scene.fathom.output, scene=scene.name)


def shown_in(context: bpy.types.Context, *, strip: str = "", clip: str = "") -> tuple[Any, bpy.types.Scene]:
    """The strip or clip that is named, else the one in front of the artist: the editor's clip, or the active strip.

    With the scene whose timeline it lies on. SourceError where there is none.
    """
    if clip:
        if clip not in bpy.data.movieclips:
            raise SourceError(f"There is no movie clip '{clip}' in this file: choose one of its clips.")
        return bpy.data.movieclips[clip], context.scene
    if not strip and context.area and context.area.type == "CLIP_EDITOR":
        if context.space_data.clip is None:
            raise SourceError("The Movie Clip Editor shows no clip: open one in it.")
        return context.space_data.clip, context.scene
    scene = versions.sequencer_scene(context)
    editor = scene.sequence_editor
    if strip:
        found = versions.strips_of(editor).get(strip) if editor else None
        if found is None:
            raise SourceError(
                f"There is no strip '{strip}' in the sequencer of {scene.name}: choose one of its strips."
            )
        return found, scene
    if editor is None or editor.active_strip is None:
        raise SourceError("No strip is active: select a movie, image or clip strip in the Sequencer.")
    return editor.active_strip, scene


def selected_in(context: bpy.types.Context, *, strip: str = "", clip: str = "") -> list[tuple[Any, bpy.types.Scene]]:
    """As `shown_in`, or in the Sequencer all selected strips that show a clip, in their order, where none is named."""
    if not (strip or clip) and not (context.area and context.area.type == "CLIP_EDITOR"):
        scene = versions.sequencer_scene(context)
        strips = versions.strips_of(scene.sequence_editor) if scene.sequence_editor else ()
        selected = [each for each in strips if each.select and each.type in STRIPS]
        if selected:
            return [(each, scene) for each in sorted(selected, key=_position)]
    return [shown_in(context, strip=strip, clip=clip)]


def _position(strip: Any) -> tuple[int, int, str]:
    return strip.channel, versions.times_of(strip).left, strip.name


def unfinished(subject: Subject) -> float | None:
    """The share that is done of unfinished work on a subject, from 0 to 1; None where there is none on the disk.

    It opens the clip, unless the folder of depth sequences is not there.
    """
    scene = bpy.data.scenes.get(subject.scene)
    if scene is None or not subject.root:
        return None
    settings = settings_module.from_scene(scene)
    named = filter(depth_sequence.is_absolute, map(str, settings.parameters.values()))
    if not all(map(places.is_artists, (*_written(scene), *subject.files, *named))):
        return None
    if not is_folder(subject.root) or repr(settings) != subject.settings:  # changed since; it is asked for again
        return None
    try:
        plate = _plate(subject)
        if plate is None:
            return None
        _, place = estimation.prepare(plate, settings, root=Path(subject.root))
    except PROBLEMS:
        return None
    return depth_sequence.unfinished_progress(place.folder) if place.standing == "unfinished" else None


def _written(scene: bpy.types.Scene) -> tuple[str, ...]:
    """The paths that a scene's settings name and an estimate opens."""
    chosen = scene.fathom
    return (chosen.output, chosen.mattes, *((chosen.camera_file,) if chosen.camera == "FILE" else ()))


def outlook(subject: Subject, facts: EstimatorFacts) -> Outlook | None:
    """What an estimate of a subject will take, see `forecast.of`; None where that is not known. It opens the clip."""
    scene = bpy.data.scenes.get(subject.scene)
    if scene is None or not all(map(places.is_artists, subject.files)):
        return None
    settings = settings_module.from_scene(scene)
    if repr(settings) != subject.settings:
        return None
    home = preferences.data_folder()
    root = Path(subject.root) if subject.root and places.is_artists(scene.fathom.output) else home
    try:
        plate = _plate(subject)
        if plate is None:
            return None
        settings = replace(settings, camera=None)  # which takes no time, and may have to be evaluated
        job = settings_module.make_job(source.in_range(plate, settings.frames), settings, output=root)
    except PROBLEMS:
        return None
    return forecast.of(job, facts, home=home, root=root)


class _Asked(NamedTuple):
    """A question; facts have dicts in them and cannot be hashed, and what of them counts is in the subject."""

    subject: Subject
    ended: int
    facts: EstimatorFacts

    def __hash__(self) -> int:
        return hash((self.subject, self.ended, self.facts.name, self.facts.default_size))


_outlooks = Seen(lambda asked: outlook(asked.subject, asked.facts), holds=15.0)


def known_outlook(subject: Subject | None, facts: EstimatorFacts | None) -> list[str]:
    """`outlook` in sentences, as far as is known: nothing is opened, panels ask."""
    if subject is None or facts is None:
        return []
    found = _outlooks.of(_Asked(subject, current_run.count_ended(), facts))
    return forecast.describe(found) if found is not None else []


_seen = Seen(lambda asked: unfinished(asked[0]), holds=15.0)
"""Fifteen seconds: another Blender, or a farm, may have gone on."""


def known_unfinished(subject: Subject | None) -> float | None:
    """`unfinished` as far as is known: nothing is opened, panels ask. With each run that ends it may be another."""
    return None if subject is None else _seen.of((subject, current_run.count_ended()))


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
