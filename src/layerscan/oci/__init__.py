"""The documents of images, after the OCI image specification.

``documents`` has the documents and reads them, ``platforms`` what images run on,
``blobs`` where documents lie, and ``images`` which images an index stands for. For
that, ``readers`` fetch documents, ``matchers`` say what is wanted, and
``image_manifests`` tells images from what else is stored as a manifest.
"""

from layerscan.oci.documents import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY_CONFIG,
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_CONFIG,
    MAX_MANIFEST,
    MOST_IMAGES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Config,
    Descriptor,
    Index,
    Manifest,
    Platform,
    loads,
    loads_config,
)

__all__ = [
    "DOCKER_LIST",
    "DOCKER_MANIFEST",
    "EMPTY_CONFIG",
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "MAX_CONFIG",
    "MAX_MANIFEST",
    "MOST_IMAGES",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_MANIFEST",
    "Config",
    "Descriptor",
    "Index",
    "Manifest",
    "Platform",
    "loads",
    "loads_config",
]
