"""What all tests of the estimator share."""

from __future__ import annotations

import pytest
import torch

from inference.estimators.stereodiff.stage1 import batches
from inference.models import store
from tests.inference.support import matched_shots, tiny_models


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny layers lose more by sharing out their work than they win, much more so beside other programs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    """A studio's folder with tiny weights of all networks."""
    yield tiny_models.write(tmp_path_factory.mktemp("studio"))
    batches.forget()


@pytest.fixture
def shot_of(studio, tmp_path, monkeypatch):
    """``shot_of(images, scratch="a")`` is a shot, see `matched_shots.made`, and the tiny weights are in place.

    `batch` pairs are decoded together; 0: as many as are planned, which takes its time.
    """
    planned = batches._planned
    monkeypatch.setenv(store.STUDIO, str(studio))

    def make(images, scratch="scratch", batch=4, **changed):
        monkeypatch.setattr(batches, "_planned", (lambda *given: batch) if batch else planned)
        return matched_shots.made(images, tmp_path / scratch, **changed)

    return make
