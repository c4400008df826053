"""What tests of bundles share."""

import gzip

from layerscan.digest import sha256
from layerscan.oci import Descriptor
from tests.builders.members import member, tar

BUNDLE = Descriptor("application/octet-stream", sha256(b"bundle"), 6)


def with_compose_file(text: str | bytes, name: str = "docker-compose.yml") -> bytes:
    content = text if isinstance(text, bytes) else text.encode()
    return gzip.compress(tar(member("a", b"x" * 5000), member(name, content)))
