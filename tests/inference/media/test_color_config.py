"""OCIO configurations that harm, or would never be read to their end."""

import os

import pytest

from inference.common.failures import ClipError
from inference.media import color, color_config

CONFIG = """ocio_profile_version: 2
search_path: "."
roles: {default: raw, scene_linear: linear}
file_rules:
  - !<Rule> {name: Default, colorspace: raw}
displays:
  screen:
    - !<View> {name: Raw, colorspace: raw}
    - !<View> {name: View, view_transform: view, display_colorspace: display}
looks:
  - !<Look> {name: look, process_space: linear, transform: LOOK}
view_transforms:
  - !<ViewTransform> {name: view, from_scene_reference: VIEW}
display_colorspaces:
  - !<ColorSpace> {name: display}
named_transforms:
  - !<NamedTransform> {name: named, transform: NAMED}
colorspaces:
  - !<ColorSpace> {name: raw, isdata: true}
  - !<ColorSpace> {name: linear}
  - !<ColorSpace> {name: sRGB}
  - !<ColorSpace> {name: strange, to_scene_reference: STRANGE}
"""
NOTHING = "!<MatrixTransform> {offset: [0.1, 0, 0, 0]}"
LOOK = "!<LookTransform> {src: linear, dst: linear, looks: look}"
VIEW = "!<DisplayViewTransform> {src: linear, display: screen, view: View}"


def to(space):
    return f"!<ColorSpaceTransform> {{src: {space}, dst: linear}}"


def written(tmp_path, *, more="", **parts):
    text = CONFIG
    for part in ("look", "view", "named", "strange"):
        text = text.replace(part.upper(), parts.get(part, NOTHING))
    path = tmp_path / "config.ocio"
    path.write_text(text + more, encoding="utf-8")
    return path


def test_a_configuration_that_is_as_it_should_be_converts(tmp_path):
    config = written(tmp_path, look=NOTHING, strange=f"!<GroupTransform> {{children: [{LOOK}, {VIEW}, {to('named')}]}}")
    assert color.to_display("strange", config)


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize(("part", "strange"), [("look", LOOK), ("view", VIEW), ("named", to("named"))])
def test_a_pipe_for_a_table_is_not_waited_for_wherever_it_is_named(tmp_path, part, strange):
    os.mkfifo(tmp_path / "pipe.cube")
    config = written(tmp_path, strange=strange, **{part: "!<FileTransform> {src: pipe.cube}"})
    with pytest.raises(ClipError, match=r"takes .*pipe\.cube for a table of colors, which is no file; correct it"):
        color.to_display("strange", config)


@pytest.mark.parametrize("part", ["strange", "look"])
def test_a_table_that_is_missing_is_named(tmp_path, part):
    parts = {"strange": LOOK, part: "!<FileTransform> {src: gone.cube}"}
    with pytest.raises(ClipError, match=r"cannot convert strange to sRGB \(.*gone\.cube.*\); choose another"):
        color.to_display("strange", written(tmp_path, **parts))


@pytest.mark.parametrize(
    "circle",
    [
        {"strange": to("strange")},
        {"strange": to("other"), "more": f"  - !<ColorSpace> {{name: other, to_scene_reference: {to('strange')}}}\n"},
        {"strange": LOOK, "look": LOOK},
    ],
    ids=["itself", "another", "look"],
)
def test_what_leads_in_a_circle_is_one_sentence(tmp_path, circle):
    with pytest.raises(ClipError, match=r"config\.ocio cannot be used: OCIO .* over it; use another configuration"):
        color.to_display("strange", written(tmp_path, **circle))


def unfolding(levels):
    """Spaces each of which is twice the one before: 2 to the power of `levels` steps, in a few lines."""
    lines = [f"  - !<ColorSpace> {{name: s0, to_scene_reference: &t0 !<GroupTransform> {{children: [{NOTHING}]}}}}"]
    for level in range(1, levels):
        twice = f"!<GroupTransform> {{children: [*t{level - 1}, *t{level - 1}]}}"
        lines.append(f"  - !<ColorSpace> {{name: s{level}, to_scene_reference: &t{level} {twice}}}")
    return "\n".join(lines) + "\n"


def test_what_unfolds_without_end_is_left_when_it_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(color_config, "_PATIENCE", 2.0)
    with pytest.raises(ClipError, match="cannot be used: OCIO was not done with it after 2 seconds"):
        color.to_display("strange", written(tmp_path, more=unfolding(40)))


@pytest.mark.slow
def test_what_unfolds_without_end_is_left_when_memory_runs_short(tmp_path, monkeypatch):
    monkeypatch.setattr(color_config, "free_bytes", lambda: 800_000_000)
    with pytest.raises(ClipError, match="cannot be used: OCIO takes more memory for it than is free"):
        color.to_display("strange", written(tmp_path, more=unfolding(40)))


def test_a_long_chain_of_spaces_is_followed_to_its_end(tmp_path):
    count = 1500
    links = [f"  - !<ColorSpace> {{name: c{i}, to_scene_reference: {to(f'c{i + 1}')}}}" for i in range(count)]
    more = "\n".join([*links, f"  - !<ColorSpace> {{name: c{count}}}", ""])
    assert color.to_display("strange", written(tmp_path, strange=to("c0"), more=more))
