"""What Docker remembers of registries: the digest of a layer in each repository.

Owns the format of the folder ``distribution`` and its checks. A layer that was
never pushed or pulled is not in there, which is no fault.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import NamedTuple

from layerscan import digest as digests
from layerscan.errors import ReferenceSyntaxError
from layerscan.files.safefs import Fault, Folder, Opened
from layerscan.reference import parse
from layerscan.stores.engine_files import parse_json
from layerscan.text import shown

_LONGEST = 1 << 20
_MOST_ENTRIES = 50
"""As many as Docker keeps for a diff_id, the newest last."""


class KnownDigests(NamedTuple):
    """The digests of one diff_id.

    Attributes:
        newest: the last one recorded, whatever the repository.
        by_repository: the last one recorded in each, by its full name
            (``docker.io/library/nginx``).
        digests: all of them, in the order in which they were recorded.
    """

    newest: str | None
    by_repository: Mapping[str, str]
    digests: tuple[str, ...]


UNKNOWN = KnownDigests(None, {}, ())
"""What is known of a layer that was never pushed or pulled."""


class Distribution(Opened):
    """The folder ``distribution`` in ``image/overlay2``, held open while it is read.

    Raises:
        Fault: it is there, but cannot be opened.
    """

    def __init__(self, image_root: Folder) -> None:
        self._by_diff_id = image_root.folder_if_there(
            "distribution", "v2metadata-by-diffid", "sha256"
        )
        self._repositories: dict[str, str] = {}
        super().__init__(ExitStack())
        if self._by_diff_id is not None:
            self._opened.enter_context(self._by_diff_id)

    def read(self, diff_id: str) -> KnownDigests:
        """What is known of `diff_id`.

        Raises:
            Fault: its file cannot be read or has another form.
        """
        if self._by_diff_id is None:
            return UNKNOWN
        name = diff_id.removeprefix("sha256:")
        raw = self._by_diff_id.read_if_there(name, _LONGEST)
        if raw is None:
            return UNKNOWN
        where = self._by_diff_id.where(name)
        entries = parse_json(raw, where)
        if not isinstance(entries, list):
            raise Fault(where, "is no JSON list of digests")
        by_repository: dict[str, str] = {}
        order = []
        for index, entry in enumerate(entries[-_MOST_ENTRIES:]):
            digest, repository = self._entry(entry, f"entry {index}", where)
            order.append(digest)
            if repository:
                by_repository[repository] = digest
        return KnownDigests(
            order[-1] if order else None, by_repository, tuple(dict.fromkeys(order))
        )

    def _entry(self, entry: object, which: str, where: str) -> tuple[str, str]:
        """Digest and full repository name (empty: not recorded) of an entry."""
        if not isinstance(entry, dict):
            raise Fault(where, f"{which} is no JSON object")
        digest, source = entry.get("Digest"), entry.get("SourceRepository")
        if not isinstance(digest, str) or not digests.is_digest(digest):
            raise Fault(where, f"Digest of {which} is {shown(digest)}")
        if not isinstance(source, str):
            raise Fault(where, f"SourceRepository of {which} is {shown(source)}")
        if source and source not in self._repositories:
            try:
                self._repositories[source] = parse(source, default_tag=False).repository
            except ReferenceSyntaxError:
                raise Fault(where, f"SourceRepository of {which} is {shown(source)}") from None
        return digest, self._repositories.get(source, "")
