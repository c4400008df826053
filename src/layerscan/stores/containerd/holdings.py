"""Who holds what of containerd's root: content, snapshots, and what refers to them.

Owns which records say so, by the rules of containerd's garbage collector
(core/metadata/gc.go): images, leases and labels of content refer to content and snapshots;
containers and leases to snapshots; a snapshot to the one beneath. All namespaces count.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from layerscan.files.safefs import Fault, Folder
from layerscan.problem import Problem
from layerscan.stores.containerd.bolt import Bucket
from layerscan.stores.containerd.content import CONTENT
from layerscan.stores.containerd.records import (
    METADATA,
    METADATA_FILE,
    SNAPSHOTTER,
    ContainerdRecords,
    snapshotter,
)
from layerscan.stores.docker_root import PRUNE_BUILDS
from layerscan.stores.holdings import Category, Holding, Holdings, UnderWay, kept_by

_OVERLAYFS = b"overlayfs"
_REF_CONTENT = "containerd.io/gc.ref.content"
_REF_SNAPSHOT = "containerd.io/gc.ref.snapshot."
_ROOT = "containerd.io/gc.root"
_FLAT = "containerd.io/gc.flat"
_EXPIRE = "containerd.io/gc.expire"
_POD, _NAME = "io.kubernetes.pod.name", "io.kubernetes.container.name"

_PINNED = "io.cri-containerd.pinned"

_KUBERNETES = "k8s.io"
_DOCKER = "moby"
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BUILDKIT_ID = re.compile(r"(?:ref_)?[0-9a-z]{25}(?:-view|-variants)?", re.ASCII)
"""BuildKit's leases (buildkit, identity.NewID); the history's begin with ``ref_``."""

_TIME = struct.Struct(">BqI")
_YEAR_ONE = 62_135_596_800
"""Seconds from the first of January of the year 1, with which Go begins, to the epoch."""

_COLLECTED = "no image, container or lease refers to it; containerd's next collection removes it"


def read_holdings(
    root: Folder, records: ContainerdRecords, elsewhere: str | None = None
) -> Holdings:
    """The holdings of containerd's root, by its databases.

    The folder of its snapshotter may be `elsewhere`.
    """
    reading = _ContainerdRoot(root, records, elsewhere)
    found = reading.holdings()
    where = root.where
    content = where(CONTENT)
    return Holdings(
        holdings=tuple(found),
        places=(root.path, content, f"{content}/blobs", reading.snapshots),
        databases=(where(f"{METADATA}/{METADATA_FILE}"),),
        doubts=tuple(reading.doubts),
    )


class _ContainerdRoot:
    """One reading of both databases, and of the folders that they are about."""

    def __init__(self, root: Folder, records: ContainerdRecords, elsewhere: str | None) -> None:
        self.doubts: list[Problem] = []
        self._root = root
        self._records = records
        self._elsewhere = elsewhere
        folder = root.where(SNAPSHOTTER) if elsewhere is None else elsewhere
        self.snapshots = f"{folder}/snapshots"
        self._now = datetime.now(UTC)

    def holdings(self) -> list[Holding]:
        """Read it all; folders first, so that what is made meanwhile does not look lost."""
        there = set(self._folders())
        blobs = list(self._blobs())
        found = list(self._snapshots(there))
        for name, namespace in self._records.namespaces.items():
            try:
                found += self._namespace(name, namespace.bucket)
            except Fault as fault:
                self.doubts.append(Problem(fault.where, fault.what))
        known = {one.key for one in found}
        found += [
            Holding(f"blob:{digest}", Category.UNREFERENCED, digest, (path,), reason=_COLLECTED)
            for digest, path in blobs
        ]
        found += self._ingests()
        found += self._rest()
        # A label may refer to what another namespace has, or nobody.
        return list({one.key: one for one in found if one.key in known or one.paths}.values())

    def _doubt(self, fault: Fault) -> None:
        if not fault.gone:
            self.doubts.append(Problem(fault.where, fault.what))

    def _folders(self) -> Iterable[str]:
        try:
            with snapshotter(self._root, self._elsewhere) as folder:
                inner = folder.folder_if_there("snapshots")
                if inner is None:
                    return ()
                with inner:
                    return inner.folders()
        except Fault as fault:
            self._doubt(fault)
            return ()

    def _blobs(self) -> Iterator[tuple[str, str]]:
        """The digest and the path of each blob."""
        try:
            top = self._root.folder_if_there(CONTENT, "blobs")
            if top is None:
                return
            with top:
                for algorithm in sorted(top.folders()):
                    with top.folder(algorithm) as folder:
                        for name in folder.names():
                            yield f"{algorithm}:{name}", folder.where(name)
        except Fault as fault:
            self._doubt(fault)

    def _ingests(self) -> Iterator[Holding]:
        """Downloads that have not ended."""
        try:
            top = self._root.folder_if_there(CONTENT, "ingest")
            if top is None:
                return
            with top:
                for name in top.names():
                    yield Holding(
                        f"ingest:{name}",
                        Category.TRANSIENT,
                        name,
                        (top.where(name),),
                        reason="is being downloaded",
                        left="left by a download that broke off",
                        under_way=UnderWay.ITSELF,
                    )
        except Fault as fault:
            self._doubt(fault)

    def _snapshots(self, there: set[str]) -> Iterator[Holding]:
        """The snapshotter's own records, and the folders that have none."""
        found = self._records.snapshots
        if isinstance(found, Fault):
            self._doubt(found)
            return
        with_record = set()
        named = {
            name
            for namespace in self._records.namespaces.values()
            for name in self._snapshot_keys(namespace.bucket).values()
        }
        try:
            for key, folder, parent in found.folders():
                with_record.add(folder)
                # The snapshotter has it first, and last; and what has a name of its own gets
                # a container or a lease only then.
                is_whole = _text(key) in named and b"sha256:" in key
                yield Holding(
                    f"snapshot:{_text(key)}",
                    Category.UNREFERENCED if is_whole else Category.TRANSIENT,
                    _text(key),
                    (f"{self.snapshots}/{folder}",),
                    keeps=(f"snapshot:{_text(parent)}",) if parent else (),
                    marks=(f"{folder}/fs", f"{folder}/work"),
                    reason=_COLLECTED if is_whole else "is just being made or removed",
                    under_way=None if is_whole else UnderWay.ITSELF,
                    left=_COLLECTED,
                )
        except Fault as fault:
            self._doubt(fault)
        for folder in sorted(there - with_record):
            yield Holding(
                f"folder:{folder}",
                Category.TRANSIENT,
                folder,
                (f"{self.snapshots}/{folder}",),
                marks=(f"{folder}/fs", f"{folder}/work"),
                reason="the snapshotter has no record of this folder so far, or any more",
                under_way=UnderWay.ITSELF,
                left="the snapshotter has no record of this folder",
            )

    def _namespace(self, name: str, bucket: Bucket) -> Iterator[Holding]:
        """What the records of a namespace refer to."""
        keys = self._snapshot_keys(bucket)
        yield from self._labelled(name, bucket, keys)
        images = bucket.bucket(b"images")
        for key, record in images.buckets() if images else ():
            digest = _text((record.record(b"target", b"digest") or (b"",))[0])
            yield Holding(
                f"image:{name}/{_text(key)}",
                Category.IMAGES,
                _text(key),
                keeps=(f"refs:{name}/{digest}", f"blob:{digest}"),
                is_root=True,
                names=(_text(key),),
                image_id=digest,
                group=f"{name}/{digest}",
                made=_time(dict(record.values()).get(b"updatedat", b"")),
                is_pinned=_labels(record).get(_PINNED) == "pinned",
                tool=_tool(name, "images", "rm"),
            )
        containers = bucket.bucket(b"containers")
        for key, record in containers.buckets() if containers else ():
            yield self._container(name, _text(key), record, keys)
        leases = bucket.bucket(b"leases")
        for key, record in leases.buckets() if leases else ():
            lease = self._lease(name, _text(key), record, keys)
            if lease is not None:
                yield lease

    def _snapshot_keys(self, bucket: Bucket) -> dict[str, str]:
        """The snapshotter's keys of the snapshots that a namespace has, by its own."""
        snapshots = bucket.bucket(b"snapshots", _OVERLAYFS)
        if snapshots is None:
            return {}
        found = {key: snapshots.record(key, b"name") or (b"",) for key in list(snapshots.keys())}
        return {_text(key): _text(name) for key, (name,) in found.items()}

    def _labelled(self, name: str, bucket: Bucket, keys: Mapping[str, str]) -> Iterator[Holding]:
        """What the labels of content refer to."""
        blobs = bucket.bucket(b"content", b"blob")
        for key, record in blobs.buckets() if blobs else ():
            keeps = [f"blob:{_text(key)}"]
            for label, value in _labels(record).items():
                if label.startswith(_REF_CONTENT):
                    keeps += [f"refs:{name}/{value}", f"blob:{value}"]
                elif label.startswith(f"{_REF_SNAPSHOT}overlayfs") and value in keys:
                    keeps.append(f"snapshot:{keys[value]}")
            yield Holding(
                f"refs:{name}/{_text(key)}", Category.UNREFERENCED, _text(key), keeps=tuple(keeps)
            )

    def _container(self, name: str, key: str, record: Bucket, keys: Mapping[str, str]) -> Holding:
        values = {key: _text(value) for key, value in record.values()}
        snapshot = values.get(b"snapshotKey", "")
        labels = _labels(record)
        label = "/".join(filter(None, (labels.get(_POD), labels.get(_NAME)))) or key
        task = f"io.containerd.runtime.v2.task/{name}/{key}"
        cri = [f"io.containerd.grpc.v1.cri/{what}/{key}" for what in ("containers", "sandboxes")]
        return Holding(
            f"container:{name}/{key}",
            Category.CONTAINERS,
            label,
            tuple(self._root.where(path) for path in (task, *cri)),
            keeps=(f"snapshot:{keys[snapshot]}",) if snapshot in keys else (),
            marks=(f"{key}/rootfs",),
            is_root=True,
            names=(key,),
            tool=_tool(name, "containers", "rm"),
            uses=(f"image:{name}/{values.get(b'image', '')}",),
        )

    def _lease(
        self, name: str, key: str, record: Bucket, keys: Mapping[str, str]
    ) -> Holding | None:
        """What a lease refers to; None if it has expired."""
        labels = _labels(record)
        if _has_expired(labels.get(_EXPIRE), self._now):
            return None
        content = record.bucket(b"content")
        keeps = [f"blob:{_text(digest)}" for digest in (content.keys() if content else ())]
        if _FLAT not in labels:
            keeps += [one.replace("blob:", f"refs:{name}/", 1) for one in keeps]
        snapshots = record.bucket(b"snapshots", _OVERLAYFS)
        found = (_text(snapshot) for snapshot in (snapshots.keys() if snapshots else ()))
        keeps += [f"snapshot:{keys[snapshot]}" for snapshot in found if snapshot in keys]
        category, reason = Category.TRANSIENT, f"kept by the lease {key}"
        tool: tuple[str, ...] = ()
        if name.startswith(_DOCKER) and _BUILDKIT_ID.fullmatch(key):
            category, reason, tool = Category.BUILD_CACHE, "", PRUNE_BUILDS
        elif name == _DOCKER and _CONTAINER_ID.fullmatch(key):
            category, reason = Category.CONTAINERS, ""
        return Holding(
            f"lease:{name}/{key}",
            category,
            key,
            keeps=tuple(keeps),
            reason=reason,
            is_root=True,
            tool=tool,
        )

    def _rest(self) -> Iterator[Holding]:
        """What else is in the root."""
        known = {
            CONTENT: (Category.IMAGES, "folders of content"),
            SNAPSHOTTER: (Category.IMAGES, "snapshotter's records"),
        }
        for name in self._root.names():
            category, label = known.get(name, (Category.ENGINE, name))
            if not name.startswith("io.containerd.") and name not in ("tmpmounts", "opt"):
                category = Category.OTHER
            elif name.startswith("io.containerd.snapshotter.") and name != SNAPSHOTTER:
                category, label = self._of_snapshotter(name)
            yield Holding(f"top:{name}", category, label, (self._root.where(name),))
        # Folders and files that are between all of these.
        yield Holding("top:", Category.ENGINE, "containerd's root", (self._root.path,))
        if self._elsewhere is not None:
            label = "snapshotter's records"
            yield Holding("top:snapshotter", Category.IMAGES, label, (self._elsewhere,))

    def _of_snapshotter(self, name: str) -> tuple[Category, str]:
        """Whose the folder of another snapshotter is: an image's, if there are snapshots."""
        label = name.rpartition(".")[2].encode()
        for namespace in self._records.namespaces.values():
            snapshots = namespace.bucket.bucket(b"snapshots", label)
            if snapshots is not None and next(snapshots.keys(), None) is not None:
                return Category.IMAGES, f"snapshots of the snapshotter {_text(label)}"
        return Category.ENGINE, name


