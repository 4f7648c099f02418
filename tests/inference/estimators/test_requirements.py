"""What an estimator needs here and what of it is missing."""

import dataclasses
from pathlib import Path

import pytest

from inference import estimators
from inference.common import devices
from inference.common.failures import Failure
from inference.contract import environment, exit_codes, packages
from inference.estimators import registry, requirements
from inference.models import store
from tests.inference.support.stored import put_in_place

SUPPORT = Path(__file__).resolve().parents[1] / "support" / "estimators"


@pytest.fixture
def running_mean(monkeypatch):
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(SUPPORT)])
    return registry.info("running_mean")


def test_what_an_estimator_lacks_comes_with_its_cure(running_mean, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    monkeypatch.setattr(devices, "nvidia_gpus", lambda: 0)
    model = registry.info("brightness").models[0]
    facts = dataclasses.replace(running_mean, packages=("no_such_module",), models=(model,), gpu="needed")
    missing_requirements = requirements.missing_requirements(facts)
    assert [requirement.kind for requirement in missing_requirements] == ["packages", "weights", "device"]
    assert missing_requirements[0].what == "Running Mean needs packages that are not installed: no_such_module."
    assert (
        "Brightness's network (3 MB, Brightness license)" in missing_requirements[1].what
        and str(tmp_path) in missing_requirements[1].what
    )
    assert "models download brightness" in missing_requirements[1].hint
    assert "Quick or Parallax" in missing_requirements[2].hint
    with pytest.raises(Failure) as caught:
        requirements.require(facts)
    assert caught.value.code == exit_codes.MISSING
    assert all(requirement.what in caught.value.what for requirement in missing_requirements)
    assert caught.value.hint.count("models download brightness") == 1, "a cure is told once"
    path = store.folder(model) / "unet.safetensors"
    snapshot = f"huggingface/hub/models--nobody--brightness/snapshots/{model.revision}"
    assert path.parent.relative_to(tmp_path).as_posix() == snapshot
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    monkeypatch.setattr(devices, "nvidia_gpus", lambda: 1)
    facts = dataclasses.replace(facts, packages=())
    assert [requirement.what.split()[0] for requirement in requirements.missing_requirements(facts)] == ["The", "A"], (
        "never verified, not accepted"
    )
    put_in_place(model)
    assert requirements.missing_requirements(facts) == []


def test_packages_of_both_sets_that_are_missing_are_told_in_one_sentence_with_one_command(running_mean, monkeypatch):
    hidden = {"torch", "diffusers", "numpy"}
    there = packages.importable
    monkeypatch.setattr(packages, "importable", lambda module: module not in hidden and there(module))
    facts = dataclasses.replace(running_mean, packages=("torch", "diffusers"))
    (requirement,) = requirements.missing_requirements(facts)
    assert requirement.what == "Running Mean needs packages that are not installed: torch, diffusers, numpy."
    assert requirement.hint.count("run: ") == 1
    assert requirement.hint.endswith("__main__.py install full")
    (requirement,) = requirements.missing_requirements(running_mean)
    assert (requirement.what, requirement.kind) == ("Packages are missing: numpy.", "environment")
    assert requirement.hint.endswith(f"-m pip install -r {environment.LIGHT[-1]}")


def test_a_card_that_torch_was_not_built_for_is_noted_where_it_would_help(running_mean, monkeypatch):
    monkeypatch.setattr(devices, "unused_gpu", lambda: ("A GPU is idle.", "Install another torch."))
    assert requirements.notes(running_mean) == []
    (note,) = requirements.notes(dataclasses.replace(running_mean, gpu="useful"))
    assert (note.what, note.hint) == ("A GPU is idle.", "Install another torch.")


def test_parallax_can_run_here_and_declares_what_it_is():
    facts = registry.info("parallax")
    assert requirements.missing_requirements(facts) == []
    requirements.require(facts)
    assert (facts.quantity, facts.gpu, facts.models, facts.has_camera) == ("inverse_depth", "unused", (), True)
