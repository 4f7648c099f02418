"""Which estimators there are."""

import shutil
from pathlib import Path

import pytest

from inference import estimators
from inference.common.failures import Failure
from inference.contract import exit_codes
from inference.contract.job import SMALLEST_SIZE
from inference.estimators import registry
from inference.run import automatic
from inference.run.checks import resolve_parameters

SUPPORT = Path(__file__).resolve().parents[1] / "support" / "estimators"


@pytest.fixture
def running_mean(monkeypatch):
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(SUPPORT)])
    return registry.info("running_mean")


def test_adding_an_estimator_is_adding_one_folder(running_mean, tmp_path, monkeypatch):
    shutil.copytree(SUPPORT / "running_mean", tmp_path / "another")
    (tmp_path / "notes").mkdir()
    (tmp_path / "script.py").write_text("")
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(tmp_path)])
    assert {"parallax", "running_mean", "another"} <= set(registry.names())
    assert not {"notes", "script", "base", "registry"} & set(registry.names())
    assert running_mean.label == "Running Mean"
    assert callable(registry.function("running_mean"))


def test_an_unknown_name_is_answered_with_those_that_there_are():
    with pytest.raises(Failure, match=r"no estimator 'nobody'.*parallax") as caught:
        registry.info("nobody")
    assert caught.value.code == exit_codes.USAGE


@pytest.mark.parametrize("name", ["parallax.solve", "../x", "", "base", "os"])
def test_only_estimators_are_imported(name):
    with pytest.raises(Failure):
        registry.info(name)


@pytest.mark.parametrize("name", registry.names())
def test_no_module_of_an_estimator_is_named_as_what_it_offers(name):
    """Once imported, it would take that one's place in the package: the next job's estimate would be a module."""
    (package,) = estimators.__path__[:1]
    modules = {path.stem for path in (Path(package) / name).iterdir()}
    assert not modules & {"INFO", "info_for", "estimate"}


def test_estimators_stand_in_the_order_of_what_to_try(running_mean):
    order = registry.in_order()
    assert order[:5] == ["parallax", "video_depth_anything", "quick", "depthcrafter", "stereodiff"]
    assert sorted(order) == registry.names()


def test_a_broken_estimator_comes_last(tmp_path, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(tmp_path)])
    assert registry.in_order()[-1] == "broken"


@pytest.mark.parametrize("name", automatic.in_order())
def test_presets_are_valid_settings(name):
    facts = automatic.info(name)
    assert [preset.name for preset in facts.presets] == ["draft", "standard", "fine"]
    draft, standard, fine = facts.presets
    assert (standard.size, standard.full_size, standard.parameters) == (None, False, {})
    assert fine.full_size and not draft.full_size
    for preset in facts.presets:
        resolve_parameters(facts, preset.parameters)
        assert preset.size is None or preset.size >= SMALLEST_SIZE
    if draft.size is not None:
        assert draft.size < facts.default_size
    assert facts.preview_frames >= facts.minimum_frames
