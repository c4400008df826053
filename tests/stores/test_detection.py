"""Finding the image store that is meant, and what is said where there is none or more than one."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from layerscan.errors import LayerscanError, StoreError
from layerscan.stores import detection, list_stores, open_store, places
from tests.builders.detected_case import containerd, docker, storage
from tests.builders.machine import Machine
from tests.builders.user import as_nobody
from tests.cli_runner import OPEN, environment, open_to_all
from tests.requirements import require_root


def opened(kind: str = "auto", root: str | None = None) -> tuple[str, str]:
    store = open_store(kind, root)
    return store.kind, store.root


def fails(kind: str = "auto", root: str | None = None) -> str:
    with pytest.raises(StoreError) as error:
        open_store(kind, root)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_by_kind_and_root(machine: Machine) -> None:
    first, second = docker(machine.path("d")).root, storage(machine.path("s")).root
    for kind in ("auto", "overlay2"):
        assert opened(kind, first) == ("overlay2", first)
    for kind in ("auto", "containers-storage"):
        assert opened(kind, second) == ("containers-storage", second)
    with pytest.raises(LayerscanError, match="no such store: 'zfs'; there are auto, overlay2, con"):
        open_store("zfs")
    assert fails(root="/nowhere") == "/nowhere: there is no such folder"
    assert fails("overlay2", second) == (
        f"{second}: no image store here: looked for image/overlay2 in it"
    )
    assert fails("containers-storage", first) == (
        f"{first}: no image store here: looked for overlay-images in it"
    )
    assert fails("containerd", first) == (
        f"{first}: no image store here: looked for io.containerd.metadata.v1.bolt in it and in "
        "containerd/daemon"
    )


def test_store_says_what_it_is(machine: Machine) -> None:
    for kind, root in (
        ("overlay2", docker(machine.path("d")).root),
        ("containerd", containerd(machine.path("c"), "default").root),
        ("containers-storage", storage(machine.path("s")).root),
    ):
        assert repr(open_store(root=root)) == f"<{kind} store at {root!r}>"


def test_folder_that_holds_no_store(machine: Machine) -> None:
    os.mkdir(machine.path("empty"))
    assert fails(root=machine.path("empty")) == (
        f"{machine.folder}/empty: no image store here: looked for image/overlay2, "
        "io.containerd.metadata.v1.bolt, overlay-images in it"
    )
    machine.write(machine.path("file"), "")
    assert fails(root=machine.path("file")) == f"{machine.folder}/file: is not a folder"
    os.makedirs(machine.path("other/image/vfs"))
    assert "graph driver vfs; only overlay2" in fails(root=machine.path("other"))
    os.makedirs(machine.path("third/btrfs-images"))
    assert "storage driver btrfs; only overlay" in fails(root=machine.path("third"))


def test_nothing_there(machine: Machine) -> None:
    assert fails() == (
        f"no image store found; looked at {machine.docker}: there is no such folder; "
        f"{machine.containerd}: there is no such folder; "
        f"{machine.storage}: there is no such folder"
    )
    os.makedirs(machine.docker)
    assert fails("overlay2") == (
        f"no image store found; looked at {machine.docker}: no image store here"
    )


def test_the_only_one_there_is_taken_with_images_or_without(machine: Machine) -> None:
    docker(machine.docker, images=0)
    assert opened() == ("overlay2", machine.docker)
    docker(machine.docker)
    assert opened() == ("overlay2", machine.docker)


def test_the_one_with_images_is_taken(machine: Machine) -> None:
    docker(machine.docker, images=0)
    storage(machine.storage, images=0)
    assert opened() == ("overlay2", machine.docker)
    storage(machine.storage)
    assert opened() == ("containers-storage", machine.storage)


def test_user_has_to_choose_between_two_with_images(machine: Machine) -> None:
    docker(machine.docker)
    storage(machine.storage)
    assert fails() == (
        f"several image stores have images: overlay2 in {machine.docker}, containers-storage in "
        f"{machine.storage}; choose one with --store overlay2 or --store containers-storage"
    )
    assert opened("containers-storage") == ("containers-storage", machine.storage)
    assert opened("overlay2") == ("overlay2", machine.docker)


def test_containerd_is_one_of_them(machine: Machine) -> None:
    docker(machine.docker)
    # Docker runs containers with it, and has no images in it.
    containerd(machine.containerd)
    assert opened() == ("overlay2", machine.docker)
    assert opened("containerd") == ("containerd", machine.containerd)
    containerd(machine.containerd, "k8s.io")
    assert fails() == (
        f"several image stores have images: overlay2 in {machine.docker}, containerd in "
        f"{machine.containerd}; choose one with --store overlay2 or --store containerd"
    )
    store = open_store(namespace="k8s.io")
    assert (store.kind, len(store.images())) == ("containerd", 1)
    # Of a namespace that has none, there are none: no other store has it, either.
    assert open_store(platform="linux/arm64").kind == "containerd"
    with pytest.raises(LayerscanError, match="--namespace is for stores of kind containerd only"):
        open_store("overlay2", namespace="moby")


def test_containerd_in_docker_s_folder(machine: Machine) -> None:
    docker(machine.docker, images=0)
    inside = containerd(f"{machine.docker}/containerd/daemon", "moby").root
    for kind, root in (("auto", None), ("auto", machine.docker), ("containerd", machine.docker)):
        assert opened(kind, root) == ("containerd", inside)
    containerd(machine.containerd, "default")
    assert fails() == (
        f"several image stores have images: containerd in {machine.containerd}, containerd in "
        f"{inside}; choose one with --store containerd --data-root {machine.containerd} or "
        f"--store containerd --data-root {inside}"
    )
    assert opened("auto", inside) == ("containerd", inside)


def test_settings_of_docker(machine: Machine) -> None:
    elsewhere = docker(machine.path("elsewhere")).root
    for empty in ("", " \n", "{}"):
        machine.write(machine.daemon_json, empty)
        assert places.docker_root() == machine.docker
    machine.write(machine.daemon_json, json.dumps({"data-root": elsewhere, "debug": True}))
    assert opened() == ("overlay2", elsewhere)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "{",
            ": is not JSON: Expecting property name enclosed in double quotes at line 1 column 2",
        ),
        ("[]", ": $: must be an object"),
        ('{"data-root": 5}', ": data-root is no absolute path: 5"),
        ('{"data-root": "rel/ative"}', ": data-root is no absolute path: 'rel/ative'"),
        ('{"data-root": "/a\\u0000"}', ": data-root is no absolute path: '/a\\x00'"),
        (" " * (1 << 20) + "{}", ": is longer than 1048576 bytes"),
    ],
)
def test_damaged_settings_of_docker(machine: Machine, content: str, message: str) -> None:
    path = machine.write(machine.daemon_json, content)
    assert fails("overlay2") == f"no image store can be opened: {path}{message}"
    assert fails() == f"no image store can be opened: {path}{message}"
    # Another store can be read all the same.
    storage(machine.storage)
    assert opened() == ("containers-storage", machine.storage)


def test_settings_of_containerd(machine: Machine) -> None:
    path = machine.path("etc/containerd/config.toml")
    machine.write(path, "version = 2\n[grpc]\n")
    assert [place.root for place in places.containerd()] == [machine.containerd]
    machine.write(path, 'root = "/srv/containerd"\n')
    assert [place.root for place in places.containerd()] == ["/srv/containerd"]
    os.makedirs(os.path.join(machine.docker, "containerd/daemon"))
    assert [(place.root, place.engine) for place in places.containerd()] == [
        ("/srv/containerd", "containerd"),
        (f"{machine.docker}/containerd/daemon", "docker"),
    ]
    for content, message in (
        ('root = "x"\n', ": root is no absolute path: 'x'"),
        ("root\n", ": is no TOML: Expected '=' after a key in a key/value pair (at line 1, "),
    ):
        machine.write(path, content)
        assert f"{path}{message}" in fails("containerd")


def test_settings_of_containers_storage(machine: Machine) -> None:
    root, more = storage(machine.path("s")).root, storage(machine.path("more"), images=3).root
    machine.write(
        machine.storage_confs[0],
        f'[storage]\ngraphroot = "{root}"\n[storage.options]\nadditionalimagestores = ["{more}"]\n',
    )
    # The additional one belongs to the folder that is configured, however it is named.
    for store in (
        open_store(),
        open_store("containers-storage"),
        open_store(root=root),
        open_store("containers-storage", root),
    ):
        assert (store.root, len(store.images())) == (root, 3)
    assert len(open_store(root=more).images()) == 3
    machine.write(machine.storage_confs[0], "[")
    assert len(open_store(root=more).images()) == 3
    assert "storage.conf: is no TOML: " in fails("containers-storage")
    assert len(open_store(root=storage(machine.path("third"), images=2).root).images()) == 2


def test_user_has_a_store_of_their_own(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    own = storage(machine.path("home/.local/share/containers/storage")).root
    storage(machine.storage)
    found = [(place.root, place.own) for place in places.containers_storage()]
    assert found == [(own, True), (machine.storage, False)]
    assert opened() == ("containers-storage", own)


def test_store_of_who_called_sudo_is_named_and_not_taken(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "me")
    entry = SimpleNamespace(pw_uid=1234, pw_dir=machine.path("home/me"))
    monkeypatch.setattr("pwd.getpwnam", lambda _: entry)
    theirs = storage(machine.path("home/me/.local/share/containers/storage")).root
    assert fails().endswith(
        f"{machine.storage}: there is no such folder; another user's is not looked into: "
        f"--store containers-storage --data-root {theirs}"
    )
    assert opened(root=theirs) == ("containers-storage", theirs)
    docker(machine.docker)
    assert opened() == ("overlay2", machine.docker)


def test_store_that_may_not_be_read_is_not_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    require_root()
    with open_to_all() as folder:
        machine = Machine.isolate(folder, monkeypatch)
        docker(machine.docker)
        os.chmod(machine.docker, 0o700)
        own = machine.path("home/.local/share/containers/storage")

        def said() -> str:
            try:
                return open_store().root
            except StoreError as error:
                return str(error)

        assert as_nobody(said) == (
            f"no image store can be opened: {machine.docker}: permission denied; use sudo"
        )
        storage(own)
        for path, _, files in os.walk(machine.path("home")):
            os.chmod(path, OPEN)
            for name in files:
                if not os.path.islink(os.path.join(path, name)):
                    os.chmod(os.path.join(path, name), OPEN)
        assert as_nobody(said) == own


@pytest.mark.parametrize(
    ("root", "what"),
    [("/a\0b", r"'/a\x00b': is no path"), ("/" + "x" * 256, f"/{'x' * 256}: File name too long")],
)
def test_folder_that_can_have_no_such_name(machine: Machine, root: str, what: str) -> None:
    storage(machine.storage)
    for kind in ("overlay2", "containers-storage", "containerd"):
        assert fails(kind, root) == what
    assert what in fails("auto", root)


@pytest.mark.parametrize("kind", [PermissionError, OSError, ValueError])
def test_folder_that_cannot_be_looked_into_is_opened_if_it_may_be(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def refused(_path: str) -> bool:
        raise kind

    docker(machine.docker)
    monkeypatch.setattr(detection, "_is_there", refused)
    if kind is PermissionError:
        assert f"{machine.docker}: permission denied; use sudo" in fails()
    else:
        assert opened() == ("overlay2", machine.docker)


def test_only_a_list_is_of_everyone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def found(*, everyone: bool) -> list[places.StorePlace]:
        asked.append(everyone)
        return []

    monkeypatch.setattr(places, "docker", found)
    open_store("overlay2", docker(machine.docker).root)
    fails("overlay2")
    assert asked == [False, False]
    list_stores()
    assert asked == [False, False, True]


def test_only_the_store_that_is_read_is_loaded(machine: Machine) -> None:
    root = docker(machine.path("d")).root
    script = (
        "import sys; from layerscan.stores import open_store; open_store(root=sys.argv[1]);"
        "others = 'tomllib', 'layerscan.stores.containerd.', 'layerscan.stores.containers_storage';"
        "print(sorted(name for name in sys.modules if name.startswith(others)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, root], check=True, capture_output=True, env=environment()
    )
    assert done.stdout == b"[]\n"
