"""Mattes of a shot: what two passes of a recurrent network make of it, on a network of the test's own."""

import os
import subprocess
import sys

import numpy as np
import pytest

from inference.commands import main
from inference.common.failures import Cancelled, Failure
from inference.contract import environment, exit_codes
from inference.mattes import network
from inference.mattes.network import SCRATCH_FILES, mattes_of

HEIGHT, WIDTH = 6, 8


def shot(count):
    """Frames that are gray by their index."""
    return [np.full((HEIGHT, WIDTH, 3), 10 * index % 256, np.uint8) for index in range(count)]


class Learner:
    """A network that needs two frames before it sees anything; after them a matte is the image's brightness."""

    def __init__(self):
        self.order = []

    def __call__(self, image, state):
        seen = 0 if state is None else state
        self.order.append(int(image[0, 0, 0]) // 10)
        value = 1.0 if seen >= 2 else 0.0
        return np.full(image.shape[:2], value, np.float32), seen + 1


def made(folder, frames, network, check=lambda: None):
    done = []
    return mattes_of(frames, folder, load=lambda: network, check=check, progress=done.append), done


def test_a_shot_is_read_forwards_and_backwards_each_from_an_empty_state(tmp_path):
    network = Learner()
    _, done = made(tmp_path, shot(5), network)
    assert network.order == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]
    assert done == sorted(done) and done[-1] == 1.0


def test_what_one_pass_has_not_found_yet_the_other_has(tmp_path):
    found, _ = made(tmp_path, shot(5), Learner())
    assert len(found) == 5
    assert all(found.opacity(index).min() == 1 for index in (0, 1, 2, 3, 4))
    assert found[0].dtype == bool and found[0].shape == (HEIGHT, WIDTH) and found[0].all()


def test_where_both_have_found_somebody_the_mean_counts(tmp_path):
    answers = iter([0.2, 0.6, 0.7, 0.4])  # two frames forwards, then backwards

    def network(image, state):
        return np.full(image.shape[:2], next(answers), np.float32), None

    found, _ = made(tmp_path, shot(2), network)
    assert found.opacity(0)[0, 0] == pytest.approx(0.3, abs=0.005)
    assert found.opacity(1)[0, 0] == pytest.approx(0.65, abs=0.005)
    assert not found[0].any() and found[1].all()


def test_finished_mattes_are_used_again_without_the_network(tmp_path):
    made(tmp_path, shot(4), Learner())
    again = mattes_of(shot(4), tmp_path, load=lambda: 1 / 0, check=lambda: None, progress=lambda done: None)
    assert again[3].all()
    assert not list((tmp_path / "matte-forwards").iterdir()), "the first pass is not kept"


def test_a_cancelled_run_is_made_again_to_the_same_bits(tmp_path):
    calls = []

    def stop():
        calls.append(0)
        if len(calls) == 7:
            raise Cancelled

    with pytest.raises(Cancelled):
        made(tmp_path / "a", shot(5), Learner(), check=stop) if (tmp_path / "a").mkdir() is None else None
    made(tmp_path / "a", shot(5), Learner())
    (tmp_path / "b").mkdir()
    made(tmp_path / "b", shot(5), Learner())
    for index in range(5):
        name = f"matte/{index:06d}.npy"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


class Memory:
    """A network whose answer is what it has seen so far."""

    def __init__(self):
        self.calls = 0

    def __call__(self, image, state):
        self.calls += 1
        seen = float(state[0]) if state else 0.0
        now = 0.9 * seen + 0.1 * image.mean() / 255
        return np.full(image.shape[:2], now, np.float32), [np.array(now)]


@pytest.mark.parametrize("after", [20, 40, 55, 79])
def test_an_interrupted_pass_goes_on_where_its_memory_was_saved_to_the_same_bits(tmp_path, after):
    def stop():
        if first.calls == after:
            raise Cancelled

    first, second = Memory(), Memory()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(Cancelled):
        made(tmp_path / "a", shot(40), first, check=stop)
    made(tmp_path / "a", shot(40), second)
    assert first.calls + second.calls <= 80 + 15
    made(tmp_path / "b", shot(40), Memory())
    for index in range(40):
        name = f"matte/{index:06d}.npy"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not (tmp_path / "a" / "matte-state.npz").exists()


