"""Depth folders and .blend files of somebody else: whatever they hold, Blender goes on."""

import json
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.panels import build as panel
from bl_ext.dev.fathom.panels import status
from bl_ext.dev.fathom.scene import map_files, missing_files, tags
from drawing import drawn

from tests.marks import rest_slow

OPERATORS = ("build_camera", "build_depth_mesh", "build_fog", "add_compositing_fog", "fit_scene")


def filmed(frames):
    return depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)


def change(folder, edit):
    path = folder / "depth.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def attack(folder):
    """Load it, draw, and press everything twice: each press ends, or ends in a sentence."""
    said = []
    for _ in range(2):
        for press in (lambda: bpy.ops.fathom.load_depth(directory=str(folder)), *map(_press, OPERATORS)):
            try:
                press()
            except RuntimeError as problem:
                said.append(str(problem))
        draw(bpy.context.scene)
    bpy.ops.ed.undo_push(message="after")
    for sentence in said:
        assert "Traceback" not in sentence, sentence
        assert "\x1b" not in sentence
    return said


def _press(name):
    operator = getattr(bpy.ops.fathom, name)
    return lambda: operator(**({"all_shots": True} if name != "fit_scene" else {}))


def draw(scene):
    editor = SimpleNamespace(type="VIEW_3D")
    context = SimpleNamespace(scene=scene, region=SimpleNamespace(width=300), space_data=editor, object=None)
    layout = drawn(lambda layout: panel.Depths.draw(SimpleNamespace(layout=layout), context))
    status.draw(SimpleNamespace(layout=layout), context)
    missing_files.of_file()
    for text in layout.texts:
        text.encode()


TEXTS = {
    "half a pair": "\ud800",
    "a byte": "\udcff",
    "a terminal's": "\x1b]0;owned\x07\x1b[2J",
    "long": "x" * 1_000_000,
    "an expression": "__import__('os').system('touch owned')",
    "empty": "",
    "turned": "\u202egpj.exe",
}


@pytest.mark.parametrize("text", rest_slow(list(TEXTS.values()), 2, spread=True), ids=TEXTS.keys())
@pytest.mark.parametrize("name", ["fingerprint", "estimator", "confidence"])
def test_any_text_in_a_depth_json_is_taken_or_declined(tmp_path, empty_file, monkeypatch, text, name):
    monkeypatch.chdir(tmp_path)
    folder = depth_maker.make(tmp_path / "d", camera=filmed, confidence=depth_maker.slanted)
    change(folder, lambda data: data.__setitem__(name, text))
    attack(folder)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_any_text_about_the_plate_is_taken_or_declined(tmp_path, empty_file, text):
    folder = depth_maker.make(tmp_path, camera=filmed)

    def edit(data):
        data["source"]["colorspace"] = text
        data["source"]["files"] = [f"{text}{n:04d}.png" for n in range(1, 6)]

    change(folder, edit)
    attack(folder)


@pytest.mark.parametrize("names", [["a1_b5.png", "a7_b3.png", "a9_b2.png"], ["a.-0001.png", "a.-0002.png"]])
def test_a_plate_whose_files_are_no_sequence_is_declined(tmp_path, empty_file, names):
    folder = depth_maker.make(tmp_path, camera=filmed)
    change(folder, lambda data: data["source"].__setitem__("files", names))
    assert any("has a plate whose files are not a sequence" in sentence for sentence in attack(folder))


@pytest.mark.parametrize("last", [10**7, 10**10, 10**400])
def test_frames_that_no_file_has_cost_nothing(tmp_path, empty_file, last):
    folder = depth_maker.make(tmp_path, camera=None)

    def edit(data):
        data["last_frame"] = data["shots"][0]["last_frame"] = last

    text = (folder / "depth.json").read_text()
    data = json.loads(text)
    edit(data)
    (folder / "depth.json").write_text(json.dumps(data).replace(str(last), str(last)))
    if hasattr(sys, "set_int_max_str_digits"):
        assert len(str(last)) < 5000
    with pytest.raises(RuntimeError):
        bpy.ops.fathom.load_depth(directory=str(folder))


