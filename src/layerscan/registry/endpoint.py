"""One registry: where it is, its authorisation, and its requests, tried again.

Owns its address and what becomes of each answer: accepted, refused, or worth another
attempt. What requests mean, `repository` and `upload` know.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from http import HTTPStatus
from typing import TypeVar

from layerscan.errors import RegistryError
from layerscan.reference import DEFAULT_REGISTRY
from layerscan.registry.auth import Authorizer
from layerscan.registry.faults import CertificateError, ProxyError, TemporaryError, refusal
from layerscan.registry.login_files import Credentials
from layerscan.registry.retry import Waits, retry_after
from layerscan.registry.tls import Certificates, find_certificates
from layerscan.registry.transport import Answer, Request, Transport, is_loopback, origin
from layerscan.registry.verify import read_error
from layerscan.text import printable

T = TypeVar("T")
DOCKER_HUB = "registry-1.docker.io"  # the host behind the name docker.io


class Endpoint:
    """One registry, named as references name it; thread-safe."""

    def __init__(self, registry: str, transport: Transport) -> None:
        self._registry = registry
        self._host = DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
        self._transport = transport
        self._auth = Authorizer(registry, self._send, Credentials(registry).login)
        self._lock = threading.Lock()
        self._scheme: str | None = None

    def url(self, path: str) -> str:
        """The address of `path` below the API's root."""
        with self._lock:
            if self._scheme is None:
                self._scheme = self._find_scheme()
            return f"{self._scheme}://{self._host}/v2/{path}"

    def _find_scheme(self) -> str:
        if self._host in self._transport.options.insecure:
            return self._scheme_of_insecure()
        name = self._host if self._host.endswith("]") else self._host.rpartition(":")[0]
        # Who keeps certificates for this machine's own registry has it speak TLS.
        is_plain = is_loopback(name or self._host) and not self._certificates.are_any
        return "http" if is_plain else "https"

    def _scheme_of_insecure(self) -> str:
        """TLS with any certificate where it is spoken; else none."""
        waits = self.waits()
        while True:
            try:
                with self._send(Request("GET", f"https://{self._host}/v2/"), None):
                    return "https"
            except (CertificateError, ProxyError) as fault:
                if not isinstance(fault, TemporaryError):
                    raise
                waits.wait(fault)
            except RegistryError:
                # Whether plain HTTP does any better, the request itself will show.
                return "http"

    @cached_property
    def _certificates(self) -> Certificates:
        return find_certificates(self._registry)

    def _send(self, request: Request, authorization: str | None) -> AbstractContextManager[Answer]:
        """Make `request` to this registry or its token service; see `Transport.send`."""
        return self._transport.send(request, authorization, self._certificates)

    def waits(self) -> Waits:
        """The waits between the attempts of one request."""
        return Waits(self._transport.stop)

    def call(self, request: Request, consume: Callable[[Answer], T]) -> T:
        """Make a request, as often as it takes, and give its answer to `consume`.

        That is called again if the connection is lost while it reads.
        """
        waits = self.waits()
        while True:
            try:
                with self.attempt(request) as answer:
                    return consume(answer)
            except TemporaryError as fault:
                waits.wait(fault)

    @contextmanager
    def attempt(self, request: Request) -> Iterator[Answer]:
        """Make a request once, or twice where the registry wants another token.

        Raises TemporaryError where another attempt may go better; also while the body is read.
        """
        # An upload may go to another host, which must see neither token nor certificate.
        is_own = self._owns(request.url)
        with self._redacted(), ExitStack() as opened:
            used = self._auth.current(request.scopes) if is_own else None
            certificates = self._certificates if is_own else self._certificates.for_other_host()
            answer = opened.enter_context(self._transport.send(request, used, certificates))
            said = None
            if answer.status == HTTPStatus.BAD_REQUEST and request.url.startswith("http:"):
                said = read_error(answer.response)
                if is_own and b"HTTPS" in said:
                    # This machine's own, and it speaks TLS: servers of Go and nginx say so. As
                    # for engines, any certificate is then good enough.
                    opened.close()
                    said, self._scheme = None, "https"
                    request = request._replace(url=request.url.replace("http:", "https:", 1))
                    answer = opened.enter_context(self._transport.send(request, used, certificates))
            if answer.status == HTTPStatus.UNAUTHORIZED and answer.is_home and is_own:
                body = read_error(answer.response)
                # The token service may need the very connection.
                opened.close()
                fresh = self._auth.renewed(answer, request.scopes, used)
                if fresh is None:
                    raise self._fault(request, answer, body)
                answer = opened.enter_context(self._send(request, fresh))
            if answer.status not in request.accepted:
                body = read_error(answer.response) if said is None else said
                raise self._fault(request, answer, body)
            yield answer

    @contextmanager
    def _redacted(self) -> Iterator[None]:
        """Take secrets out of what is said of an answer's headers."""
        try:
            yield
        except RegistryError as error:
            error.args = (self._auth.redacted_message(str(error)),)
            raise

    def _owns(self, url: str) -> bool:
        import httpx

        return origin(httpx.URL(url)) == origin(httpx.URL(self.url("")))

    def _fault(self, request: Request, answer: Answer, body: bytes) -> RegistryError:
        delay = retry_after(answer.header("Retry-After"))
        where, hint = request.where, ""
        if not answer.is_home:
            # The address of a storage may hold a key; its host says enough.
            where = f"{where}: redirected to {printable(answer.response.url.host)}"
        elif answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            hint = f"; {self._auth.denied(request.scopes)}"
        redacted = self._auth.redacted
        return refusal(where, answer.status, body, delay=delay, redacted=redacted, hint=hint)