@pytest.mark.parametrize("damage", ["text", "frame", "number"])
def test_a_memory_that_cannot_be_is_not_believed(tmp_path, damage):
    def stop():
        if first.calls == 30:
            raise Cancelled

    first = Memory()
    with pytest.raises(Cancelled):
        made(tmp_path, shot(20), first, check=stop)
    if damage == "text":
        (tmp_path / "matte-state.npz").write_text("nothing")
    elif damage == "number":
        np.savez(tmp_path / "matte-state.npz", at=np.array([7, 3]))
    else:
        (tmp_path / "matte-forwards" / "000003.npy").unlink()
    again = Memory()
    found, _ = made(tmp_path, shot(20), again)
    assert again.calls == 40 and len(found) == 20


def test_the_estimators_scratch_files_include_the_mattes():
    from inference.estimators.parallax import INFO

    assert set(SCRATCH_FILES) <= set(INFO.scratch_files)


def test_the_network_itself_finds_nobody_in_noise():
    """Where it is installed: names and shapes are those of the file."""
    pytest.importorskip("onnxruntime", reason="the packages of requirements/mattes.txt are not installed")
    from inference import mattes
    from inference.mattes.network import RobustVideoMatting

    if mattes.missing():
        pytest.skip("the weights of the matte network are not downloaded")
    network, state = RobustVideoMatting(), None
    for seed in range(2):
        image = np.random.default_rng(seed).integers(0, 256, (90, 160, 3), dtype=np.uint8)
        opacity, state = network(image, state)
    assert opacity.shape == (90, 160) and opacity.min() >= 0 and opacity.mean() < 0.2


@pytest.fixture
def onnxruntime(tmp_path, monkeypatch):
    """Writes a package that takes ONNX Runtime's place."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    for name in environment.NO_TELEMETRY:
        monkeypatch.setenv(name, "0")
    yield (tmp_path / "onnxruntime.py").write_text
    sys.modules.pop("onnxruntime", None)


def test_the_runtime_is_told_to_report_nothing_before_it_is_imported(onnxruntime, monkeypatch):
    onnxruntime(
        "import os\n"
        "seen, told = os.environ['ORT_DISABLE_TELEMETRY'], []\n"
        "def disable_telemetry_events():\n"
        "    told.append(1)\n"
    )
    monkeypatch.setattr(network, "fixed_content", lambda path, file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        network.RobustVideoMatting()
    assert sys.modules["onnxruntime"].seen == "1" and sys.modules["onnxruntime"].told


def test_every_command_tells_all_libraries_to_report_nothing(monkeypatch, capsys):
    for name in environment.NO_TELEMETRY:
        monkeypatch.setenv(name, "0")
    main.main(["estimators"])
    assert {name: os.environ[name] for name in environment.NO_TELEMETRY} == environment.NO_TELEMETRY


def test_the_real_runtime_stores_no_id_and_opens_no_connection(tmp_path):
    pytest.importorskip("onnxruntime", reason="the packages of requirements/mattes.txt are not installed")
    script = "import time\nfrom inference.mattes.network import _imported\n_imported()\ntime.sleep(2)\n"
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), str(tmp_path))
    subprocess.run([sys.executable, "-c", script], env=os.environ | homes, check=True)
    assert not [path for path in tmp_path.rglob("*") if "nnx" in path.name]


def test_a_runtime_that_cannot_be_loaded_is_one_sentence_with_a_way_around(onnxruntime):
    onnxruntime("raise ImportError('DLL load failed while importing onnxruntime_pybind11_state')\n")
    with pytest.raises(Failure) as caught:
        network.RobustVideoMatting()
    assert caught.value.code == exit_codes.MISSING
    assert "installed but cannot be loaded (DLL load failed" in caught.value.what
    assert "mattes" in caught.value.hint and "install mattes" in caught.value.hint


@pytest.mark.parametrize(
    ("size", "scale"), [((360, 640), 0.8), ((48, 64), 1.0), ((1, 640), 1.0), ((4, 3000), 0.5), ((2160, 3840), 2 / 15)]
)
def test_images_of_any_shape_have_pixels_inside_the_network(size, scale):
    assert network.inside(*size) == pytest.approx(scale)
    assert int(min(size) * network.inside(*size)) >= 1
