"""What every image store gives: images, and the layers they are made of.

A store turns a folder on disk into these facts. It never walks: what a layer
costs is for ``scan`` to find out, from the paths named here.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from layerscan.problem import Problem
from layerscan.reference import Reference
from layerscan.stores.holdings import Holdings


class Layer(NamedTuple):
    """One layer as the store keeps it. Equal chain_id, equal layer."""

    chain_id: str  # identity of the layer on top of its parents, ``sha256:<hex>``
    diff_id: str  # digest of its uncompressed tar, ``sha256:<hex>``
    parent: str | None  # chain_id of the layer beneath, None at the bottom
    folder: str  # absolute path of the folder that holds all of the layer's data
    content: str  # name of the sub-folder of `folder` that holds the layer's files
    # absolute paths of the files whose ``st_size`` the docker accounting rule adds to the usage of
    # `folder`
    metadata_files: tuple[str, ...] = ()
    # absolute paths of the files and folders that an engine keeps because of this layer beside
    # `content`, there or not; exact accounting counts the blocks of each by itself, and one at the
    # least
    exact_paths: tuple[str, ...] = ()
    # `size` in bytes on record, by Docker's rule, or None; so are the others
    recorded_size: int | None = None
    # bytes of disk of `content`: ``st_blocks`` times 512, when unpacked
    recorded_usage: int | None = None
    recorded_inodes: int | None = None  # how many inodes these were, `content` itself included
    recorded_tar: int | None = None  # length in bytes of the layer's uncompressed tar


class Image(NamedTuple):
    """One image: a config and its layers, bottom up.

    Attributes:
        image_id: digest of the image's config, ``sha256:<hex>``.
        names: every reference the store knows it by, sorted; of a dangling image, none.
        architecture: what the image is for (``amd64``, ``arm64``, …), as the index that
            it was pulled by says it, or its config; empty where neither does. So are `os`
            and `variant`.
        layers: its layers, bottom up.
        digests: for each repository (``registry/path``) that the image has a
            name in, the digest of each layer there, bottom up, None where it
            is unknown; for an image without a name one entry under ``""``.
        exact_paths: the same for this image, beside its layers.
        other_names: further names that are no full references, printable and
            sorted; some stores take any text.
        created: when, as its config says it: RFC 3339, or anything else.
        steps: for each of `layers` the step of a build that made it, as its config tells it;
            empty where it does not.
        foreign_names: those of `names` and `other_names` that mean another image, the same
            for this machine's platform, unless the platform of this one is asked for.
    """

    image_id: str
    names: tuple[Reference, ...]
    architecture: str
    os: str
    variant: str
    layers: tuple[Layer, ...]
    digests: dict[str, tuple[str | None, ...]]
    exact_paths: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()
    foreign_names: frozenset[Reference | str] = frozenset()
    created: str = ""
    steps: tuple[str, ...] = ()

    @property
    def has_name(self) -> bool:
        """Whether the store knows it by any name."""
        return bool(self.names or self.other_names)


class Growth(NamedTuple):
    """What a pull adds to files and folders that all of a store's layers share.

    Exact accounting counts it beside what is in the `exact_paths`: bytes for each layer and
    each image; blocks of the file system for an image, or for several that are pulled
    together; bytes and blocks further for the first image of a store; inodes for each layer
    that stands on another, of files without content and blocks, for each image, and for the
    first image of a store, of folders and lists that all share.
    """

    layer_bytes: int = 0
    image_bytes: int = 0
    image_blocks: int = 0
    first_bytes: int = 0
    first_blocks: int = 0
    upper_inodes: int = 0
    image_inodes: int = 0
    first_inodes: int = 0


class Store(Protocol):
    """An image store on disk, read without its daemon.

    `problems`, `vanished` and `notes` are of the last call of `images`.
    """

    @property
    def kind(self) -> str:
        """``overlay2``, ``containerd`` or ``containers-storage``."""

    @property
    def root(self) -> str:
        """Absolute path of the store's folder, symbolic links resolved."""

    layers_root: str  # absolute path of the folder with the content of its layers
    unused: str  # why its engine does not use it, by the engine's settings; empty if it may

    @property
    def growth(self) -> Growth:
        """How much a pull makes the store's shared files grow, by its kind."""

    @property
    def keeps_blobs(self) -> bool:
        """Whether the store also keeps each layer's archive, by its kind."""

    def has_images(self) -> bool:
        """Whether it has any image; cheap, and True where that cannot be told."""

    def images(self) -> Sequence[Image]:
        """Every image that can be read whole, dangling ones included, sorted by image id.

        What cannot be read is left out and named in `problems`. Each call reads the store
        anew.

        Raises:
            StoreError: the store itself is gone or cannot be opened any more.
        """

    @property
    def problems(self) -> Sequence[Problem]:
        """What could not be read, sorted."""

    @property
    def vanished(self) -> Sequence[str]:
        """What to call the images that were removed meanwhile, sorted."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know, a line each: what was passed over, or chosen for them."""

    @property
    def empty_note(self) -> str:
        """One line for the user if `images` found none and met no problem."""

    def holdings(self) -> Holdings:
        """Who holds what of the store's folders, by its records as they are now.

        Raises:
            StoreError: as `images`.
        """

    def still_has(self, layer: Layer) -> bool:
        """Whether `layer` is there still, in the very folder it names, as far as can be seen.

        An engine may have removed it since `images` was called, or removed it and pulled it
        anew into another folder. It takes a layer off its records before it deletes the first
        file of it: to be asked after the folder was read.
        """
