"""The effects as assets: a library of node groups in Fathom's data folder, known to Blender's preferences.

Each Blender version has its own file, since a later one's cannot be read by an earlier one. The groups are those that
the panel adds, so that a group from the library is found again by the panel. Nothing but the file, its catalog and the
entry in the preferences is written, and nothing else is taken away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ...inference.contract import own_files
from ...inference.contract.untrusted import RecordError, in_a_line, is_same_path, read_text
from .. import nodes, preferences, tags
from ..problems import Problem
from . import (
    compositor_nodes,
    depth_of_field,
    fog,
    grade,
    isolate,
    matte,
    normals,
    refine_depth,
    relight,
    stereo,
    tree,
    z_combine,
)

NAME = "Fathom"
"""Of the library and of its catalog."""

_FILE, _CATALOGS = "effects.blend", "blender_assets.cats.txt"
_CATALOG = "6f1c7a52-0d5e-4c56-9c0f-5f2b0d9b6a11"
_LARGEST = 1 << 20
"""Bytes of a list of catalogs."""
_PREVIEWS = Path(__file__).parent / "previews"


@dataclass(frozen=True)
class _Asset:
    """An effect: the kind of its group, its name, what makes it and what it is for."""

    kind: str
    name: str
    build: Callable[[bpy.types.NodeTree], None]
    description: str


ASSETS = tuple(
    asset
    for asset in (
        _Asset(tree.FOG_KIND, "Fog", fog.build, "Fog by distance, and by height in the world"),
        _Asset(tree.DEFOCUS_KIND, "Depth of Field", depth_of_field.build, "The blur of a lens, by distance"),
        _Asset(tree.MATTE_KIND, "Depth Matte", matte.build, "A matte of what lies at a distance"),
        # before Z Combine, which has it inside
        _Asset(refine_depth.KIND, "Refine Depth", refine_depth.build, "Distances with sharp edges, grown or shrunk"),
        _Asset(tree.MERGE_KIND, "Z Combine", z_combine.build, "A render and a plate in one, the nearer on top"),
        _Asset(tree.NORMALS_KIND, "Normals", normals.build, "Normals of the surfaces, from distances"),
        _Asset(tree.RELIGHT_KIND, "Relight", relight.build, "A lamp's light on the surfaces that were filmed"),
        _Asset(tree.GRADE_KIND, "Depth Grade", grade.build, "A grade that changes with distance"),
        _Asset(tree.STEREO_KIND, "Stereo Pair", stereo.build, "A left and a right image, from distances"),
        _Asset(
            tree.ISOLATE_KIND, "Isolate by Matte", isolate.build, "A subject cut out by a matte, and what is behind"
        ),
    )
    if asset.kind not in (tree.STEREO_KIND, refine_depth.KIND) or compositor_nodes.is_deep()
)
"""The effects that this version of Blender can have."""


def folder() -> Path:
    """The library's folder for this version of Blender; it need not exist."""
    return preferences.data_folder() / "assets" / "{}.{}".format(*bpy.app.version)


def is_installed() -> bool:
    """Whether the library is in Blender's preferences. No file is looked at: panels ask."""
    return bool(_entries())


def install() -> Path:
    """Make the library, or make it anew, and let Blender's preferences know it; returns its folder.

    Catalogs of the artist's own stay. Problem where the folder cannot be written to, or its file is not Fathom's.
    """
    place = folder()
    _require_own(place / _FILE)
    try:
        place.mkdir(parents=True, exist_ok=True)
        others = _other_catalogs(place) or ["VERSION 1", ""]
        own_files.save_text(place / _CATALOGS, "\n".join([*others, f"{_CATALOG}:{NAME}:{NAME}", ""]))
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            file = Path(scratch) / _FILE
            with _groups() as groups:
                bpy.data.libraries.write(str(file), groups, fake_user=True, compress=True)
            file.replace(place / _FILE)
    except (OSError, RuntimeError) as error:
        raise Problem(
            f"The asset library cannot be written to {place} ({error}): choose another Data Folder in the preferences."
        ) from error
    if not _entries():
        bpy.context.preferences.filepaths.asset_libraries.new(name=NAME, directory=str(place))
        bpy.context.preferences.is_dirty = True
    return place


