"""Depth in the compositor: a node group of the shot's depth, and effects built on it."""

from .chain import show_fit
from .clips import beside
from .depth_group import depth_group
from .depth_of_field import add_depth_of_field, max_blur_of
from .fog import add_fog
from .matte import add_depth_matte
from .z_combine import add_z_combine

__all__ = [
    "add_depth_matte",
    "add_depth_of_field",
    "add_fog",
    "add_z_combine",
    "beside",
    "depth_group",
    "max_blur_of",
    "show_fit",
]
