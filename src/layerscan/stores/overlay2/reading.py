"""One reading of a Docker image store, from names to digests.

Owns how names, configs, layers and digests become images, and which images
are lost with what could not be read. Reads every file at most once.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from layerscan.digest import chain_id
from layerscan.files.safefs import Fault, Folder
from layerscan.oci import Config
from layerscan.stores.model import Image, Layer
from layerscan.stores.overlay2.distribution import BY_DIFF_ID, KnownDigests, read_digests
from layerscan.stores.overlay2.footprint import image_paths, layer_paths
from layerscan.stores.overlay2.imagedb import REPOSITORIES, list_image_ids, read_config, read_names
from layerscan.stores.overlay2.layerdb import LayerDb
from layerscan.stores.readings import LayerPosition, Reading, image_label, read_layers

if TYPE_CHECKING:
    from layerscan.reference import Reference


class Overlay2Reading(Reading):
    """What one reading of the store in `root` found; it has seen images by their image ids."""

    def __init__(self, root: Folder, image_root: Folder, *, exact: bool) -> None:
        super().__init__()
        self._root = root
        self._image_root = image_root
        self._exact = exact
        self._names: dict[str, list[Reference]] = defaultdict(list)
        self._known: dict[str, KnownDigests] = defaultdict(KnownDigests)
        before = image_root.look(REPOSITORIES)
        self._read()
        if image_root.look(REPOSITORIES) != before:
            self.settled = False

    def _read(self) -> None:
        configs = self._read_configs()
        stacks, wanted = _stacks(configs)
        self._read_digests(dict.fromkeys(diff_id for _, diff_id in wanted.values()))
        layers = self._read_layers(wanted)
        for image_id, stack in stacks.items():
            whole = self._whole([layers[chain] for chain in stack], self.seen[image_id])
            if whole is not None:
                self.images.append(self._image(image_id, configs[image_id], whole))

    def _read_configs(self) -> dict[str, Config]:
        nameless = self._read_names()
        try:
            with self._image_root.folder("imagedb", "content", "sha256") as content:
                image_ids, faults = list_image_ids(content)
                for stray in faults:
                    self._note(stray)
                # Those with a name that are not there, too: reading them says so.
                image_ids = sorted({*image_ids, *self._names})
                self.seen = {image_id: self._label(image_id) for image_id in image_ids}
                if nameless and image_ids:
                    self._note(nameless, then="; no name of an image is known")
                return self._parse_configs(content, image_ids)
        except Fault as fault:
            self.seen = {image_id: self._label(image_id) for image_id in self._names}
            # Without images, an engine that never had one may not have made it.
            if self.seen or not fault.gone:
                self._note(fault, *self.seen.values())
            if nameless and not nameless.gone:
                self._note(nameless)
            return {}

    def _read_names(self) -> Fault | None:
        """Fill `_names`. Returns why there are none to be known, if so."""
        try:
            names, faults = read_names(self._image_root)
        except Fault as fault:
            return fault
        for stray in faults:
            self._note(stray)
        for name, image_id in sorted(names.items()):
            self._names[image_id].append(name)
        return None

    def _parse_configs(self, content: Folder, image_ids: list[str]) -> dict[str, Config]:
        configs = {}
        for image_id in image_ids:
            try:
                configs[image_id] = read_config(content, image_id)
            except Fault as fault:
                self._note(fault, self.seen[image_id])
        return configs

    def _label(self, image_id: str) -> str:
        return image_label(self._names.get(image_id, ()), image_id[: len("sha256:") + 12])

    def _read_layers(self, wanted: dict[str, LayerPosition]) -> dict[str, Layer | Fault]:
        if not wanted:
            return {}
        try:
            with (
                self._root.folder("image", "overlay2", "layerdb", "sha256") as chains,
                self._root.folder("overlay2") as folders,
            ):
                layerdb = LayerDb(chains, folders)

                def exact_paths(layer: Layer) -> tuple[str, ...]:
                    digests = self._known[layer.diff_id].digests
                    return layer_paths(self._root.path, layer, layerdb.link(layer), digests)

                return read_layers(wanted, layerdb.read, exact_paths if self._exact else None)
        except Fault as fault:
            return dict.fromkeys(wanted, fault)

    def _read_digests(self, diff_ids: Iterable[str]) -> None:
        try:
            by_diff_id = self._image_root.folder_if_there(*BY_DIFF_ID)
        except Fault as fault:
            self._note(fault, then="; no digest of a layer is known")
            return
        if by_diff_id is None:
            return
        with by_diff_id:
            for diff_id in diff_ids:
                try:
                    self._known[diff_id] = read_digests(by_diff_id, diff_id)
                except Fault as fault:
                    self._note(fault, then=f"; no digest is known of layer {diff_id}")

    def _image(self, image_id: str, config: Config, layers: tuple[Layer, ...]) -> Image:
        names = tuple(self._names.get(image_id, ()))
        stack = [self._known[layer.diff_id] for layer in layers]
        digests: dict[str, tuple[str | None, ...]] = {
            name.repository: tuple(one.by_repository.get(name.repository) for one in stack)
            for name in names
        }
        if not names:
            digests[""] = tuple(one.newest for one in stack)
        return Image(
            image_id=image_id,
            names=names,
            layers=layers,
            digests=digests,
            exact_paths=image_paths(self._root.path, image_id) if self._exact else (),
            created=config.created,
            steps=config.steps,
            **config.platform._asdict(),
        )


def _stacks(configs: dict[str, Config]) -> tuple[dict[str, list[str]], dict[str, LayerPosition]]:
    """The chain_ids of each image's layers, bottom up, and what each of them stands for."""
    # Many images stand on the same layers: each chain_id is computed once.
    chains: dict[LayerPosition, str] = {}
    stacks: dict[str, list[str]] = {}
    for image_id, config in configs.items():
        stack = stacks[image_id] = []
        parent = None
        for diff_id in config.diff_ids:
            position = parent, diff_id
            parent = chains.get(position) or chain_id(parent, diff_id)
            chains[position] = parent
            stack.append(parent)
    return stacks, {chain: position for position, chain in chains.items()}
