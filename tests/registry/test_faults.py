"""What goes wrong with connections, in words, and whether another attempt may mend it."""

import socket
import ssl

import httpx
import pytest

from layerscan.errors import NotInRegistryError, RefusedByRegistryError, RegistryError
from layerscan.registry.faults import (
    CertificateError,
    Peer,
    ProxyError,
    TemporaryError,
    TemporaryProxyError,
    refusal,
    told,
)

CHECK = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names it"


def raised(
    error: Exception,
    *behind: BaseException,
    proxy: str | None = None,
    certificate: str | None = None,
    is_foreign: bool = False,
) -> RegistryError:
    """What becomes of an error with these others behind it."""
    peer = Peer("h", "r.example", certificate, is_foreign, proxy)
    outer: BaseException = error
    for number, inner in enumerate(behind):
        # Either is how one error comes of another.
        if number % 2:
            outer.__cause__ = inner
        else:
            outer.__context__ = inner
        outer = inner
    with pytest.raises(RegistryError) as caught, told(peer):
        raise error
    return caught.value


def tls(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "in\nfull")
    error.reason = reason  # type: ignore[assignment]  # OpenSSL has none for some
    return error


@pytest.mark.parametrize(
    ("error", "said", "kind"),
    [
        (httpx.ReadError(""), "the connection broke off: it is closed", TemporaryError),
        (httpx.ReadError("a\nb"), "the connection broke off: a\\nb", TemporaryError),
        (httpx.RemoteProtocolError("x"), "the connection broke off: x", TemporaryError),
        (httpx.ReadTimeout("x"), "does not answer any more", TemporaryError),
        (httpx.WriteTimeout("x"), "does not answer any more", TemporaryError),
        (
            httpx.ConnectTimeout("x"),
            "does not answer: no connection in time",
            TemporaryError,
        ),
        (httpx.ConnectError("x"), "no connection: x", TemporaryError),
        (httpx.PoolTimeout("x"), "cannot be asked: x", RegistryError),
        (httpx.UnsupportedProtocol("x"), "cannot be asked: x", RegistryError),
        (
            httpx.RemoteProtocolError("Invalid URL in location header: x."),
            "cannot be asked: Invalid URL in location header: x.",
            RegistryError,
        ),
    ],
)
def test_trouble_with_a_connection(
    error: httpx.TransportError, said: str, kind: type[RegistryError]
) -> None:
    for proxy in (None, "p:1") if isinstance(error, httpx.ReadError) else (None,):
        found = raised(error, proxy=proxy)
        assert (str(found), type(found)) == (f"h: {said}", kind)


NOBODY = socket.gaierror(socket.EAI_NONAME, "unknown")
LATER = socket.gaierror(socket.EAI_AGAIN, "later")


@pytest.mark.parametrize(
    ("behind", "said", "kind"),
    [
        ([OSError(), ConnectionRefusedError(111, "no")], "no connection: x", RegistryError),
        ([OSError(), OSError(), NOBODY], "there is no such host (unknown)", RegistryError),
        ([OSError(), OSError(), LATER], "no connection: x", TemporaryError),
        ([OSError(), tls("UNEXPECTED_EOF")], "TLS failed: UNEXPECTED_EOF", TemporaryError),
        ([OSError(), OSError()], "no connection: x", TemporaryError),
    ],
)
def test_the_cause_may_be_far_behind(
    behind: list[OSError], said: str, kind: type[RegistryError]
) -> None:
    found = raised(httpx.ConnectError("x"), *behind)
    assert (str(found), type(found)) == (f"h: {said}", kind)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("TLSV1_ALERT_PROTOCOL_VERSION", RegistryError),
        ("TLSV13_ALERT_MISSING_EXTENSION", RegistryError),
        ("SSLV3_ALERT_ILLEGAL_PARAMETER", RegistryError),
        ("TLSV1_ALERT_INTERNAL_ERROR", TemporaryError),
        ("TLSV1_ALERT_USER_CANCELLED", TemporaryError),
        ("TLSV1_ALERT_DECRYPTION_FAILED", TemporaryError),
        ("TLSV1_ALERT_RECORD_OVERFLOW", TemporaryError),
        ("SSLV3_ALERT_BAD_RECORD_MAC", TemporaryError),
        ("UNEXPECTED_EOF_WHILE_READING", TemporaryError),
        # No alert: it is not the other side that says so.
        ("CERTIFICATE_ODD", TemporaryError),
    ],
)
def test_alerts_and_other_trouble_with_tls(reason: str, kind: type[RegistryError]) -> None:
    found = raised(httpx.ConnectError("x"), tls(reason))
    assert (str(found), type(found)) == (f"h: TLS failed: {reason}", kind)
    found = raised(httpx.ConnectError("x"), tls(reason), proxy="p:1")
    assert str(found) == f"h: the proxy p:1 cannot be used: TLS failed: {reason}; {CHECK}"
    assert type(found) is (ProxyError if kind is RegistryError else TemporaryProxyError)


