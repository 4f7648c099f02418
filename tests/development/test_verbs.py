"""How dev.py reads its command line."""

import subprocess
import sys

import pytest

from development import environments, verbs
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


def test_slow_tests_run_when_all_are_asked_for_or_they_are_named():
    assert verbs._pytest_options([])[:2] == ["-m", "not slow"]
    assert verbs._pytest_options(["tests/scene", "-k", "fog"])[:2] == ["-m", "not slow"]
    for arguments in (["--all"], ["-m", "slow"], ["tests/scene/test_fog.py::test_a_fog"]):
        assert "not slow" not in verbs._pytest_options(arguments)


def test_tests_share_the_cores_unless_they_are_debugged():
    assert "--numprocesses" in verbs._pytest_options(["--all"])
    for arguments in (["-n0"], ["--pdb"], ["-s"]):
        assert "--numprocesses" not in verbs._pytest_options(arguments)


@pytest.fixture
def ensured(monkeypatch):
    """The environments that a verb asks for; nothing is made, and nothing run."""
    asked = []

    def ensure(environment):
        asked.append(environment)
        return environment.executable

    monkeypatch.setattr(environments, "ensure", ensure)
    monkeypatch.setattr(verbs, "_run", lambda command, **variables: 0)
    return asked


@pytest.mark.parametrize(
    ("verb", "arguments", "worker"),
    [
        (verbs.demo, [], environments.WORKER),
        (verbs.test, ["tests/inference"], environments.FULL_WORKER),
        (verbs.test, ["--blender", "4.2"], environments.FULL_WORKER),
        (verbs.lint, [], environments.FULL_WORKER),
        (verbs.benchmark, ["parallax"], environments.WORKER),
    ],
)
def test_each_verb_sets_up_what_it_needs_and_no_more(ensured, verb, arguments, worker):
    assert verb(arguments) == 0
    assert [environment for environment in ensured if not environment.blender] == [worker]


def test_rendering_the_benchmark_needs_blender_alone(ensured):
    assert verbs.render_benchmark(["--quick"]) == 0
    assert ensured == [environments.BLENDERS[environments.DEFAULT_BLENDER]]


def test_a_benchmark_says_whether_it_needs_the_networks_packages(ensured, tmp_path, monkeypatch):
    monkeypatch.setattr(verbs, "ROOT", tmp_path)
    folder = tmp_path / "development" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "light.py").write_text('"""Needs little."""\n')
    (folder / "network.py").write_text('"""Needs torch."""\n\nPACKAGES = "full"\n')
    assert verbs.benchmark(["light"]) == 0 and verbs.benchmark(["network", "--repeats", "1"]) == 0
    assert ensured == [environments.WORKER, environments.FULL_WORKER]
    for arguments in ([], ["mesh"]):
        with pytest.raises(verbs.Problem, match="choose one of light, network"):
            verbs.benchmark(arguments)


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "dev.py"), *arguments], capture_output=True, text=True, check=False
    )


def test_without_a_verb_it_tells_what_there_is():
    told = run()
    assert told.returncode == 0
    assert all(
        verb in told.stdout for verb in ("demo", "test", "lint", "build", "benchmark", "render-benchmark", "lock")
    )


def test_an_unknown_verb_is_named():
    told = run("tset")
    assert told.returncode == 2
    assert "'tset'" in told.stderr


def test_the_zip_is_of_what_git_knows(tmp_path, capsys):
    source, copy = tmp_path / "source", tmp_path / "copy"
    for name in ("scene/known.py", "scene/deleted.py", "private/key.pem", "ignored.log"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("committed")
    (source / ".gitignore").write_text("*.log\n")

    def git(*arguments):
        subprocess.run(["git", "-C", str(source), *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("add", ".gitignore", "scene")
    (source / "scene" / "deleted.py").unlink()
    (source / "scene" / "known.py").write_text("changed")
    verbs.copy_tracked(source, copy)
    assert {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()} == {
        ".gitignore",
        "scene/known.py",
    }
    assert (copy / "scene" / "known.py").read_text() == "changed"
    assert "Not in the zip, since git does not know them: 'private/key.pem'" in capsys.readouterr().out
    (source / "scene" / "link.py").symlink_to("/etc/passwd")
    git("add", "scene/link.py")
    with pytest.raises(Problem, match=r"'scene/link\.py' is a link"):
        verbs.copy_tracked(source, copy)
    with pytest.raises(Problem, match="no repository that git can list"):
        verbs.copy_tracked(tmp_path / "nowhere", copy)
