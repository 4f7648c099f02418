"""What is on the device while a stage runs."""

from __future__ import annotations

import pytest
import torch

from inference.common.failures import Failure
from inference.video_diffusion.execution.plan import Plan
from inference.video_diffusion.networks import Networks
from inference.video_diffusion.placement import Placement

DEVICE = torch.device("meta")
AWAY = Plan(networks_on_host=True)


class Part(torch.nn.Module):
    """A network without weights that knows where it was sent, and that finds no room there for `crowded` times."""

    def __init__(self, *, crowded=0, **parts):
        super().__init__()
        self.where, self.crowded = "cpu", crowded
        for name, part in parts.items():
            setattr(self, name, part)

    def _apply(self, function, recurse=True):
        where = function(torch.empty(0)).device.type
        if where == DEVICE.type and self.crowded:
            self.crowded -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.where = where
        for part in self.children():
            part._apply(function)
        return self


def networks(*, crowded=0):
    vae = Part(encoder=Part(), quant_conv=Part(), decoder=Part())
    return Networks(unet=Part(crowded=crowded), vae=vae, image_encoder=Part(), scheduler=None)


def there(given):
    parts = {
        "unet": given.unet,
        "encoder": given.vae.encoder,
        "decoder": given.vae.decoder,
        "clip": given.image_encoder,
    }
    return {name for name, part in parts.items() if part.where == DEVICE.type}


def placed(given, plan, smaller=None, warn=lambda message: None):
    return Placement(given, DEVICE, plan, smaller=lambda plan: smaller, warn=warn)


def test_networks_stay_where_there_is_room_and_come_and_go_where_there_is_not():
    seen = []
    for plan in (Plan(), AWAY, Plan(networks_on_host=True, blocks_on_host=True)):
        given = networks()
        placement = placed(given, plan)
        for stage in ("encode", "denoise", "decode"):
            with placement.during(stage):
                seen.append(there(given))
        seen.append(there(given))
    everything = {"unet", "encoder", "decoder", "clip"}
    assert seen == [
        *({"encoder", "clip"}, {"encoder", "clip", "unet"}, everything, everything),
        *({"encoder", "clip"}, {"unet"}, {"decoder"}, set()),
        *({"encoder", "clip"}, set(), {"decoder"}, set()),
    ]


def test_what_an_earlier_shot_left_on_the_device_makes_way_for_a_larger_one():
    given = networks()
    with placed(given, Plan()).during("denoise"):
        pass
    with placed(given, AWAY).during("encode"):
        assert there(given) == {"encoder", "clip"}


def test_lack_of_memory_for_a_network_itself_steps_the_plan_down():
    given, warnings = networks(crowded=1), []
    placement = placed(given, Plan(), AWAY, warnings.append)
    with placement.during("encode"):
        pass
    with placement.during("denoise"):
        assert there(given) == {"unet"}
    assert placement.plan == AWAY and len(warnings) == 1


def test_lack_of_memory_for_a_network_in_the_smaller_plan_ends_in_a_sentence():
    given = networks(crowded=2)
    with pytest.raises(Failure, match="memory ran out"), placed(given, Plan(), AWAY).during("denoise"):
        pytest.fail("the stage must not begin")
    assert there(given) == set()
