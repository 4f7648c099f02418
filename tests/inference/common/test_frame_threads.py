"""Frames worked on in parallel threads."""

import cv2
import pytest

from inference.common import frame_threads
from inference.common.failures import Cancelled


def test_parallel_work_does_every_frame_once():
    done = []
    frame_threads.each(lambda frame, pause: None, range(50), check=lambda: None, done=done.append)
    assert sorted(done) == list(range(50))


def test_an_error_in_a_thread_comes_out():
    def work(frame, pause):
        if frame == 7:
            raise ValueError("frame 7")

    with pytest.raises(ValueError, match="frame 7"):
        frame_threads.each(work, range(50), check=lambda: None, done=lambda frame: None)


def test_cancelling_reaches_into_running_threads():
    started = []

    def work(frame, pause):
        started.append(frame)
        while True:
            pause()

    def check():
        if started:
            raise Cancelled

    with pytest.raises(Cancelled):
        frame_threads.each(work, range(50), check=check, done=lambda frame: None)
    assert len(started) < 50


def test_opencv_has_its_threads_again_after_frames_in_parallel():
    before = cv2.getNumThreads()
    with pytest.raises(ValueError, match="frame 7"), frame_threads.opencv_on_one():
        assert cv2.getNumThreads() == 1
        raise ValueError("frame 7")
    assert cv2.getNumThreads() == before
