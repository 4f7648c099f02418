from dataclasses import replace

import pytest

from inference.contract import export, records
from inference.contract.depth_sequence import DepthSequence, Range, Shot
from inference.contract.export import Export, Placement
from inference.contract.job import JobError, Source

WANTED = Export(depth="/depth", output="/out", format="exr")


def sequence(*, files=("street.1001.png", "street.1002.png"), shots=((1001, 1002),), quantity="inverse_depth"):
    spread = Range(minimum=0, maximum=1, p1=0.1, p99=0.5)
    source = Source(kind="sequence" if files else "movie", path="/a/street.mov", files=files, width=100, height=60)
    return DepthSequence(
        source=source,
        first_frame=shots[0][0],
        last_frame=shots[-1][1],
        width=50,
        height=30,
        quantity=quantity,
        shots=tuple(Shot(first_frame=a, last_frame=b, status="done", range=spread) for a, b in shots),
        estimator="e",
        fingerprint="f",
    )


def test_round_trip(tmp_path):
    placed = Placement(first_frame=3, line=((3, 1.0, 0.0),), far_limit=9.0, world=((1, 0, 0, 0),) * 4)
    wanted = replace(WANTED, placements=(placed,), plate=Source(kind="movie", path="/a.mov"), percentiles=(2.0, 98.0))
    export.save(wanted, tmp_path / "export.json")
    assert export.load(tmp_path / "export.json") == records.loads(
        Export, records.dumps(wanted), where="export", strict=True
    )


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "export.json").write_text('{"depth": 3}')
    with pytest.raises(JobError, match="is not an export"):
        export.load(tmp_path / "export.json")
    with pytest.raises(JobError, match="cannot be read"):
        export.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channel": "depth Z"}, r"\[\[channel\]\] must be letters"),
        ({"channel": "matte.A"}, "another channel"),
        ({"percentiles": (50.0, 50.0)}, "ascending"),
        ({"near": 1.0}, "belong together"),
        ({"near": 3.0, "far": 2.0}, r"\[\[near\]\] must be less"),
        ({"near": 1.0, "far": 20.0, "far_limit": 10.0}, "nothing is as far"),
        ({"first_frame": 5, "last_frame": 3}, "empty"),
        ({"output": ""}, "no output folder"),
        ({"scale": 0.0}, "scale must be at least"),
        ({"multiple": 1}, "multiple must be at least"),
        ({"placements": (Placement(first_frame=1, line=(), far_limit=1.0),)}, "frame order"),
    ],
)
def test_what_is_not_valid(change, words):
    with pytest.raises(JobError, match=words):
        export.validate(replace(WANTED, **change))


def test_names_follow_the_plate():
    one, two = sequence(), sequence(files=(), shots=((1, 9), (10, 20)))
    assert export.file_name("exr", one, frame=1001) == "street_depth.1001.exr"
    assert export.file_name("png", sequence(files=("s.000007.exr", "s.000008.exr")), frame=7) == "s_depth.000007.png"
    assert export.file_name("png", two, frame=7) == "street_depth.0007.png"
    assert export.file_name("chan", one, shot=one.shots[0]) == "street_camera.chan"
    assert export.file_name("usd", two, shot=two.shots[1]) == "street_camera_10-20.usdc"


def test_letters_that_act_in_a_terminal_are_not_in_names():
    source = replace(sequence().source, path="/a\x1b[2J\n\u202eb.mov", files=(), kind="movie")
    assert export.file_name("movie", replace(sequence(), source=source)).startswith("a_[2J__b_")


def test_sizes():
    assert export.image_size(WANTED, sequence()) == (100, 60)
    assert export.image_size(replace(WANTED, full_size=False), sequence()) == (50, 30)
    control = replace(WANTED, format="control", size=512, multiple=64)
    assert export.image_size(control, sequence()) == (512, 320)
    assert export.image_size(replace(WANTED, format="movie"), sequence()) == (50, 30)


def test_room_on_the_disk():
    assert export.estimated_bytes(WANTED, sequence()) == 2 * 6000 * 4
    assert export.estimated_bytes(replace(WANTED, half=True, confidence=True), sequence()) == 2 * 6000 * 2 * 2
    assert export.estimated_bytes(replace(WANTED, format="ply"), sequence()) == 2 * 1500 * 15
    one = replace(WANTED, first_frame=1002)
    assert export.estimated_bytes(one, sequence()) == 6000 * 4


def test_distances_of_shots():
    found = sequence()
    placed = export.placement(WANTED, found, found.shots[0])
    assert placed.line == ((1001, 1, 0),) and placed.far_limit == pytest.approx(40)
    relative = sequence(quantity="relative_disparity")
    with pytest.raises(JobError, match="relative"):
        export.placement(WANTED, relative, relative.shots[0])
    placed = export.placement(replace(WANTED, near=2.0, far=8.0), relative, relative.shots[0])
    ((_, slope, shift),) = placed.line
    assert 1 / (slope * 0.5 + shift) == pytest.approx(2) and 1 / (slope * 0.1 + shift) == pytest.approx(8)
    assert placed.far_limit == 80
