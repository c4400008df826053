"""One repository of a registry: manifests and blobs, read and written.

Owns the calls of the OCI distribution API but uploads, see `upload`. All that it returns
was verified against its digest and size.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from http import HTTPStatus
from typing import BinaryIO, NamedTuple
from urllib.parse import quote

from layerscan import digest as digests
from layerscan.digest import Hashing
from layerscan.errors import NotInRegistryError, RefusedByRegistryError, RegistryError
from layerscan.oci import INDEX_TYPES, MANIFEST_TYPES, MAX_MANIFEST, Descriptor
from layerscan.registry.endpoint import Endpoint
from layerscan.registry.faults import TemporaryError
from layerscan.registry.pace import Deadline
from layerscan.registry.transport import Answer, Request
from layerscan.registry.upload import Upload
from layerscan.registry.verify import Verifier, body_parts, check_bytes, check_length, read_body
from layerscan.text import printable

_TYPES = INDEX_TYPES + MANIFEST_TYPES
_ACCEPT = ", ".join(_TYPES)
_REFUSES_HEAD = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_IMPLEMENTED,
)
_PLAIN = ":"  # what a digest has beside letters and digits; a tag has nothing that needs quoting


class Fetched(NamedTuple):
    """A manifest or an index as a registry has it; the media type is the registry's word."""

    raw: bytes
    digest: str
    media_type: str


