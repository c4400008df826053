"""Finding the image store that is meant, among those that a machine has.

Owns which of several stores is taken and what is said where there is none. Of a kind
that is not there only a few paths are looked at, and nothing of it is loaded.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from layerscan.errors import StoreError
from layerscan.stores import places
from layerscan.stores.kinds import StoreKind
from layerscan.stores.places import StorePlace, real_folder

if TYPE_CHECKING:
    from layerscan.stores.model import Store


def places_of(kind: StoreKind, *, everyone: bool = False) -> list[StorePlace]:
    """Where the engines of a kind keep their stores, by their settings, or a `StoreError`."""
    found: Callable[..., list[StorePlace]] = getattr(places, kind.places)
    return found(everyone=everyone)


def at(kind: StoreKind, root: str) -> StorePlace:
    """The place of a store that the user names by its folder."""
    # What is no path, opening it says.
    if "\0" not in root:
        try:
            known = places_of(kind)
        except StoreError:
            # Settings that cannot be read are in the way of nobody who names the folder.
            known = []
        for place in known:
            if os.path.realpath(place.root) == os.path.realpath(root):
                return place._replace(root=root, own=True)
    return StorePlace(root, "")


def opened(kind: StoreKind, place: StorePlace, options: Mapping[str, object]) -> "Store":
    """The store of a kind at `place`; a `StoreError` if it cannot be opened."""
    module, _, name = kind.store.rpartition(".")
    made: Callable[..., Store] = getattr(import_module(f"layerscan.stores.{module}"), name)
    given = {**options, "additional": place.additional, "snapshotter": place.snapshotter}
    store = made(place.root, **{key: given[key] for key in ("exact", *kind.takes) if key in given})
    store.unused = place.unused
    return store


class FoundStore(NamedTuple):
    """What is at a place where a store may be."""

    kind: str
    place: StorePlace
    store: "Store | None"  # it, opened; None where there is none or it cannot be opened
    reason: str = ""  # why it is None, naming the place
    absent: str = ""  # if there is nothing of it, what was looked for in the folder
    denied: bool = False  # whether this user may not look into it

    @property
    def root(self) -> str:
        """Absolute path of its folder."""
        return self.place.root if self.store is None else self.store.root


def find(
    kinds: Mapping[str, StoreKind],
    options: Mapping[str, object],
    root: str | None = None,
    *,
    everyone: bool = False,
) -> list[FoundStore]:
    """What is where stores of `kinds` may be: in the folder `root`, or where engines keep them.

    Those of `everyone`, or of this user and the one who called sudo.
    """
    if root is not None:
        root = real_folder(root)
    found: list[FoundStore] = []
    for name, kind in kinds.items():
        try:
            looked = [StorePlace(root or "", "")]
            if root is None:
                looked = places_of(kind, everyone=everyone)
        except StoreError as error:
            found.append(FoundStore(name, StorePlace("", ""), None, str(error)))
            continue
        found += [_look(name, kind, place, options, named=root is not None) for place in looked]
    return found


def choose_store(found: Sequence[FoundStore], *, named: bool) -> "Store":
    """The store that is meant among `found`, by `find`: the one that has images.

    It is a `StoreError` if there is none, or the user, who `named` the folder or not, has
    to say which of several.
    """
    there = [
        (one, one.store)
        for one in found
        if one.store is not None and one.place.own and (named or not one.place.unused)
    ]
    if len(there) > 1:
        filled = [(one, store) for one, store in there if store.has_images()]
        if len(filled) > 1:
            raise StoreError(_choice([one for one, _ in filled]))
        there = filled or there
    if there:
        return there[0][1]
    raise StoreError(_none(found, named=named))


def _look(
    name: str, kind: StoreKind, place: StorePlace, options: Mapping[str, object], *, named: bool
) -> FoundStore:
    try:
        if not any(_is_there(os.path.join(place.root, mark)) for mark in kind.marks):
            what = "no image store here" if os.path.isdir(place.root) else "there is no such folder"
            return FoundStore(name, place, None, f"{place.root}: {what}", kind.marks[0])
    except PermissionError:
        reason = f"{place.root}: permission denied; use sudo"
        return FoundStore(name, place, None, reason, denied=True)
    except (OSError, ValueError):
        pass  # opening it says what is wrong
    try:
        meant = at(kind, place.root) if named else place
        return FoundStore(name, place, opened(kind, meant, options))
    except StoreError as error:
        return FoundStore(name, place, None, str(error))


def _is_there(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _choice(filled: Sequence[FoundStore]) -> str:
    stores = ", ".join(f"{one.kind} in {one.root}" for one in filled)
    kinds = [one.kind for one in filled]
    ways = [
        f"--store {one.kind}" + (f" --data-root {one.root}" if kinds.count(one.kind) > 1 else "")
        for one in filled
    ]
    return f"several image stores have images: {stores}; choose one with {' or '.join(ways)}"


def _none(found: Sequence[FoundStore], *, named: bool) -> str:
    """Why there is no store."""
    own = [one for one in found if one.place.own and not one.place.unused]
    closed = dict.fromkeys(one.reason for one in own if not one.absent)
    hint = "".join(
        f"; another user's is not looked into: --store {one.kind} --data-root {one.root}"
        for one in found
        if not one.place.own and one.store is not None
    )
    hint += "".join(
        f"; {one.place.unused}: its {one.kind} images in {one.root} are not in use, and are read "
        f"with --store {one.kind} --data-root {one.root}"
        for one in found
        if one.place.own and one.place.unused and one.store is not None
    )
    if named:
        marks = ", ".join(one.absent for one in own)
        return "; ".join(closed or [f"{own[0].reason}: looked for {marks} in it"])
    if closed:
        return f"no image store can be opened: {'; '.join(closed)}{hint}"
    reasons = dict.fromkeys(one.reason for one in own)
    return f"no image store found; looked at {'; '.join(reasons)}{hint}"
