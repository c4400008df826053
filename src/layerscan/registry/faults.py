"""What goes wrong with registries, in words: connections, refusals, error bodies.

Owns how a registry's own words are shown: bounded and on one line.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from layerscan import jsondoc
from layerscan.errors import (
    DocumentError,
    NotInRegistryError,
    RefusedByRegistryError,
    RegistryError,
)
from layerscan.text import printable

if TYPE_CHECKING:
    import httpx

MAX_ERROR_BODY = 64 * 1024  # bytes of an error's body that are looked at
_MOST_ERRORS_TOLD = 3

DOCKER_FOLDER = "/etc/docker/certs.d"
"""The folder with certificates for registries that messages name."""

_CERTIFICATE_REFUSALS = (
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_DECRYPT_ERROR",
    "TLSV1_ALERT_UNKNOWN_CA",
    # What servers of TLS 1.2 say to who shows no certificate.
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
)
"""Alerts by their names in OpenSSL, beside those with the word CERTIFICATE."""

_ALERTS = ("SSLV3_", "TLSV1_", "TLSV13_")
"""How OpenSSL's names begin for alerts: the other side says what it does not like."""

_TEMPORARY_ALERTS = (
    # The other side has trouble of its own, or the line has damaged something.
    "TLSV1_ALERT_INTERNAL_ERROR",
    "TLSV1_ALERT_USER_CANCELLED",
    "TLSV1_ALERT_DECRYPTION_FAILED",
    "TLSV1_ALERT_RECORD_OVERFLOW",
    "SSLV3_ALERT_BAD_RECORD_MAC",
)

_NO_TLS = "WRONG_VERSION_NUMBER"  # what OpenSSL says of an answer that is no TLS


