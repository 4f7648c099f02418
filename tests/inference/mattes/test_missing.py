"""What mattes need beside Fathom's own packages, and how a run decides for them."""

import pytest

from inference import mattes
from inference.common.failures import Failure
from inference.contract import environment, exit_codes, packages
from inference.estimators import registry
from inference.estimators.parallax import INFO


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(mattes, "missing", list)


def facts(choice, *, has_mattes=False):
    return registry.info_for("parallax", {"mattes": choice}, has_mattes=has_mattes)


def test_packages_and_weights_are_named_with_their_commands(home, monkeypatch):
    monkeypatch.setattr(packages, "importable", lambda module: module != "onnxruntime")
    first, *others = mattes.missing()
    assert "onnxruntime" in first.what and first.hint.endswith("install mattes") and first.kind == "packages"
    assert any("models download robust-video-matting" in each.hint for each in others)
    with pytest.raises(Failure) as caught:
        mattes.require()
    assert caught.value.code == exit_codes.MISSING


def test_the_lock_pins_the_runtime_and_what_it_needs():
    pins = packages.pins(environment.MATTES)
    assert "onnxruntime" in pins and "numpy" not in pins, "what the light set has is not repeated"


def test_parallax_runs_without_the_network(home):
    assert facts("auto") == INFO and not INFO.models


def test_parallax_uses_the_network_where_it_is_installed(installed):
    assert facts("auto").models == (mattes.MODEL,)
    assert "onnxruntime" in facts("auto").packages
    assert facts("off") == INFO


def test_mattes_of_ones_own_win(installed):
    assert facts("auto", has_mattes=True) == INFO
    assert facts("own", has_mattes=True) == INFO


@pytest.mark.parametrize(("choice", "has_mattes", "word"), [("own", False, "no mattes"), ("off", True, "none are")])
def test_choices_that_contradict_the_job(installed, choice, has_mattes, word):
    with pytest.raises(Failure) as caught:
        facts(choice, has_mattes=has_mattes)
    assert caught.value.code == exit_codes.USAGE and word in caught.value.what
