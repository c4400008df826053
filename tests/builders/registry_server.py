"""A registry of the tests' own in this process: takes every document, misbehaves on request.

Unlike the real one (`tests.engines.registry`) it takes layers manifests and
App manifests with ``manifests``, asks for tokens, and can be told to fail::

    with OpenRegistry() as registry:                      # or the fixture `open_registry`
        layer = registry.put_blob("acme/web", b"layer")    # a Descriptor
        digest = registry.put_manifest("acme/web", raw, media_type, "7")
        f"{registry.address}/acme/web:7"                   # what a reference says
        registry.blobs("acme/web"), registry.manifests("acme/web"), registry.tags("acme/web")
        registry.count("PUT", "/manifests/")               # requests whose path has that in it
        registry.uploads                                   # digests of blobs that were uploaded
        registry.fail("GET", "/blobs/", Status(503), times=2)

    OpenRegistry(takes_apps=False)     # refuses layers manifests as distribution does
    OpenRegistry(auth="token", users={"me": "secret"})     # or "basic"
    OpenRegistry(storage=other)        # GET and HEAD of blobs are redirected to `other`
    OpenRegistry(certificate=path)     # speaks TLS; a PEM file with the key, too

Like a good registry it takes no manifest before its config, its layers and its
``manifests`` are there (the ``layers`` of an index are in other repositories and
are not looked for). What it speaks is in `tests.builders.registry_protocol`.
"""

import json
import re
import ssl
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Self

from layerscan.digest import sha256
from layerscan.oci import Descriptor
from tests.builders.documents import LAYER
from tests.builders.registry_faults import Fault
from tests.builders.registry_protocol import Handler, Refusal


@dataclass(frozen=True)
class Seen:
    """A request as it came in; `path` has the query too."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


@dataclass
class Repository:
    """What is under one path: blobs by digest, manifests with their types, tags."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class _Planned:
    method: str
    pattern: str
    fault: Fault
    times: int


class OpenRegistry:
    """The registry; alive from its making to `close`, on a free port of the loopback.

    Attributes:
        address: ``127.0.0.1:PORT``; `url` has the scheme before it.
        seen: every request, in order.
        uploads: digest of each blob that was uploaded, in order; mounts are in `mounts`.
        realm: where tokens are, and `service` what they are for.
        connections: how many were opened.
        knows_ranges: whether a part of a blob can be asked for.
    """

    def __init__(
        self,
        *,
        takes_apps: bool = True,
        auth: str | None = None,
        users: dict[str, str] | None = None,
        anonymous_pull: bool = False,
        token_seconds: int | None = 300,
        storage: "OpenRegistry | None" = None,
        chunked_only: bool = False,
        certificate: str | None = None,
    ) -> None:
        self.takes_apps = takes_apps
        self.auth = auth
        self.users = users or {}
        self.anonymous_pull = anonymous_pull
        self.token_seconds = token_seconds
        self.storage = storage
        self.chunked_only = chunked_only
        self.knows_ranges = True
        self.connections = 0
        self.service = "tests registry, 1"
        self.seen: list[Seen] = []
        self.uploads: list[str] = []
        self.mounts: list[tuple[str, str]] = []
        self.tokens: dict[str, frozenset[str]] = {}
        self.refresh_tokens: dict[str, str] = {}
        self.sessions: dict[str, bytearray] = {}
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._repositories: dict[str, Repository] = defaultdict(Repository)
        self._planned: list[_Planned] = []
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.registry = self
        if certificate is not None:
            self._server.speak_tls(certificate)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'http' if certificate is None else 'https'}://{self.address}"
        self.realm = f"{self.url}/token"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self.closing.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Content.

    def repository(self, path: str) -> Repository:
        with self.lock:
            return self._repositories[path]

    def blobs(self, path: str) -> dict[str, bytes]:
        return self.repository(path).blobs

    def manifests(self, path: str) -> dict[str, bytes]:
        return {digest: raw for digest, (raw, _) in self.repository(path).manifests.items()}

    def tags(self, path: str) -> dict[str, str]:
        return self.repository(path).tags

    def put_blob(self, path: str, content: bytes, media_type: str = LAYER) -> Descriptor:
        digest = sha256(content)
        self.repository(path).blobs[digest] = content
        return Descriptor(media_type, digest, len(content))

    def put_manifest(
        self, path: str, raw: bytes, media_type: str, tag: str | None = None
    ) -> Descriptor:
        """Put it in unchecked, under its digest and `tag`."""
        digest = sha256(raw)
        self.repository(path).manifests[digest] = (raw, media_type)
        if tag is not None:
            self.repository(path).tags[tag] = digest
        return Descriptor(media_type, digest, len(raw))

    def take_manifest(self, path: str, raw: bytes, media_type: str, reference: str) -> str:
        """Put in what was pushed, if it may be.

        Raises:
            Refusal: it may not.
        """
        digest = sha256(raw)
        if reference.startswith("sha256:") and reference != digest:
            raise Refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        try:
            document = json.loads(raw)
        except ValueError:
            raise Refusal(400, "MANIFEST_INVALID", "manifest invalid") from None
        is_index = "config" not in document
        if not self.takes_apps and (document.get("layers" if is_index else "manifests")):
            raise Refusal(400, "MANIFEST_INVALID", "manifest invalid")
        with self.lock:
            self._check_parts(path, document, is_index=is_index)
            self.put_manifest(
                path, raw, media_type, None if reference.startswith("sha256:") else reference
            )
        return digest

    def _check_parts(self, path: str, document: dict[str, object], *, is_index: bool) -> None:
        repository = self.repository(path)
        parts: list[dict[str, str]] = [] if is_index else [document["config"], *document["layers"]]  # type: ignore[list-item, misc]
        for part in parts:
            if part["digest"] not in repository.blobs:
                raise Refusal(404, "MANIFEST_BLOB_UNKNOWN", f"blob unknown: {part['digest']}")
        for part in document.get("manifests", ()):  # type: ignore[attr-defined]
            if part["digest"] not in repository.manifests:
                raise Refusal(404, "MANIFEST_UNKNOWN", f"manifest unknown: {part['digest']}")

    # Requests and misbehaviour.

    def see(self, seen: Seen) -> None:
        with self.lock:
            self.seen.append(seen)

    def count(self, method: str, pattern: str = "") -> int:
        """How many requests of `method` had a path in which the regular expression matches."""
        with self.lock:
            return len(
                [one for one in self.seen if one.method == method and re.search(pattern, one.path)]
            )

    def requests(self, pattern: str = "") -> list[str]:
        """``METHOD path`` of every request whose path matches, in order."""
        with self.lock:
            return [f"{one.method} {one.path}" for one in self.seen if re.search(pattern, one.path)]

    def fail(self, method: str, pattern: str, fault: Fault, *, times: int = 1) -> None:
        """Answer the next `times` requests of `method` whose path matches with `fault`."""
        with self.lock:
            self._planned.append(_Planned(method, pattern, fault, times))

    def planned(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for plan in self._planned:
                if plan.times > 0 and plan.method == method and re.search(plan.pattern, path):
                    plan.times -= 1
                    return plan.fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # So many clients may knock at once without being turned away.
    request_queue_size = 128
    registry: OpenRegistry

    def speak_tls(self, certificate: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake is for the connection's own thread.
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def handle_error(self, *_: object) -> None:
        """A client that goes away in the midst is no news."""
