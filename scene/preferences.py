"""What the artist set for Fathom as a whole: where the worker's Python and Fathom's own data lie."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..inference import environment

ADDON = __package__.rpartition(".")[0]
"""Name under which Blender knows the extension, such as ``bl_ext.user_default.fathom``."""


def data_folder() -> Path:
    """The data folder: the preference, else as `inference.environment.data_folder`."""
    return environment.data_folder(_get("data_folder"))


def worker_python() -> Path:
    """The Python that runs the worker.

    Raises
    ------
    MissingEnvironment
        One sentence that names the cure.
    """
    return environment.find_python(_get("python"), home=data_folder(), requirements=environment.LIGHT)


def own_environment() -> Path:
    """The folder of the environment that Fathom sets up."""
    return environment.own_environment(data_folder(), environment.LIGHT)


def offline_reason() -> str | None:
    """Why nothing may be downloaded, in one sentence; None where it may."""
    if bpy.app.online_access:
        return None
    if getattr(bpy.app, "online_access_override", False):
        return "Blender was started offline, so packages cannot be downloaded: start it without --offline-mode."
    return (
        "Packages are downloaded from the Internet, and Blender's online access is off: switch on "
        "Preferences > System > Network > Allow Online Access."
    )


def _get(name: str) -> str | None:
    """A preference that is a path; None where it is empty or the extension is not enabled as an add-on."""
    addon = bpy.context.preferences.addons.get(ADDON)
    value = getattr(addon.preferences, name, "") if addon and addon.preferences else ""
    return bpy.path.abspath(value) if value else None