def named(found: Holdings) -> Holdings:
    """The same, with content and snapshots named after the image or container they are of."""
    return found._replace(holdings=tuple(_named(found.holdings)))


def _named(holdings: Sequence[Holding]) -> Iterator[Holding]:
    by_key = {one.key: one for one in holdings}
    names: dict[str, str] = {}
    for category in (Category.IMAGES, Category.CONTAINERS):
        for root in sorted(holdings, key=lambda one: one.name):
            if root.is_root and root.category is category:
                for key in kept_by(by_key, [root.key]):
                    names.setdefault(key, root.name)
    for one in holdings:
        kind = one.key.partition(":")[0]
        if one.key in names and kind in ("blob", "snapshot"):
            last = one.name.rpartition("/")[2].removeprefix("sha256:")[:12]
            yield one._replace(name=f"{names[one.key]} ({kind} {last})")
        else:
            yield one


def _tool(namespace: str, what: str, action: str) -> tuple[str, ...]:
    """The command that removes things of a namespace."""
    if namespace == _KUBERNETES:
        return ("crictl", "rmi" if what == "images" else "rm")
    # By itself it would come back before the space does.
    waiting = ("--sync",) if what == "images" else ()
    return ("ctr", "--namespace", namespace, what, action, *waiting)


def _labels(record: Bucket) -> dict[str, str]:
    labels = record.bucket(b"labels")
    return {_text(key): _text(value) for key, value in (labels.values() if labels else ())}


def _time(raw: bytes) -> float | None:
    """A time as Go marshals it (time.MarshalBinary), since the epoch; None if it is none."""
    if len(raw) < _TIME.size or raw[0] not in (1, 2):
        return None
    _, since_year_one, nanoseconds = _TIME.unpack_from(raw)
    seconds: float = since_year_one - _YEAR_ONE + nanoseconds / 1e9
    return seconds


def _has_expired(text: str | None, now: datetime) -> bool:
    if text is None:
        return False
    try:
        return datetime.fromisoformat(text) < now
    except (ValueError, TypeError):
        return False  # it says nothing: then it is kept


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
