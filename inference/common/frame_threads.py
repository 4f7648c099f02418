"""Process frames in parallel threads that can be cancelled."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import cv2

_POLL = 0.1
_MOST = 8  # each holds a cost volume of some 50 MB


class _Stop(Exception):
    """Ends a thread's work after another thread has ended the run."""


def each(
    work: Callable[[int, Callable[[], None]], None],
    frames: Iterable[int],
    *,
    check: Callable[[], None],
    done: Callable[[int], None],
) -> None:
    """Call ``work(frame, pause)`` for all frames, a few at a time.

    Parameters
    ----------
    work : callable
        Must not depend on the order of frames, and must call `pause` between steps of at most half a second.
    frames : iterable of int
    check : callable
        Called in the caller's thread every tenth of a second; may raise to end everything.
    done : callable
        Called in the caller's thread with each finished frame.
    """
    stopped = threading.Event()

    def pause() -> None:
        if stopped.is_set():
            raise _Stop

    threads = max(1, min(os.cpu_count() or 1, _MOST))
    waiting = iter(frames)
    running: dict[Future[None], int] = {}
    with ThreadPoolExecutor(threads, thread_name_prefix="frames") as pool:
        try:
            while True:
                while len(running) < 2 * threads and (frame := next(waiting, None)) is not None:
                    running[pool.submit(work, frame, pause)] = frame
                if not running:
                    return
                check()
                for future in wait(running, timeout=_POLL, return_when=FIRST_COMPLETED).done:
                    frame = running.pop(future)
                    future.result()
                    done(frame)
        finally:
            stopped.set()
            for future in running:
                future.cancel()


@contextlib.contextmanager
def opencv_on_one() -> Iterator[None]:
    """OpenCV without threads of its own, which only slow down frames that are processed in parallel."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
