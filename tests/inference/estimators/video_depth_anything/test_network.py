"""Video Depth Anything's network against the reference's outputs, on weights that follow from their names."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from inference.estimators.video_depth_anything.network import UNUSED, VideoDepthAnything  # noqa: E402

CLOSE = 1e-4  # of an output's largest value


@pytest.fixture
def seen(network):
    """The values that modules gave, by their names, of the next call."""
    found, hooks = {}, []

    def keep(name):
        return lambda module, inputs, output: found.setdefault(name, []).append(output)

    for index, module in enumerate(network.head.motion_modules):
        hooks.append(module.register_forward_hook(keep(f"motion{index}")))
    hooks.append(network.pretrained.register_forward_hook(keep("layers")))
    yield found
    for hook in hooks:
        hook.remove()


def agrees(found, wanted):
    return np.abs(np.asarray(found) - wanted).max() <= CLOSE * np.abs(wanted).max()


def test_a_released_checkpoint_loads_as_it_is(golden, network):
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert shapes == golden["state_dict"]
    assert sum(each.numel() for each in network.parameters()) == golden["parameters"]
    with pytest.raises(RuntimeError, match="Missing key"):
        network.load_state_dict({name: value for name, value in network.state_dict().items() if "norm" not in name})
    assert all(any(name.startswith(each) for name in shapes) for each in UNUSED)


@pytest.mark.parametrize("case", ["eight", "batch", "one", "native", pytest.param("window", marks=pytest.mark.slow)])
def test_it_gives_the_references_maps(golden, network, normalized, case):
    facts = golden["forward"][case]
    frames = np.stack([normalized(facts, phase=7 * index) for index in range(facts["batch"])])
    with torch.inference_mode():
        found = network(torch.from_numpy(frames)).numpy()
    assert agrees(found[:, :, :: facts["stride"], :: facts["stride"]], golden["arrays"][f"forward_{case}_disparity"])


def test_it_gives_the_references_values_on_the_way(golden, network, normalized, seen):
    facts, arrays = golden["features"], golden["arrays"]
    frames = torch.from_numpy(normalized(facts))
    with torch.inference_mode():
        found = network(frames[None])[0].numpy()
        tokens = [each[0].numpy() for each in network.pretrained.tokens(frames[:1])]
        positions = network.pretrained.positions(facts["height"] // 14, facts["width"] // 14)[0].numpy()
    assert agrees(found, arrays["features_disparity"])
    assert agrees(positions, arrays["features_position"])
    for level in range(4):
        assert agrees(tokens[level][1:], arrays[f"features_layer{level}"])
        assert agrees(tokens[level][0], arrays[f"features_class{level}"])
        assert agrees(seen[f"motion{level}"][0].numpy().transpose(1, 0, 2, 3), arrays[f"features_motion{level}"])


def test_groups_of_frames_and_pixels_change_nothing(golden, network, normalized):
    frames = torch.from_numpy(normalized(golden["features"]))[None]
    with torch.inference_mode():
        at_once = network(frames)
        network.frames_at_once, network.pixels_at_once = 1, 7
        in_groups = network(frames)
    assert agrees(in_groups, at_once.numpy())


def test_a_fresh_network_treats_frames_one_by_one():
    """As before its training over time: every temporal module is the identity."""
    torch.manual_seed(1)
    network = VideoDepthAnything().eval()
    frames = torch.randn(1, 3, 3, 28, 42)
    with torch.inference_mode():
        together, alone = network(frames)[0], network(frames[:, 1:2])[0]
    assert torch.allclose(together[1], alone[0], atol=1e-6)


def test_it_can_be_stopped_between_frames(network):
    class Stop(Exception):
        pass

    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise Stop

    network.frames_at_once = 1
    with pytest.raises(Stop), torch.inference_mode():
        network(torch.zeros(1, 4, 3, 28, 28), check=check)


@pytest.mark.parametrize("shape", [(1, 33, 3, 28, 28), (1, 2, 3, 30, 28), (1, 2, 3, 28, 29)])
def test_frames_that_it_cannot_take_are_declined(network, shape):
    with pytest.raises(ValueError, match="not 1 to 32 frames of multiples of 14"):
        network(torch.zeros(shape))


def test_an_encoder_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no encoder 'vitg'; it is one of vits"):
        VideoDepthAnything("vitg")
