"""Presets and the settings of earlier depths, as a scene takes them; a range of the timeline."""

import json
from dataclasses import replace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract import catalogue as contract
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.job import JobError, Source
from bl_ext.dev.fathom.panels import catalogue
from bl_ext.dev.fathom.scene import places, presets, settings, source
from bl_ext.dev.fathom.scene.problems import Problem

LISTED = [
    {"name": "other", "label": "Other", "default_size": 1024, "parameters": [
        {"name": "steps", "default": 5, "description": "How many."},
        {"name": "mode", "default": "fast", "description": "A choice.", "choices": ["fast", "best"]},
     ], "presets": [
        {"name": "draft", "size": 320, "parameters": {"steps": 2}},
        {"name": "standard"},
        {"name": "fine", "full_size": True, "parameters": {"steps": 9, "mode": "best"}},
     ]},
]  # fmt: skip


@pytest.fixture
def scene(empty_file):
    catalogue.learn(contract.read(json.dumps(LISTED)))
    empty_file.fathom.estimator = "other"
    yield empty_file
    catalogue.forget()


def test_a_preset_sets_what_any_of_them_names(scene):
    facts = catalogue.facts("other")
    draft, standard, fine = facts.presets
    for preset, steps, mode, size, full in ((fine, 9, "best", 0, True), (draft, 2, "fast", 320, False)):
        presets.apply(scene, **presets.values_of(facts, preset))
        assert (scene.fathom_other.steps, scene.fathom_other.mode) == (steps, mode)
        assert (scene.fathom.size, scene.fathom.full_size) == (size, full)
        assert [presets.is_chosen(scene, facts, each) for each in facts.presets] == [
            each == preset for each in facts.presets
        ]
    values = presets.values_of(facts, standard)
    arguments = {**values, "parameters": json.dumps(values["parameters"])}
    assert bpy.ops.fathom.use_preset(**arguments) == {"FINISHED"} and presets.is_chosen(scene, facts, standard)
    scene.fathom_other.steps = 7
    assert not any(presets.is_chosen(scene, facts, each) for each in facts.presets)


def test_a_preset_of_another_estimator_is_declined(scene):
    for parameters in ({"reach": 3}, {"mode": "none"}):
        with pytest.raises(Problem):
            presets.apply(scene, size=64, full_size=True, parameters=parameters)


def test_a_depth_gives_its_settings_back(scene, tmp_path):
    folder = depth_maker.make(tmp_path, plate_size=(48, 32))
    sequence = depth_sequence.load(folder)
    made = replace(
        sequence, estimator="other", parameters={"steps": 3, "mode": "best"}, seed=4, size=512, full_size=True,
        cuts="3", focal_length=32.0,
    )  # fmt: skip
    depth_sequence.save(made, folder)
    bpy.ops.fathom.load_depth(directory=str(folder), frame_offset=10)
    scene.fathom.estimator = "automatic"
    assert bpy.ops.fathom.use_settings() == {"FINISHED"}
    found = settings.from_scene(scene)
    assert (found.estimator, found.parameters, found.seed) == ("other", {"steps": 3, "mode": "best"}, 4)
    assert (found.size, found.full_size, found.cuts, found.frames) == (512, True, "3", (11, 15))
    assert found.focal_length / found.sensor_width == pytest.approx(32 / 48)
    depth_sequence.save(replace(made, parameters={"unheard": 1}), folder)
    with pytest.raises(RuntimeError, match="unheard"):
        bpy.ops.fathom.use_settings()
    assert settings.from_scene(scene) == found, "nothing is changed"


def plate():
    return source.Plate(
        source=Source(kind="movie", path="/street.mov", width=64, height=48),
        first_frame=5,
        last_frame=40,
        scene_start=105,
    )


def test_a_range_of_the_timeline_is_a_part_of_the_plate():
    assert source.in_range(plate(), None) == plate()
    part = source.in_range(plate(), (110, 120))
    assert (part.first_frame, part.last_frame, part.scene_start, part.frame_offset) == (10, 20, 110, 100)
    assert source.in_range(plate(), (1, 500)) == plate()
    with pytest.raises(JobError, match="shows nothing between the frames 1 and 104"):
        source.in_range(plate(), (1, 104))


def test_cuts_outside_a_range_do_not_count(tmp_path):
    whole = settings.Settings(cuts="8,15,30", frames=(110, 120))
    part = source.in_range(plate(), whole.frames)
    assert settings.make_job(part, whole, output=tmp_path).cuts == "15"
    none = settings.Settings(cuts="8,30", frames=(110, 120))
    assert settings.make_job(part, none, output=tmp_path).cuts == "none"
    assert settings.make_job(part, settings.Settings(frames=(110, 120)), output=tmp_path).cuts == "auto"


def test_the_range_is_set_by_the_playhead_or_the_scene(scene):
    chosen = scene.fathom
    assert settings.from_scene(scene).frames is None
    scene.frame_current = 300
    for what, expected in (("START", (300, 300)), ("SCENE", (scene.frame_start, scene.frame_end))):
        assert bpy.ops.fathom.set_range(what=what) == {"FINISHED"}
        assert settings.from_scene(scene).frames == expected
    scene.frame_current = 20
    bpy.ops.fathom.set_range(what="END")
    assert (chosen.range_start, chosen.range_end) == (1, 20)
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 7, 9
    bpy.ops.fathom.set_range(what="SCENE")
    assert settings.from_scene(scene).frames == (7, 9)


@pytest.mark.parametrize(
    "parameters", [{"steps": "many"}, {"mode": 5}, {"mode": "none"}, {"mode": "best", "steps": [1]}]
)
def test_settings_of_another_type_in_a_depth_are_declined_whole(scene, tmp_path, parameters):
    folder = depth_maker.make(tmp_path)
    sequence = depth_sequence.load(folder)
    depth_sequence.save(replace(sequence, estimator="other", parameters=parameters, seed=9), folder)
    bpy.ops.fathom.load_depth(directory=str(folder))
    scene.fathom_other.steps = 7
    before = settings.from_scene(scene)
    with pytest.raises(RuntimeError, match=r"The parameter \w+ of other cannot be"):
        bpy.ops.fathom.use_settings()
    assert settings.from_scene(scene) == before


def test_a_folder_that_a_depth_names_is_not_the_artists(scene, tmp_path):
    folder = depth_maker.make(tmp_path)
    sequence = depth_sequence.load(folder)
    named = str(tmp_path / "server" / "depth")
    depth_sequence.save(replace(sequence, estimator="other", parameters={"from": named}), folder)
    listed = [{**LISTED[0], "parameters": [{"name": "from", "default": "", "description": "A folder."}]}]
    catalogue.learn(contract.read(json.dumps(listed)))
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert bpy.ops.fathom.use_settings() == {"FINISHED"}
    assert getattr(scene.fathom_other, "from") == named
    assert not places.is_artists(named) and places.is_artists(str(tmp_path / "mine"))
    places.ask(named)
    assert places.is_artists(named)
