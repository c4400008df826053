"""Uploading one blob: whole or in chunks, taken up again where a connection broke off.

Owns the upload sessions of the OCI distribution specification ("Pushing blobs"): each
answer of the registry may change a session's address.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import quote

from layerscan.errors import NotInRegistryError, RefusedByRegistryError, RegistryError
from layerscan.oci import Descriptor
from layerscan.registry.endpoint import Endpoint
from layerscan.registry.faults import TemporaryError
from layerscan.registry.transport import Answer, Request, redirected
from layerscan.text import printable

CHUNK = 8 << 20
"""Bytes of a chunk, where a registry does not take the whole; more if it asks for more."""

_READ = 1 << 20
_LARGEST_CHUNK = 1 << 30
_OCTETS = "application/octet-stream"
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})", re.ASCII)

_WANTS_CHUNKS = (
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.NOT_IMPLEMENTED,
)
"""How a registry refuses a blob in one piece, or what stands before it does."""


class Upload:
    """The upload of one blob.

    `opened` opens its content, for each request anew. `on_bytes` is told how many bytes more
    were sent; negative to take some back.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        path: str,
        *,
        scopes: tuple[str, ...],
        descriptor: Descriptor,
        opened: Callable[[], BinaryIO],
        on_bytes: Callable[[int], object],
    ) -> None:
        self._endpoint = endpoint
        self._uploads = endpoint.url(f"{path}/blobs/uploads/")
        self._where = f"{name}@{descriptor.digest}"
        self._scopes = scopes
        self._descriptor = descriptor
        self._opened = opened
        self._on_bytes = on_bytes
        self._location: str | None = None
        self._chunk: int | None = None
        self._least_chunk = 0
        # How far the registry has it, and how far `on_bytes` was told.
        self._offset = 0
        self._told = 0

    def mounted(self, path: str) -> bool:
        """Whether the registry has taken the blob from its repository `path`.

        If it has not, the session that it may have opened instead is used.
        """
        digest = quote(self._descriptor.digest, safe="")
        url = f"{self._uploads}?mount={digest}&from={quote(path, safe='')}"
        request = self._request("POST", url, HTTPStatus.CREATED, HTTPStatus.ACCEPTED)
        scopes = (*self._scopes, f"repository:{path}:pull")
        try:
            return self._endpoint.call(request._replace(scopes=scopes), self._is_mounted)
        except (NotInRegistryError, RefusedByRegistryError):
            # Not allowed to read there, or the registry cannot do it at all.
            return False

    def _is_mounted(self, answer: Answer) -> bool:
        if answer.status != HTTPStatus.CREATED:
            self._begun(answer)
        return answer.status == HTTPStatus.CREATED

    def run(self, is_there: Callable[[], bool]) -> None:
        """Upload the blob; `is_there` says whether the registry has it."""
        waits = self._endpoint.waits()
        broken = False
        while True:
            try:
                # The answer may be what was lost, not the upload.
                if broken and is_there():
                    self._tell(self._descriptor.size)
                    return
                if broken:
                    self._find_offset()
                waits.reached(self._offset)
                waits.begin()
                self._send()
            except TemporaryError as fault:
                waits.wait(fault)
                broken = True
            else:
                return

    def _send(self) -> None:
        """Send what the registry lacks; TemporaryError if the session came to nothing."""
        if self._location is None:
            self._begin()
        if self._chunk is None and self._offset == 0:
            try:
                self._put(self._descriptor.size)
            except RefusedByRegistryError as fault:
                if fault.status not in _WANTS_CHUNKS or self._descriptor.size == 0:
                    raise
                self._chunk = min(max(CHUNK, self._least_chunk), _LARGEST_CHUNK)
                self._forget()
                self._begin()
            else:
                return
        while self._offset < self._descriptor.size:
            self._patch()
        self._put(0)

    # The session.

    def _begin(self) -> None:
        request = self._request("POST", self._uploads, HTTPStatus.ACCEPTED)
        with self._endpoint.attempt(request._replace(headers={"Content-Length": "0"})) as answer:
            self._begun(answer)

    def _begun(self, answer: Answer) -> None:
        self._forget()
        least = answer.header("OCI-Chunk-Min-Length") or ""
        self._least_chunk = int(least[:18]) if least.isascii() and least.isdigit() else 0
        self._move(answer)

    def _forget(self) -> None:
        self._location = None
        self._offset = 0

    def _move(self, answer: Answer) -> None:
        """Go where the registry says that the session now is."""
        given = answer.header("Location")
        if given is None:
            if self._location is None:
                raise RegistryError(f"{self._where}: the registry does not say where to upload to")
            return
        target = redirected(answer.response, given, self._where)
        self._location = str(target.copy_with(fragment=None))

    def _find_offset(self) -> None:
        """Ask how far an upload has come that broke off."""
        if self._location is None:
            return
        request = self._request("GET", self._location, HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED)
        try:
            with self._endpoint.attempt(request) as answer:
                match = _RANGE.fullmatch(answer.header("Range") or "")
                self._offset = int(match[1]) + 1 if match else 0
                self._move(answer)
        except (NotInRegistryError, RefusedByRegistryError):
            self._forget()
        # One byte and none look the same: then it is begun anew.
        if not 1 < self._offset <= self._descriptor.size:
            self._forget()

    # Its requests.

    def _request(self, method: str, url: str, *accepted: int) -> Request:
        return Request(method, url, where=self._where, scopes=self._scopes, accepted=accepted)

    def _patch(self) -> None:
        length = self._descriptor.size - self._offset
        if self._chunk is not None:
            length = min(length, self._chunk)
        end = self._offset + length
        request = self._request(
            "PATCH", self._location or "", HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT
        )
        headers = {"Content-Range": f"{self._offset}-{end - 1}"}
        with self._sent(request, length, headers) as answer:
            self._move(answer)
        self._offset = end

    def _put(self, length: int) -> None:
        """End the session, with the last `length` bytes."""
        location = self._location or ""
        url = f"{location}{'&' if '?' in location else '?'}digest={quote(self._descriptor.digest)}"
        accepted = (HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.NO_CONTENT)
        with self._sent(self._request("PUT", url, *accepted), length, {}) as answer:
            given = answer.header("Docker-Content-Digest")
        if given is not None and given.startswith("sha256:") and given != self._descriptor.digest:
            raise RegistryError(f"{self._where}: the registry says that it got {printable(given)}")

    @contextmanager
    def _sent(self, request: Request, length: int, headers: dict[str, str]) -> Iterator[Answer]:
        """A request of the session with `length` bytes from where it stands.

        Raises TemporaryError also if the session is gone, or stands elsewhere.
        """
        headers = {"Content-Type": _OCTETS, "Content-Length": str(length), **headers}
        request = request._replace(headers=headers, body=lambda: self._content(length))
        try:
            with self._endpoint.attempt(request) as answer:
                yield answer
        except (NotInRegistryError, RefusedByRegistryError) as fault:
            elsewhere = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            if isinstance(fault, RefusedByRegistryError) and fault.status != elsewhere:
                raise
            self._forget()
            raise TemporaryError(str(fault)) from None

    def _content(self, length: int) -> Iterator[bytes]:
        position, end = self._offset, self._offset + length
        self._tell(position)
        if not length:
            return
        try:
            with self._opened() as file:
                file.seek(position)
                while position < end:
                    chunk = file.read(min(end - position, _READ))
                    if not chunk:
                        raise self._wrong_length(f"ends after {position}")
                    position += len(chunk)
                    # Before the last bytes are sent, and the registry takes them for all.
                    if position == self._descriptor.size and file.read(1):
                        raise self._wrong_length(f"has more than {position}")
                    yield chunk
                    self._tell(position)
        except OSError as error:
            what = f"{error.filename or 'its content'} cannot be read: {error.strerror or error}"
            raise RegistryError(f"{self._where}: {what}") from None

    def _wrong_length(self, what: str) -> RegistryError:
        size = self._descriptor.size
        return RegistryError(f"{self._where}: the content to upload {what} of {size} bytes")

    def _tell(self, position: int) -> None:
        if position != self._told:
            self._on_bytes(position - self._told)
            self._told = position