@pytest.mark.parametrize(
    "reason",
    [
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_UNKNOWN_CA",
    ],
)
def test_alerts_about_the_certificate_of_the_client(reason: str) -> None:
    without = f"h: refuses a client without a certificate: {reason}; "
    wanted = "if it wants one, that belongs into /etc/docker/certs.d/r.example as *.cert, and its"
    for certificate, is_foreign, said in [
        ("a\nb", False, f"h: refuses the certificate a\\nb: {reason}"),
        (None, True, f"{without}one for r.example is not shown here"),
        (None, False, f"{without}{wanted} key as *.key"),
    ]:
        found = raised(
            httpx.ConnectError("x"), tls(reason), certificate=certificate, is_foreign=is_foreign
        )
        assert (str(found), type(found)) == (said, CertificateError)


def test_an_error_of_tls_without_a_reason_is_told_in_full() -> None:
    found = raised(httpx.ConnectError("x"), tls(None))
    assert str(found) == "h: TLS failed: in\\nfull"


@pytest.mark.parametrize(
    ("error", "behind", "said", "kind"),
    [
        (httpx.ConnectTimeout(""), [], "no connection in time", TemporaryProxyError),
        (httpx.ConnectError("x"), [], "x", TemporaryProxyError),
        (httpx.ConnectError("x"), [ConnectionRefusedError(111, "no")], "x", ProxyError),
        (httpx.ConnectError("x"), [NOBODY], "x", ProxyError),
        (httpx.ConnectError("x"), [LATER], "x", TemporaryProxyError),
        (httpx.ProxyError("407 No"), [], "it refuses the connection: 407 No", RegistryError),
        (httpx.ProxyError("502 No"), [], "it refuses the connection: 502 No", TemporaryError),
        (httpx.ProxyError("who?"), [], "it refuses the connection: who?", RegistryError),
    ],
)
def test_trouble_with_a_proxy(
    error: httpx.TransportError, behind: list[OSError], said: str, kind: type[RegistryError]
) -> None:
    found = raised(error, *behind, proxy="p:1")
    assert str(found) == f"h: the proxy p:1 cannot be used: {said}; {CHECK}"
    assert type(found) is kind


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (200, "the registry answers 200 (OK), which is out of place", RegistryError),
        (399, "the registry answers 399 (an unknown status), which is out of", RegistryError),
        (400, "the registry answers 400 (Bad Request): A: b!", RefusedByRegistryError),
        (404, "not found in the registry (404): A: b", NotInRegistryError),
        (429, "too many requests (429): A: b", TemporaryError),
        (499, "the registry answers 499 (an unknown status): A: b!", RefusedByRegistryError),
        (500, "the registry answers 500 (Internal Server Error): A: b", TemporaryError),
        (501, "the registry answers 501 (Not Implemented): A: b!", RefusedByRegistryError),
        (505, "the registry answers 505 (HTTP Version Not Supported)", RefusedByRegistryError),
        (511, "the registry answers 511 (Network Authentication Requ", TemporaryError),
    ],
)
def test_what_a_status_means(status: int, said: str, kind: type[RegistryError]) -> None:
    body = b'{"errors":[{"code":"A","message":"b"}]}'
    found = refusal("r:1", status, body, delay=7.5, hint="!")
    assert type(found) is kind
    assert str(found).startswith(f"r:1: {said}")
    assert str(found).endswith("!") == (kind is RefusedByRegistryError)
    if isinstance(found, TemporaryError):
        assert found.delay == 7.5
    if isinstance(found, RefusedByRegistryError):
        assert (found.status, found.code) == (status, "A")


def test_codes_and_words_are_shown_without_secrets() -> None:
    body = b'{"errors":[{"code":"pw-1","message":"not pw-1"}]}'
    found = refusal("r:1", 400, body, redacted=lambda text: text.replace("pw-1", "…"))
    assert isinstance(found, RefusedByRegistryError)
    assert found.code == "…"
    assert str(found) == "r:1: the registry answers 400 (Bad Request): …: not …"
