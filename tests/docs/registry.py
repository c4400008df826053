"""The App that the documents publish, its images in ``registry.example``, and their metadata.

One of the images is also in a layout, and in an archive of ``docker save``.
"""

from pathlib import Path

from layerscan import layersmeta
from tests.builders.image_archives import Saved, docker_save, write_layout, write_tar
from tests.builders.publish_case import image_of, index_of, metadata
from tests.builders.registry_server import OpenRegistry
from tests.docs.reader import blocks

LAYERS = {
    "fleet/player:1043": {"amd64": ["base", "player"], "arm64": ["armbase", "armplayer"]},
    "fleet/cache:7": {"amd64": ["base", "cache"], "arm64": ["armbase", "armcache"]},
}


def fill(registry: OpenRegistry, folder: Path) -> None:
    """Put the images there, and below `folder` the App and what scans say of its layers."""
    for name, images in LAYERS.items():
        index_of(images).put(registry, name)
    image = image_of(*LAYERS["fleet/player:1043"]["amd64"])
    write_layout(image, "1043", folder / "build" / "player")
    write_tar(docker_save(Saved(image, ("fleet/player:1043",))), folder / "player.tar")
    app = folder / "fleet" / "signage"
    app.mkdir(parents=True)
    page = blocks("docs/guides/publish.md")
    (text,) = [block.text for block in page if block.language == "yaml"]
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
