"""Connections: one HTTP request with its redirects, and who may see a secret.

Owns the connection pools, proxies, timeouts, and the rule that the header Authorization
and this client's certificate go to the host that they are for and to no other.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from layerscan import __version__
from layerscan.errors import RegistryError
from layerscan.registry.faults import Peer, ProxyError, told
from layerscan.registry.options import RegistryOptions
from layerscan.registry.pace import keep_pace
from layerscan.registry.tls import Certificates, settings
from layerscan.registry.verify import drain
from layerscan.text import printable

if TYPE_CHECKING:
    import httpx

MOST_REDIRECTS = 5

_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 60.0
_SLOT_SECONDS = 600.0

_METHOD_KEPT = (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT)
_REDIRECTS = (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.SEE_OTHER, *_METHOD_KEPT)


class Request(NamedTuple):
    """A request, which can be made more than once."""

    method: str
    url: str
    headers: Mapping[str, str] = {}  # all but Authorization
    body: Callable[[], Iterable[bytes]] | None = None  # gives it anew each time
    stays: bool = False  # the body is secret: no redirect is followed
    where: str = ""  # what it is about, for messages
    scopes: tuple[str, ...] = ()  # of the token
    accepted: Sequence[int] = (HTTPStatus.OK,)  # the answers that are no fault


class Answer(NamedTuple):
    """The head of an answer, and its body still to be read."""

    response: "httpx.Response"
    is_home: bool  # from the very host that was asked, not from one that a redirect led to

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    def header(self, name: str) -> str | None:
        """The header `name`."""
        value: str | None = self.response.headers.get(name)
        return value


def is_loopback(host: str) -> bool:
    """Whether `host`, without a port, is this machine by its name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class _ConnectionKind(NamedTuple):
    """What connections have in common that share a pool."""

    verified: bool  # whether the other side needs a certificate that is trusted
    direct: bool  # whether no proxy is asked
    certificates: Certificates  # beside the machine's


_NO_CERTIFICATES = Certificates("")


class Transport:
    """The connections to all hosts; thread-safe."""

    def __init__(self, options: RegistryOptions) -> None:
        self.options = options
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._clients: dict[_ConnectionKind, httpx.Client] = {}
        self._slots = threading.BoundedSemaphore(options.connections)
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def close(self) -> None:
        """Close all connections; who waits for an answer or another attempt gives up."""
        self.stop.set()
        with self._lock:
            for one in self._sockets:
                _shut(one)
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    @contextmanager
    def send(
        self, request: Request, authorization: str | None, certificates: Certificates
    ) -> Iterator[Answer]:
        """Make `request`, and follow redirects.

        `authorization` and the client's certificate are for the host of the request's URL alone.
        The registry's authorities are for where it redirects to, too, as with engines.
        """
        import httpx

        url = httpx.URL(request.url)
        home, is_home = origin(url), True
        for _ in range(MOST_REDIRECTS + 1):
            peer = certificates.peer(printable(url.netloc.decode("ascii", "replace")))
            with (
                self._slot(peer.host),
                told(peer),
                closing(self._open(request, url, authorization, certificates, peer)) as response,
            ):
                target = None if request.stays else _target(response, request.method, peer.host)
                if target is None:
                    yield Answer(response, is_home)
                drain(response)
            if target is None:
                return
            if origin(target) != home:
                is_home, authorization = False, None
                certificates = certificates.for_other_host()
            url = target
        raise RegistryError(
            f"{printable(home)}: redirects more than {MOST_REDIRECTS} times, last to "
            f"{printable(url.host + url.path)}"
        )

    @contextmanager
    def _slot(self, host: str) -> Iterator[None]:
        """One of the connections that may be in use at a time."""
        if not self._slots.acquire(timeout=_SLOT_SECONDS):
            raise RegistryError(f"{host}: all {self.options.connections} connections are in use")
        try:
            yield
        finally:
            self._slots.release()

    def _open(
        self,
        request: Request,
        url: "httpx.URL",
        authorization: str | None,
        certificates: Certificates,
        peer: Peer,
    ) -> "httpx.Response":
        client = self._client(url, certificates)
        # Bodies are taken as they are: their digests are of these bytes.
        headers = {"Accept-Encoding": "identity", **request.headers}
        if authorization is not None:
            headers["Authorization"] = authorization
        body = None if request.body is None else request.body()
        built = client.build_request(
            request.method,
            url,
            headers=headers,
            content=body,
            extensions={"trace": partial(self._trace, url, peer)},
        )
        return client.send(built, stream=True)

    def _trace(self, url: "httpx.URL", peer: Peer, event: str, info: Mapping[str, Any]) -> None:
        """Look after a new connection; httpcore calls it with all that happens."""
        follow(peer, url, event, info)
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        stream = info["return_value"]
        keep_pace(stream, peer.host)
        opened = stream.get_extra_info("socket")
        if opened is None:
            return
        with self._lock:
            self._sockets.add(opened)
            if self.stop.is_set():
                _shut(opened)

    def _client(self, url: "httpx.URL", certificates: Certificates) -> "httpx.Client":
        """The pool for hosts like that of `url`."""
        is_tls = url.scheme == "https"
        # As references name it: with the port if it is given.
        name = url.netloc.decode("ascii", "replace").rpartition("@")[2]
        kind = _ConnectionKind(
            # Without TLS there is nothing to verify, and reading the authorities takes time.
            # On this machine itself nobody is in between.
            verified=is_tls
            and name not in self.options.insecure
            and (certificates.are_any or not is_loopback(url.host)),
            # No proxy has any business with this machine's own addresses.
            direct=is_loopback(url.host),
            certificates=certificates if is_tls and certificates.are_any else _NO_CERTIFICATES,
        )
        with self._lock:
            if self.stop.is_set():
                raise RegistryError(f"{printable(url.host)}: the client is closed")
            if kind not in self._clients:
                self._clients[kind] = self._new_client(kind)
            return self._clients[kind]

    def _new_client(self, kind: "_ConnectionKind") -> "httpx.Client":
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        context = settings(kind.certificates, verified=kind.verified)
        try:
            return httpx.Client(
                verify=context,
                trust_env=not kind.direct,
                follow_redirects=False,
                headers={"User-Agent": f"layerscan/{__version__}"},
                # A registry needs none, and they would go to other ports of its host.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                limits=httpx.Limits(
                    max_connections=self.options.connections,
                    max_keepalive_connections=self.options.connections,
                ),
                timeout=httpx.Timeout(_IDLE_SECONDS, connect=_CONNECT_SECONDS, pool=_SLOT_SECONDS),
            )
        except (ImportError, ValueError) as error:
            # One that is not HTTP: SOCKS takes another package.
            said = printable(str(error))
            raise ProxyError(f"the proxies of the environment cannot be used: {said}") from None


