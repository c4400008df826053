"""What removing images gives back, against what is reached from what is left."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.ledger.model import Item
from layerscan.ledger.reclaim import ImageChoice, Reclaimer
from layerscan.stores.holdings import Category, Holding

LAYER = 1000


def image(name: str, *layers: str, made: float = 1e9, **more: object) -> Holding:
    fields = {"is_root": True, "names": (name,), "image_id": f"id-{name}", "made": made, **more}
    keeps = tuple(f"layer:{layer}" for layer in layers)
    return Holding(f"image:{name}", Category.IMAGES, name, keeps=keeps, tool=("rm",), **fields)  # type: ignore[arg-type]


def layer(name: str, below: str | None = None) -> Holding:
    keeps = () if below is None else (f"layer:{below}",)
    return Holding(f"layer:{name}", Category.IMAGES, name, (f"/{name}",), keeps)


def container(name: str, image_of: str) -> Holding:
    return Holding(
        f"container:{name}",
        Category.CONTAINERS,
        name,
        keeps=(f"image:{image_of}",),
        is_root=True,
        names=(name,),
        tool=("rmc",),
    )


def items(*holdings: Holding, usage: int = LAYER) -> list[Item]:
    return [Item(one, usage if one.key.startswith("layer:") else 0, shared=0) for one in holdings]


def names(found: object) -> list[str]:
    return [one.names[0] for one in found.removed]  # type: ignore[attr-defined]


@st.composite
def stores(draw: st.DrawFn) -> list[Item]:
    """Layers on layers, images on them, containers of some."""
    layers = [layer("0")]
    for number in range(1, draw(st.integers(1, 12))):
        below = draw(st.one_of(st.none(), st.integers(0, number - 1)))
        layers.append(layer(str(number), None if below is None else str(below)))
    images = [
        image(f"i{number}", str(draw(st.integers(0, len(layers) - 1))), made=1e9 + number)
        for number in range(draw(st.integers(1, 6)))
    ]
    used = draw(st.sets(st.sampled_from([one.name for one in images]), max_size=2))
    sizes = draw(st.lists(st.integers(0, 9), min_size=len(layers), max_size=len(layers)))
    found = [Item(one, 4096 * size, 0) for one, size in zip(layers, sizes, strict=True)]
    return found + items(*images, *(container(f"c{name}", name) for name in sorted(used)))


def reached(found: list[Item], gone: set[str]) -> int:
    """Bytes of what is not reached any more once the images `gone` are."""
    by_key = {item.holding.key: item for item in found}
    roots = [key for key, item in by_key.items() if item.holding.is_root]

    def closure(keys: list[str]) -> set[str]:
        seen: set[str] = set()
        for key in keys:
            if key in by_key and key not in seen:
                seen |= {key} | closure(list(by_key[key].holding.keeps)) | seen
        return seen

    left = closure([key for key in roots if key not in gone])
    return sum(by_key[key].usage for key in closure(roots) - left)


@settings(max_examples=300)
@given(stores(), st.data())
def test_it_is_what_nothing_else_reaches(found: list[Item], data: st.DataObject) -> None:
    reclaimer = Reclaimer(found)
    free = [group[0] for group in reclaimer.images() if not reclaimer.kept(group)]
    for one in free:
        paths = reclaimer.freed_alone([one])
        by_path = {path: item.usage for item in found for path in item.holding.paths}
        assert sum(by_path[path] for path in paths) == reached(found, {one.key})
    chosen = data.draw(st.sets(st.sampled_from(free))) if free else set()
    wanted = ImageChoice(names=tuple(one.name for one in chosen) or ("none",))
    result = Reclaimer(found).remove(wanted)
    assert result.freed == reached(found, {one.key for one in chosen})
    assert sorted(names(result)) == sorted(one.name for one in chosen)


@settings(max_examples=300)
@given(stores(), st.integers(1, 100_000))
def test_need_takes_the_oldest_until_it_is_enough(found: list[Item], need: int) -> None:
    result = Reclaimer(found).remove(ImageChoice(need=need))
    free = {group[0].key for group in Reclaimer(found).images() if not Reclaimer(found).kept(group)}
    most = reached(found, free)
    assert result.freed >= min(need, most)
    assert names(result) == sorted(names(result), key=lambda name: int(name[1:]))
    # None is there for nothing.
    for one in result.removed:
        others = {f"image:{name}" for name in names(result)} - {f"image:{one.names[0]}"}
        assert reached(found, others) < result.freed
    assert result == Reclaimer(found).remove(ImageChoice(need=need))


@settings(max_examples=200)
@given(stores(), st.integers(1, 60_000))
def test_the_fewest_bytes(found: list[Item], need: int) -> None:
    result = Reclaimer(found).remove_fewest(need)
    free = {group[0].key for group in Reclaimer(found).images() if not Reclaimer(found).kept(group)}
    assert result.freed >= min(need, reached(found, free))
    singles = [freed for key in free if (freed := reached(found, {key})) >= need]
    if singles:
        # One that suffices is never exchanged for more than it.
        assert result.freed == min(singles)
        assert len(result.removed) == 1
    if len(result.removed) > 1:
        assert not any(
            reached(found, {f"image:{name}" for name in some}) == result.freed
            for count in range(1, len(result.removed))
            for some in combinations(names(result), count)
        )


def test_which_images_are_meant() -> None:
    found = items(
        layer("a"),
        layer("b"),
        layer("c"),
        image("host/ci/web:2024-1", "a", made=1e9 + 10),
        image("host/ci/web:2025-1", "b", made=1e9 + 20),
        image("host/prod/web:1", "c", made=86_400.0),
        image("", "c", names=(), image_id="sha256:abcdef12"),
    )
    reclaimer = Reclaimer(found)

    def matched(**how: object) -> list[str]:
        return [group[0].name for group in reclaimer.matching(ImageChoice(**how))]  # type: ignore[arg-type]

    assert matched(names=("host/ci/*",)) == ["host/ci/web:2024-1", "host/ci/web:2025-1"]
    assert matched(names=("host/*",), excepted=("*:2024-*",)) == [
        "host/ci/web:2025-1",
        "host/prod/web:1",
    ]
    assert matched(names=("abcd",)) == matched(names=("sha256:abcd",)) == [""]
    assert matched(names=("abc",)) == []
    assert matched(unnamed=True) == [""]
    # What has no time of its own is never older than anything.
    assert matched(made_before=1e9 + 15) == ["", "host/ci/web:2024-1"]
    assert matched()[-1] == "host/prod/web:1"


def test_what_stays() -> None:
    found = items(layer("a"), layer("b"), image("used", "a"), image("pinned", "b", is_pinned=True))
    found += items(container("c", "used"))
    reclaimer = Reclaimer(found)
    why = {group[0].name: reclaimer.kept(group) for group in reclaimer.images()}
    assert why == {"used": "a container uses it", "pinned": "the engine pins it"}
    assert reclaimer.remove(ImageChoice()).removed == ()
    without = Reclaimer(found, with_stopped=True).remove(ImageChoice())
    assert without.freed == LAYER
    assert without.commands() == [["rmc", "c"], ["rm", "used"]]
    running = [item._replace(in_use=item.holding.name == "c") for item in found]
    assert Reclaimer(running, with_stopped=True).remove(ImageChoice()).removed == ()


def test_layers_that_are_needed_stay() -> None:
    found = items(layer("a"), layer("b", "a"), image("one", "b"), image("two", "b"))
    assert Reclaimer(found).remove(ImageChoice()).freed == 2 * LAYER
    assert Reclaimer(found, needed=["/a"]).remove(ImageChoice()).freed == LAYER
    assert Reclaimer(found, needed=["/b"]).remove_fewest(1).removed == ()


def test_records_in_a_circle_free_nothing() -> None:
    first = layer("a", "b")
    found = items(first, layer("b", "a"), image("one", "a"))
    assert Reclaimer(found).remove(ImageChoice()).freed == 0


def test_all_names_of_an_image_are_one() -> None:
    found = items(
        layer("a"),
        image("web:1", "a", group="g"),
        image("web:2", "a", group="g"),
        image("web@sha256:00", "a", group="g"),
        image("lib@sha256:00", "a", group="g"),
    )
    (removed,) = Reclaimer(found).remove(ImageChoice(names=("web:1",))).removed
    assert removed.freed == LAYER
    # A name by digest goes with the tags of its repository.
    assert removed.arguments == ("lib@sha256:00", "web:1", "web:2")


def test_beside_images() -> None:
    cache = Holding("cache:1", Category.BUILD_CACHE, "1", ("/x",), is_root=True, tool=("prune",))
    volumes = [
        Holding(f"volume:{name}", Category.VOLUMES, name, (f"/v/{name}",), is_root=True,
                names=(name,), tool=("volume", "rm"))
        for name in ("lost", "used")
    ]  # fmt: skip
    user = container("c", "none")._replace(keeps=("volume:used", "logs:c"))
    logs = Holding("logs:c", Category.CONTAINERS, "c (logs)", ("/l",))
    found = [Item(one, 10, 0) for one in (cache, *volumes, user, logs)]
    beside = {one.what: one for one in Reclaimer(found).beside()}
    assert {what: one.freed for what, one in beside.items()} == {
        "build cache": 10,
        "volumes that no container uses": 10,
        "logs of containers": 10,
    }
    assert beside["build cache"].commands == (("prune",),)
    assert beside["volumes that no container uses"].commands == (("volume", "rm", "lost"),)
    assert beside["logs of containers"].commands == ()
