"""Which estimators there are, and whether they can run."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from inference import estimators, exit_codes
from inference.estimators import registry
from inference.faults import Failure
from inference.models import store
from tests.inference.support.stored import put_in_place

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


def test_what_an_estimator_lacks_comes_with_its_cure(running_mean, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    monkeypatch.setattr(registry, "_has_gpu", lambda: False)
    model = registry.info("brightness").models[0]
    facts = dataclasses.replace(running_mean, packages=("no_such_module",), models=(model,), gpu="needed")
    lacks = registry.lacks(facts)
    assert [what.split()[0] for what, _ in lacks] == ["Running", "Weights", "Running"]
    assert "pip install no_such_module" in lacks[0][1]
    assert "Brightness's network (3 MB, Brightness licence)" in lacks[1][0] and str(tmp_path) in lacks[1][0]
    assert "models download brightness" in lacks[1][1]
    assert "parallax" in lacks[2][1]
    with pytest.raises(Failure) as caught:
        registry.require(facts)
    assert caught.value.code == exit_codes.MISSING
    path = store.folder(model) / "unet.safetensors"
    snapshot = f"huggingface/hub/models--nobody--brightness/snapshots/{model.revision}"
    assert path.parent.relative_to(tmp_path).as_posix() == snapshot
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    monkeypatch.setattr(registry, "_has_gpu", lambda: True)
    facts = dataclasses.replace(facts, packages=())
    assert [what.split()[0] for what, _ in registry.lacks(facts)] == ["The", "A"], "never verified, not accepted"
    put_in_place(model)
    assert registry.lacks(facts) == []


def test_parallax_can_run_here_and_declares_what_it_is():
    facts = registry.info("parallax")
    assert registry.lacks(facts) == []
    registry.require(facts)
    assert (facts.quantity, facts.gpu, facts.models, facts.gives_camera) == ("inverse_depth", "unused", (), True)
