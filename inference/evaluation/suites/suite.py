"""A suite: many clips and many estimators, measured by one protocol, described in a YAML file.

::

    title: Two ways over the benchmark
    protocol: stereodiff          # plain (default), depthcrafter or stereodiff
    runs: 2                       # with seeds 0, 1 …; tables have mean and standard deviation (default: 1)
    metrics: [absolute_relative, root_mean_square, delta1]   # the table's columns (this is the default)
                                  # also delta2, delta3, boundary, boundary_near; with a true camera path distance,
                                  # warp_error, flicker
    reference: StereoDiff         # also tables of its difference to each other row, by region
    bands: true                   # also tables of the errors by frequency
    by_clip: true                 # also a table of all clips (there is one anyway where a figure is missing)
    flat: true                    # also a row with the score of a constant depth per shot, as a baseline
    work: somewhere               # clips and estimates are kept here (default: the suite's name, beside it)
    sets:
      - name: Bonn
        layout: bonn              # one of `protocols.LAYOUTS`
        truth: /data/bonn         # or on the command line: --data Bonn=/data/bonn
        only: [rgbd_bonn_balloon] # names of clips (default: all that the protocol measures)
        masks: /data/bonn_masks   # masks of dynamic objects, for ground truth without any
        rendering: final          # Sintel's images: clean (default) or final
        protocol: depthcrafter    # overrides the suite's
        size: 640                 # long side that estimators work at (default: their own)
    estimators:
      - name: StereoDiff          # as tables call it
        estimator: stereodiff
        parameters: {reach: 3}
        size: 768                 # overrides the set's
        camera: lens              # its input has the true lens, or the whole "path" (default: unknown)
      - name: elsewhere           # existing depth sequences, estimated from the prepared clips
        depth: /made/{set}/{clip} # and {run}

Paths are relative to the suite's file. Estimates of an earlier run of the same suite are reused, unless the clip's
images have changed since.

`known_camera` is the part of a clip's true camera that is input of an estimator: nothing, the lens, or the whole path.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...common import yaml_file
from ...contract import records
from ...contract.camera import Camera, Pose
from ...contract.job import SMALLEST_SIZE
from ...contract.untrusted import RecordError, in_a_line, read_text
from ..accuracy import metrics
from ..accuracy.metrics import MetricsError
from ..datasets import protocols
from ..datasets.ground_truth import GroundTruth

FLAT = "one depth for a shot"
"""Name of the row of `Suite.flat` in tables."""
SHIPPED = Path(__file__).resolve().parent
_LARGEST = 1 << 16
"""Most characters of a suite's file."""
_MOST_RUNS = 1000
KINDS = ("unknown", "lens", "path")


class SuiteError(ValueError):
    """A suite that cannot be run; the message is one sentence with a hint, on one line."""

    def __init__(self, message: str) -> None:
        super().__init__(in_a_line(message, most=1000))


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Clips with ground truth: columns of the table; see the module."""

    name: str
    layout: str = "folder"
    truth: str = ""
    only: tuple[str, ...] = ()
    masks: str = ""
    rendering: str = "clean"
    protocol: str = ""
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An estimator with its parameters, or depth sequences made before: a row of the table."""

    name: str
    estimator: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    size: int | None = None
    camera: str = "unknown"
    depth: str = ""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The content of a suite's file; see the module. `file` is its path."""

    sets: tuple[DataSet, ...]
    estimators: tuple[Contender, ...]
    title: str = ""
    protocol: str = "plain"
    runs: int = 1
    metrics: tuple[str, ...] = ("absolute_relative", "root_mean_square", "delta1")
    reference: str = ""
    bands: bool = False
    by_clip: bool = False
    flat: bool = False
    work: str = ""
    file: str = ""

    @property
    def work_folder(self) -> Path:
        """Where clips and estimates are kept."""
        own = Path(self.file)
        return own.parent / (self.work or f"{own.stem}-work")

    def path(self, text: str) -> Path:
        """A path relative to the suite's file."""
        return Path(self.file).parent / text


