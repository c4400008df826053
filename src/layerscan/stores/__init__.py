"""Image stores on disk, and finding the one that is meant.

``kinds`` says which kinds of stores there are. What is in a store, the package of its kind
knows; where engines keep theirs, ``places``; which one is taken, ``detection``.
"""

from typing import TYPE_CHECKING

from layerscan.errors import LayerscanError
from layerscan.stores.kinds import AUTO, KINDS, StoreKind

if TYPE_CHECKING:
    from layerscan.stores.detection import FoundStore
    from layerscan.stores.model import Store

__all__ = ["AUTO", "KINDS", "list_stores", "open_store"]


def open_store(
    kind: str = AUTO,
    root: str | None = None,
    *,
    exact: bool = False,
    namespace: str | None = None,
    platform: str | None = None,
) -> "Store":
    """Open an image store.

    Args:
        kind: one of `KINDS`, or ``auto`` for the one that is there. Of several, it is the
            one with images.
        root: the store's folder, by default where its engine keeps it.
        exact: also find what the exact accounting rule needs.
        namespace: of a containerd store, whose images.
        platform: of a containerd store, only images for this platform.

    Raises:
        LayerscanError: no such kind, or one that does not take an option given.
        StoreError: there is no such store, or there are several with images;
            the message says what was looked at.
    """
    from layerscan.stores.detection import at, choose_store, find, opened

    options: dict[str, object] = {"namespace": namespace, "platform": platform}
    options = {name: value for name, value in options.items() if value is not None}
    kinds = _kinds(kind, list(options))
    options["exact"] = exact
    if kind != AUTO and root is not None:
        return opened(kinds[kind], at(kinds[kind], root), options)
    return choose_store(find(kinds, options, root), named=root is not None)


def list_stores() -> "list[FoundStore]":
    """What is at each place where a store may be, other users' stores included."""
    from layerscan.stores.detection import find

    return find(KINDS, {"exact": False})


def _kinds(kind: str, options: list[str]) -> dict[str, StoreKind]:
    """The kinds that `kind` stands for and that take `options`."""
    if kind != AUTO and kind not in KINDS:
        names = ", ".join((AUTO, *KINDS))
        raise LayerscanError(f"no such store: {kind[:80]!r}; there are {names}")
    kinds = {name: each for name, each in KINDS.items() if kind in (AUTO, name)}
    for option in options:
        taking = [name for name, each in KINDS.items() if option in each.takes]
        kinds = {name: each for name, each in kinds.items() if name in taking}
        if not kinds:
            raise LayerscanError(f"--{option} is for stores of kind {', '.join(taking)} only")
    return kinds