class Repository:
    """A repository; thread-safe. `RegistryClient.repository` makes it.

    `name` is registry and path, for messages; `path` is what `push_blob` mounts from. What
    follows raises NotInRegistryError where something is not there, and RegistryError where
    it cannot be fetched or put there, or is not what its digest or descriptor says.
    """

    def __init__(self, name: str, path: str, endpoint: Endpoint) -> None:
        self.name = name
        self.path = path
        self._endpoint = endpoint
        self._pull = (f"repository:{path}:pull",)
        self._push = (f"repository:{path}:pull,push",)
        # Who pushes needs one token, not one for each kind of request.
        self._scopes = self._pull

    def manifest(self, tag_or_digest: str) -> Fetched:
        """The manifest or index under a tag or digest."""
        where = self._where(tag_or_digest)
        fetched = self._fetch_manifest(tag_or_digest, _ACCEPT, where, MAX_MANIFEST)
        if not digests.is_digest(tag_or_digest):
            return fetched
        check_bytes(digests.of_content(fetched.raw, tag_or_digest), tag_or_digest, where)
        return fetched._replace(digest=tag_or_digest)

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """The document or blob that `descriptor` refers to, of at most `limit` bytes.

        Its media type says whether it is stored as a manifest.
        """
        where = self._where(descriptor.digest)
        if descriptor.size > limit:
            raise RegistryError(f"{where}: has {descriptor.size} bytes; only {limit} are read")
        if descriptor.media_type in _TYPES:
            return self._fetch_document(descriptor, where)
        deadline, found = Deadline(where, descriptor.size), bytearray()
        with self.stream(descriptor) as chunks:
            for chunk in chunks:
                deadline.check()
                found += chunk
        return bytes(found)

    def stream(
        self, descriptor: Descriptor, hashing: Hashing | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The blob that `descriptor` refers to, in chunks; only its end says that it is the one.

        A connection that is lost is taken up again where it broke off. `hashing` computes the
        digest; None for the thread that reads.
        """
        return closing(self._chunks(descriptor, hashing))

    def part(self, descriptor: Descriptor, offset: int, length: int) -> bytes | None:
        """A part of the blob that `descriptor` refers to, which cannot be verified.

        None if the registry serves only whole blobs; none is read then.
        """
        where = self._where(descriptor.digest)
        end = offset + length
        if offset < 0 or length < 1 or end > descriptor.size:
            what = f"has {descriptor.size} bytes: none from {offset} to {end}"
            raise RegistryError(f"{where}: {what}")

        def consume(answer: Answer) -> bytes | None:
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                return None
            _check_range(answer, f"bytes {offset}-{end - 1}/{descriptor.size}", where)
            content = read_body(answer.response, where, limit=length)
            if len(content) != length:
                what = f"the registry sends {len(content)} bytes of the {length} asked for"
                raise TemporaryError(f"{where}: {what}")
            return content

        request = self._blob_request(descriptor, where, f"bytes={offset}-{end - 1}")
        return self._endpoint.call(request, consume)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the repository has what `descriptor` refers to."""
        where = self._where(descriptor.digest)
        is_document = descriptor.media_type in _TYPES
        path = f"{'manifests' if is_document else 'blobs'}/{descriptor.digest}"
        accept = descriptor.media_type if is_document else "*/*"
        request = self._request("HEAD", path, {"Accept": accept}, where)
        try:
            self._endpoint.call(
                request, lambda answer: check_length(answer.response, descriptor.size, where)
            )
        except NotInRegistryError:
            return False
        return True

    def push_blob(
        self,
        descriptor: Descriptor,
        opened: Callable[[], BinaryIO],
        *,
        mount_from: Sequence[str] = (),
        on_bytes: Callable[[int], object] | None = None,
    ) -> bool:
        """Put a blob into the repository; False if the registry had it already.

        Args:
            descriptor: of the blob.
            opened: opens its content, once for each attempt; it is closed here.
            mount_from: paths of repositories of the same registry that may have it.
            on_bytes: called with how many bytes more were sent; with a negative number
                where some have to be sent again.
        """
        self._scopes = self._push
        if self._is_known(descriptor):
            return False
        upload = Upload(
            self._endpoint,
            self.name,
            self.path,
            scopes=self._push,
            descriptor=descriptor,
            opened=opened,
            on_bytes=on_bytes or (lambda _: None),
        )
        for path in mount_from:
            if path != self.path and upload.mounted(path):
                return False
        upload.run(lambda: self._is_known(descriptor))
        return True

    def _is_known(self, descriptor: Descriptor) -> bool:
        """Whether there is no need to upload a blob: some registries refuse to say it."""
        try:
            return self.has(descriptor)
        except RefusedByRegistryError as refused:
            if refused.status not in _REFUSES_HEAD:
                raise
            return False

    def push_manifest(self, raw: bytes, media_type: str, tag_or_digest: str) -> None:
        """Put a manifest or index under a tag, or under its digest. Idempotent.

        Raises RefusedByRegistryError where the registry does not take it.
        """
        self._scopes = self._push
        is_digest = digests.is_digest(tag_or_digest)
        digest = digests.of_content(raw, tag_or_digest if is_digest else None)
        where = self._where(tag_or_digest)
        if is_digest and tag_or_digest != digest:
            raise RegistryError(f"{where}: the document to push has the digest {digest}")
        path = f"manifests/{quote(tag_or_digest, safe=_PLAIN)}"
        headers = {"Content-Type": media_type, "Content-Length": str(len(raw))}
        request = self._request("PUT", path, headers, where)._replace(
            body=lambda: [raw], accepted=(HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.ACCEPTED)
        )
        self._endpoint.call(request, lambda answer: _check_digest(answer, digest, where))

    def _where(self, tag_or_digest: str) -> str:
        between = "@" if digests.is_digest(tag_or_digest) else ":"
        return f"{self.name}{between}{printable(tag_or_digest)}"

    def _request(self, method: str, path: str, headers: dict[str, str], where: str) -> Request:
        url = self._endpoint.url(f"{self.path}/{path}")
        return Request(method, url, headers, where=where, scopes=self._scopes)

    def _blob_request(self, descriptor: Descriptor, where: str, wanted: str = "") -> Request:
        """A request for a blob, or for the range of it that is `wanted`."""
        request = self._request("GET", f"blobs/{descriptor.digest}", {"Accept": "*/*"}, where)
        if not wanted:
            return request
        return request._replace(
            headers={"Accept": "*/*", "Range": wanted},
            accepted=(HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT),
        )

    def _fetch_manifest(self, reference: str, accept: str, where: str, limit: int) -> Fetched:
        deadline = Deadline(where)

        def consume(answer: Answer) -> Fetched:
            media_type = _media_type(answer, where)
            raw = read_body(answer.response, where, limit=limit, deadline=deadline)
            digest = digests.sha256(raw)
            _check_digest(answer, digest, where)
            return Fetched(raw, digest, media_type)

        path = f"manifests/{quote(reference, safe=_PLAIN)}"
        return self._endpoint.call(self._request("GET", path, {"Accept": accept}, where), consume)

    def _fetch_document(self, descriptor: Descriptor, where: str) -> bytes:
        fetched = self._fetch_manifest(
            descriptor.digest, descriptor.media_type, where, descriptor.size
        )
        verifier = Verifier(descriptor, where)
        verifier.take(fetched.raw)
        verifier.finish()
        if fetched.media_type != descriptor.media_type:
            raise RegistryError(
                f"{where}: the registry gives it as {printable(fetched.media_type)}, what refers "
                f"to it as {descriptor.media_type}"
            )
        return fetched.raw

    def _chunks(
        self, descriptor: Descriptor, hashing: Hashing | None
    ) -> Generator[bytes, None, None]:
        where = self._where(descriptor.digest)
        verifier = Verifier(descriptor, where, hashing)
        waits = self._endpoint.waits()
        while True:
            begun = verifier.received
            waits.begin()
            try:
                for chunk in self._rest(descriptor, begun, where):
                    verifier.take(chunk)
                    yield chunk
                verifier.finish()
            except TemporaryError as fault:
                if verifier.received == descriptor.size:
                    # All that was lost is the end of the transfer.
                    verifier.finish()
                    return
                waits.reached(verifier.received)
                waits.wait(fault)
            else:
                return

    def _rest(self, descriptor: Descriptor, begun: int, where: str) -> Iterator[bytes]:
        """What follows the first `begun` bytes of a blob, from one request."""
        request = self._blob_request(descriptor, where, f"bytes={begun}-" if begun else "")
        with self._endpoint.attempt(request) as answer:
            position = begun if answer.status == HTTPStatus.PARTIAL_CONTENT else 0
            check_length(answer.response, descriptor.size - position, where)
            for part in body_parts(answer.response, where):
                # All over again, from a server that knows no ranges.
                new = part[max(begun - position, 0) :]
                position += len(part)
                if new:
                    yield new


def _media_type(answer: Answer, where: str) -> str:
    """The type that the registry gives a manifest."""
    given = (answer.header("Content-Type") or "").partition(";")[0].strip()
    if given in _TYPES:
        return given
    said = f"of type {printable(given)}" if given else "without a type"
    hint = ": is it a registry?" if given == "text/html" else ""
    raise RegistryError(f"{where}: the registry sends something {said}, no image manifest{hint}")


def _check_range(answer: Answer, expected: str, where: str) -> None:
    """Find out from its head that a part of a blob is not the one asked for."""
    given = " ".join((answer.header("Content-Range") or "").split())
    # A server need not know the whole length.
    if given.lower() not in (expected, expected.rpartition("/")[0] + "/*"):
        sent = printable(given) if given else "a part of unknown place"
        raise RegistryError(f"{where}: the registry sends {sent}, it was asked for {expected}")


def _check_digest(answer: Answer, digest: str, where: str) -> None:
    """Hold the digest that the registry gives a manifest against its bytes'."""
    given = answer.header("Docker-Content-Digest")
    if given is None or digests.algorithm(given) != digests.algorithm(digest):
        # One of another algorithm says nothing about this one.
        return
    if given != digest:
        said = f"the registry says that its digest is {printable(given)}"
        raise RegistryError(f"{where}: {said}, its bytes have {digest}")
