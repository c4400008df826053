"""The store of tests in which a scan meets changes, or what it cannot read."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerscan.layersmeta import LayerMeta
from layerscan.stores.model import Layer
from tests.builders.overlay2 import BuiltLayer, StoreBuilder, blob_digest
from tests.builders.tree import File
from tests.cli_runner import expected_usage


@dataclass
class TwoImages:
    """A store with one image on a base, and another on the same."""

    built: StoreBuilder
    base: BuiltLayer
    one: BuiltLayer
    two: BuiltLayer

    @classmethod
    def build(cls, root: Path) -> "TwoImages":
        built = StoreBuilder(root)
        base = built.layer(None, File("base", size=10))
        one, two = (built.layer(base, File(name, size=20)) for name in ("one", "two"))
        for name, layer in (("one", one), ("two", two)):
            built.image(
                [base, layer], names=[f"{name}:1"], pushed={f"docker.io/library/{name}": None}
            )
        return cls(built, base, one, two)

    def once(self, layer: BuiltLayer) -> Callable[[Layer], bool]:
        """That the store has no `layer` when it is first asked."""
        asked: list[Layer] = []

        def gone(found: Layer) -> bool:
            if found.chain_id == layer.chain_id:
                asked.append(found)
            return found.chain_id == layer.chain_id and len(asked) == 1

        return gone

    def remove(self, name: str, layer: BuiltLayer) -> None:
        """Remove an image as Docker does: its names, its record, then its files."""
        for text in [text for names in self.built.repositories.values() for text in names]:
            if text.startswith((f"{name}:", f"{name}@")):
                image_id = self.built.repositories[name][text]
                self.built.untag(text)
                Path(self.built.config_path(image_id)).unlink(missing_ok=True)
        shutil.rmtree(self.built.layer_path(layer))
        shutil.rmtree(self.built.folder_path(layer))

    def meta(self, *layers: BuiltLayer) -> dict[str, LayerMeta]:
        return {
            blob_digest(layer.diff_id): LayerMeta(layer.size, expected_usage(self.built, layer))
            for layer in layers
        }


@pytest.fixture
def there(tmp_path: Path) -> TwoImages:
    return TwoImages.build(tmp_path / "docker")
