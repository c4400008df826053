"""A scan while an engine is at work in the store."""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from layerscan.errors import LayerscanError
from layerscan.problem import Problem
from layerscan.scanning import scanner
from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection, want
from layerscan.stores import open_store
from layerscan.stores.holdings import Holdings
from layerscan.stores.model import Growth, Image, Layer
from layerscan.walking.walker import Usage, walk_many
from tests.builders.overlay2 import StoreBuilder
from tests.builders.scanner_case import TwoImages, there
from tests.builders.tree import File

__all__ = ["there"]  # a fixture

KEPT_CHANGING = "kept changing while it was scanned: scan again"


@dataclass
class ScriptedStore:
    """A real store, with an engine at work in it.

    Attributes:
        before: what the engine does before each reading of the images.
        gone: whether the store has a layer no more, asked each time.
        vanishing: what the store says vanished, reading by reading.
    """

    built: StoreBuilder
    before: list[Callable[[], object]] = field(default_factory=list)
    gone: Callable[[Layer], bool] = lambda _: False
    vanishing: list[list[str]] = field(default_factory=list)
    unused: str = ""
    layers_root: str = ""
    readings: int = 0
    kind: str = "scripted"

    def __post_init__(self) -> None:
        self.real = open_store(root=self.built.root)

    @property
    def root(self) -> str:
        return self.real.root

    @property
    def problems(self) -> Sequence[Problem]:
        return self.real.problems

    @property
    def vanished(self) -> Sequence[str]:
        return self.vanishing.pop(0) if self.vanishing else self.real.vanished

    @property
    def notes(self) -> Sequence[str]:
        return self.real.notes

    @property
    def growth(self) -> Growth:
        return self.real.growth

    @property
    def keeps_blobs(self) -> bool:
        return self.real.keeps_blobs

    @property
    def empty_note(self) -> str:
        return self.real.empty_note

    def has_images(self) -> bool:
        return self.real.has_images()

    def images(self) -> Sequence[Image]:
        self.readings += 1
        if self.before:
            self.before.pop(0)()
        return self.real.images()

    def holdings(self) -> Holdings:
        return self.real.holdings()

    def still_has(self, layer: Layer) -> bool:
        return not self.gone(layer) and self.real.still_has(layer)


def nothing() -> None:
    """What an engine does that does nothing."""


def removed(label: str) -> str:
    return f"image {label} was removed or renamed while the scan ran: left out"


