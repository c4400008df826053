"""The JSON documents of registries, devices and caches: read, or refused by their readers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from layerscan import layersmeta, oci
from layerscan.apps import published
from layerscan.errors import DocumentError
from layerscan.fit import device_file, go_metadata, skopeo_metadata
from layerscan.fit.figures import Metadata
from layerscan.jsondoc import Place, decode, mapping
from layerscan.registry import faults, login_files
from tests.fuzz.json_values import mutated
from tests.fuzz.outcome import Refused, outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerscan.registry.login import Login

mutate = mutated
LONGEST = 8 * 1024

NAME = "f.json"


def run(data: bytes) -> None:
    for read in READERS:
        outcome(partial(read, data, NAME), DocumentError)
    same_again(data, layersmeta.loads, layersmeta.dumps)
    same_again(data, layersmeta.loads_by_arch, layersmeta.dumps_by_arch)
    same_again(data, lambda raw, name: device_file.loads(raw, name).device, device_file.dumps)
    code, words = faults._own_words(data)
    assert isinstance(code, str)
    assert isinstance(words, str)


def same_again(
    data: bytes, loads: Callable[[bytes, str], object], dumps: Callable[..., bytes]
) -> None:
    """What is read and written is read as the same."""
    found = outcome(partial(loads, data, NAME), DocumentError)
    if not isinstance(found, Refused):
        assert dumps(loads(dumps(found), NAME)) == dumps(found)


def figures(raw: bytes, name: str) -> object:
    return Metadata(raw, name).figures("amd64")


def client_figures(raw: bytes, name: str) -> object:
    """What the clients make of metadata; they forgive much."""
    go_metadata.read(raw, name)
    skopeo_metadata.manifest_digests(raw, name)
    return skopeo_metadata.precise(Metadata(raw, name), "amd64", lambda _: False, alone=True)


def logins(raw: bytes, name: str) -> list[Login | None]:
    place = Place(name)
    config = mapping(decode(raw, name, as_go=True), place)
    auths = login_files._table(config, "auths", place)
    return [login_files._login(auths, key, place) for key in auths]


READERS: tuple[Callable[[bytes, str], object], ...] = (
    oci.loads,
    oci.loads_config,
    published.loads_app,
    figures,
    client_figures,
    logins,
)
