"""The loop with tiny networks: which layers change, resuming to the same bits, and the model that comes of it."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from inference.common.failures import Cancelled, Failure
from inference.contract import exit_codes
from inference.estimators import registry
from inference.models import trained
from inference.training import loop, objective, output
from inference.training.examples import load_tensors
from tests.inference.support import training_clips

ROOT = Path(__file__).parents[3]


def run(training, *, stop_after=None, **options):
    """Train; after so many steps it is cancelled. Returns the figures of all steps."""
    figures = []

    def notice(step, found):
        figures.append((step, dict(found)))

    def check():
        if stop_after is not None and any(step == stop_after for step, _ in figures):
            raise Cancelled

    events = []
    loop.train(training, emit=events.append, check=check, notice=notice, **options)
    return figures, events


def weights(training):
    return load_file(training.output / output.MODEL / trained.WEIGHTS)


def began_with(training):
    return load_file(training.unet / trained.WEIGHTS)


def beside(one, other):
    assert set(one) == set(other)
    return {name: (one[name], other[name]) for name in one}


def assert_equal(one, other):
    assert not [name for name, pair in beside(one, other).items() if not torch.equal(*pair)]


@pytest.mark.parametrize(("stage", "changes"), [(1, "all"), (2, "temporal"), (3, "spatial")])
def test_a_stage_changes_its_layers_alone(training, stage, changes):
    made = training(stage, ema=0.0, steps=1, held=False)
    run(made)
    before, after = began_with(made), weights(made)
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    own = {name for name in before if changes == "all" or objective.is_temporal(name) == (changes == "temporal")}
    assert changed <= own
    still = {name.rpartition(".")[0] for name in own - changed}
    # a softmax over the single token is constant, so what asks for it learns nothing
    assert all("attn2" in name or "norm2" in name for name in still)


@pytest.fixture
def uninterrupted(training):
    made = training(steps=3, batch=2, output="whole", held=False)
    figures, _ = run(made)
    return made, figures


def test_a_cancelled_training_resumes_to_the_same_bits(training, uninterrupted):
    whole, figures = uninterrupted
    made = training(steps=3, batch=2, output="cut", held=False, save_every=2)
    with pytest.raises(Cancelled):
        run(made, stop_after=2)
    assert [path.name for path in output.checkpoints(made.output)] == ["step-00000002"]
    resumed, _ = run(made)
    assert [step for step, _ in resumed] == [3] and resumed == figures[2:]
    assert [path.name for path in output.checkpoints(whole.output)] == ["step-00000002", "step-00000003"]
    assert_equal(weights(whole), weights(made))
    last = [output.checkpoints(each.output)[-1] for each in (whole, made)]
    states = [torch.load(each / "optimizer.bin", weights_only=True) for each in last]
    for one, other in zip(states[0]["state"].values(), states[1]["state"].values(), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    averages = [load_tensors(each / output.AVERAGE) for each in last]
    assert averages[0][1] == averages[1][1] == {"done": 3}
    assert all(torch.equal(tensor, averages[1][0][name]) for name, tensor in averages[0][0].items())


def test_a_finished_training_says_so_and_more_steps_follow(training):
    made = training(steps=1, held=False)
    run(made)
    figures, events = run(made)
    assert not figures and any("All 1 steps were done before" in getattr(each, "message", "") for each in events)
    figures, _ = run(training(steps=2, held=False))
    assert [step for step, _ in figures] == [2]


def test_another_training_in_the_folder_is_declined(training, studio):
    run(training(steps=1, held=False))
    with pytest.raises(Failure, match="has a training with other batch, learning_rate"):
        run(training(steps=1, batch=2, learning_rate=1e-4, held=False))
    with pytest.raises(Failure, match="has a training with other stage, trained"):
        run(training(2, steps=1, held=False))


@pytest.mark.parametrize(
    "name",
    [
        *("cache", "log", "model"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("checkpoints/.unfinished", "validation.jsonl", "validation-00000001")
        ),
    ],
)
def test_nothing_is_written_through_a_link(training, tmp_path, monkeypatch, name):
    made = training(steps=1, held=name.startswith("validation"))
    monkeypatch.setattr(loop.validation, "measured", lambda *arguments, **options: {"delta1": 1.0})
    theirs = tmp_path / "theirs"
    if name.endswith(".jsonl"):
        theirs.write_text("theirs")
    else:
        theirs.mkdir()
    (made.output / name).parent.mkdir(parents=True)
    (made.output / name).symlink_to(theirs)
    with pytest.raises(Failure, match="is a link"):
        run(made)
    assert theirs.read_text() == "theirs" if theirs.is_file() else not list(theirs.iterdir())


@pytest.mark.slow
def test_what_a_run_killed_after_its_last_checkpoint_lacks_is_written_when_it_resumes(training, monkeypatch):
    made = training(steps=2)
    monkeypatch.setattr(loop.validation, "measured", lambda *arguments, **options: {"delta1": 1.0})
    whole = training(steps=2, output="whole")
    run(whole)
    write, written = output.save_model, []

    def killed(*arguments, **options):
        if options["steps"] == 2:
            raise Cancelled
        written.append(write(*arguments, **options))

    monkeypatch.setattr(output, "save_model", killed)
    with pytest.raises(Cancelled):
        run(made)
    assert output.checkpoints(made.output)[-1].name == "step-00000002" and len(written) == 1
    assert trained.read(made.output / output.MODEL).steps == 1
    monkeypatch.setattr(output, "save_model", write)
    run(made)
    assert trained.read(made.output / output.MODEL).steps == 2
    assert_equal(weights(whole), weights(made))
    lines = (whole.output / output.VALIDATION).read_text()
    assert lines and (made.output / output.VALIDATION).read_text() == lines
    run(made)
    assert (made.output / output.VALIDATION).read_text() == lines, "it is measured once"


def test_a_disk_that_fills_up_is_a_sentence(training, monkeypatch):
    import safetensors.torch

    def full(*arguments):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(Failure, match="The disk is full") as caught:
        run(training(steps=1, held=False, cache=False))
    assert caught.value.code == exit_codes.BAD_OUTPUT


@pytest.mark.parametrize("name", ["model/diffusion_pytorch_model.safetensors", "checkpoints/step-00000007/theirs"])
def test_weights_of_somebody_else_in_the_folder_are_left_alone(training, name):
    made = training(steps=1, held=False)
    (made.output / name).parent.mkdir(parents=True)
    (made.output / name).write_text("theirs")
    with pytest.raises(Failure, match=r"has files, and .* has no training\.json"):
        run(made)
    assert (made.output / name).read_text() == "theirs"


def test_a_folder_of_a_measurement_s_name_with_other_files_stays(training, monkeypatch):
    monkeypatch.setattr(loop.validation, "measured", lambda *arguments, **options: {"delta1": 1.0})
    made = training(steps=1)
    theirs = made.output / "validation-00000001" / "notes.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    with pytest.raises(Failure, match="has files that Fathom has not made"):
        run(made)
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize("change", ["file", "repeat", "unknown"])
def test_a_training_is_not_resumed_with_other_data_under_the_same_names(training, tmp_path, change):
    file = training_clips.write_set(tmp_path / "clips", clips=2)
    made = training(steps=2, held=False, file=file)
    output.prepare(made)
    output.prepare(training(steps=2, held=False, file=file))
    if change == "file":
        image = file.parent / "clip-1" / "rgb" / "00003.png"
        image.write_bytes((file.parent / "clip-0" / "rgb" / "00000.png").read_bytes() + b"0")
    clips = [dataclasses.replace(clip, is_far=change == "unknown") for clip in made.clips]
    other = dataclasses.replace(made, clips=clips, repeats=[1, 3 if change == "repeat" else 1])
    with pytest.raises(Failure, match="has a training with other files of its clips"):
        output.prepare(other)


def test_a_torn_checkpoint_is_named(training):
    made = training(steps=1, held=False)
    run(made)
    (output.checkpoints(made.output)[-1] / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(Failure, match=r"checkpoint .*step-00000001 cannot be read.*Delete it"):
        run(training(steps=2, held=False))


class _Runs:
    """Pickled, it makes a file where it is read."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizer.bin", "random_states_0.pkl"])
