"""What tests of bundles share."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from layerscan.apps.bundle import write_bundle
from layerscan.apps.discovery import app_at
from layerscan.apps.published import bundle_files
from layerscan.digest import sha256
from layerscan.oci import Descriptor
from tests.builders.compose_apps import put
from tests.builders.members import member, tar

BUNDLE = Descriptor(
    "application/octet-stream",
    sha256(b"bundle"),
    6,
    annotations={
        "org.foundries.app.bundle.index.digest": sha256(b"index"),
        "org.foundries.app.bundle.index.size": "5",
    },
)

PINNED = b"services: {}\n"


def with_compose_file(text: str | bytes, name: str = "docker-compose.yml") -> bytes:
    content = text if isinstance(text, bytes) else text.encode()
    return gzip.compress(tar(member("a", b"x" * 5000), member(name, content)))


def app_folder(root: Path, **more: str | bytes) -> Path:
    files = {"docker-compose.yml": "x", "conf/a": "a", "conf/b.sh": "bb", ".env": "A=1"} | more
    put(root / "shop", files)
    for path in [root / "shop", *(root / "shop").rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
    return root / "shop"


def bundled(folder: Path) -> bytes:
    target = io.BytesIO()
    descriptor, index = write_bundle(app_at(str(folder)), PINNED, target)
    raw = target.getvalue()
    assert descriptor.digest == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert (descriptor.size, descriptor.media_type) == (len(raw), "application/octet-stream")
    assert descriptor.annotations == {
        "org.foundries.app.bundle.index.digest": sha256(index),
        "org.foundries.app.bundle.index.size": str(len(index)),
    }
    # What composectl holds an installation against: a hash of each file.
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        files = {one.name: tar.extractfile(one) for one in tar.getmembers() if one.isreg()}
        hashes = {name: sha256(file.read()) for name, file in files.items() if file is not None}
    assert json.loads(index) == hashes
    return raw


def bundled_names(folder: Path) -> list[str]:
    return [entry.name for entry in bundle_files(bundled(folder), "b")]
