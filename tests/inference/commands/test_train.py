"""The verb ``train``: what it declines, and what it prints of the clips."""

import pytest

from inference.commands import train
from inference.commands.main import main
from inference.contract import exit_codes, packages
from inference.run import stop
from tests.inference.support import training_clips

pytest.importorskip("tensorboard", reason="the packages of training are not installed")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(stop, "listen_to_signals", lambda asked: None)

    def run(*words, network="depthcrafter", data=tmp_path / "clips" / "clips.yaml"):
        code = main(["train", network, "--stage", "1", "--data", str(data), *map(str, words)])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


@pytest.fixture
def clips(tmp_path):
    training_clips.write_set(tmp_path / "clips", clips=2)
    training_clips.write_clip(tmp_path / "clips" / "other", frames=1)
    return tmp_path / "clips"


def test_missing_packages_are_named_with_the_command(run, clips, monkeypatch):
    monkeypatch.setattr(packages, "importable", lambda module: module != "tensorboard")
    code, _, said = run()
    assert code == exit_codes.MISSING
    assert said.startswith("Training needs packages that are not installed: tensorboard. Run: ")
    assert said.rstrip().endswith("install full training") and len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "A training needs --from WEIGHTS."),
        (("--parameter", "stepz=1"), "The training of depthcrafter has no parameter 'stepz'"),
        (("--parameter", "batch=0"), "at least 1"),
        (("--parameter", "width=100"), "multiples of 64"),
        (("--parameter", "shortest=20"), "None of the 2 clips can be trained on."),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(run, clips, words, said):
    code, _, text = run(*words)
    assert code in (exit_codes.USAGE, exit_codes.MISSING) and said in text and "Traceback" not in text


def test_a_check_lists_the_clips_and_trains_nothing(run, clips, monkeypatch):
    from inference.training import cost

    monkeypatch.setattr(cost, "sentences", lambda settings, clips: [f"A GPU needs much for {clips}."])
    depth = clips / "clip-1" / "depth" / "00001.png"
    depth.write_bytes(depth.read_bytes()[:50])
    code, printed, said = run("--check", "--parameter", "shortest=2")
    assert code == exit_codes.OK, said
    assert "squares, clip-0" in printed and "64x64" in printed
    assert "frame 1 cannot be read" in printed
    assert "1 clips with 6 frames can be trained on." in printed and "A GPU needs much for 1." in printed


def test_a_missing_network_is_named(run, clips, at_home):
    code, _, said = run("--from", clips, "--output", clips / "out", "--parameter", "longest=3")
    assert code == exit_codes.USAGE and f"{clips} has no config.json of a network." in said


def test_the_parameters_are_listed_with_their_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    assert "learning_rate" in printed and "[1e-05]" in printed and "80000, 40000, 10000 by stage (4.1)" in printed


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    from inference.models import notes
    from inference.video_diffusion.weights import SVD
    from tests.inference.support import tiny_models

    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FATHOM_WEIGHTS", str(tiny_models.write(tmp_path / "studio")))
    notes.accept(SVD)


def test_folders_of_weights_are_found(tmp_path):
    for name in ("unet", "model"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / name / "config.json").write_text("{}")
        assert train._folder(str(tmp_path / name)) == tmp_path / name / name
        assert train._folder(str(tmp_path / name / name)) == tmp_path / name / name
