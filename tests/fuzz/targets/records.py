"""The JSON files of image stores, Docker's and containers/storage's, as their readers open them."""

from __future__ import annotations

from layerscan import digest as digests
from layerscan.files.safefs import Fault
from layerscan.stores.containers_storage.records import has_images, kept_layers, read_records
from layerscan.stores.overlay2.distribution import read_digests
from layerscan.stores.overlay2.imagedb import read_config, read_names
from tests.fuzz.json_values import mutated
from tests.fuzz.one_file import OneFile
from tests.fuzz.outcome import Refused, outcome

mutate = mutated
LONGEST = 8 * 1024


def run(data: bytes) -> None:
    folder = OneFile(data)
    try:
        outcome(lambda: read_names(folder), Fault)
        outcome(lambda: read_config(folder, digests.sha256(data)), Fault)
        outcome(lambda: read_digests(folder, digests.sha256(b"")), Fault)
        found = outcome(lambda: read_records(folder), Fault)
        if not isinstance(found, Refused):
            assert kept_layers([found]).keys() <= found.layers.keys()
            assert has_images(folder) or not found.images
    finally:
        folder.end()
