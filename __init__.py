"""Fathom: consistent depth for a shot, inside Blender."""

from . import operators, panels


def register() -> None:
    """Called by Blender when the extension is enabled."""
    panels.register()
    operators.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    operators.unregister()
    panels.unregister()
