"""Settings in messages: a message names a setting, and each front end words it.

A message that suggests a change contains ``[[size]]``, or ``[[window=60]]`` with a value to try. The command line shows
them as options (``--size``, ``--parameter window=60``), Blender as the names on its panels (*Processing Resolution*,
*Window 60*). Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

_SETTING = re.compile(r"\[\[([a-z][a-z0-9_]*)(?:=([^\[\]]*))?\]\]")
_ABBREVIATIONS = {"bf16", "cpu", "cuda", "fp16", "fp32", "mps"}

OF_A_JOB = frozenset(
    {
        "camera",
        "colorspace",
        "cuts",
        "estimator",
        "focal_length",
        "frames",
        "full_size",
        "mattes",
        "ocio_config",
        "output",
        "overwrite",
        "rotation_order",
        "seed",
        "sensor_width",
        "size",
        "stream",
    }
)
"""Settings with their own option on the command line; any other is a parameter of the estimator."""
OF_AN_EXPORT = frozenset({"channel", "far", "far_limit", "fps", "near", "percentiles", "plate", "voxel"})
"""Further ones, of an export."""
OF_A_REFINEMENT = frozenset({"edge", "fringe", "sky", "sky_mattes", "smooth"})
"""Further ones, of a refinement."""
OF_A_PLAN = frozenset({"chunks"})
"""Of a job that is done in chunks."""


def setting(name: str, value: object = None) -> str:
    """A setting as messages contain it, with a value to try unless that is None.

    >>> setting("size"), setting("window", 60), setting("compile", False)
    ('[[size]]', '[[window=60]]', '[[compile=false]]')
    """
    if value is None:
        return f"[[{name}]]"
    return f"[[{name}={str(value).lower() if isinstance(value, bool) else value}]]"


def worded(text: str, word: Callable[[str, str | None], str]) -> str:
    """A message with its settings worded for a front end.

    `word` takes a setting's name, and the value as text or None; it returns the text to show.
    """
    return _SETTING.sub(lambda found: word(found[1], found[2]), text)


def as_options(text: str, options: Collection[str] = OF_A_JOB | OF_AN_EXPORT | OF_A_REFINEMENT | OF_A_PLAN) -> str:
    """A message worded for the command line; settings that are no `options` are parameters.

    >>> as_options("Choose a smaller [[size]], or [[window=60]].")
    'Choose a smaller --size, or --parameter window=60.'
    """

    def option(name: str, value: str | None) -> str:
        if name not in options:
            return f"--parameter {name}" if value is None else f"--parameter {name}={value}"
        own = f"--{name.replace('_', '-')}"
        return own if value in (None, "true") else f"{own} {value}"

    return worded(text, option)


def label(name: str) -> str:
    """A setting's name as Blender's panels write it.

    >>> label("stage1_from"), label("memory_limit")
    ('Stage 1 From', 'Memory Limit')
    """
    return re.sub(r"_|(?<=[a-z])(?=\d)", " ", name).title()


def choice_label(choice: str) -> str:
    """One of a setting's choices as Blender's panels write it.

    >>> choice_label("both"), choice_label("fp16")
    ('Both', 'FP16')
    """
    return choice.upper() if choice in _ABBREVIATIONS else choice.replace("_", " ").title()


def labeled(name: str, value: str | None) -> str:
    """A setting with a value to try, as Blender's panels write both.

    >>> labeled("Window", "60"), labeled("Compile", "false"), labeled("Seed", None)
    ('Window 60', 'Compile off', 'Seed')
    """
    if value is None:
        return name
    switch = {"true": "on", "false": "off"}.get(value)
    return f"{name} {switch or choice_label(value)}"
