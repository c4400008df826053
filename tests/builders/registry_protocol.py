"""How the tests' registry speaks: the OCI distribution API, tokens, and wrong answers.

The other half of `tests.builders.registry_server`, which has what it holds.
"""

import base64
import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from layerscan.digest import sha256
from tests.builders.registry_faults import (
    Changed,
    Cut,
    Drop,
    Endless,
    Fault,
    Headers,
    Length,
    Lost,
    Silent,
    Stall,
    Status,
    Trickle,
)

if TYPE_CHECKING:
    from tests.builders.registry_server import OpenRegistry

_API = re.compile(r"/v2/(?P<name>.+)/(?P<what>manifests|blobs/uploads|blobs)/(?P<rest>[^/]*)")
_RANGE = re.compile(r"(\d+)-(\d+)")
_PART = 1 << 16


class Refusal(Exception):
    """A request is refused, in the registry's own words."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


class _HangUpError(Exception):
    pass


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # A client waits for neither part of an answer.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.registry.lock:
            self.registry.connections += 1

    def log_message(self, *_: object) -> None:
        """Tests tell what they saw themselves."""

    def __getattr__(self, name: str) -> Callable[[], None]:
        # Of any method: ``do_GET`` and so on.
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    @property
    def registry(self) -> "OpenRegistry":
        found: OpenRegistry = self.server.registry  # type: ignore[attr-defined]
        return found

    def _handle(self) -> None:
        from tests.builders.registry_server import Seen

        headers = {name.lower(): value for name, value in self.headers.items()}
        self.registry.see(Seen(self.command, self.path, headers))
        self._left = int(headers.get("content-length", 0))
        self._fault: Fault | None = self.registry.planned(self.command, self.path)
        self._url = urlsplit(self.path)
        try:
            if isinstance(self._fault, Silent):
                self.registry.closing.wait()
                self.close_connection = True
            elif isinstance(self._fault, Status):
                self._read_all()
                self._answer_status(self._fault)
            elif self._url.path == "/token":
                self._give_token()
            else:
                self._authorize()
                self._route()
        except Refusal as refusal:
            self._read_all()
            errors = [{"code": refusal.code, "message": refusal.message, "detail": None}]
            self._answer(
                refusal.status,
                json.dumps({"errors": errors}).encode(),
                {"Content-Type": "application/json", **refusal.headers},
            )
        except _HangUpError:
            self.close_connection = True

    # The request's body.

    def _body(self) -> Iterator[bytes]:
        if isinstance(self._fault, Drop):
            keep = min(self._fault.after, self._left)
            yield self.rfile.read(keep)
            raise _HangUpError
        while self._left:
            part = self.rfile.read(min(self._left, _PART))
            if not part:
                raise _HangUpError
            self._left -= len(part)
            yield part

    def _read_all(self) -> bytes:
        return b"".join(self._body())

    # Answers.

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        fault = self._fault
        if isinstance(fault, Lost):
            raise _HangUpError
        if isinstance(fault, Changed):
            body = fault.change(body)
        if isinstance(fault, Trickle):
            self._trickle(status, fault, len(body), headers or {})
            raise _HangUpError
        self.send_response(status)
        for name, value in self._given({"Content-Length": str(len(body)), **(headers or {})}):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        # A client that has seen enough goes away.
        with contextlib.suppress(OSError):
            self.wfile.write(body[: fault.length] if isinstance(fault, Cut | Stall) else body)
            if isinstance(fault, Stall):
                self.registry.closing.wait()
            while isinstance(fault, Endless):
                self.wfile.write(bytes(_PART))
        if isinstance(fault, Cut | Length | Endless | Stall):
            self.close_connection = True

    def _trickle(self, status: int, fault: Trickle, size: int, headers: dict[str, str]) -> None:
        """Begin the answer as it should be; what comes after that never ends."""
        length = f"Content-Length: {size}"
        if fault.part == "chunk":
            length = "Transfer-Encoding: chunked"
        lines = [f"HTTP/1.1 {status} OK", *(f"{name}: {value}" for name, value in headers.items())]
        begin = {"head": "HTTP/1.1 200 ", "body": "\r\n\r\n", "chunk": "\r\n\r\n1;"}[fault.part]
        if fault.part != "head":
            begin = "\r\n".join([*lines, length]) + begin
        with contextlib.suppress(OSError):
            self.wfile.write(begin.encode())
            while not self.registry.closing.wait(fault.seconds):
                self.wfile.write(b"a")

    def _given(self, headers: dict[str, str]) -> list[tuple[str, str]]:
        """The headers that are sent in place of the right ones."""
        fault = self._fault
        if isinstance(fault, Length):
            headers["Content-Length"] = str(int(headers["Content-Length"]) + fault.off)
        if isinstance(fault, Endless):
            del headers["Content-Length"]
        changes = fault.headers if isinstance(fault, Headers) else {}
        return [
            (name, value) for name, value in {**headers, **changes}.items() if value is not None
        ]

    def _answer_status(self, fault: Status) -> None:
        body = fault.body
        if body is None:
            errors = [{"code": fault.code, "message": fault.message}]
            body = json.dumps({"errors": errors}).encode()
        self._answer(fault.status, body, fault.headers)

    # Who may do what.

    def _user(self) -> str | None:
        """The user whose right password the request has; Refusal if it is a wrong one."""
        scheme, _, text = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        user, _, password = base64.b64decode(text).decode().partition(":")
        if self.registry.users.get(user) != password:
            raise Refusal(401, "UNAUTHORIZED", "authentication required")
        return user

    def _authorize(self) -> None:
        registry = self.registry
        if registry.auth == "basic":
            challenge = {"WWW-Authenticate": 'Basic realm="tests, all of them"'}
            try:
                user = self._user()
            except Refusal:
                user = None
            if user is None:
                raise Refusal(401, "UNAUTHORIZED", "authentication required", **challenge)
        elif registry.auth == "token":
            scopes = self._needed()
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if not scopes <= registry.tokens.get(token, frozenset({"no"})):
                scope = f',scope="{" ".join(sorted(scopes))}"' if scopes else ""
                header = f'Bearer realm="{registry.realm}",service="{registry.service}"{scope}'
                headers = {"WWW-Authenticate": header}
                raise Refusal(401, "UNAUTHORIZED", "authentication required", **headers)

    def _needed(self) -> frozenset[str]:
        match = _API.fullmatch(self._url.path)
        if match is None:
            return frozenset()
        action = "pull" if self.command in ("GET", "HEAD") else "push"
        if match["what"] == "blobs/uploads":
            action = "push"
        return frozenset({f"repository:{match['name']}:{action}"})

    def _give_token(self) -> None:
        registry = self.registry
        body = parse_qs(self._read_all().decode())
        query = body or parse_qs(self._url.query)
        if self.command == "POST":
            user = registry.refresh_tokens.get(query.get("refresh_token", [""])[0])
            if user is None:
                raise Refusal(401, "UNAUTHORIZED", "unknown refresh token")
        else:
            user = self._user()
        if query.get("service") != [registry.service]:
            raise Refusal(400, "UNSUPPORTED", "another service")
        wanted = " ".join(query.get("scope", [])).split()
        granted = set()
        for scope in wanted:
            kind, name, actions = scope.split(":")
            for action in actions.split(","):
                if user is not None or (registry.anonymous_pull and action == "pull"):
                    granted.add(f"{kind}:{name}:{action}")
        token = secrets.token_urlsafe(12)
        registry.tokens[token] = frozenset(granted)
        answer: dict[str, Any] = {"token": token}
        if registry.token_seconds is not None:
            answer["expires_in"] = registry.token_seconds
        self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    # The API.

    def _route(self) -> None:
        if self._url.path == "/v2/":
            self._read_all()
            self._answer(200, b"{}")
            return
        match = _API.fullmatch(self._url.path)
        if match is None:
            raise Refusal(404, "NAME_UNKNOWN", "no such thing")
        reading = self.command in ("GET", "HEAD")
        name, rest = match["name"], match["rest"]
        if match["what"] == "manifests":
            (self._give_manifest if reading else self._take_manifest)(name, rest)
        elif match["what"] == "blobs":
            self._give_blob(name, rest)
        elif self.command == "POST":
            self._begin_upload(name)
        else:
            self._upload(name, rest)

    def _give_manifest(self, name: str, reference: str) -> None:
        repository = self.registry.repository(name)
        digest = repository.tags.get(reference, reference)
        if digest not in repository.manifests:
            raise Refusal(404, "MANIFEST_UNKNOWN", "manifest unknown")
        raw, media_type = repository.manifests[digest]
        self._answer(200, raw, {"Content-Type": media_type, "Docker-Content-Digest": digest})

    def _take_manifest(self, name: str, reference: str) -> None:
        raw = self._read_all()
        digest = self.registry.take_manifest(name, raw, self.headers["Content-Type"], reference)
        location = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest}
        self._answer(201, b"", location)

    def _give_blob(self, name: str, digest: str) -> None:
        blobs = self.registry.blobs(name)
        if digest not in blobs:
            raise Refusal(404, "BLOB_UNKNOWN", "blob unknown to registry")
        storage = self.registry.storage
        if storage is not None:
            storage.blobs(name)[digest] = blobs[digest]
            target = f"{storage.url}{self.path}?signature=confidential"
            self._answer(307, b"", {"Location": target})
            return
        content = blobs[digest]
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or not self.registry.knows_ranges:
            self._answer(200, content, headers)
            return
        first = int(asked[1])
        last = min(int(asked[2] or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._answer(206, content[first : last + 1], headers)

    def _begin_upload(self, name: str) -> None:
        self._read_all()
        query = parse_qs(self._url.query)
        registry = self.registry
        if "mount" in query and "from" in query:
            digest, origin = query["mount"][0], query["from"][0]
            content = registry.blobs(origin).get(digest)
            if content is not None:
                registry.blobs(name)[digest] = content
                registry.mounts.append((origin, digest))
                location = {"Location": f"/v2/{name}/blobs/{digest}"}
                self._answer(201, b"", {**location, "Docker-Content-Digest": digest})
                return
        session = secrets.token_hex(8)
        registry.sessions[session] = bytearray()
        self._answer(202, b"", {"Location": self._location(name, session), "Range": "0-0"})

    def _location(self, name: str, session: str) -> str:
        # With a query of its own, which a client must keep.
        return f"{self.registry.url}/v2/{name}/blobs/uploads/{session}?_state=a%3Db"

    def _upload(self, name: str, session: str) -> None:
        registry = self.registry
        content = registry.sessions.get(session)
        if content is None:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if "_state=a%3Db" not in self._url.query:
            raise Refusal(400, "BLOB_UPLOAD_INVALID", "the location's query was changed")
        if self.command == "GET":
            self._answer_upload(204, name, session)
            return
        if self.command == "PUT" and registry.chunked_only and self._left:
            raise Refusal(413, "SIZE_INVALID", "body too large")
        self._check_range(content)
        for part in self._body():
            content += part
        if self.command == "PATCH":
            self._answer_upload(202, name, session)
            return
        digest = parse_qs(self._url.query)["digest"][0]
        if sha256(bytes(content)) != digest:
            raise Refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        del registry.sessions[session]
        registry.blobs(name)[digest] = bytes(content)
        registry.uploads.append(digest)
        location = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
        self._answer(201, b"", location)

    def _check_range(self, content: bytearray) -> None:
        match = _RANGE.fullmatch(self.headers.get("Content-Range", f"{len(content)}-0"))
        if match is None or int(match[1]) != len(content):
            raise Refusal(416, "BLOB_UPLOAD_INVALID", "wrong range")

    def _answer_upload(self, status: int, name: str, session: str) -> None:
        end = max(len(self.registry.sessions[session]) - 1, 0)
        headers = {"Location": self._location(name, session), "Range": f"0-{end}"}
        self._answer(status, b"", headers)
