"""What is told before the work begins."""

import dataclasses

import pytest

from inference.catalogue import Lack
from inference.estimators import registry
from inference.run import checks, runner


@pytest.mark.parametrize(("parameters", "told"), [({"device": "auto"}, 1), ({}, 1), ({"device": "cpu"}, 0)])
def test_a_card_that_lies_idle_is_told_unless_the_job_wants_the_processor(monkeypatch, parameters, told):
    monkeypatch.setattr(registry, "notes", lambda info: [Lack(what="A card is idle.", cure="Wake it.", kind="device")])
    heard = []
    checks.warn_of_idle_card(registry.info("depthcrafter"), parameters, heard.append)
    assert [event.message for event in heard] == ["A card is idle. Wake it."] * told


def test_versions_name_the_packages_of_the_full_set_that_took_part():
    info = registry.info("parallax")
    light = runner._versions(info)
    assert {"python", "fathom", "numpy"} <= light.keys() and "sortedcontainers" not in light
    more = runner._versions(dataclasses.replace(info, packages=("yaml", "sortedcontainers", "no_such_module")))
    assert more.keys() - light.keys() <= {"PyYAML", "sortedcontainers"} and "sortedcontainers" in more
