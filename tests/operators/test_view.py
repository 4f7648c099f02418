"""The operators that show depth."""

import bpy
import pytest
from bl_ext.dev.fathom.scene.versions import strips_of


def test_view_depth_toggles(empty_file):
    view = empty_file.fathom.view
    assert bpy.ops.fathom.view_depth() == {"FINISHED"} and view.show
    assert bpy.ops.fathom.view_depth() == {"FINISHED"} and not view.show


def test_add_depth_strip_adds_one_for_each_shot(empty_file, listed):
    assert bpy.ops.fathom.add_depth_strip() == {"FINISHED"}
    strips = list(strips_of(empty_file.sequence_editor))
    assert sorted(strip.name for strip in strips) == ["plate Depth 1-2", "plate Depth 4-5"]


def test_add_depth_strip_needs_a_depth(empty_file):
    with pytest.raises(RuntimeError, match="list is empty"):
        bpy.ops.fathom.add_depth_strip()