class TemporaryError(RegistryError):
    """What another attempt may mend: a lost connection, 429, a fault of the server.

    `delay` has the seconds that the registry asks to wait, None where it says nothing.
    """

    def __init__(self, message: str, delay: float | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class CertificateError(RegistryError):
    """A certificate is refused, or its file cannot be used; plain HTTP is not tried instead."""


class ProxyError(RegistryError):
    """A proxy of the environment cannot be used; plain HTTP is not tried instead."""


class TemporaryProxyError(ProxyError, TemporaryError):
    """The same, where another attempt may go better."""


@dataclass
class Peer:
    """Whom a connection is to, for messages."""

    host: str  # with its port if that is given
    registry: str  # on whose behalf the connection is made
    certificate: str | None  # the file with this client's own, None for none
    is_foreign: bool  # shown none, as neither the registry nor its token service is there
    # The proxy, with its port, while a new connection has come no farther than to it.
    proxy: str | None = None


@contextmanager
def told(peer: Peer) -> Iterator[None]:
    """Turn what httpx raises about a connection to `peer` into errors of this room."""
    import httpx

    try:
        yield
    except httpx.TransportError as error:
        final = _proxy_error(error, peer) if peer.proxy else _final_error(error, peer)
        raise (final or _connection_error(error, peer.host)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = f"{type(error).__name__}: {printable(str(error))}"
        raise RegistryError(f"{peer.host}: {said}") from None


def _proxy_error(error: "httpx.TransportError", peer: Peer) -> RegistryError | None:
    """What keeps the proxy from being used, None if it is something else.

    If it only refuses to connect to a port, plain HTTP may go through it.
    """
    import httpx

    where = f"{peer.host}: the proxy {printable(peer.proxy or '')} cannot be used"
    check = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names it"
    said = printable(str(error)) or "no connection in time"
    cause = _telling_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ProxyError(
            f"{where}: its certificate is not trusted: {printable(cause.verify_message)}; "
            f"{check}, and SSL_CERT_FILE a file with authorities"
        )
    if isinstance(cause, ssl.SSLError):
        reason = _reason(cause)
        if reason == _NO_TLS:
            hint = f"{check}: with http:// instead of https:// it is asked without"
            return ProxyError(f"{where}: it speaks no TLS ({reason}); {hint}")
        of_alert = ProxyError if _is_final_alert(reason) else TemporaryProxyError
        return of_alert(f"{where}: TLS failed: {reason}; {check}")
    if isinstance(error, httpx.ProxyError):
        return _refused_by_proxy(f"{where}: it refuses the connection: {said}; {check}", said)
    if cause is not None or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        kind = TemporaryProxyError if cause is None else ProxyError
        return kind(f"{where}: {said}; {check}")
    return None


def _refused_by_proxy(message: str, said: str) -> RegistryError:
    """What a proxy answers to CONNECT begins with its status."""
    status = said[:3]
    if status.isdigit() and _is_temporary(int(status)):
        return TemporaryError(message)
    return RegistryError(message)


def _final_error(error: "httpx.TransportError", peer: Peer) -> RegistryError | None:
    """What no attempt within seconds mends, None if it is something else."""
    host = peer.host
    cause = _telling_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return CertificateError(
            f"{host}: its certificate is not trusted: {printable(cause.verify_message)}; an "
            f"authority of your own belongs into {DOCKER_FOLDER}/{peer.registry} as *.crt or "
            "into the file that SSL_CERT_FILE names, and --insecure-registry does without"
        )
    if isinstance(cause, ssl.SSLError):
        return _tls_error(_reason(cause), peer)
    if isinstance(cause, socket.gaierror):
        return RegistryError(f"{host}: there is no such host ({cause.strerror})")
    if cause is not None:
        return RegistryError(f"{host}: no connection: {printable(str(error))}")
    return None


def _telling_cause(error: BaseException) -> OSError | None:
    """What is behind an error: trouble with TLS, no such host, or nobody who listens there."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError | ConnectionRefusedError):
            return cause
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _reason(error: ssl.SSLError) -> str:
    return printable(str(error.reason or error))


def _is_final_alert(reason: str) -> bool:
    return reason.startswith(_ALERTS) and reason not in _TEMPORARY_ALERTS


def _tls_error(reason: str, peer: Peer) -> RegistryError:
    host = peer.host
    if "ALERT" in reason and ("CERTIFICATE" in reason or reason in _CERTIFICATE_REFUSALS):
        if peer.certificate is not None:
            name = printable(peer.certificate)
            return CertificateError(f"{host}: refuses the certificate {name}: {reason}")
        without = f"{host}: refuses a client without a certificate: {reason}"
        if peer.is_foreign:
            return CertificateError(f"{without}; one for {peer.registry} is not shown here")
        return CertificateError(
            f"{without}; if it wants one, that belongs into "
            f"{DOCKER_FOLDER}/{peer.registry} as *.cert, and its key as *.key"
        )
    if reason == _NO_TLS:
        return RegistryError(f"{host}: speaks no TLS ({reason}); --insecure-registry does without")
    if _is_final_alert(reason):
        return RegistryError(f"{host}: TLS failed: {reason}")
    return TemporaryError(f"{host}: TLS failed: {reason}")


def _connection_error(error: "httpx.TransportError", host: str) -> RegistryError:
    import httpx

    said = printable(str(error)) or "it is closed"
    # httpx looks at redirects, too, that it is not to follow.
    final = isinstance(error, httpx.UnsupportedProtocol | httpx.PoolTimeout)
    if final or "location header" in said:
        return RegistryError(f"{host}: cannot be asked: {said}")
    # Of these, the more special ones come first.
    for kind, what in (
        (httpx.ConnectTimeout, "does not answer: no connection in time"),
        (httpx.TimeoutException, "does not answer any more"),
        (httpx.ConnectError, f"no connection: {said}"),
    ):
        if isinstance(error, kind):
            return TemporaryError(f"{host}: {what}")
    return TemporaryError(f"{host}: the connection broke off: {said}")


def refusal(
    where: str,
    status: int,
    body: bytes,
    *,
    delay: float | None = None,
    redacted: Callable[[str], str] = str,
    hint: str = "",
) -> RegistryError:
    """The error for an answer that is no success.

    `where` is the repository, or the document in it; `delay` the seconds of its Retry-After.
    `redacted` takes out of a text what nobody must see; `hint` follows what is final.
    """
    code, words = _own_words(body)
    said = printable(redacted(words))
    code = printable(redacted(code))
    message = f"{where}: {_meaning(status)}" + (f": {said}" if said else "")
    if _is_temporary(status):
        return TemporaryError(message, delay)
    if status == HTTPStatus.NOT_FOUND:
        return NotInRegistryError(message)
    if status >= HTTPStatus.BAD_REQUEST:
        return RefusedByRegistryError(message + hint, status=status, code=code)
    return RegistryError(message)


def _is_temporary(status: int) -> bool:
    """Whether the same request may go better a little later."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or (
        status >= HTTPStatus.INTERNAL_SERVER_ERROR
        and status not in (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    )


def _meaning(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "not found in the registry (404)"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "too many requests (429)"
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "an unknown status"
    out_of_place = ", which is out of place" if status < HTTPStatus.BAD_REQUEST else ""
    return f"the registry answers {status} ({phrase}){out_of_place}"


def _own_words(body: bytes) -> tuple[str, str]:
    """The first error code of a body, and all that it says (OCI distribution, "Error Codes")."""
    try:
        document = jsondoc.decode(body[:MAX_ERROR_BODY], "")
    except DocumentError:
        return "", ""
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list):
        return "", ""
    found = [
        [text if isinstance(text := error.get(key), str) else "" for key in ("code", "message")]
        for error in errors[:_MOST_ERRORS_TOLD]
        if isinstance(error, dict)
    ]
    words = "; ".join(": ".join(filter(None, pair)) for pair in found if any(pair))
    return (found[0][0] if found else ""), words
