"""An image in a Docker engine that is running: what ``docker save`` gives of it.

The engine is asked over its API (Docker Engine API, "Export an image"), where DOCKER_HOST
says it is; what it sends goes into a temporary file without a name.
"""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote, urlsplit

from layerscan.errors import SourceError
from layerscan.sources.archive import MAX_UNPACKED, Archive, spooled
from layerscan.sources.docker_archive import DockerArchive
from layerscan.text import printable

SOCKET = "unix:///var/run/docker.sock"  # where an engine listens if nothing else is said
_SECONDS = 300.0  # without a byte, before it is given up
_PIECE = 1 << 20
_LONGEST_ERROR = 64 * 1024


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def open_daemon(name: str, wanted: str) -> DockerArchive:
    """The image `wanted`, a reference or an image_id, as a source called `name`.

    Raises SourceError where the engine cannot be asked, or has no such image.
    """
    host = os.environ.get("DOCKER_HOST") or SOCKET
    where = printable(f"{name}: the engine at {host}")
    connection = _connection(host, where)
    with closing(connection):
        archive = Archive(name, spooled(_saved(connection, wanted, where), where))
        return DockerArchive(name, archive, None)


def _saved(connection: http.client.HTTPConnection, wanted: str, where: str) -> Iterator[bytes]:
    """The archive that the engine sends."""
    length = 0
    try:
        connection.request("GET", f"/images/{quote(wanted, '/:@', errors='replace')}/get")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise SourceError(f"{where}: {_refusal(answer)}")
        while piece := answer.read(_PIECE):
            length += len(piece)
            if length > MAX_UNPACKED:
                raise SourceError(f"{where}: sends more than {MAX_UNPACKED} bytes")
            yield piece
    except (OSError, http.client.HTTPException) as error:
        said = printable(str(getattr(error, "strerror", None) or error))
        hint = "is it running, and may you ask it? DOCKER_HOST can name another"
        raise SourceError(f"{where}: cannot be asked: {said}; {hint}") from None


def _connection(host: str, where: str) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(host)
        if parts.scheme == "unix":
            return _Connection(parts.path)
        if parts.scheme in ("tcp", "http") and not os.environ.get("DOCKER_TLS_VERIFY"):
            return http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
    except (ValueError, http.client.InvalidURL) as error:
        raise SourceError(f"{where}: is no address: {printable(str(error))}") from None
    raise SourceError(f"{where}: only unix:// and tcp:// without TLS are asked; use docker save")


def _refusal(answer: http.client.HTTPResponse) -> str:
    try:
        said = json.loads(answer.read(_LONGEST_ERROR))["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = ""
    return f"answers {answer.status}: {printable(str(said or answer.reason))}"
