"""Certificates: whom a connection trusts, and what this client shows of its own.

Owns the folders in which Docker and Podman keep certificates for a registry, and
the TLS settings that come of them. The rules are those of Docker's manual ("Verify
repository client with certificates") and of containers-certs.d(5). It never writes.
"""

import os
import ssl
from collections.abc import Mapping
from typing import NamedTuple

from layerscan.registry.faults import DOCKER_FOLDER, CertificateError, Peer
from layerscan.text import printable

SYSTEM_FOLDERS = ("/etc/containers/certs.d", DOCKER_FOLDER)
"""Where a machine's administrator keeps the certificates of registries."""


class Certificates(NamedTuple):
    """What there is for one registry beside the authorities of the machine."""

    registry: str  # as references name it
    authorities: tuple[str, ...] = ()  # files
    client: tuple[str, str] | None = None  # files with this client's certificate and with its key
    are_foreign: bool = False  # for another host than the registry and its token service

    @property
    def are_any(self) -> bool:
        """Whether there is anything at all."""
        return bool(self.authorities) or self.client is not None

    def for_other_host(self) -> "Certificates":
        """Those for a host that only the registry trusts: its authorities."""
        return self._replace(client=None, are_foreign=True)

    def peer(self, host: str) -> Peer:
        """What messages say of a connection to `host` with them."""
        return Peer(host, self.registry, self.client and self.client[0], self.are_foreign)


def folders(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Where folders with a registry's certificates may be, the user's own first."""
    variables = os.environ if environment is None else environment
    config = os.path.expanduser("~/.config")
    return (
        # Podman does not look at XDG_CONFIG_HOME here; Docker without root does.
        os.path.join(config, "containers", "certs.d"),
        os.path.join(variables.get("XDG_CONFIG_HOME") or config, "docker", "certs.d"),
        *SYSTEM_FOLDERS,
    )


def find_certificates(registry: str) -> Certificates:
    """The certificates for `registry`, as references name it, from the first folder so named."""
    for parent in folders():
        folder = os.path.join(parent, registry)
        # Also False where the user may not look into `parent`, which engines
        # keep from others on some machines: as if it were not there.
        if os.path.isdir(folder):
            return _read_folder(registry, folder)
    return Certificates(registry)


def _read_folder(registry: str, folder: str) -> Certificates:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise _unusable(folder, error) from None
    pairs = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix == ".cert":
            pairs.append(_pair(folder, names, name, f"{stem}.key"))
        elif suffix == ".key":
            _pair(folder, names, name, f"{stem}.cert")
    authorities = (os.path.join(folder, name) for name in names if name.endswith(".crt"))
    return Certificates(registry, tuple(authorities), pairs[0] if pairs else None)


def _pair(folder: str, names: list[str], name: str, other: str) -> tuple[str, str]:
    path = os.path.join(folder, name)
    if other not in names:
        hint = "certificates of authorities are named *.crt"
        if other.endswith(".cert"):
            hint = "add that certificate, or remove the key"
        what = f"there is no {printable(other)} beside it; {hint}"
        raise CertificateError(f"{printable(path)}: {what}")
    return path, os.path.join(folder, other)


def settings(certificates: Certificates, *, verified: bool) -> ssl.SSLContext:
    """The TLS settings for a registry; `verified` where the other side must be trusted."""
    context = _of_machine() if verified else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif certificates.authorities:
        _trust(context, certificates.authorities)
    if certificates.client is not None:
        _show(context, *certificates.client)
    return context


def _of_machine() -> ssl.SSLContext:
    """The machine's own authorities, as other programs on it use them."""
    import httpx

    # OpenSSL itself looks at SSL_CERT_FILE and SSL_CERT_DIR.
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        # There are none: those that come with httpx.
        return httpx.create_ssl_context()
    return ssl.create_default_context()


def _trust(context: ssl.SSLContext, authorities: tuple[str, ...]) -> None:
    for path in authorities:
        try:
            context.load_verify_locations(cafile=path)
        except OSError as error:
            raise _unusable(path, error) from None
    # As engines do: whatever is in such a file is trusted, also a certificate that
    # another one has signed, and one that an older OpenSSL made.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    def no_password() -> str:
        # OpenSSL would ask on the terminal.
        raise CertificateError(f"{printable(key)}: needs a password; store it without one")

    for path in (certificate, key):
        _check_readable(path)
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except OSError as error:
        raise _unusable(certificate, error, f"with the key {printable(key)}: ") from None


def _check_readable(path: str) -> None:
    # OpenSSL does not say which of both it cannot read.
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise _unusable(path, error) from None


def _unusable(path: str, error: OSError, doing: str = "") -> CertificateError:
    if isinstance(error, ssl.SSLError):
        # OpenSSL has no word for it.
        reason = error.reason or "not in PEM format"
    else:
        reason = error.strerror or type(error).__name__
    return CertificateError(f"{printable(path)}: cannot be used: {doing}{reason}")
