"""A worker that plans, does chunks and merges, by the estimator with phases."""

import json
from pathlib import Path

import pytest


class Farm:
    """The farm's commands on one output folder."""

    def __init__(self, worker, output):
        self.worker, self.output = worker, output

    def plan(self, clip, *more, frames=6, estimator="phased"):
        """Plan; returns the chunks."""
        arguments = ("--output", self.output, "--estimator", estimator, "--chunk-frames", frames, "--json", *more)
        done = self.worker("plan", clip, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["chunks"]

    def do(self, chunks=None, *more):
        numbers = () if chunks is None else ("--chunks", chunks)
        return self.worker("estimate", "--planned", self.output, *numbers, *more)

    def start(self, chunks, *more):
        return self.worker.fork("estimate", "--planned", self.output, "--chunks", chunks, *more)

    def merge(self, *more):
        return self.worker("merge", self.output, *more)

    def contents(self, folder=None):
        """A depth sequence's files by name, without the time that it took and the place of its clip."""
        folder = folder or self.output
        facts = json.loads((folder / "depth.json").read_text())
        del facts["seconds"], facts["source"]["path"]
        return {"depth.json": facts, **{path.name: path.read_bytes() for path in folder.glob("*.exr")}}


@pytest.fixture
def farm(worker, tmp_path):
    return Farm(worker, tmp_path / "planned")


@pytest.fixture(scope="session")
def whole(tmp_path_factory, worker_server, cut_clip, helpers):
    """The files of one run over the clip with a cut, by arguments."""
    made = {}

    def contents(*arguments):
        if arguments not in made:
            folder = tmp_path_factory.mktemp("whole")
            worker = helpers.Worker(tmp_path_factory.getbasetemp() / "home", worker_server)
            done = worker("estimate", cut_clip, "--output", folder, "--estimator", "phased", *arguments)
            assert done.returncode == 0, done.stderr
            made[arguments] = Farm(worker, folder).contents()
        return made[arguments]

    return contents


@pytest.fixture
def fathom(tmp_path):
    """A stand-in for the folder `inference`, whose program is the tests' worker, with their estimators."""
    folder = tmp_path / "fathom" / "inference"
    folder.mkdir(parents=True)
    worker = Path(__file__).resolve().parents[1] / "support" / "worker.py"
    (folder / "__main__.py").write_text(f"import runpy\nrunpy.run_path({str(worker)!r}, run_name='__main__')\n")
    return folder


@pytest.fixture
def bundle(worker, fathom, tmp_path):
    """Plans clips and writes their job; returns its folder, or where it fails with a `code` what is said."""

    def make(*clips, kind="openjd", estimator="phased", frames=15, more=(), code=0, here=True):
        output, folder = tmp_path / "depths", tmp_path / "bundle"
        arguments = ("--output", output, "--bundle", folder, "--estimator", estimator, "--chunk-frames", frames, *more)
        done = worker("bundle", kind, *clips, *arguments, *(("--farm-fathom", fathom) if here else ()))
        assert done.returncode == code, done.stderr
        return folder if code == 0 else done.stderr

    return make