def test_layer_that_changed_once_is_walked_again_alone(
    there: TwoImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[list[str]] = []
    real = walk_many

    def counting(paths: Sequence[str], **options: object) -> list[Usage]:
        walks.append(list(paths))
        return real(paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(scanner, "walk_many", counting)
    store = ScriptedStore(there.built, gone=there.once(there.one))
    result = scan(store)
    assert store.readings == 2
    assert len(walks[0]) == 3
    assert walks[1:] == [[there.built.folder_path(there.one)]]
    assert (result.warnings, result.problems) == ((), ())
    assert result.document().layers == there.meta(there.base, there.one, there.two)


def test_layer_that_keeps_changing_costs_its_images_alone(there: TwoImages) -> None:
    store = ScriptedStore(there.built, gone=lambda layer: layer.chain_id == there.one.chain_id)
    result = scan(store)
    assert store.readings == 4
    assert result.problems == (Problem("image one:1", KEPT_CHANGING),)
    assert [one.label for one in result.chosen] == ["two:1"]
    assert result.document().layers == there.meta(there.base, there.two)
    assert there.one.chain_id not in result.costs


def test_store_in_which_everything_changes_gives_no_figure(there: TwoImages) -> None:
    store = ScriptedStore(there.built, gone=lambda _: True)
    result = scan(store)
    assert result.problems == (
        Problem("image one:1", KEPT_CHANGING),
        Problem("image two:1", KEPT_CHANGING),
    )
    assert (result.chosen, result.costs, result.document().layers) == ((), {}, {})


def test_image_removed_between_attempts_is_told_and_left_out(there: TwoImages) -> None:
    store = ScriptedStore(
        there.built,
        before=[nothing, lambda: there.remove("one", there.one)],
        gone=there.once(there.one),
    )
    result = scan(store)
    assert result.problems == ()
    assert result.warnings == (removed("one:1"),)
    assert result.document().layers == there.meta(there.base, there.two)
    assert result.sharing[there.base.chain_id] == 1


def test_image_removed_while_the_store_is_read_is_told(there: TwoImages) -> None:
    store = ScriptedStore(there.built, vanishing=[["three:1"]])
    result = scan(store)
    assert (result.warnings, result.problems) == ((removed("three:1"),), ())
    assert [one.label for one in result.chosen] == ["one:1", "two:1"]
    # Where images are asked for by name, others are nobody's concern.
    store = ScriptedStore(there.built, vanishing=[["three:1"]])
    assert scan(store, Selection((want("one:1"),))).warnings == ()


def test_image_removed_during_a_reading_that_was_not_the_last_is_told(there: TwoImages) -> None:
    # One that was pulled again meanwhile is there.
    vanishing = [["three:1", "two:1"], []]
    store = ScriptedStore(there.built, gone=there.once(there.one), vanishing=vanishing)
    result = scan(store)
    assert (store.readings, result.warnings) == (2, (removed("three:1"),))


def test_image_asked_for_that_is_removed_between_attempts_is_an_error(there: TwoImages) -> None:
    store = ScriptedStore(
        there.built,
        before=[nothing, lambda: there.remove("one", there.one)],
        gone=there.once(there.one),
    )
    with pytest.raises(LayerscanError, match=r"^image one:1 is not in the store$"):
        scan(store, Selection((want("one:1"),)))


def test_image_pulled_between_attempts_is_scanned(there: TwoImages) -> None:
    def pull() -> None:
        layer = there.built.layer(there.base, File("three"))
        there.built.image([there.base, layer], names=["three:1"])

    store = ScriptedStore(there.built, [nothing, pull], gone=there.once(there.one))
    assert [one.label for one in scan(store).chosen] == ["one:1", "three:1", "two:1"]


def test_layer_pulled_anew_into_another_folder_has_the_figures_of_that(
    there: TwoImages,
) -> None:
    moved = there.built.path("overlay2", "f" * 64)

    def pull_anew() -> None:
        # As tampered with: what the first walk saw must not be what is told.
        os.rename(there.built.folder_path(there.one), moved)
        Path(there.built.layer_path(there.one, "cache-id")).write_text("f" * 64)
        Path(moved, "diff", "more").write_bytes(bytes(50_000))

    def pull_after_walk(layer: Layer) -> bool:
        if layer.chain_id == there.one.chain_id and not os.path.exists(moved):
            pull_anew()
        return False

    store = ScriptedStore(there.built, gone=pull_after_walk)
    result = scan(store)
    assert store.readings == 2
    cost = result.costs[there.one.chain_id]
    assert cost.layer.folder == moved
    du = subprocess.run(["du", "-sk", moved], check=True, capture_output=True).stdout
    tar_split = os.stat(there.built.layer_path(there.one, "tar-split.json.gz")).st_size
    assert cost.usage == int(du.split()[0]) * 1024 + tar_split
    assert result.problems == ()


def test_entries_that_vanish_under_the_walk_make_it_walk_again(
    there: TwoImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = walk_many
    calls: list[int] = []

    def vanishing(paths: Sequence[str], **options: object) -> list[Usage]:
        calls.append(len(paths))
        found = real(paths, **options)  # type: ignore[arg-type]
        if len(calls) == 1:
            found[0] = found[0]._replace(vanished=1)
        return found

    monkeypatch.setattr(scanner, "walk_many", vanishing)
    result = scan(open_store(root=there.built.root))
    assert calls == [3, 1]
    assert result.document().layers == there.meta(there.base, there.one, there.two)


def test_record_that_vanishes_after_the_walk_makes_it_walk_again(there: TwoImages) -> None:
    tar_split = Path(there.built.layer_path(there.one, "tar-split.json.gz"))
    content = tar_split.read_bytes()
    real = walk_many

    def removing(paths: Sequence[str], **options: object) -> list[Usage]:
        found = real(paths, **options)  # type: ignore[arg-type]
        tar_split.unlink()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanner, "walk_many", removing)

        def bring_back() -> None:
            tar_split.write_bytes(content)
            patch.undo()

        store = ScriptedStore(there.built, [nothing, bring_back])
        result = scan(store)
    assert store.readings == 2
    assert result.problems == ()
    assert result.document().layers == there.meta(there.base, there.one, there.two)


def test_problems_of_an_attempt_are_forgotten_with_it(there: TwoImages) -> None:
    record = Path(there.built.layer_path(there.two, "size"))
    good = record.read_bytes()
    record.write_bytes(b"none")
    diff = there.built.folder_path(there.base, "diff")
    os.rename(diff, f"{diff}.away")
    real_images = ScriptedStore.images

    def repair() -> None:
        record.write_bytes(good)
        os.rename(f"{diff}.away", diff)

    def break_again(store: ScriptedStore) -> Sequence[Image]:
        # The layer is whole when the store looks at it, and not when it is walked.
        if store.readings == 0:
            os.rename(f"{diff}.away", diff)
        images = real_images(store)
        if store.readings == 1:
            os.rename(diff, f"{diff}.away")
        return images

    store = ScriptedStore(there.built, [nothing, repair], gone=there.once(there.one))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedStore, "images", break_again)
        result = scan(store)
    assert store.readings == 2
    assert result.problems == ()
    assert result.document().layers == there.meta(there.base, there.one, there.two)
