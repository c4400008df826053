"""What Docker remembers of registries: the digest of a layer in each repository.

Owns the format of the folder ``distribution`` and its checks: a file of another form
is a `Fault`. A layer that was never pushed or pulled is not in there; that is no fault.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from layerscan import digest as digests
from layerscan.errors import ReferenceSyntaxError
from layerscan.files.safefs import Fault, Folder
from layerscan.reference import parse
from layerscan.stores.engine_files import parse_json
from layerscan.text import shown

BY_DIFF_ID = ("distribution", "v2metadata-by-diffid", "sha256")
"""The folder in ``image/overlay2`` that has a file for each layer."""

_LONGEST = 1 << 20
_MOST_ENTRIES = 50
"""As many as Docker keeps for a diff_id, the newest last."""


class KnownDigests(NamedTuple):
    """The digests of one diff_id."""

    by_repository: Mapping[str, str] = {}
    """The last one recorded in each, by its full name (``docker.io/library/nginx``)."""
    digests: tuple[str, ...] = ()  # all of them, in the order in which they were recorded
    newest: str | None = None  # the last one recorded, whatever the repository


def read_digests(by_diff_id: Folder, diff_id: str) -> KnownDigests:
    """What the folder `BY_DIFF_ID` has of `diff_id`."""
    name = diff_id.removeprefix("sha256:")
    raw = by_diff_id.read_if_there(name, _LONGEST)
    if raw is None:
        return KnownDigests()
    where = by_diff_id.where(name)
    entries = parse_json(raw, where)
    if not isinstance(entries, list):
        raise Fault(where, "is no JSON list of digests")
    by_repository: dict[str, str] = {}
    order = []
    for index, entry in enumerate(entries[-_MOST_ENTRIES:]):
        digest, repository = _entry(entry, f"entry {index}", where)
        order.append(digest)
        if repository:
            by_repository[repository] = digest
    return KnownDigests(by_repository, tuple(dict.fromkeys(order)), order[-1] if order else None)


def _entry(entry: object, which: str, where: str) -> tuple[str, str]:
    """Digest and full repository name (empty: not recorded) of an entry."""
    if not isinstance(entry, dict):
        raise Fault(where, f"{which} is no JSON object")
    digest, source = entry.get("Digest"), entry.get("SourceRepository")
    if not digests.is_digest(digest):
        raise Fault(where, f"Digest of {which} is {shown(digest)}")
    try:
        if isinstance(source, str):
            return digest, _repository(source)
    except ReferenceSyntaxError:
        pass
    raise Fault(where, f"SourceRepository of {which} is {shown(source)}")


@lru_cache(maxsize=4096)
def _repository(source: str) -> str:
    # All layers of a store are from a few repositories.
    return parse(source, default_tag=False).repository if source else ""
