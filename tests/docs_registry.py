"""The App that the documents publish, its images in ``registry.example``, and their metadata."""

from pathlib import Path

from layerscan import layersmeta
from tests.builders.registry_server import OpenRegistry
from tests.docs_reader import blocks
from tests.publish_case import metadata, put_index

LAYERS = {
    "fleet/player:1043": {"amd64": ["base", "player"], "arm64": ["armbase", "armplayer"]},
    "fleet/cache:7": {"amd64": ["base", "cache"], "arm64": ["armbase", "armcache"]},
}


def fill(registry: OpenRegistry, folder: Path) -> None:
    """Put the images there, and below `folder` the App and what scans say of its layers."""
    for name, images in LAYERS.items():
        path, _, tag = name.partition(":")
        put_index(registry, path, tag, images)
    app = folder / "fleet" / "signage"
    app.mkdir(parents=True)
    (text,) = [block.text for block in blocks("docs/publish.md") if block.language == "yaml"]
    compose_file = text.replace("registry.example/", f"{registry.address}/")
    (app / "docker-compose.yml").write_text(compose_file)
    layers: dict[str, list[str]] = {"amd64": [], "arm64": []}
    for images in LAYERS.values():
        for architecture, names in images.items():
            layers[architecture] += names
    scans = metadata(**layers)
    for architecture, scan in scans.items():
        (folder / f"{architecture}.json").write_bytes(layersmeta.dumps(scan))
    (folder / "layers_meta.json").write_bytes(layersmeta.dumps_by_arch(scans))
