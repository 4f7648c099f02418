"""Where libraries are told to keep their caches."""

import os
import tempfile
from pathlib import Path

import pytest

from inference import caches

NAME = "FATHOM_TEST_CACHE"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(NAME, "")
    monkeypatch.delenv(NAME)


def test_a_cache_lies_in_the_data_folder_and_is_made(tmp_path):
    caches.keep_in_data_folder(NAME, "lib")
    assert Path(os.environ[NAME]) == tmp_path / "home" / "cache" / "lib" and Path(os.environ[NAME]).is_dir()


def test_what_the_environment_says_stands(monkeypatch, tmp_path):
    monkeypatch.setenv(NAME, "elsewhere")
    caches.keep_in_data_folder(NAME, "lib")
    assert os.environ[NAME] == "elsewhere" and not (tmp_path / "home").exists()


def test_a_data_folder_that_cannot_be_written_is_no_obstacle(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    caches.keep_in_data_folder(NAME, "lib")
    assert Path(os.environ[NAME]).parent == Path(tempfile.gettempdir())
    assert Path(os.environ[NAME]).name.startswith("fathom-lib-")
