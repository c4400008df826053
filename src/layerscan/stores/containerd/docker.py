"""Docker's containers, volumes and BuildKit over a containerd that keeps its images.

Owns what of containerd's records is Docker's: each of its containers has a lease of the
container's id, which refers to the snapshots of its writable layer, running or not.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from layerscan.files.safefs import Folder
from layerscan.stores.docker_root import DATABASES, PLACES, REMOVE_IMAGE, DockerRoot
from layerscan.stores.holdings import Category, Holding, Holdings, UnderWay
from layerscan.text import printable

_LEASE = re.compile(r"lease:moby/([0-9a-f]{64})", re.ASCII)
_RUNNING = re.compile(r"container:moby/([0-9a-f]{64})", re.ASCII)


def with_docker(containerd: Holdings, data_root: Folder, no_overlay2: str = "") -> Holdings:
    """The holdings of both roots: Docker's data root and that of its containerd.

    `no_overlay2` is what Docker's settings say if it has its images in no other place.
    """
    docker = DockerRoot(data_root)
    layers: dict[str, Holding] = {}
    others: list[Holding] = []
    for one in containerd.holdings:
        lease, running = _LEASE.fullmatch(one.key), _RUNNING.fullmatch(one.key)
        if lease is not None:
            layers[lease[1]] = one
        elif running is not None:
            # It is there as long as the container runs.
            others.append(one._replace(is_root=False, category=Category.UNREFERENCED))
        elif one.key.startswith("image:moby/"):
            others.append(one._replace(tool=REMOVE_IMAGE))
        else:
            others.append(one)
    layers = {name: _layer(name, one, others) for name, one in layers.items()}
    found = [*docker.containers(layers), *layers.values()]
    others = list(_without_container(others, layers))
    found += [*docker.volumes(), *docker.under_way(), *_image_ids(others)]
    left = docker.left_behind(unused=no_overlay2)
    whole = {"rootfs": (Category.ENGINE, "mount points of containers")}
    rest = [one._replace(key=f"docker-{one.key}") for one in (*left, *docker.rest(whole))]
    return Holdings(
        holdings=(*others, *found, *rest),
        places=(
            data_root.path,
            *(data_root.where(name) for name in PLACES),
            *containerd.places,
        ),
        databases=(*containerd.databases, *map(data_root.where, DATABASES)),
        doubts=(*containerd.doubts, *docker.doubts),
    )


def _layer(name: str, lease: Holding, others: Sequence[Holding]) -> Holding:
    """The writable layer of a container: it is nobody's if the container is not there."""
    snapshots = {one.key: one for one in others if one.key in lease.keeps}
    return lease._replace(
        category=Category.UNREFERENCED,
        keeps=(*lease.keeps, f"container:moby/{name}"),
        marks=tuple(mark for one in snapshots.values() for mark in one.marks),
        is_root=False,
    )


def _without_container(
    others: Iterable[Holding], layers: Mapping[str, Holding]
) -> Iterator[Holding]:
    """The same, with the snapshots of `layers`, whose containers have no folder.

    Docker makes that after them.
    """
    names = {key: name for name, layer in layers.items() for key in layer.keeps}
    for one in others:
        if one.key.startswith("snapshot:") and one.key in names:
            name = printable(names[one.key])
            yield one._replace(
                category=Category.TRANSIENT,
                reason="of a container that is just being made or removed",
                under_way=UnderWay.ITSELF,
                left=f"the writable layer of container {name}, which is not there",
            )
        else:
            yield one


def _image_ids(others: Sequence[Holding]) -> Iterator[Holding]:
    """What Docker's containers name images by: the digests of what their names stand for."""
    names = defaultdict(list)
    for one in others:
        if one.key.startswith("image:moby/"):
            digest = next(key for key in one.keeps if key.startswith("blob:"))
            names[digest.removeprefix("blob:")].append(one.key)
    for digest, keys in names.items():
        yield Holding(f"image:{digest}", Category.UNREFERENCED, digest, keeps=tuple(keys))
