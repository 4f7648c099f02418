"""The weights in Fathom's preferences, and the button where they are missing."""

from dataclasses import replace

import pytest
from bl_ext.dev.fathom.inference.contract.catalogue import EstimatorFacts, MissingRequirement
from bl_ext.dev.fathom.inference.contract.weights import LicenceFacts, WeightsFacts
from bl_ext.dev.fathom.panels import parts
from bl_ext.dev.fathom.panels import weights as panel
from bl_ext.dev.fathom.scene import current_run, preferences, weights
from bl_ext.dev.fathom.scene.current_run import Transfer
from drawing import Recorder, look

NET = WeightsFacts(
    name="net",
    label="The net",
    repository="somebody/net",
    licence=LicenceFacts(name="mit", title="MIT license"),
    estimators=("quick", "slow"),
    users=("Quick", "Slow"),
    size=3_050_000_000,
    missing_size=3_050_000_000,
)
READY = replace(NET, name="other", label="The other", state="ready", missing_size=0, can_run=True)


@pytest.fixture
def listed(monkeypatch):
    """Have some weights known; online."""

    def know(*found, problem=None):
        monkeypatch.setattr(weights._session, "known", found)
        monkeypatch.setattr(weights._session, "problem", problem)

    monkeypatch.setattr(preferences, "offline_reason", lambda: None)
    yield know
    current_run.forget_last()


def drawn():
    panel.draw(layout := Recorder(), width=4000)
    return layout, {button.name: button for button in layout.buttons if "weights_folder" not in button.name}


def test_what_is_missing_can_be_downloaded(listed):
    listed(NET)
    layout, buttons = drawn()
    assert "The net (3.05 GB)" in layout.texts
    assert "Not downloaded. For Quick, Slow. MIT license." in layout.texts
    assert set(buttons) == {"fathom.get_weights"}
    assert (buttons["fathom.get_weights"].names, buttons["fathom.get_weights"].text) == ("net", "Download")


def test_what_was_broken_off_can_be_resumed_or_removed(listed):
    listed(replace(NET, partial_size=1_000_000_000))
    layout, buttons = drawn()
    assert "32 % downloaded. For Quick, Slow. MIT license." in layout.texts
    assert buttons["fathom.get_weights"].text == "Resume" and buttons["fathom.remove_weights"].weights == "net"


def test_what_is_there_can_be_verified_and_removed(listed):
    listed(READY)
    layout, buttons = drawn()
    assert "Downloaded and verified. For Quick, Slow. MIT license." in layout.texts
    assert set(buttons) == {"fathom.verify_weights", "fathom.remove_weights"}


def test_a_studios_weights_are_only_verified(listed):
    listed(replace(READY, studio=True, folder="/studio/net"))
    layout, buttons = drawn()
    assert any("in the studio's folder /studio/net" in text for text in layout.texts)
    assert set(buttons) == {"fathom.verify_weights"}


def test_weights_whose_licence_is_open_say_so(listed):
    listed(replace(READY, can_run=False))
    layout, buttons = drawn()
    assert any("Download asks for its license" in text for text in layout.texts) and "fathom.get_weights" in buttons


def test_the_studios_folder_is_named_and_can_be_cleared(listed, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_WEIGHTS", str(tmp_path / "weights"))
    listed(READY)
    drawn()
    look()
    layout, _ = drawn()
    assert f"Weights are read from {tmp_path / 'weights'}, where it has them" in layout.texts
    assert layout.buttons[1].name == "fathom.forget_weights_folder"


def test_why_there_is_no_list(listed):
    listed(problem="/gone is not a folder.")
    assert "/gone is not a folder." in drawn()[0].texts


def test_where_they_are_missing_a_button_gets_them(listed):
    listed(NET, READY)
    requirement = MissingRequirement(what="Weights are missing.", hint="Run: x", kind="weights", weights=("net",))
    facts = EstimatorFacts(name="slow", label="Slow", missing_requirements=(requirement,))
    parts.draw_requirements(layout := Recorder(), facts, None, width=4000)
    assert layout.texts[0] == "Weights are missing." and not any("Run:" in text for text in layout.texts)
    get = next(button for button in layout.buttons if button.name == "fathom.get_weights")
    assert (get.names, get.text) == ("net", "Download Weights (3.05 GB)")


def test_why_a_download_failed_stands_there(listed):
    listed(NET)
    run = current_run.start("Downloading", iter(()), Transfer(("net",)))
    run.outcome, run.message = "failed", "The disk is full."
    current_run._current, current_run._last = None, run
    assert "The disk is full." in drawn()[0].texts