def follow(peer: Peer, url: "httpx.URL", event: str, info: Mapping[str, Any]) -> None:
    """Note, of what httpcore tells, how far the connection for `url` has come."""
    part, _, what = event.partition(".")
    end = (url.raw_host.decode("ascii"), _port(url))
    if what == "connect_tcp.started" and (info["host"], info["port"]) != end:
        peer.proxy = f"{info['host']}:{info['port']}"
    elif what == "start_tls.started" and part != "connection":
        # Through the proxy: TLS with the proxy itself is its connection's.
        peer.proxy = None


def _shut(one: socket.socket) -> None:
    # Closing alone would leave a thread that reads from it waiting.
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _port(url: "httpx.URL") -> int | None:
    return url.port or {"http": 80, "https": 443}.get(url.scheme)


def origin(url: "httpx.URL") -> str:
    """Scheme, host and port: what a secret is for."""
    return f"{url.scheme}://{url.host}:{_port(url)}"


def _target(response: "httpx.Response", method: str, host: str) -> "httpx.URL | None":
    """Where a redirect leads; None if `response` is not one."""
    location = response.headers.get("Location")
    followed = _REDIRECTS if method in ("GET", "HEAD") else _METHOD_KEPT
    if location is None or response.status_code not in followed:
        return None
    return redirected(response, location, host)


def redirected(response: "httpx.Response", location: str, where: str) -> "httpx.URL":
    """Where `response` leads; refused if it is no HTTP, holds a password, or leaves TLS."""
    import httpx

    try:
        target = response.url.join(httpx.URL(location))
    except (httpx.InvalidURL, ValueError):
        raise RegistryError(f"{where}: redirects to no address: {printable(location)}") from None
    what = ""
    if target.scheme not in ("http", "https") or not target.host:
        what = ", which is no HTTP address"
    elif target.userinfo:
        what = " with a user name in the address"
    elif response.url.scheme == "https" and target.scheme == "http":
        what = ", which is without TLS"
    if what:
        address = printable(f"{target.scheme}://{target.host}")
        raise RegistryError(f"{where}: redirects to {address}{what}")
    return target
