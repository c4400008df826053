"""Builders of Compose Apps for the tests of ``apps``."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from layerscan.apps.discovery import App, discover
from layerscan.apps.images import service_images
from layerscan.errors import ComposeError

HEX = "0123456789abcdef" * 4


def put(root: Path, files: Mapping[str, str | bytes]) -> str:
    """Write `files` below `root`; returns the root as the code takes it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(root)


def one_app(root: Path, text: str | bytes, env: str | bytes | None = None) -> App:
    files: dict[str, str | bytes] = {"shop/docker-compose.yml": text}
    if env is not None:
        files["shop/.env"] = env
    return discover(put(root, files))[0]


def image_texts(app: App, process: Mapping[str, str] | None = None) -> dict[str, str]:
    return {name: found.image for name, found in service_images(app, process or {}).images.items()}


def only(image: str) -> str:
    return f"services: {{web: {{image: '{image}'}}}}"


def fault(app: App, process: Mapping[str, str] | None = None) -> str:
    """The message for `app`, without the path of its folder."""
    with pytest.raises(ComposeError) as caught:
        service_images(app, process or {})
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    assert message.startswith(app.folder + "/")
    return message.removeprefix(app.folder + "/")