def shipped() -> list[str]:
    """Names of the suites that come with Fathom."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(name: str | Path, *, data: Mapping[str, str] | None = None, work: str = "") -> Suite:
    """Read a suite: a file, or the name of one that comes with Fathom (`shipped`), which works in the current folder.

    `data`, from the name of a set to the folder of its ground truth, and `work`, the folder for clips and estimates,
    override the file.

    Raises
    ------
    SuiteError
        There is no such file, or it is invalid.
    """
    path = Path(name)
    own = str(name) in shipped() and not path.is_file()
    path = SHIPPED / f"{name}.yaml" if own else path
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise SuiteError(f"There is no suite {name}; choose a YAML file, or one of {', '.join(shipped())}.") from error
    except OSError as error:
        raise SuiteError(f"{path} cannot be read ({error.strerror}); choose another file.") from error
    except RecordError as error:
        raise SuiteError(f"{error}; choose a YAML file, or one of {', '.join(shipped())}.") from error
    if len(text) > _LARGEST:
        raise SuiteError(
            f"{path} has {len(text)} characters, too many for a suite; see the ones that come with Fathom."
        )
    try:
        data_read = yaml_file.parse(text, path, what="a suite")
    except RecordError as error:
        raise SuiteError(str(error)) from error
    if not isinstance(data_read, dict):
        raise SuiteError(f"{path} is not a suite but {type(data_read).__name__}; see the ones that come with Fathom.")
    strange = next((key for key in data_read if not isinstance(key, str)), None)
    if strange is not None:
        raise SuiteError(f"{path} has an unknown field {strange!r}; see the suites that come with Fathom.")
    data_read.pop("file", None)
    try:
        suite = records.from_json(Suite, data_read, where=path.name, strict=True)
    except records.RecordError as error:
        raise SuiteError(f"{path} is not a suite: {error}.") from error
    place = Path.cwd() / path.name if own else path.absolute()
    suite = replace(suite, file=str(place), work=str(Path(work).absolute()) if work else suite.work)
    return _checked(_with_data(suite, data or {}))


def _with_data(suite: Suite, data: Mapping[str, str]) -> Suite:
    names = [each.name for each in suite.sets]
    unknown = set(data) - set(names)
    if unknown:
        raise SuiteError(f"The suite has no set {min(unknown)}; it has {', '.join(names)}.")
    sets = tuple(
        replace(each, truth=str(Path(data[each.name]).absolute())) if each.name in data else each for each in suite.sets
    )
    return dataclasses.replace(suite, sets=sets)


def _checked(suite: Suite) -> Suite:
    where = Path(suite.file).name
    if not suite.sets or not suite.estimators:
        raise SuiteError(f"{where} needs at least one set and one estimator; add them.")
    if not 1 <= suite.runs <= _MOST_RUNS:
        raise SuiteError(f"{where} asks for {suite.runs} runs; ask for 1 to {_MOST_RUNS}.")
    if not suite.metrics:
        raise SuiteError(f"{where} names no metrics; name some, or leave them out for AbsRel, RMSE and delta1.")
    for what, names in (
        ("set", [each.name for each in suite.sets]),
        ("estimator", [each.name for each in suite.estimators] + [FLAT] * suite.flat),
    ):
        _check_names(where, what, names)
    _one_of(where, "protocol", suite.protocol, protocols.NAMES)
    for name in suite.metrics:
        _one_of(where, "metric", name, tuple(metrics.METRIC))
    if suite.reference:
        _one_of(where, "reference", suite.reference, tuple(each.name for each in suite.estimators))
    for each in suite.sets:
        _one_of(where, f"layout of {each.name}", each.layout, protocols.LAYOUTS)
        _one_of(where, f"protocol of {each.name}", each.protocol or suite.protocol, protocols.NAMES)
        _one_of(where, f"rendering of {each.name}", each.rendering, ("clean", "final"))
        _check_size(where, each.name, each.size)
        if not each.truth:
            raise SuiteError(f"{where} has no folder for {each.name}; add --data {each.name}=DIR.")
    for contender in suite.estimators:
        _check_size(where, contender.name, contender.size)
        if bool(contender.estimator) == bool(contender.depth):
            raise SuiteError(
                f"{where} must have either an estimator or depth sequences for {contender.name}; write one of them."
            )
        _one_of(where, f"camera of {contender.name}", contender.camera, KINDS)
        if contender.depth and contender.camera != "unknown":
            raise SuiteError(f"{where}: {contender.name} has depth sequences and no estimator; leave its camera out.")
    return suite


def _check_names(where: str, what: str, names: list[str]) -> None:
    folders: dict[str, str] = {}
    for name in names:
        other = folders.setdefault(slug(name), name)
        if names.count(name) > 1:
            raise SuiteError(f"{where} names the {what} {name} twice; give each a name of its own.")
        if other != name:
            raise SuiteError(f"{where}: {other} and {name} would share a folder; rename one.")


def slug(name: str) -> str:
    """A name, made fit for a folder."""
    return re.sub(r"[^\w.+-]+", "_", name).strip("_.") or "_"


def _check_size(where: str, name: str, size: int | None) -> None:
    if size is not None and size < SMALLEST_SIZE:
        raise SuiteError(f"{where}: the size of {name} must be at least {SMALLEST_SIZE} pixels, not {size}.")


def _one_of(where: str, what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SuiteError(f"{where}: the {what} must be one of {', '.join(choices)}, not '{value}'.")


def known_camera(ground_truth: GroundTruth, kind: str, *, first_frame: int) -> Camera | None:
    """The part of the true camera that is input of an estimator; None for 'unknown'.

    Parameters
    ----------
    ground_truth : GroundTruth
        With the protocol's frames and crop already (see `protocols.applied`).
    kind : str
        One of `KINDS`: 'lens' is focal length and principal point, 'path' also a pose for every frame.
    first_frame : int
        Source frame of the ground truth's first one; the others follow without gaps.

    Raises
    ------
    MetricsError
        The ground truth has none.
    """
    if kind == "unknown":
        return None
    image = ground_truth.image(0)
    if ground_truth.matrix is None or image is None:
        raise MetricsError(f"The ground truth of {ground_truth.name} has no calibration; use the camera 'unknown'.")
    height, width = ground_truth.depth(0).shape
    poses: tuple[Pose, ...] = ()
    if kind == "path":
        missing = [
            number for number, pose in enumerate(ground_truth.poses) if pose is None or not np.isfinite(pose).all()
        ]
        if missing:
            raise MetricsError(
                f"The ground truth of {ground_truth.name} has no pose at {len(missing)} of its frames; use the camera "
                "'lens'."
            )
        poses = tuple(
            Pose(frame=first_frame + number, camera_to_world=tuple(tuple(map(float, row)) for row in pose))  # type: ignore[arg-type]
            for number, pose in enumerate(ground_truth.poses)
            if pose is not None
        )
    return Camera(
        width=width,
        height=height,
        focal_length=float(ground_truth.matrix[0, 0]),
        principal_point=(float(ground_truth.matrix[0, 2]), float(ground_truth.matrix[1, 2])),
        poses=poses,
    ).scaled(image.shape[1], image.shape[0])
