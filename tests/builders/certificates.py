"""Certificates of the tests' own authorities, and the folders that engines keep them in.

authority = Authority(tmp_path, "company")
server = authority.issue("server")              # Issued: files with certificate and key
OpenRegistry(certificate=server.both)
authority.certificate                           # what others trust
authority.subordinate("factory").issue("device")
"""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


class Issued(NamedTuple):
    """The files of a certificate for 127.0.0.1: alone, its key, and both in one."""

    certificate: Path
    key: Path
    both: str


class Authority:
    """An authority, with its files in `folder`; one that signs itself where `parent` is None."""

    def __init__(self, folder: Path, name: str, parent: "Authority | None" = None) -> None:
        self._folder = folder
        self.name = name
        if parent is None:
            self.certificate, self.key = folder / f"{name}.ca", folder / f"{name}.ca-key"
            _openssl(
                *("req", "-x509", "-nodes", *_KEY, "-days", "2", "-subj", f"/CN={name}"),
                *("-keyout", self.key, "-out", self.certificate),
            )
        else:
            made = parent.issue(name, "basicConstraints=critical,CA:TRUE")
            self.certificate, self.key = made.certificate, made.key

    def issue(self, name: str, extension: str = "subjectAltName=IP:127.0.0.1") -> Issued:
        """A certificate, for clients as well as servers."""
        stem = self._folder / f"{self.name}-{name}"
        certificate, key, request = (stem.with_suffix(end) for end in (".pem", ".key", ".csr"))
        extensions, both = stem.with_suffix(".extensions"), stem.with_suffix(".both")
        extensions.write_text(extension)
        _openssl(
            *("req", "-new", "-nodes", *_KEY, "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", request),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-days", "2", "-extfile", extensions),
            *("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial"),
            *("-out", certificate),
        )
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        return Issued(certificate, key, str(both))

    def subordinate(self, name: str) -> "Authority":
        """An authority that this one vouches for."""
        return Authority(self._folder, name, self)


def put_pair(folder: Path, issued: Issued, name: str = "client") -> None:
    """Put a client's certificate and key into `folder`, as engines name them."""
    shutil.copy(issued.certificate, folder / f"{name}.cert")
    shutil.copy(issued.key, folder / f"{name}.key")


def with_password(key: Path, password: str) -> bytes:
    """The key in the file `key`, encrypted."""
    return _openssl("ec", "-in", key, "-aes256", "-passout", f"pass:{password}")


def _openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout
