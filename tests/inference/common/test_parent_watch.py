"""Windows' job object, as its documents lay it out. That processes end with their parent is tested where they start."""

import ctypes
import os

from inference.common import parent_watch


def test_the_limits_of_a_job_have_windows_layout():
    """144 bytes with pointers of 8, the flags at byte 16 (``winnt.h``)."""
    assert ctypes.sizeof(parent_watch._JobLimits) == (144 if ctypes.sizeof(ctypes.c_void_p) == 8 else 112)
    assert parent_watch._JobLimits.flags.offset == 16


def test_a_job_ends_its_processes_with_its_last_handle(monkeypatch):
    """The calls that Windows would get."""
    calls = []

    class Kernel:
        def __getattr__(self, name):
            def call(*arguments):
                calls.append((name, arguments))
                return 4321

            self.__dict__[name] = call
            return call

    monkeypatch.setattr(ctypes, "windll", type("Libraries", (), {"kernel32": Kernel()}), raising=False)
    parent_watch._join_job()
    names = [name for name, _ in calls]
    assert names == ["CreateJobObjectW", "SetInformationJobObject", "GetCurrentProcess", "AssignProcessToJobObject"]
    job, kind, _, size = calls[1][1]
    assert (job.value, kind, size) == (4321, 9, ctypes.sizeof(parent_watch._JobLimits))
    assert os.name == "nt" or calls[3][1][0].value == 4321
