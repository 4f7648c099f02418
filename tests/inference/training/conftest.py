"""Tiny networks, clips and trainings."""

from __future__ import annotations

import dataclasses

import pytest

from tests.inference.support import training_clips
from tests.inference.support.tiny_networks import fill, golden, one_thread, tiny_networks  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    """A studio's folder with tiny weights of DepthCrafter and of Stable Video Diffusion, in float32."""
    from tests.inference.support import tiny_models

    return tiny_models.write(tmp_path_factory.mktemp("studio"), dtype="float32")


@pytest.fixture(scope="session")
def clips_file(tmp_path_factory):
    """The list of three clips of six frames to train on, and one that is held back."""
    return training_clips.write_set(tmp_path_factory.mktemp("clips"), clips=3, held=1)


@pytest.fixture
def at_home(studio, tmp_path, monkeypatch):
    """A data folder in which the licenses of the tiny weights are accepted."""
    from inference.models import notes
    from inference.video_diffusion.weights import DEPTHCRAFTER, SVD

    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FATHOM_WEIGHTS", str(studio))
    for model in (DEPTHCRAFTER, SVD):
        notes.accept(model)
    return tmp_path / "home"


@pytest.fixture
def training(studio, clips_file, tmp_path):
    """``training(stage, **settings)``: one of tiny networks and clips, in `tmp_path` or a folder below it."""
    from inference.training import data, recipe
    from inference.training.output import Training
    from inference.video_diffusion.weights import DEPTHCRAFTER, SVD

    def made(stage=1, *, output="training", file=None, unet=None, network="depthcrafter", held=True, **values):
        values = dict(SMALL) | values
        settings = recipe.settings(network, stage, values)
        listed = data.load(file or clips_file)
        if not held:
            listed = dataclasses.replace(listed, held=())
        clips = [clip for each in listed.train for clip in data.opened(each)]
        return Training(
            network=network,
            stage=stage,
            settings=settings,
            data=listed,
            clips=clips,
            repeats=[1] * len(clips),
            unet=unet or studio / DEPTHCRAFTER.repository,
            svd=studio / SVD.repository,
            encoders="tiny",
            output=tmp_path / output,
        )

    return made


SMALL = {
    "shortest": 2,
    "longest": 2,
    "steps": 2,
    "width": 64,
    "height": 64,
    "batch": 1,
    "learning_rate": 1e-3,
    "variants": 2,
    "device": "cpu",
    "checkpointing": False,
    "save_every": 1,
    "validate_every": 0,
    "validation_steps": 1,
}
"""Values for tiny networks."""