def test_a_checkpoint_of_somebody_else_runs_nothing(training, tmp_path, name):
    made = training(steps=1, held=False)
    run(made)
    file = output.checkpoints(made.output)[-1] / name
    assert file.is_file()
    torch.save({"state": _Runs(tmp_path / "ran")}, file)
    with contextlib.suppress(Failure):  # the states of generators are not needed
        run(training(steps=2, held=False))
    assert not (tmp_path / "ran").exists()


def test_the_gradient_of_a_batch_is_the_mean_of_its_sequences(training, tiny_networks):
    made = training(batch=3, gradient_norm=0.0)
    denoiser = objective.Denoiser(tiny_networks.unet.train())
    objective.choose_layers(tiny_networks.unet, "all")
    from inference.training.examples import Examples

    found = Examples(made.settings, made.clips, made.repeats, tiny_networks, device=torch.device("cpu"), cache=None)
    parts = []
    for number in range(3):
        denoiser.zero_grad()
        example = found[number]
        draw = objective.drawn(made.settings, example, number)
        objective.loss(denoiser, example, draw, device=torch.device("cpu")).backward()
        parts.append({name: each.grad.clone() for name, each in denoiser.named_parameters()})
    seen = {}

    class Watching(torch.optim.SGD):
        def step(self, closure=None):
            seen.update({id(each): each.grad.clone() for group in self.param_groups for each in group["params"]})

    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3)
    network, optimizer = accelerator.prepare(denoiser, Watching(denoiser.parameters(), lr=0.0))
    state = loop._State(
        training(batch=3, gradient_norm=0.0, ema=0.0), accelerator, network, optimizer, None, _check, None
    )
    denoiser.zero_grad()
    state._step(found, 0)
    for name, each in denoiser.named_parameters():
        mean = (parts[0][name] + parts[1][name] + parts[2][name]) / 3
        torch.testing.assert_close(seen[id(each)], mean, rtol=1e-4, atol=1e-6)


