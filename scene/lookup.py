"""What is looked for while many things are built in a row: gone through once, and not once for each.

Blender finds what hangs under an object, lies in a scene or shows a file by going through everything that there is, so
building for each of n shots would take n times n steps. Inside `caching` all of it is gone through at the first
question, and what is made meanwhile is added. Outside, every question is answered from Blender's data as they are.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import bpy

from . import nodes, tags
from .tags import Datablock

Answer = TypeVar("Answer")


class _Book:
    """What was found since `caching` began; datablocks stay valid, since nothing is undone or removed meanwhile."""

    def __init__(self) -> None:
        self.answers: dict[Any, tuple[Any, Any]] = {}  # with the depth, whose identity they are found by
        self.tagged: dict[str, dict[Any, list[Any]]] = {}
        self.members: dict[bpy.types.Scene, set[bpy.types.Object]] = {}
        self.places: dict[bpy.types.Object, list[bpy.types.Collection]] | None = None
        self.discarded: list[bpy.types.ID] = []


_state: dict[str, _Book | None] = {"book": None}


@contextmanager
def caching() -> Iterator[None]:
    """While it lasts, what was found is known; nothing may be undone, removed or renamed by hand meanwhile."""
    if _state["book"] is not None:
        yield
        return
    book = _state["book"] = _Book()
    try:
        yield
    finally:
        _state["book"] = None
        bpy.data.batch_remove(book.discarded)


def once(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Let a function of a depth and of plain values be called once for each, inside `caching`, until it finds one."""

    @functools.wraps(function)
    def asked(depth: Any, *arguments: Any) -> Answer:
        book = _state["book"]
        if book is None:
            return function(depth, *arguments)
        key = (function.__name__, id(depth), arguments)
        _, answer = book.answers.get(key, (depth, None))
        if answer is None:
            try:
                answer = function(depth, *arguments)
            except ValueError as problem:  # a sentence for the artist, which is the same for every shot
                answer = problem
            book.answers[key] = depth, answer
        if isinstance(answer, ValueError):
            raise answer
        return answer

    return asked


def tagged(
    kind: str | None,
    *,
    image: bpy.types.Image | None = None,
    shot: int | None = None,
    among: str = "objects",
    form: str | None = None,
) -> list[Any]:
    """Datablocks of this file that `tags.tag` marked so, in Blender's order; those of libraries are left alone.

    They are `among` that collection in ``bpy.data``; `kind` None: of any. `form` is the type of the objects, or the
    ``bl_idname`` of the node trees: whatever else bears the mark, in a file of somebody else's, is none of ours, and
    may even crash Blender where it is taken for one.
    """
    return [block for block in _marked((kind, tags.key(image), shot), among) if form is None or form == _form(block)]


def _marked(wanted: tuple[Any, ...], among: str) -> list[Any]:
    book = _state["book"]
    if book is None:
        ours = (block for block in getattr(bpy.data, among) if block.library is None)
        return [block for block in ours if wanted in _keys(block)]
    if among not in book.tagged:
        found: dict[Any, list[Any]] = defaultdict(list)
        for block in getattr(bpy.data, among):
            if block.library is None:
                for key in _keys(block):
                    found[key].append(block)
        book.tagged[among] = found
    return book.tagged[among].get(wanted, [])


def _form(block: Any) -> str:
    return block.bl_idname if isinstance(block, bpy.types.NodeTree) else block.type


def find(
    kind: str,
    *,
    image: bpy.types.Image | None = None,
    shot: int | None = None,
    among: str = "objects",
    form: str | None = None,
) -> Any | None:
    """The first of `tagged`, or None."""
    return next(iter(tagged(kind, image=image, shot=shot, among=among, form=form)), None)


def tag(
    block: Datablock,
    kind: str,
    *,
    image: bpy.types.Image | None = None,
    shot: int | None = None,
    among: str = "objects",
) -> Datablock:
    """Mark a datablock that was made, see `tags.tag`, and take it in; returns it."""
    tags.tag(block, kind, image=image, shot=shot)
    book = _state["book"]
    if book is not None and among in book.tagged:
        for key in _keys(block):
            book.tagged[among][key].append(block)
    return block


def node_group(
    kind: str, name: str, form: str, build: Callable[[Any], None], *, image: Any = None, shot: int | None = None
) -> Any:
    """The file's node group of that kind and form, made by ``build(tree)`` if it is not there.

    A copy that the artist made, and may have changed for one object, has its marks; the one that has its name comes
    before such.
    """
    found = tagged(kind, image=image, shot=shot, among="node_groups", form=form)
    named = (group for group in found if group.name == name)
    group = next(named, None) or next(iter(found), None)
    return group or new_node_group(kind, name, form, build, image=image, shot=shot)


