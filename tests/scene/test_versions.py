"""What later Blenders change: names that are gone or going are used in one place, for the Blenders that need them."""

import re
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from bl_ext.dev.fathom.scene import versions

ROOT = Path(__file__).resolve().parents[2]
GOING = re.compile(r"\.(frame_final_\w+|frame_offset_start|frame_offset_end|animation_offset_\w+)\b")
"""Times of strips that 5.1 deprecates and 6.0 removes."""
GONE = re.compile(r"modifiers?(\[[^\]]*\])?\.panels\b")
"""``NodesModifier.panels``, which 5.3 has no more."""


def sources():
    for room in ("operators", "panels", "scene"):
        yield from sorted((ROOT / room).rglob("*.py"))


def test_names_that_go_are_used_in_one_place_alone():
    found = {path.relative_to(ROOT).as_posix() for path in sources() if GOING.search(path.read_text(encoding="utf-8"))}
    assert found <= {"scene/versions.py"}


def test_names_that_5_3_has_no_more_are_not_used():
    assert not [path for path in sources() if GONE.search(path.read_text(encoding="utf-8"))]


@pytest.mark.skipif(bpy.app.version < (5, 1, 0), reason="it has the old names alone")
def test_from_5_1_on_a_strip_needs_the_new_names_alone():
    strip = SimpleNamespace(
        left_handle=11, right_handle=31, content_start=10.0, content_end=40.0, content_trim_start=2, content_trim_end=3
    )
    times = versions.times_of(strip)
    assert (times.left, times.right, times.trim_start, times.trim_end) == (11, 31, 2, 3)
    assert (times.content_start, times.content_end) == (10.0, 40.0)


def test_the_manifest_has_no_upper_bound():
    assert "blender_version_max" not in (ROOT / "blender_manifest.toml").read_text(encoding="utf-8")
