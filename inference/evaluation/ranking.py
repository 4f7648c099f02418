"""Average rank of several estimators over many columns of figures, as in StereoDiff's Tables 1 and 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

Better = Literal["lower", "higher"]


def ranks(values: Sequence[float | None], better: Better) -> list[int | None]:
    """Rank of each value in its column, from 1; equal values share the better rank, None has none."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    if better == "higher":
        return [None if value is None else 1 + sum(other > value for other in known) for value in values]
    return [None if value is None else 1 + sum(other < value for other in known) for value in values]


def average_ranks(rows: Mapping[str, Sequence[float | None]], better: Sequence[Better]) -> dict[str, float | None]:
    """Mean over the columns of each row's rank in them.

    Parameters
    ----------
    rows : mapping
        Name of an estimator to its value in each column; None where it has none. A row counts in the columns that it
        has, as in StereoDiff's Table 1, and is ranked there among the others that have them.
    better : sequence of 'lower' or 'higher'
        For each column, which values are better.

    Returns
    -------
    dict
        None for a row without any value.
    """
    columns = [ranks([row[at] for row in rows.values()], kind) for at, kind in enumerate(better)]
    found: dict[str, float | None] = {}
    for place, name in enumerate(rows):
        own = [rank for column in columns if (rank := column[place]) is not None]
        found[name] = float(np.mean(own)) if own else None
    return found
