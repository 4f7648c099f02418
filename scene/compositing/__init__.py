"""Depth in the compositor: a node group of the shot's depth, and effects built on it."""

from .chain import show_fit
from .clips import beside, out_of_step
from .depth_group import depth_group
from .depth_of_field import add_depth_of_field, focus_at, max_blur_of
from .fog import add_fog
from .grade import add_depth_grade
from .isolate import add_isolate
from .matte import add_depth_matte
from .normals import add_normals
from .relight import add_relight, lamp_of
from .stereo import add_stereo
from .z_combine import add_z_combine

__all__ = [
    "add_depth_grade",
    "add_depth_matte",
    "add_depth_of_field",
    "add_fog",
    "add_isolate",
    "add_normals",
    "add_relight",
    "add_stereo",
    "add_z_combine",
    "beside",
    "depth_group",
    "focus_at",
    "lamp_of",
    "max_blur_of",
    "out_of_step",
    "show_fit",
]