def remove() -> None:
    """Take the library out of Blender's preferences, and its files away; nothing where there is none.

    Catalogs of the artist's own stay. Problem where its file is not Fathom's, or cannot be removed.
    """
    _require_own(folder() / _FILE)
    libraries = bpy.context.preferences.filepaths.asset_libraries
    for entry in _entries():
        libraries.remove(entry)
        bpy.context.preferences.is_dirty = True
    place = folder()
    try:
        (place / _FILE).unlink(missing_ok=True)
        others = _other_catalogs(place)
        if any(_is_catalog(line) for line in others):
            own_files.save_text(place / _CATALOGS, "\n".join([*others, ""]))
        else:
            for name in (_CATALOGS, f"{_CATALOGS}~"):
                (place / name).unlink(missing_ok=True)
    except OSError as error:
        raise Problem(f"The asset library's files in {place} cannot be removed ({error.strerror or error}).") from error
    for each in (place, place.parent):
        with contextlib.suppress(OSError):  # something of somebody else's lies there, or nothing
            each.rmdir()


def _require_own(file: Path) -> None:
    """Raise a Problem where a library's file has other assets than Fathom's, or was saved by hand, or is none."""
    if not os.path.lexists(file):
        return
    if bpy.data.filepath and is_same_path(Path(bpy.data.filepath), file):
        raise Problem(f"{file} is open in this Blender: open another file first.")
    try:
        with bpy.data.libraries.load(str(file)) as (there, _):
            was_saved = bool(there.scenes)  # Blender writes them with a file, and not with assets alone
        with bpy.data.libraries.load(str(file), assets_only=True) as (there, _):
            names = {name for kind in dir(there) for name in getattr(there, kind) if isinstance(name, str)}
    except OSError as error:
        raise Problem(f"{file} is not the library that Fathom makes: move it away first.") from error
    others = sorted(names - {name for asset in ASSETS for name in (_name(asset), f"Fathom {asset.name}")})
    if others:
        raise Problem(f"{file} has an asset that is not Fathom's, {in_a_line(others[0])}: move it to another file.")
    if was_saved:
        raise Problem(f"{file} was saved in Blender, perhaps with changes to its assets: move it away first.")


def _other_catalogs(place: Path) -> list[str]:
    """The lines of a library's catalogs without Fathom's own; OSError where they cannot be read."""
    try:
        lines = read_text(place / _CATALOGS, most=_LARGEST).splitlines()
    except FileNotFoundError:
        return []
    except RecordError as error:
        raise OSError(errno.EEXIST, f"{error}, so it is no list of catalogs") from error
    return [line for line in lines if not line.startswith(f"{_CATALOG}:")]


def _is_catalog(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("#", "VERSION"))


def _name(asset: _Asset) -> str:
    """Its own name first, as the asset shelf shows the first letters alone."""
    return f"{asset.name} (Fathom)"


def _entries() -> list[bpy.types.UserAssetLibrary]:
    place = folder()
    libraries = bpy.context.preferences.filepaths.asset_libraries
    return [each for each in libraries if Path(bpy.path.abspath(each.path)) == place]


@contextmanager
def _groups() -> Iterator[set[bpy.types.NodeTree]]:
    """The groups of all assets, new ones, in this file for as long as it takes to write them.

    Of groups that bear these names here the names are theirs again afterwards.
    """
    made, renamed, before = [], [], {*bpy.data.textures, *bpy.data.node_groups}
    try:
        for asset in ASSETS:
            name = _name(asset)
            taken = bpy.data.node_groups.get(name)
            if taken is not None and taken.library is None:
                taken.name = f"{name} (in use)"
                renamed.append((taken, name))
            group = bpy.data.node_groups.new(name, "CompositorNodeTree")
            made.append(group)
            tags.tag(group, tree.group_kind(asset.kind))
            asset.build(group)
            nodes.arrange(group)
            nodes.set_width(group, tree.WIDTH)
            _mark(group, asset)
        yield set(made)
    finally:
        bpy.data.batch_remove([each for each in (*bpy.data.node_groups, *bpy.data.textures) if each not in before])
        for group, name in renamed:
            group.name = name


def _mark(group: bpy.types.NodeTree, asset: _Asset) -> None:
    """Make a group an asset with a description, in the catalog, with its preview."""
    group.asset_mark()
    group.asset_data.description = asset.description
    group.asset_data.catalog_id = _CATALOG
    group.asset_data.author = "Fathom"
    group.asset_data.license = "GPL-3.0-or-later"
    group.asset_data.tags.new("depth")
    image = bpy.data.images.load(str(_PREVIEWS / f"{asset.kind}.jpg"))
    try:
        pixels = np.empty(image.size[0] * image.size[1] * image.channels, np.float32)
        image.pixels.foreach_get(pixels)
        pixels = pixels.reshape(-1, image.channels)
        shown = np.ones((len(pixels), 4), np.float32)
        shown[:, :3] = pixels[:, :3]
        preview = group.preview_ensure()
        preview.image_size = image.size
        preview.image_pixels_float.foreach_set(shown.ravel())
    finally:
        bpy.data.images.remove(image)
