"""The pinned Compose file: what a device gets in place of the App's own.

Each service names its image by digest, has no ``build``, and has a label with
the digest of its own description, by which a client sees which services an
update changes. All else keeps its meaning; ``yamltree`` reads and writes it.
"""

import hashlib
from collections.abc import Mapping as Images
from dataclasses import replace

from layerscan.apps.compose import image_volumes, is_absent, is_reset, read_compose, volume_name
from layerscan.apps.yamltree import Mapping, Node, Scalar, Sequence, fault_at, write_tree

CONFIG_HASH_LABEL = "io.compose-spec.config-hash"


def pin(text: str, source: str, images: Images[str, str]) -> bytes:
    """The pinned form of a Compose file.

    Files that differ in the order of keys and services, in comments, quoting
    style, anchors or layout give the same bytes. `images` has the pinned ones.

    Raises:
        ComposeError: the file is malformed; see `read_compose`.
    """
    file = read_compose(text, source)
    if file.include is not None:
        raise fault_at(source, file.include, "include is not supported: an App is one file")
    pinned = dict(file.entries.entries)
    for name, (key, service) in pinned.items():
        if isinstance(service, Mapping) and not is_reset(service):
            pinned[name] = (key, _pinned(service, images, source, name))
    document = write_tree(file.root.having("services", replace(file.entries, entries=pinned)))
    # Readers that go by it would otherwise take plain scalars for YAML 1.2's.
    return (("%YAML 1.1\n---\n" if file.is_yaml_1_1 else "") + document).encode()


def _pinned(service: Mapping, images: Images[str, str], source: str, name: str) -> Node:
    service = service.without("build")
    if name in images:
        service = service.having("image", Scalar(images[name], plain=True))
    for number, volume in image_volumes(service):
        volumes = service.get("volumes")
        assert isinstance(volumes, Sequence)  # noqa: S101 - it has images
        image = Scalar(images[volume_name(name, number)], plain=True)
        items = [*volumes.items]
        items[number] = volume.having("source", image)
        service = service.having("volumes", replace(volumes, items=tuple(items)))
    labels = _without_hash(service.get("labels"), source, name)
    # Of what the service is without the label, so that pinning twice is pinning once.
    has_some = labels.entries if isinstance(labels, Mapping) else labels.items
    plain = service.having("labels", labels) if has_some else service.without("labels")
    config_hash = hashlib.sha256(write_tree(plain).encode()).hexdigest()
    return service.having("labels", _with_hash(labels, config_hash))


def _without_hash(labels: Node | None, source: str, name: str) -> Mapping | Sequence:
    """The labels but for one of an earlier pinning; an empty mapping where there are none."""
    if labels is None or is_absent(labels):
        return Mapping({})
    match labels:
        case Mapping():
            return labels.without(CONFIG_HASH_LABEL)
        case Sequence():
            return replace(labels, items=tuple(item for item in labels.items if not _is_hash(item)))
        case Scalar():
            what = f"service {name}: labels must be a mapping or a list"
            raise fault_at(source, labels.line, what)


def _with_hash(labels: Mapping | Sequence, config_hash: str) -> Node:
    if isinstance(labels, Mapping):
        return labels.having(CONFIG_HASH_LABEL, Scalar(config_hash))
    item = Scalar(f"{CONFIG_HASH_LABEL}={config_hash}", plain=True)
    return replace(labels, items=(*labels.items, item))


def _is_hash(item: Node) -> bool:
    return isinstance(item, Scalar) and item.text.partition("=")[0] == CONFIG_HASH_LABEL
