"""An estimator for tests with two stages: the first is the frames' brightness, or another depth sequence; the second,
which needs the weights of `brightness`, adds 1 to it.
"""

from dataclasses import replace

import numpy as np

from inference.contract import depth_sequence
from inference.contract.catalogue import Parameter
from inference.estimators.base import EstimatorInfo, ShotResult, Variant
from inference.media.exr import read_map
from tests.inference.support.estimators.brightness import MODEL

INFO = EstimatorInfo(
    name="staged",
    label="Staged",
    summary="For tests only.",
    licence="GPL-3.0-or-later",
    quantity="relative_disparity",
    default_size=64,
    models=(MODEL,),
    variants=(Variant(parameter="stage", value="1", default_size=32),),
    parameters=(
        Parameter(name="stage", default="both", choices=("both", "1"), description="What is done."),
        Parameter(name="stage1_from", default="", depth_sequence=True, description="In the place of the first stage."),
        Parameter(name="pause", default=0.0, minimum=0.0, maximum=60.0, description="Seconds between frames."),
    ),
)


def info_for(parameters, has_mattes=False):
    facts = INFO.chosen(parameters)
    if parameters["stage1_from"]:
        given = depth_sequence.load(parameters["stage1_from"])
        facts = replace(facts, quantity=given.quantity)
    return facts


def estimate(shot):
    given, added = shot.parameters["stage1_from"], shot.parameters["stage"] == "both"
    for index, number in enumerate(shot.frames.numbers):
        shot.check()
        values = (shot.frames[index].astype(np.float32) / 255).mean(axis=2)
        if given:
            values = np.full_like(values, read_map(f"{given}/{depth_sequence.disparity_name(number)}").mean())
        shot.write(index, values + np.float32(added))
        shot.progress("staged", "Looking", index + 1, len(shot.frames))
    return ShotResult()