def new_node_group(
    kind: str, name: str, form: str, build: Callable[[Any], None], *, image: Any = None, shot: int | None = None
) -> Any:
    """As `node_group`, where there is none yet that would do."""
    tree = tag(bpy.data.node_groups.new(name, form), kind, image=image, shot=shot, among="node_groups")
    build(tree)
    nodes.arrange(tree)
    return tree


def at_offset(
    found: Iterable[Datablock],
    frame_offset: int,
    *,
    is_own: Callable[[Datablock], bool],
    held: Iterable[Datablock | None] = (),
) -> Any | None:
    """Of datablocks that show the frames of one depth, the one at that frame offset, see `tags`; else one that may be
    brought there, since nothing else uses it (`is_own`); or None. Two scenes may show a clip at different frames.

    Those that are `held` already come first: copies that the artist made, and may have changed.
    """
    found, held = list(found), list(held)
    for among in ([block for block in found if block in held], found):
        same = (block for block in among if block.get(tags.OFFSET) == frame_offset)
        block = next(same, None) or next((block for block in among if is_own(block)), None)
        if block is not None:
            return block
    return None


def is_it(theirs: Any, group: Any) -> bool:
    """Whether a node group is a certain one of Fathom's, or a copy that the artist made, and may have changed within;
    one that lacks sockets is none.
    """
    if theirs is None or theirs == group:
        return theirs == group
    is_copy = tags.text(theirs, tags.KIND) == tags.text(group, tags.KIND)
    return is_copy and _sockets(group).items() <= _sockets(theirs).items()


def _sockets(group: Any) -> dict[tuple[str, str], str]:
    """The types of a group's sockets, by side and name."""
    items = (item for item in group.interface.items_tree if item.item_type == "SOCKET")
    return {(item.in_out, item.name): item.socket_type for item in items}


def discard(block: bpy.types.ID) -> None:
    """Remove a datablock that nothing uses; Blender goes through the whole file for it, but once for many."""
    book = _state["book"]
    if book is None:
        bpy.data.batch_remove([block])
    else:
        book.discarded.append(block)


def is_in(thing: bpy.types.Object, scene: bpy.types.Scene) -> bool:
    """Whether an object lies in a scene."""
    book = _state["book"]
    if book is None:
        return _has(scene.objects, thing)
    if scene not in book.members:
        book.members[scene] = set(scene.objects)
    return thing in book.members[scene]


def _has(objects: Any, thing: bpy.types.Object) -> bool:
    """Whether some objects have one among them; one that is linked from a library may bear its name."""
    named = objects.get(thing.name)
    return named == thing or (named is not None and any(each == thing for each in objects))


def scenes_of(thing: bpy.types.Object) -> list[bpy.types.Scene]:
    """The scenes that an object lies in."""
    return [scene for scene in bpy.data.scenes if is_in(thing, scene)]


def collections_of(thing: bpy.types.Object) -> list[bpy.types.Collection]:
    """The collections that an object is linked to, those of scenes among them."""
    book = _state["book"]
    if book is None:
        return [each for each in _collections() if _has(each.objects, thing)]
    if book.places is None:
        book.places = defaultdict(list)
        for collection in _collections():
            for each in collection.objects:
                book.places[each].append(collection)
    return list(book.places[thing])


def link(thing: bpy.types.Object, collection: bpy.types.Collection, scenes: Iterable[bpy.types.Scene]) -> None:
    """Link a new object to a collection, which lies in these scenes."""
    collection.objects.link(thing)
    book = _state["book"]
    if book is None:
        return
    for scene in scenes:
        if scene in book.members:
            book.members[scene].add(thing)
    if book.places is not None:
        book.places[thing].append(collection)


def link_beside(thing: bpy.types.Object, other: bpy.types.Object, scenes: Iterable[bpy.types.Scene]) -> None:
    """Link a new object to the collections of another, which lies in these scenes: to those of this file.

    Where there is none, as of a camera that is linked from a library, it goes into the collection of each scene.
    """
    scenes = list(scenes)
    own = [each for each in collections_of(other) if each.library is None and each.override_library is None]
    for collection in own or [scene.collection for scene in scenes]:
        link(thing, collection, scenes)


def _collections() -> Iterator[bpy.types.Collection]:
    yield from bpy.data.collections
    yield from (scene.collection for scene in bpy.data.scenes)


def _keys(block: Any) -> tuple[Any, ...]:
    """What a datablock is found by: its kind, depth and shot, and without its kind."""
    kind = tags.text(block, tags.KIND)
    if not kind:
        return ()
    depth, shot = tags.key(block.get(tags.DEPTH)), block.get(tags.SHOT)
    shot = shot if shot is None or isinstance(shot, int) else "none of ours"
    return (kind, depth, shot), (None, depth, shot)