def _check():
    pass


@pytest.mark.slow
def test_gradient_checkpointing_changes_nothing(training):
    plain, saving = (training(steps=1, ema=0.0, output=name, held=False, checkpointing=name == "b") for name in "ab")
    run(plain), run(saving)
    for name, (one, other) in beside(weights(plain), weights(saving)).items():
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=name)


def test_the_model_is_the_average_and_names_what_it_was_made_of(training):
    made = training(save_every=2, ema=0.999, held=False)
    run(made)
    tensors, _ = load_tensors(output.checkpoints(made.output)[-1] / output.AVERAGE)
    last = load_file(output.checkpoints(made.output)[-1] / "model.safetensors")
    model = weights(made)
    assert torch.equal(model["conv_in.weight"], tensors["0"])  # the first of the network's parameters
    assert not torch.equal(model["conv_in.weight"], last["unet.conv_in.weight"])
    record = trained.read(made.output / output.MODEL)
    assert (record.name, record.network, record.stage, record.steps) == ("squares", "depthcrafter", 1, 2)
    assert record.licence.title == "For tests" and [each.name for each in record.data] == ["squares"]
    declared = registry.info("stereodiff"), registry.info("depthcrafter")
    for info in declared:
        parameters = {each.name: each.default for each in info.parameters}
        chosen = registry.info_for(info.name, parameters | {"weights": str(made.output / output.MODEL)})
        used = {model.repository: model.licence.title for model in chosen.models}
        assert used["trained/squares"] == "For tests" and "tencent/DepthCrafter" not in used


