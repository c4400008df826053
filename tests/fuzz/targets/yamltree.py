"""A Compose file as it is pinned: written again with its meaning untouched, and once for all."""

from __future__ import annotations

from yaml import ScalarNode
from yaml.resolver import Resolver

from layerscan.apps.compose import read_services
from layerscan.apps.pinning import pin
from layerscan.apps.yamltree import Mapping, Node, Scalar, Sequence, read_tree, write_tree
from layerscan.errors import ComposeError
from tests.fuzz.outcome import Refused, outcome

LONGEST = 8 * 1024

IMAGE = "registry.example/acme/web@sha256:" + "0" * 64
RESOLVER = Resolver()


def run(data: bytes) -> None:
    text = data.decode(errors="replace")
    services = outcome(lambda: read_services(text, "f.yml"), ComposeError)
    if isinstance(services, Refused):
        return
    images = {service.name: IMAGE for service in services}
    pinned = outcome(lambda: pin(text, "f.yml", images), ComposeError)
    if isinstance(pinned, Refused):
        return
    once = pinned.decode()
    assert pin(once, "f.yml", images) == pinned
    assert {service.image for service in read_services(once, "f.yml")} == {IMAGE}
    tree, _ = read_tree(text, "f.yml")
    assert meaning(read_tree(write_tree(tree), "f.yml")[0]) == meaning(tree)


def meaning(node: Node) -> object:
    """What a reader of YAML 1.1 makes of `node`."""
    match node:
        case Scalar():
            implicit = (node.plain, not node.plain)
            # The stubs of PyYAML say nothing of it.
            tag = node.tag or RESOLVER.resolve(  # type: ignore[no-untyped-call]
                ScalarNode, node.text, implicit
            )
            return tag, node.text
        case Sequence():
            return node.tag, [meaning(item) for item in node.items]
        case Mapping():
            return node.tag, [
                (meaning(key), meaning(value)) for key, value in node.entries.values()
            ]
