"""A server that answers whatever it is told to, byte by byte, and keeps what it was asked."""

import contextlib
import socketserver
import threading


class Hostile:
    """A context manager that serves while it is entered.

    Attributes
    ----------
    answer : callable
        Given the path of a request, gives the pieces of the whole answer, head included.
    asked : list of (str, dict)
        Paths and headers (names in lower case) of the requests that came.
    """

    def __init__(self, answer=None):
        self.answer, self.asked = answer, []
        hostile = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                line = self.rfile.readline().decode("latin-1").split(" ")
                headers = {}
                while (header := self.rfile.readline().decode("latin-1").strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                if len(line) < 2:
                    return
                hostile.asked.append((line[1], headers))
                with contextlib.suppress(OSError):
                    for piece in hostile.answer(line[1]):
                        self.wfile.write(piece)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address, block_on_close = True, True, False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.other = f"http://localhost:{self.port}"
        """The same, as another host."""

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def reply(body=b"", status="200 OK", **headers):
    """One whole answer; underscores in names of headers become hyphens."""
    headers.setdefault("Content_Length", str(len(body)))
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
    return ["\r\n".join([*lines, "", ""]).encode("latin-1"), body]