@pytest.mark.slow
def test_held_clips_are_measured_by_the_estimator(training, at_home):
    made = training(steps=2, validate_every=1)
    figures, _ = run(made)
    lines = [json.loads(line) for line in (made.output / output.VALIDATION).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        assert 0 < line["absolute_relative"] < 2 and 0 < line["flat_absolute_relative"] < 2
        assert 0 <= line["delta1"] <= 1
    assert len({line["flat_absolute_relative"] for line in lines}) == 1, "a constant depth owes nothing to the model"
    assert not list(made.output.glob("validation-*"))
    assert [step for step, found in figures if "absolute_relative" in found] == [1, 2]
    assert list((made.output / output.LOG).glob("events.*"))


def test_a_batch_must_be_divisible_and_a_device_there(training, monkeypatch):
    with pytest.raises(Failure, match=r"GPU|device"):
        run(training(device="cuda", held=False))


@pytest.mark.slow
def test_stages_follow_each_other_and_serve_the_estimator(training, at_home, tmp_path, clips_file):
    from inference.contract.job import Job
    from inference.media.source import describe
    from inference.run.runner import estimate

    first = training(1, steps=1, output="first", held=False)
    run(first)
    second = training(2, steps=1, output="second", unet=first.output / output.MODEL, held=False)
    run(second)
    record = trained.read(second.output / output.MODEL)
    assert [each.name for each in record.trained_from][:1] == ["squares"] and record.stage == 2
    job = Job(
        source=describe(clips_file.parent / "clip-0" / "rgb"),
        output=str(tmp_path / "depth"),
        estimator="depthcrafter",
        parameters={"weights": str(second.output / output.MODEL), "steps": 1, "device": "cpu"},
    )
    sequence = estimate(job, emit=lambda event: None)
    used = {each.repository: each for each in sequence.weights}
    assert used["trained/squares"].licence == "For tests" and "tencent/DepthCrafter" not in used


@pytest.mark.slow
def test_the_loss_falls(training, tmp_path):
    file = training_clips.write_set(tmp_path / "one", clips=1)
    made = training(
        file=file,
        steps=60,
        save_every=60,
        variants=1,
        learning_rate=2e-3,
        shortest=2,
        noise_deviation=0.3,
        condition_dropout=0.0,
        held=False,
    )
    figures, _ = run(made)
    losses = [found["loss"] for _, found in figures if "loss" in found]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def command(training, file, *more):
    values = {name: value for name, value in vars(training.settings).items() if name != "trained"}
    words = [word for name, value in values.items() for word in ("--parameter", f"{name}={value}")]
    return [
        *("train", training.network, "--stage", str(training.stage), "--data", str(file)),
        *("--from", str(training.unet), "--output", str(training.output), *words, *more),
    ]


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bits(training, at_home, clips_file, helpers):
    whole = training(steps=6, save_every=2, output="whole")
    made = training(steps=6, save_every=2, output="killed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "inference"]
    done = subprocess.run(
        [*words, *command(whole, clips_file)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen([*words, *command(made, clips_file)], cwd=ROOT, env=environment)
    helpers.wait_for(lambda: output.checkpoints(made.output) or process.poll() is not None, "a checkpoint", 120)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert output.checkpoints(made.output) and not (made.output / output.VALIDATION).exists()
    done = subprocess.run(
        [*words, *command(made, clips_file)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_equal(weights(whole), weights(made))
    lines = [(each.output / output.VALIDATION).read_text() for each in (whole, made)]
    assert lines[0] == lines[1]


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(training, at_home, clips_file):
    one, two = (training(batch=2, output=name, held=False, ema=0.0) for name in ("one", "two"))
    run(one)
    launch = "-m accelerate.commands.launch --cpu --num_processes 2 --num_machines 1 --mixed_precision no"
    launch += " --dynamo_backend no --main_process_port 29517 -m inference"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *launch.split(), *command(two, clips_file)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    before = began_with(one)
    for name, (own, other) in beside(weights(one), weights(two)).items():
        step = (own - before[name]).abs().max()
        torch.testing.assert_close(own, other, rtol=1e-4, atol=max(1e-6, 0.02 * float(step)), msg=name)
