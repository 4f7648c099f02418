"""A hub that serves small models, and a data folder to download them into."""

from pathlib import Path

import pytest

from inference.common.failures import Failure
from inference.contract import events
from inference.models import access, transfer
from inference.models.download import DownloadRequest, download
from tests.inference.support.hub import Hub
from tests.inference.support.small_models import NETWORK, OTHER, write_models


@pytest.fixture
def served(tmp_path) -> Path:
    """The folder that the hub serves."""
    return write_models(tmp_path / "served", NETWORK, OTHER)


@pytest.fixture
def hub(served, monkeypatch):
    """The hub, which HF_ENDPOINT names; what fails is tried again at once."""
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.001)
    with Hub(served) as serving:
        monkeypatch.setenv("HF_ENDPOINT", serving.endpoint)
        yield serving


@pytest.fixture
def real_hub(hub, monkeypatch):
    """The hub, as the hub's own address and not as a mirror."""
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setattr(access, "HUB", hub.endpoint)
    return hub


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """The data folder; of whoever runs the tests, `tests/conftest.py` has forgotten everything else."""
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    return tmp_path / "home"


@pytest.fixture
def get():
    """Download models; gives the events."""

    def run(*models, accept=True, check=lambda: None, ask=lambda model: False, ask_revision=None, **request):
        heard: list[events.Event] = []
        licences = tuple(model.licence.name for model in models) if accept else ()
        run.heard = heard
        asks = {"ask": ask} | ({"ask_revision": ask_revision} if ask_revision else {})
        download(models, DownloadRequest(accepted=licences, emit=heard.append, check=check, **asks, **request))
        return heard

    return run


@pytest.fixture
def refused(get):
    """Run a download that must fail; gives the failure."""

    def run(*models, **request):
        with pytest.raises(Failure) as caught:
            get(*models, **request)
        return caught.value

    return run
