"""Which device a job is told apart by: work that a GPU began is not gone on with on another."""

from dataclasses import replace

import pytest

from inference.common import devices
from inference.common.failures import Failure
from inference.estimators import registry
from inference.run import runner

INFO = replace(registry.info("parallax"), gpu="useful")


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(devices, "_gpus", lambda: 1)
    monkeypatch.setattr(devices, "_current", lambda: 0)
    monkeypatch.setattr(devices, "name", lambda device: "A GPU" if device == "cuda:0" else device)


def test_a_job_is_told_by_the_card_that_it_gets(card):
    assert runner.device_name([INFO], {}) == "A GPU"
    assert runner.device_name([INFO], {"device": "auto"}) == "A GPU"
    assert runner.device_name([INFO], {"device": "cpu"}) == "cpu"


def test_an_estimator_that_uses_no_gpu_runs_on_the_processor(card):
    assert runner.device_name([replace(INFO, gpu="unused")], {}) == "cpu"
    assert runner.device_name([replace(INFO, gpu="unused"), INFO], {}) == "A GPU", "one of them does"


def test_a_device_that_is_not_there_is_refused_before_any_work():
    with pytest.raises(Failure, match=r"not available|not installed"):
        runner.device_name([INFO], {"device": "cuda:99"})
