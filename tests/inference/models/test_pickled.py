"""Networks released as .pth files: tensors alone are read, once; later runs read safetensors."""

import dataclasses
import hashlib
import os
import pickle

import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from inference.common.failures import Failure  # noqa: E402
from inference.models import notes, pickled, store, verification  # noqa: E402
from inference.models.facts import ModelFile  # noqa: E402
from tests.inference.support.small_models import NETWORK  # noqa: E402

FREE = dataclasses.replace(NETWORK.licence, name="free", needs_acceptance=False)


def released(path, content):
    """A model of one file with this content, whose sha256 is fixed, where a studio would have it."""
    torch.save(content, path)
    data = path.read_bytes()
    file = ModelFile(path=path.name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return dataclasses.replace(NETWORK, licence=FREE, files=(file,))


@pytest.fixture
def studio(tmp_path, monkeypatch):
    folder = tmp_path / "studio" / NETWORK.repository
    folder.mkdir(parents=True)
    monkeypatch.setenv("FATHOM_WEIGHTS", str(tmp_path / "studio"))
    return folder


WEIGHTS = {"one.weight": torch.arange(6.0).reshape(2, 3), "two.bias": torch.ones(2)}


def same(found):
    return found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


def test_tensors_are_read_once_and_then_kept_as_safetensors(studio, monkeypatch):
    model = released(studio / "network.pth", WEIGHTS)
    assert same(pickled.tensors(model, model.files[0]))
    monkeypatch.setattr(torch, "load", None)
    assert same(pickled.tensors(model, model.files[0]))
    assert store.converted_file(model, model.files[0]).is_relative_to(store.cache_folder())


@pytest.mark.parametrize("damage", [b"", b"other bytes"])
def test_a_converted_file_that_was_changed_is_made_again(studio, damage):
    model = released(studio / "network.pth", WEIGHTS)
    pickled.tensors(model, model.files[0])
    kept = store.converted_file(model, model.files[0])
    kept.write_bytes(damage or kept.read_bytes()[:-1] + b"\x01")
    assert same(pickled.tensors(model, model.files[0]))
    assert verification.digest(kept) == notes.read_converted(kept.name).sha256


def test_code_in_a_file_is_not_run(studio, tmp_path):
    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    model = released(studio / "network.pth", {"one": Bad()})
    with pytest.raises(Failure, match=r"cannot be read \(UnpicklingError\)"):
        pickled.tensors(model, model.files[0])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [[torch.ones(2)], {"one": {"two": torch.ones(2)}}, {1: torch.ones(2)}])
def test_anything_but_named_tensors_is_declined(studio, content):
    model = released(studio / "network.pth", content)
    with pytest.raises(Failure, match="more than named tensors"):
        pickled.tensors(model, model.files[0])


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"one": 1})])
def test_a_file_that_is_no_checkpoint_is_declined_in_a_sentence(studio, content):
    model = released(studio / "network.pth", WEIGHTS)
    (studio / "network.pth").write_bytes(content)
    with pytest.raises(Failure, match="cannot be read"):
        pickled.tensors(model, model.files[0])


def test_a_data_folder_that_cannot_be_written_does_not_matter(studio, monkeypatch):
    model = released(studio / "network.pth", WEIGHTS)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inference.contract.own_files.atomic", full)
    assert same(pickled.tensors(model, model.files[0]))


def test_removing_weights_removes_what_they_were_converted_to(studio):
    model = released(studio / "network.pth", WEIGHTS)
    pickled.tensors(model, model.files[0])
    kept = store.converted_file(model, model.files[0])
    assert kept.exists()
    store.remove(model, [])
    assert not kept.exists() and notes.read_converted(kept.name) is None


def test_a_licence_that_permits_everything_is_not_asked_for(studio):
    model = released(studio / "network.pth", WEIGHTS)
    assert verification.missing_requirements([model]) == []
    (weights,) = verification.ready([model])
    assert (weights.sha256, weights.licence) == (model.files[0].sha256, FREE.title)
    assert notes.accepted(FREE) is None


def test_a_full_data_folder_is_no_hindrance(studio, monkeypatch):
    import safetensors.torch

    def full(*arguments):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    model = released(studio / "network.pth", WEIGHTS)
    assert same(pickled.tensors(model, model.files[0]))
    assert not list(store.converted_file(model, model.files[0]).parent.iterdir())
