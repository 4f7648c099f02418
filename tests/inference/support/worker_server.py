"""A worker for tests that is forked from a process that has imported it: half a second sooner than a new Python.

Started as ``python -I -u worker_server.py SOCKET``; with ``networks`` it has imported the packages of the network
estimators too, eight seconds sooner. It leaves whoever starts it, so that tests may look for and end all
children of theirs, and ends when its standard input does. A connection brings one command line as JSON and, beside it,
the descriptors that become standard output and error; the answers are the process and, at its end, its exit status.
"""

import json
import os
import select
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import inference.estimators

inference.estimators.__path__.append(str(Path(__file__).resolve().parent / "estimators"))

import inference.evaluation.accuracy.comparison  # noqa: E402
import inference.run.runner  # noqa: E402
from inference.commands.main import main  # noqa: E402
from tests.inference.support import killed, tiny_video_depth  # noqa: E402

if sys.argv[2:] == ["networks"]:
    os.environ["HF_HUB_OFFLINE"] = "1"  # as `estimate` has it before these are imported
    import inference.estimators.depthcrafter.streaming
    import inference.estimators.stereodiff.estimating
    import inference.estimators.video_depth_anything.streaming


def serve(path: str) -> list[str]:
    """Answer connections until standard input ends; in each worker, return its command line."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    print("ready")
    if os.fork():
        os._exit(0)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    while listening in select.select([listening, 0], [], [])[0]:
        connection, _ = listening.accept()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever waits for a worker is not waited for itself
        waits = os.fork() == 0
        if waits:
            listening.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            request, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 2)
            worker = os.fork()
            if not worker:
                connection.close()
                return _become(json.loads(request), descriptors)
            connection.sendall(f"{worker}\n".encode())
            _, status = os.waitpid(worker, 0)
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        connection.close()
    os._exit(0)


def _become(request: dict, descriptors: list[int]) -> list[str]:
    """Take over a request's outputs, folder and environment."""
    for standard, descriptor in zip((1, 2), descriptors, strict=True):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    return request["arguments"]


if __name__ == "__main__":
    sys.argv[1:] = serve(sys.argv[1])
    if folder := os.environ.get(tiny_video_depth.INSTALLED):
        tiny_video_depth.installed(folder)
    killed.prepare()
    sys.exit(main())