def test_steps_of_a_check_are_as_many_as_files_not_as_frames(tmp_path, empty_file, monkeypatch):
    from bl_ext.dev.fathom.inference.contract import depth_sequence

    folder = depth_maker.make(tmp_path)
    sequence = depth_sequence.load(folder)
    calls = []
    name = depth_sequence.disparity_name
    monkeypatch.setattr(depth_sequence, "disparity_name", lambda frame: (calls.append(frame), name(frame))[1])
    from dataclasses import replace

    shot = replace(sequence.shots[0], last_frame=10**7)
    long = replace(sequence, shots=(shot,), last_frame=10**7)
    assert "frame 6 (disparity.0006.exr) and 9999994 more is missing" in map_files.missing(folder, long)
    assert len(calls) < 100


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_in_the_place_of_a_map_is_no_map(tmp_path, empty_file, linked):
    folder = depth_maker.make(tmp_path, camera=filmed)
    pipe = tmp_path / "pipe" if linked else folder / "disparity.0002.exr"
    (folder / "disparity.0002.exr").unlink()
    os.mkfifo(pipe)
    if linked:
        (folder / "disparity.0002.exr").symlink_to(pipe)
    said = attack(folder)
    assert any("is no file" in sentence for sentence in said)
    assert not any(tags.text(image, tags.KIND) == "disparity" for image in bpy.data.images)


def test_a_folder_in_the_place_of_a_map_is_no_map(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    (folder / "disparity.0002.exr").unlink()
    (folder / "disparity.0002.exr").mkdir()
    assert any("is no file" in sentence for sentence in attack(folder))


def test_a_map_that_says_it_is_larger_is_not_given_to_blender(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    path = folder / "disparity.0004.exr"
    data = path.read_bytes()
    box, huge = struct.pack("<4i", 0, 0, 23, 15), struct.pack("<4i", 0, 0, 29999, 29999)
    assert data.count(box) == 2
    path.write_bytes(data.replace(box, huge))
    said = attack(folder)
    assert any("is 30000x30000, and the depth maps here are 24x16" in sentence for sentence in said)
    assert not any(tags.text(image, tags.KIND) == "disparity" for image in bpy.data.images)


def test_building_with_somebody_elses_datablocks_in_the_file(tmp_path, empty_file):
    """Custom properties of wrong types, node groups without sockets, numbers out of range: from a .blend file."""
    folder = depth_maker.make(tmp_path, camera=filmed)
    bpy.ops.fathom.load_depth(directory=str(folder))
    for name in OPERATORS:
        _press(name)()
    wrong = [7, 1.5, "x", [1, 2], {"a": 1}, [1.0, 2.0, float("nan")]]
    blocks = [*bpy.data.objects, *bpy.data.images, *bpy.data.cameras, *bpy.data.materials, *bpy.data.collections]
    blocks += [*bpy.data.node_groups]
    for group in bpy.data.node_groups:
        blocks += list(group.nodes)
    for number, block in enumerate(blocks):
        for shift, name in enumerate((tags.KIND, tags.DEPTH, tags.SHOT, tags.JOB, "fathom_clip", "fathom_frames")):
            if name in block and (number + shift) % 2:
                del block[name]
                block[name] = wrong[(number + shift) % len(wrong)]
    for thing in bpy.data.objects:
        if "Scale" in thing:
            thing["Scale"] = "huge"
        if thing.type == "CAMERA":
            thing.data["fathom_distortion"] = "bent"
            thing.data["fathom_given_lens"] = {"a": 1}
    kept = empty_file.fathom
    kept.active_depth = 2**31 - 1
    kept.depths[0].frame_offset = 2**31 - 1
    kept.estimator = "\N{BELL} no such estimator" * 1000
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "theirs.blend"))
    draw(bpy.context.scene)
    bpy.context.scene.fathom.active_depth = 0
    bpy.context.scene.fathom.depths[0].frame_offset = 0
    attack(folder)


def test_a_group_of_somebody_elses_under_our_name_is_said_in_a_sentence(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.ops.fathom.build_depth_mesh()
    kind = next(tags.text(g, tags.KIND) for g in bpy.data.node_groups if "mesh/" in tags.text(g, tags.KIND))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    tags.tag(bpy.data.node_groups.new("Theirs", "GeometryNodeTree"), kind)
    bpy.ops.fathom.load_depth(directory=str(folder))
    with pytest.raises(RuntimeError, match="Theirs is not as Fathom makes it"):
        bpy.ops.fathom.build_depth_mesh()


def test_texts_are_taken_by_custom_properties_or_become_readable():
    """In a process of its own: Blender may crash, at once or when such a property is read."""
    script = textwrap.dedent("""
        import bpy
        from bl_ext.dev.fathom.scene import tags
        thing = bpy.data.objects.new("thing", None)
        for text in ("\\ud800", "a\\udfffb", "\\udcff", "\\x1b[2J", "x" * 1000000, "", "\\uffff"):
            tags.set_text(thing, "fathom_job", text)
            assert isinstance(tags.text(thing, "fathom_job"), str) and tags.jobs(thing) is not None
        print("held")
    """)
    root = str(Path(__file__).resolve().parents[2])
    code = (
        f"import sys; sys.path.insert(0, {root!r})\nfrom development import in_blender\nin_blender.enable_checkout()\n"
    )
    command = [sys.executable, "-c", code + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and "held" in done.stdout, done.stdout + done.stderr
