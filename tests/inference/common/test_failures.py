"""What exceptions mean."""

import cv2
import pytest

from inference.common.failures import explain, is_out_of_memory
from inference.contract import exit_codes


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (cv2.error("Insufficient memory: failed to allocate 9 bytes"), True),
        (cv2.error("Assertion failed"), False),
        (type("OutOfMemoryError", (RuntimeError,), {})("a quota"), False),
    ],
)
def test_memory_that_ran_out(error, expected):
    assert is_out_of_memory(error) == expected
    assert ("out of memory" in explain(error).what) == expected
    assert explain(error).code == exit_codes.FAILED


def test_memory_of_a_gpu_that_ran_out():
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
