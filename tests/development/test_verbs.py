"""How dev.py reads its command line."""

import subprocess
import sys

import pytest

from development import verbs
from development.environments import ROOT
from development.problems import Problem


def test_the_versions_of_blender_end_where_pytests_arguments_begin():
    assert verbs._blender_versions(["-x", "--blender", "4.2", "4.5", "tests/scene", "-k", "5.0"]) == (
        ["4.2", "4.5"],
        ["-x", "tests/scene", "-k", "5.0"],
    )
    assert verbs._blender_versions(["-q"]) == ([], ["-q"])


@pytest.mark.parametrize("arguments", [["--blender"], ["--blender", "3.6"], ["--blender", "-q"]])
def test_a_version_that_is_not_supported_is_refused(arguments):
    with pytest.raises(Problem, match=r"4\.2, 4\.5, 5\.0, 5\.2"):
        verbs._blender_versions(arguments)


def test_a_path_goes_to_the_side_that_can_run_it():
    assert verbs._side(ROOT / "tests/inference/media") == "worker"
    assert verbs._side(ROOT / "tests/scene/test_mesh.py") == "blender"
    assert verbs._side(ROOT / "tests/test_architecture.py") == "both"
    assert verbs._side(ROOT / "tests") == "both"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "dev.py"), *arguments], capture_output=True, text=True, check=False
    )


def test_without_a_verb_it_tells_what_there_is():
    told = run()
    assert told.returncode == 0
    assert all(verb in told.stdout for verb in ("demo", "test", "lint", "build", "benchmark", "lock"))


def test_an_unknown_verb_is_named():
    told = run("tset")
    assert told.returncode == 2
    assert "'tset'" in told.stderr
