"""Suites as people write them: what is read, and what is refused."""

import os
from pathlib import Path

import pytest
import yaml

from inference.estimators import registry
from inference.evaluation.suites import suite
from inference.evaluation.suites.suite import SHIPPED, SuiteError, load, slug
from inference.run.checks import resolve_parameters

GOOD = """
sets:
  - {name: mine, truth: truth}
estimators:
  - {name: parallax, estimator: parallax}
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        (tmp_path / "suite.yaml").write_text(text)
        return load(tmp_path / "suite.yaml")

    return write


def test_what_is_not_said_has_its_default(written, tmp_path):
    found = written(GOOD)
    assert (found.protocol, found.runs, found.metrics) == (
        "plain",
        1,
        ("absolute_relative", "root_mean_square", "delta1"),
    )
    assert found.sets[0].layout == "folder" and found.path(found.sets[0].truth) == tmp_path / "truth"
    assert found.work_folder == tmp_path / "suite-work"


def test_the_command_line_says_where_sets_lie_and_where_work_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load("depthcrafter-table-1", data=dict.fromkeys(["Sintel", "ScanNet", "KITTI", "Bonn", "NYUv2"], "x"))
    assert found.path(found.sets[0].truth) == tmp_path / "x"
    assert found.work_folder == tmp_path / "depthcrafter-table-1-work"
    assert load("depthcrafter-figure-6", data={"long": "x"}, work="w").work_folder == tmp_path / "w"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sets: [", "cannot be read as YAML"),
        ("- a", "is not a suite but list"),
        ("sets: []\nestimators: []", "needs at least one set"),
        (GOOD + "color: red", "has no field 'color'"),
        (GOOD + "runs: many", r"runs must be of type int"),
        (GOOD + "runs: 0", "asks for 0 runs"),
        (GOOD + "protocol: ours", "protocol must be one of plain, depthcrafter, stereodiff, not 'ours'"),
        (GOOD + "metrics: []", "names no metrics"),
        (GOOD.replace("truth: truth", "truth: truth, size: 0"), "size of mine must be at least 64 pixels, not 0"),
        (
            GOOD.replace("estimator: parallax}", "estimator: parallax, size: 63}"),
            "size of parallax must be at least 64",
        ),
        (GOOD + "metrics: [loss]", "metric must be one of absolute_relative"),
        (GOOD + "reference: nobody", "reference must be one of parallax"),
        (GOOD.replace("truth: truth", "layout: folder"), "has no folder for mine; add --data mine=DIR"),
        (GOOD.replace("truth: truth", "truth: t, layout: tum"), "layout of mine must be one of folder, sintel"),
        (GOOD.replace("estimator: parallax}", "estimator: parallax, depth: x}"), "either an estimator or depth"),
        (GOOD.replace("name: parallax, estimator: parallax", "name: parallax"), "either an estimator or depth"),
        (GOOD.replace("estimator: parallax}", "estimator: parallax, camera: red}"), "one of unknown, lens, path"),
        (GOOD.replace("estimator: parallax}", "depth: x, camera: lens}"), "leave its camera out"),
        (GOOD + "  - {name: parallax, estimator: parallax}", "names the estimator parallax twice"),
        (GOOD + "  - {name: 'parallax?', estimator: parallax}", "parallax and parallax\\? would share a folder"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(written, text, words):
    with pytest.raises(SuiteError, match=words):
        written(text)


def test_an_unknown_suite_or_set_is_a_sentence(tmp_path):
    with pytest.raises(
        SuiteError, match="There is no suite nothing; choose a YAML file, or one of benchmark, depthcrafter-figure-6"
    ):
        load("nothing")
    with pytest.raises(SuiteError, match="has no set Bonn; it has long"):
        load("depthcrafter-figure-6", data={"Bonn": "x"})


@pytest.mark.parametrize("name", suite.shipped())
def test_suites_that_come_with_fathom_can_be_run(name, monkeypatch, tmp_path):
    """But for the data: every estimator exists and has these parameters."""
    monkeypatch.chdir(tmp_path)
    sets = [each["name"] for each in yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())["sets"]]
    found = load(name, data=dict.fromkeys(sets, "x"))
    for contender in found.estimators:
        resolve_parameters(registry.info(contender.estimator), contender.parameters)


def test_the_papers_ablations_come_with_fathom():
    assert {"depthcrafter-figure-6", "stereodiff-table-6"} <= set(suite.shipped())


@pytest.mark.parametrize(
    ("name", "folder"), [("+ initialization & stitching", "+_initialization_stitching"), ("a/b", "a_b"), ("..", "_")]
)
def test_names_become_folders(name, folder):
    assert slug(name) == folder and Path(folder).name == folder


BOMB = "a: &a [x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n" for before, after in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BOMB + GOOD, id="references to references"),
        pytest.param("&a [*a]", id="itself"),
        pytest.param("a: " + "[" * 20_000, id="deep"),
        pytest.param(GOOD + "runs: " + "9" * 5000, id="giant number"),
        pytest.param(GOOD + "runs: " + "9:" * 30_000 + "9", id="giant number in sixties"),
        pytest.param(GOOD + "title: " + "x" * 100_000, id="long"),
        pytest.param(GOOD + "runs: 1000000000", id="endless runs"),
        pytest.param(GOOD + "runs: .nan", id="no number"),
        pytest.param(GOOD + "title: 2001-99-99", id="no date"),
        pytest.param(GOOD + "title: !!python/object/apply:os.system [id]", id="a program"),
        pytest.param(GOOD + 'title: !!binary "%%%"', id="no bytes"),
        pytest.param("1: 2\n" + GOOD, id="a number as a field"),
        pytest.param("{[1]: 2}", id="a list as a field"),
        pytest.param("!!set {a, b}", id="a set"),
        pytest.param("<<: 5\n" + GOOD, id="merged with a number"),
        pytest.param('"\\e]0;x": 1\n' + GOOD, id="an escape"),
    ],
)
def test_a_suite_of_a_stranger_is_one_sentence_at_once(written, text):
    with pytest.raises(SuiteError) as told:
        written(text)
    assert len(str(told.value).splitlines()) == 1 and str(told.value).isprintable() and len(str(told.value)) < 2000


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", ".", "", "a\0b", "x" * 5000])
def test_what_is_no_file_is_no_suite(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(SuiteError):
        load(name)
