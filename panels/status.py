"""In the status bar, wherever the artist is: that depth or plate of the file is missing."""

import bpy

from ..inference.contract.untrusted import readable
from ..scene import missing_files

_MOST = 3
"""Depths that are named."""


def draw(self, context):
    """In red, for the scene's depths; the sidebars say more."""
    incomplete = missing_files.incomplete(context.scene)
    if incomplete:
        row = self.layout.row()
        row.alert = True
        names = readable(", ".join(incomplete[:_MOST]) + (", …" if len(incomplete) > _MOST else ""))
        row.label(text=f"Fathom: files of {names} are missing", icon="ERROR", translate=False)


def register() -> None:
    """Add it to Blender's status bar."""
    bpy.types.STATUSBAR_HT_header.append(draw)


def unregister() -> None:
    """Take it off again."""
    bpy.types.STATUSBAR_HT_header.remove(draw)
