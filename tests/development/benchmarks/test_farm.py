"""The figures of a job in chunks, from what its processes cost."""

from types import SimpleNamespace

from development.benchmarks.farm import Cost, Phase, make_clip, report

OPTIONS = SimpleNamespace(estimator="parallax", frames=200, width=640, height=360, workers=2)


def test_figures_follow_from_the_costs_of_processes(capsys):
    camera = Phase("camera", "Solving the camera", [0], {0: (0, Cost(30.0, 30.0))}, clock=30.0)
    costs = {1: (0, Cost(40.0, 40.0)), 2: (1, Cost(60.0, 60.0)), 3: (0, Cost(20.0, 20.0))}
    match = Phase("match", "Matching", [1, 2, 3], costs, clock=61.0)
    assert (match.processor, match.longest(2)) == (120.0, 60.0)
    report(OPTIONS, Cost(150.0, 150.0), Cost(2.0, 2.0), [camera, match], Cost(1.0, 1.0))
    said = capsys.readouterr().out
    assert "4 chunks" in said and "153.0 s of the processor: 1.020 times one process" in said
    assert "2 workers are 2.00 times as fast as one" in said
    assert "2 workers: 1.61 times as fast by processor time, 1.60 by the clock; serial 33.0 s of 93.0 s" in said
    assert "divided phases 0.02 h instead of 1.7 h, all else 0.46 h" in said


def test_the_clip_is_a_sequence_of_so_many_frames(tmp_path):
    clip = make_clip(tmp_path / "clip", 3, (32, 24))
    assert [path.name for path in sorted(clip.iterdir())] == [f"dolly.{number:04d}.png" for number in (1, 2, 3)]
