"""Average ranks, among them those that were published."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.evaluation.suites.outcomes import average_ranks
from inference.evaluation.table import ranks

# StereoDiff (2025), table 1: AbsRel, RMSE and delta1 of Bonn, KITTI, ScanNet and Sintel, and the average rank
TABLE_1 = {
    "DepthAnything V2": "0.1250 1.7765 0.8297 0.1758 4.2583 0.6872 0.1445 0.2926 0.7808 0.3983 6.5771 0.5666 6.9",
    "DepthAnything": "0.1112 1.5191 0.8860 0.1755 4.3756 0.6875 0.1409 0.2500 0.7978 0.3342 5.5025 0.5833 5.4",
    "DUSt3R": "0.1757 2.3618 0.7798 0.3343 7.0966 0.5065 0.0544 0.1184 0.9782 1.9245 9.8570 0.3964 8.9",
    "MASt3R": "0.1748 2.2829 0.7698 0.2250 5.0800 0.6460 0.0957 0.2251 0.9319 0.6130 4.7154 0.5063 7.9",
    "MonST3R": "0.0818 1.2412 0.9542 0.1661 4.1881 0.7387 0.0907 0.1631 0.9162 0.5291 4.2812 0.5053 4.1",
    "MonST3R optimized": "- - - 0.1635 4.0935 0.7496 - - - 0.5118 4.2606 0.5263 3.9",
    "ChronoDepth": "0.1248 1.6918 0.8501 0.1749 4.4265 0.7288 0.1955 0.3198 0.6766 0.5421 4.3168 0.5286 7.2",
    "DepthCrafter": "0.1104 1.6817 0.8955 0.1617 5.3883 0.7695 0.1879 0.4003 0.6650 0.2861 6.1423 0.6972 5.7",
    "DepthAnyVideo": "0.0942 1.4982 0.9308 0.1487 5.3931 0.8002 0.1834 0.4202 0.6771 0.3363 5.5432 0.6378 5.3",
    "StereoDiff of DUSt3R": "0.1521 2.1402 0.7981 0.2600 6.7388 0.5661 0.0573 0.1393 0.9789 1.6521 7.8762 0.3848 8.2",
    "StereoDiff of MASt3R": "0.1491 2.0866 0.8126 0.1958 5.4359 0.6769 0.0989 0.2600 0.9358 0.4800 7.3534 0.5242 7.7",
    "StereoDiff": "0.0799 1.2257 0.9549 0.1469 4.4183 0.7764 0.0944 0.1985 0.9060 0.3275 5.2812 0.5782 2.9",
}


def test_the_published_average_ranks_come_out_of_the_published_figures():
    rows = {name: [None if w == "-" else float(w) for w in line.split()] for name, line in TABLE_1.items()}
    found = average_ranks({name: row[:12] for name, row in rows.items()}, ["lower", "lower", "higher"] * 4)
    published = {name: row[12] for name, row in rows.items()}
    # half of them to the digit; the others differ from their own columns by up to 0.2
    assert found == pytest.approx(published, abs=0.21)
    assert sum(round(found[name], 1) == published[name] for name in rows) >= 6
    assert min(found, key=found.get) == "StereoDiff"


def test_equal_values_share_the_better_rank_and_none_has_none():
    assert ranks([3.0, 1.0, None, 1.0, 5.0], "lower") == [3, 1, None, 1, 4]
    assert ranks([3.0, 1.0, None, 1.0, 5.0], "higher") == [2, 3, None, 3, 1]


def test_a_row_without_values_has_no_rank():
    assert average_ranks({"a": [1.0], "b": [None]}, ["lower"]) == {"a": 1.0, "b": None}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=6))
def test_ranks_lie_between_one_and_the_number_of_rows(table):
    found = average_ranks({str(i): [float(v) for v in row] for i, row in enumerate(table)}, ["lower"] * 3)
    assert all(1 <= rank <= len(table) for rank in found.values())
    best = int(np.argmin([sum(row) for row in table]))
    if all(table[best][c] == min(row[c] for row in table) for c in range(3)):
        assert found[str(best)] == 1
