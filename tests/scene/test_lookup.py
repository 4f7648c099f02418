"""Building for all shots of a clip goes through the scene once, not once for each shot."""

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.scene import lookup, tags

from tests.marks import rest_slow


def many(tmp_path, count):
    frames = range(1, 2 * count + 1)
    folder = depth_maker.make(
        tmp_path,
        size=(8, 6),
        frames=frames,
        shots=[(n, n + 1, "done") for n in frames[::2]],
        camera=lambda those: depth_maker.dolly(those, width=8, height=6, focal_length=9.0),
    )
    bpy.ops.fathom.load_depth(directory=str(folder))
    return folder


class Counted:
    """A function that counts how often custom properties of datablocks are looked at."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


@pytest.mark.parametrize("operator", rest_slow(["build_camera", "build_depth_mesh", "build_fog"]))
def test_twice_the_shots_are_twice_the_steps(tmp_path, empty_file, monkeypatch, operator):
    steps = []
    for count in (10, 20, 40):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        many(tmp_path / str(count), count)
        looked, lay = Counted(lookup._keys), Counted(lookup.is_in)
        monkeypatch.setattr(lookup, "_keys", looked)
        monkeypatch.setattr(lookup, "is_in", lay)
        getattr(bpy.ops.fathom, operator)(all_shots=True)
        getattr(bpy.ops.fathom, operator)(all_shots=True)
        steps.append(looked.calls + lay.calls)
        monkeypatch.undo()
        assert len([o for o in bpy.data.objects if o.type == "CAMERA"]) == count
    first, second, third = steps
    assert third - second <= 2.1 * (second - first)


def test_the_files_are_looked_at_once_for_all_shots(tmp_path, empty_file, monkeypatch):
    from bl_ext.dev.fathom.scene import plate

    many(tmp_path, 12)
    asked = Counted(plate.require_shown)
    monkeypatch.setattr(plate, "require_shown", asked)
    bpy.ops.fathom.build_depth_mesh(all_shots=True)
    assert asked.calls == 1


def test_what_is_built_meanwhile_is_found_and_nothing_is_built_twice(tmp_path, empty_file):
    many(tmp_path, 3)
    for _ in range(2):
        bpy.ops.fathom.build_depth_mesh(all_shots=True)
    kinds = sorted(tags.text(thing, tags.KIND) for thing in bpy.data.objects)
    assert kinds == ["camera"] * 3 + ["mesh"] * 3 + ["rig"] * 3
    assert len(bpy.data.actions) == 3 and len(empty_file.timeline_markers) == 3


def test_a_problem_is_kept_and_answers_end_with_the_building(empty_file):
    calls = []

    @lookup.once
    def ask(depth):
        calls.append(depth)
        raise ValueError("no")

    thing = object()
    with lookup.caching():
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                ask(thing)
    assert len(calls) == 1
    with pytest.raises(ValueError, match="no"):
        ask(thing)
    assert len(calls) == 2


def test_all_shots_in_the_compositor_go_through_links_once_a_question(tmp_path, empty_file):
    from bl_ext.dev.fathom.scene.compositing import compositor_nodes, tree

    many(tmp_path, 6)
    bpy.ops.fathom.add_compositing_fog(all_shots=True)
    made = compositor_nodes.find_scene_tree(empty_file)
    fogs = [node for node in made.nodes if node.get(tags.KIND) == tree.FOG_KIND]
    assert len(fogs) == 6
    for node in made.nodes:
        for other in made.nodes:
            assert (other in tree.upstream(node)) == (node in tree.downstream(other))
    assert sorted(sum(each in tree.upstream(node) for each in fogs) for node in fogs) == [1, 2, 3, 4, 5, 6]
