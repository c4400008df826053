"""A device with Apps on it: what of them is there already.

An App that is installed has its blobs in the store root and its layers in the
engine, both whole.
"""

from collections.abc import Iterable

from layerscan.fit import skopeo_metadata
from layerscan.fit.contents import AppContents, BlobKind
from layerscan.fit.device import Device


def with_apps(device: Device, apps: Iterable[AppContents], architecture: str) -> Device:
    """`device` with `apps`, or with metadata's layers, installed; raises as `app_layers`."""
    blobs = dict(device.blobs)
    layers = set(device.installed)
    for app in apps:
        for blob in app.blobs().values():
            blobs.setdefault(blob.digest, blob.size)
        layers |= app_layers(app, architecture)
    return device._replace(blobs=blobs, installed=frozenset(layers))


def app_layers(app: AppContents, architecture: str) -> set[str]:
    """The digests of an App's layers, by the best document read; DocumentError without one."""
    if app.images is not None:
        return {blob.digest for blob in app.blobs().values() if blob.kind is BlobKind.LAYER}
    if app.layers_manifest is not None:
        return skopeo_metadata.manifest_digests(app.layers_manifest, app.name)
    return set(app.figures(architecture).layers)
