"""The two sets of packages, as their locks name them."""

import sys
from pathlib import Path

import pytest

from inference.common import failures
from inference.contract import client, environment, packages


def test_the_sets_have_nothing_in_common_and_torch_is_on_top():
    light, on_top = packages.locked(), packages.locked_on_top()
    assert not light.keys() & on_top.keys()
    assert {"numpy", "pycolmap"} <= light.keys() and {"torch", "diffusers", "huggingface-hub"} <= on_top.keys()


LOCKS = sorted((Path(__file__).parents[3] / "requirements").glob("*.txt"))


@pytest.mark.parametrize("name", sorted(packages.pins(LOCKS)))
def test_every_locked_package_is_found_under_the_name_that_it_is_imported_by(name):
    if packages.installed(name) is None:
        pytest.skip(f"{name} is not installed here")
    assert packages.importable(packages.module_of(name))
    assert packages.package_of(packages.module_of(name)).replace("-", "_") == name.replace("-", "_")


def test_what_draws_reports_has_no_part_in_a_runs_key():
    """Another matplotlib must not make an unfinished run start over; another OpenCV must."""
    left_out = packages.locked().keys() - packages.versions().keys()
    assert {"matplotlib", "jinja2", "pyyaml"} <= left_out
    assert {"numpy", "opencv-python-headless", "pycolmap", "numba"} <= packages.versions().keys()


def test_modules_that_cannot_be_found_are_told_by_the_packages_to_install():
    assert packages.missing_of(("numpy", "no_such_module")) == ["no_such_module"]
    assert packages.is_on_top("torch.nn") and packages.is_on_top("pydantic") and not packages.is_on_top("cv2")


def test_one_command_installs_a_set(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert packages.install_command() == f"/usr/bin/python3 -m pip install -r {environment.LIGHT[0]}"
    monkeypatch.setattr(sys, "executable", "C:/Program Files/python.exe")
    full = packages.install_command(full=True)
    assert full == f'"C:/Program Files/python.exe" {client.MAIN} install full'
    assert "-r light.txt" in environment.FULL[-2].read_text().splitlines(), "it brings the light set with it"


@pytest.mark.parametrize(("module", "command"), [("torch.nn", "install full"), ("cv2", "light.txt")])
def test_a_failed_import_names_the_set_that_cures_it(monkeypatch, module, command):
    monkeypatch.setattr(packages, "importable", lambda name: False)
    told = failures.explain(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert told.hint.endswith(command) and told.hint.count("run: ") == 1
