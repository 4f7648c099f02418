"""Weights that were trained here: their record, and what keeps them from being used."""

import dataclasses
import json
import struct

import pytest

from inference.common.failures import Failure
from inference.models import missing_requirements, ready, store, trained

NETWORKS = ("depthcrafter",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    place = tmp_path / "model"
    place.mkdir()
    (place / trained.CONFIG).write_text("{}")
    head = json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (place / trained.WEIGHTS).write_bytes(struct.pack("<Q", len(head)) + head + b"1234")
    save(place)
    return place


def save(place, **changed):
    record = trained.Trained(
        name="acme-depth",
        network="depthcrafter",
        licence=trained.Terms(title="Acme internal use"),
        files=tuple(trained.described(place, name) for name in (trained.CONFIG, trained.WEIGHTS)),
    )
    trained.save(place, dataclasses.replace(record, **changed))


def test_a_trained_model_is_ready_without_a_license_to_accept(folder):
    model = trained.model(folder, networks=NETWORKS)
    assert store.folder(model) == folder and not missing_requirements([model])
    files = ready([model])
    assert {each.file for each in files} == {trained.CONFIG, trained.WEIGHTS}
    assert {each.licence for each in files} == {"Acme internal use"}
    assert {each.repository for each in files} == {"trained/acme-depth"}
    assert ready([model]) == files  # from its stamps


def test_weights_that_name_no_license_are_not_used(folder):
    save(folder, licence=trained.Terms())
    with pytest.raises(Failure, match=r"model\.json names no license.*licence\.title"):
        trained.model(folder, networks=NETWORKS)


def test_weights_of_another_network_are_not_used(folder):
    save(folder, network="stereodiff")
    with pytest.raises(Failure, match=r"trained for stereodiff, not for depthcrafter.*\[\[weights\]\]"):
        trained.model(folder, networks=NETWORKS)
    assert trained.model(folder, networks=("stereodiff", "depthcrafter"))


def test_changed_and_missing_files_are_named(folder):
    model = trained.model(folder, networks=NETWORKS)
    (folder / trained.CONFIG).write_text("[]")
    with pytest.raises(Failure, match=r"config\.json are damaged: their sha256.*Copy the folder again"):
        ready([model])
    (folder / trained.CONFIG).unlink()
    (found,) = missing_requirements([model])
    assert f"{folder} lacks config.json" in found.what and "Copy the folder again" in found.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no trained weights: its model.json cannot be read"),
        ("{", "not a record of trained weights"),
        ('{"name": "a", "network": "b", "licence": {}, "files": []}', "does not list config.json"),
        (
            '{"name": "a", "network": "b", "licence": {}, "files": [{"path": "../x", "size": 1, "sha256": ""}]}',
            "not a record of trained weights",
        ),
    ],
)
def test_other_records_are_declined(folder, text, said):
    if text is None:
        (folder / trained.RECORD).unlink()
    else:
        (folder / trained.RECORD).write_text(text)
    with pytest.raises(Failure, match=said):
        trained.model(folder, networks=NETWORKS)


def test_new_weights_in_the_same_folder_are_another_revision(folder):
    before = trained.model(folder, networks=NETWORKS)
    ready([before])
    (folder / trained.WEIGHTS).write_bytes((folder / trained.WEIGHTS).read_bytes()[:-1] + b"5")
    save(folder)
    after = trained.model(folder, networks=NETWORKS)
    assert after.revision != before.revision and ready([after])
