"""Depth in the compositor: a node group of the shot's depth, and effects built on it."""

from .depth_group import depth_group

__all__ = ["depth_group"]
