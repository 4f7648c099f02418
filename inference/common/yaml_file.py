"""YAML as people write it, read safely: plain values in bounded time and memory, and one sentence for anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..contract.untrusted import RecordError

_DEEPEST, _LONGEST = 16, 4096
"""Levels of nesting, and characters of a text in the file."""


def parse(text: str, path: Path, *, what: str) -> Any:
    """The content of a file, by YAML's safe loader and without aliases, which can expand to any size.

    `what` says what the file should be, such as "a suite", for the message.

    Raises
    ------
    RecordError
        It is not YAML, or not of that kind; a sentence.
    """
    import yaml

    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise RecordError(f"{path} has a YAML alias (*); write its content out.")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST or (isinstance(event, yaml.ScalarEvent) and len(event.value) > _LONGEST):
                raise RecordError(f"{path} is nested too deeply, or has too long a text, for {what}; shorten it.")
        return yaml.safe_load(text)
    except RecordError:
        raise
    except (ValueError, TypeError, OverflowError, yaml.YAMLError) as error:  # also for invalid numbers and dates
        raise RecordError(f"{path} cannot be read as YAML ({' '.join(str(error).split())}); correct it.") from error
