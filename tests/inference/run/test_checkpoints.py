"""What an estimator kept of a shot, damaged."""

import io
import weakref
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from inference.contract import exit_codes, own_files
from inference.contract.own_files import Names
from inference.depth_maps import temporal
from inference.run import checkpoints, shots
from tests.footage_maker import stills
from tests.marks import rest_slow


def saved(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def alone(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def declaring(shape):
    """A file whose header tells of more than it holds."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + b"\0" * 64


def packed():
    file = io.BytesIO()
    np.savez_compressed(file, mean=np.zeros((1000, 1000)))
    return file.getvalue()


def flipped():
    data = bytearray(saved(mean=np.ones((8, 8))))
    data[300] ^= 1
    return bytes(data)


def foreign():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../evil.npy", "no array")
    return file.getvalue()


WHOLE = {
    "several.npz": saved(mean=np.ones((8, 8)), next=3, names=np.array(["a", "bc"])),
    "one.npy": alone(np.ones((3, 4, 5), np.float32)),
    "empty.npy": alone(np.empty((0, 7))),
    "number.npy": alone(np.float64(3)),
}
DAMAGED = {
    "nothing.npz": b"",
    "nothing.npy": b"",
    "zeros.npz": b"\0" * 4096,
    "cut.npz": saved(mean=np.ones((64, 64)))[:9000],
    "cut.npy": alone(np.ones((64, 64)))[:-1],
    "longer.npy": alone(np.ones(4)) + b"\0",
    "flipped.npz": flipped(),
    "packed.npz": packed(),
    "pickled.npy": alone(np.array([{}], object), allow_pickle=True),
    "pickled.npz": saved(mean=np.array([{}], object)),
    "endless.npy": declaring((2**40, 2**20)),
    "negative.npy": declaring((-4, -4)),
    "foreign.npz": foreign(),
    "complex.npy": alone(np.ones(4, np.complex64)),
    "foreign order.npy": alone(np.ones(4, np.dtype(np.float32).newbyteorder())),
    "text.npy": b"\x93NUMPY\x01\0\x10\0" + b"__import__('os')",
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_stays(tmp_path, name):
    (tmp_path / name).write_bytes(WHOLE[name])
    assert checkpoints.is_whole(tmp_path / name)


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_found(tmp_path, name):
    (tmp_path / name).write_bytes(DAMAGED[name])
    assert not checkpoints.is_whole(tmp_path / name)


def test_only_damaged_files_of_our_names_go(tmp_path):
    folder = tmp_path / "shot.0001-0006"
    (folder / "look").mkdir(parents=True)
    for name in ("mean.npz", "look/000001.npz", "theirs.npz", "look/000002.npz", ".tmp-77-mean.npz"):
        (folder / name).write_bytes(b"")
    (folder / "look" / "000002.npz").write_bytes(WHOLE["several.npz"])
    names = Names(("shot.####-####/mean.npz", "shot.####-####/look/######.npz"))
    dropped = checkpoints.drop_damaged(folder, names, check=lambda: None)
    assert {path.name for path in dropped} == {"mean.npz", "000001.npz"}
    assert sorted(path.name for path in folder.rglob("*.npz")) == [".tmp-77-mean.npz", "000002.npz", "theirs.npz"]


FOREIGN = {
    "another size": {"mean": np.ones((3, 5)), "next": np.array(2)},
    "text": {"mean": np.full((48, 64), "x"), "next": np.array("x")},
    "another name": {"median": np.ones((48, 64))},
    "no list": {"mean": np.array(1.0), "next": np.array([1, 2])},
    "the end": {"mean": np.ones((48, 64)), "next": np.array(8)},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", rest_slow([DAMAGED["cut.npz"], *FOREIGN, DAMAGED["nothing.npz"], DAMAGED["pickled.npz"]])
)
def test_a_run_makes_again_what_it_cannot_use(content, worker, tmp_path, helpers):
    """What is damaged, and whole arrays that are not the estimator's."""
    plate, folder = stills(tmp_path / "plate", range(1, 9))[0], tmp_path / "depth"
    options = ("--parameter", "pause=0.25")
    process = worker.fork("estimate", plate, "--output", folder, "--estimator", "running_mean", *options)
    helpers.wait_for((folder / "disparity.0003.exr").exists, "a map")
    process.kill()
    process.wait()
    kept = folder / ".fathom" / "shot.0001-0008" / "mean.npz"
    kept.write_bytes(content if isinstance(content, bytes) else saved(**FOREIGN[content]))
    done = worker.estimate(plate, folder, *options)
    assert done.returncode == exit_codes.OK, done.stderr
    if isinstance(content, bytes):
        assert f"{kept} from an earlier run cannot be read and will be made again" in done.stderr
    else:
        assert "What an earlier run left of this shot cannot be used (" in done.stderr
    assert worker.estimate(plate, tmp_path / "fresh", *options).returncode == exit_codes.OK
    maps = sorted((tmp_path / "fresh").glob("*.exr"))
    assert len(maps) == 16 and all(each.read_bytes() == (folder / each.name).read_bytes() for each in maps)


def test_what_an_earlier_run_left_survives_a_gpu_that_fails(worker, tmp_path):
    plate, folder = stills(tmp_path / "plate", range(1, 9))[0], tmp_path / "depth"
    options = ("--parameter", "trouble=driver")
    kept = folder / ".fathom" / "shot.0001-0008" / "mean.npz"
    worker.environment["FATHOM_TEST_DRIVER"] = "lost"
    for _ in range(2):  # the second run goes on from what the first has left
        done = worker.estimate(plate, folder, *options)
        assert done.returncode == exit_codes.FAILED and "CUDA error" in done.stderr
        assert "cannot be used" not in done.stderr
        with np.load(kept) as file:
            assert int(file["next"]) == 2
    worker.environment["FATHOM_TEST_DRIVER"] = ""
    assert worker.estimate(plate, folder, *options).returncode == exit_codes.OK


def test_text_where_a_compiled_loop_needs_numbers_may_be_that_of_checkpoints():
    text = np.full((2, 3, 4), "0.5")
    with pytest.raises(Exception, match="nopython") as found:
        temporal.settle(text, np.ones(text.shape, np.float32))
    assert shots.may_be_of_checkpoints(found.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("operands could not be broadcast together"), True),
        (KeyError("mean"), True),
        (IndexError("index 31 is out of bounds"), True),
        (RuntimeError("The size of tensor a (5) must match the size of tensor b (6)"), True),
        (NotImplementedError("\"upsample_bilinear2d\" not implemented for 'Int'"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (RuntimeError("CUDA driver error: unknown error"), False),
        (RuntimeError("can't start new thread"), False),
        (type("AcceleratorError", (RuntimeError,), {})("unspecified launch failure"), False),
        (MemoryError(), False),
        (OSError(5, "Input/output error"), False),
        (ImportError("DLL load failed"), False),
    ],
)
def test_only_errors_of_arrays_may_be_those_of_checkpoints(error, expected):
    assert shots.may_be_of_checkpoints(error) == expected


def test_a_second_attempt_holds_nothing_of_the_first(tmp_path, monkeypatch):
    """Neither a GPU's memory nor files, which Windows does not delete while they are open."""
    held, attempts = [], []

    class Array:
        pass

    class Frames(list):
        numbers = range(8)

    def attempt(task, info, parameters, inputs, maps, *, learned):
        attempts.append([each() for each in held])
        if len(attempts) == 1:
            array = Array()
            array.itself = array
            held.append(weakref.ref(array))
            raise ValueError("another shape")
        return "done"

    cleared = []
    monkeypatch.setattr(shots, "_attempt", attempt)
    monkeypatch.setattr(shots, "_warn", lambda task, label, message: None)
    monkeypatch.setattr(own_files, "clear", lambda folder, names: cleared.append([each() for each in held]))
    task = SimpleNamespace(check=lambda: None, unsupported={})
    inputs = SimpleNamespace(frames=Frames(range(8)), is_resumed=True, label="", scratch=tmp_path)
    info = SimpleNamespace(name="any", minimum_frames=1, uses_poses=False)
    assert shots._estimated(task, info, {}, inputs, None, learned=None) == "done"
    assert attempts == [[], [None]] and cleared == [[None]]
