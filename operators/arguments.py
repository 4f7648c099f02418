"""Properties of operators that are arguments of one call: the next press, which is about another clip, forgets them."""

from typing import Any

import bpy

from ..scene.versions import PATH_OPTIONS


def argument(kind: Any, name: str, description: str = "", *, options: frozenset[str] = frozenset(), **more: Any) -> Any:
    """A property of a kind of ``bpy.props``; `more` as for that."""
    return kind(name=name, description=description, options={"SKIP_SAVE", *options}, **more)


def path_argument(name: str, description: str, subtype: str) -> Any:
    """A path, which may begin with ``//``."""
    return argument(bpy.props.StringProperty, name, description, subtype=subtype, options=PATH_OPTIONS)


def depth_argument(*, options: frozenset[str] = frozenset()) -> Any:
    """A depth of the scene's list."""
    what = "Place in the scene's list of depths, from 0; -1: the active one"
    return argument(bpy.props.IntProperty, "Depth", what, default=-1, min=-1, options=options)
