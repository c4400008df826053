"""A Docker engine that answers requests for ``docker save``, and nothing else.

with DockerDaemon(tmp_path / "docker.sock", answer(tar)) as daemon:
    daemon.host     # what DOCKER_HOST says
    daemon.asked    # the paths that were asked for
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


def answer(body: bytes, status: str = "200 OK", *, length: int | None = None) -> bytes:
    """What is sent: `body`, of which it says that it has `length` bytes."""
    said = len(body) if length is None else length
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status.encode(), said) + body


class DockerDaemon:
    """Sends `sent` to everybody; listens at `path`, or on a TCP port without one."""

    def __init__(self, path: Path | None, sent: bytes) -> None:
        self._sent = sent
        self.asked: list[str] = []
        if path is None:
            self._listening = socket.create_server(("127.0.0.1", 0))
            self.host = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        else:
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(str(path))
            self._listening.listen()
            self.host = f"unix://{path}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Ends the waiting for another one.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listening.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            if not (piece := connection.recv(4096)):
                return
            request += piece
        self.asked.append(request.split(b" ")[1].decode())
        connection.sendall(self._sent)
