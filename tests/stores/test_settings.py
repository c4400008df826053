"""Which store an engine uses, by its own settings."""

from __future__ import annotations

import json
import os
import pwd
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import StoreError
from layerscan.fit import live
from layerscan.stores import list_stores, open_store, places, storage_conf
from layerscan.stores.containerd_settings import containerd_settings
from layerscan.stores.docker_settings import docker_settings
from tests.builders.bounds_case import refused_if
from tests.builders.detected_case import containerd, docker, storage

if TYPE_CHECKING:
    from tests.builders.machine import Machine


def daemon_json(machine: Machine, **settings: object) -> str:
    return machine.write(machine.daemon_json, json.dumps(settings))


def unused(root: str) -> str:
    """What a store that is named by its folder says of the engine's settings."""
    store = open_store(root=root)
    store.images()
    (note,) = [note for note in store.notes if "does not use" in note]
    assert note.startswith(f"{root}: its engine does not use this store: ")
    return note.partition("this store: ")[2]


# Docker.


@pytest.mark.parametrize(
    "settings", [{"features": {"containerd-snapshotter": True}}, {"storage-driver": "overlayfs"}]
)
def test_docker_that_has_containerd_keep_its_images(
    machine: Machine, settings: dict[str, object]
) -> None:
    root = docker(machine.docker).root
    path = daemon_json(machine, **settings)
    with pytest.raises(StoreError) as raised:
        open_store()
    said = f"{path} has containerd keep the images"
    assert f"{said}: its overlay2 images in {root} are not in use" in str(raised.value)
    # Who names the folder has it, and is told.
    assert unused(root) == said
    kept = containerd(machine.containerd, "moby").root
    assert (open_store().kind, open_store().root) == ("containerd", kept)
    # On a device its layers count as missing.
    device = live.this_device(machine.path(), root, is_exact=True)
    assert device.engine is not None
    assert not device.engine.chain_ids
    assert f"{root}: {said}: its layers count as missing" in device.notes


@pytest.mark.parametrize(
    ("settings", "taken"),
    [
        ({"features": {"containerd-snapshotter": False}}, "overlay2"),
        ({"storage-driver": "overlay2"}, "overlay2"),
        ({"storage-driver": "btrfs"}, ""),
        ({"features": {"buildkit": True}}, "both"),
        ({"features": None}, "both"),
    ],
)
def test_docker_that_keeps_its_images_itself(
    machine: Machine, settings: dict[str, object], taken: str
) -> None:
    docker(machine.docker)
    containerd(os.path.join(machine.docker, "containerd/daemon"), "moby")
    path = daemon_json(machine, **settings)
    if taken == "overlay2":
        assert open_store().kind == "overlay2"
        return
    with pytest.raises(StoreError) as raised:
        open_store()
    if taken == "both":
        assert "several image stores have images" in str(raised.value)
    else:
        assert f"{path} says the storage driver btrfs: its overlay2 images in" in str(raised.value)


@pytest.mark.parametrize(
    ("remap", "folder"),
    [
        ("default", "165536.231072"),
        ("me", "100000.100000"),
        ("me:dockremap", "100000.100000"),
        ("nobody", "7.8"),
    ],
)
def test_docker_that_maps_root_to_a_user(machine: Machine, remap: str, folder: str) -> None:
    # Docker looks for the number of a user before the name.
    number = pwd.getpwnam("nobody").pw_uid
    common = f"nobody:1:1\n{number}:"
    machine.write(machine.path("etc/subuid"), f"me:100000:65536\ndockremap:165536:9\n{common}7:9\n")
    machine.write(machine.path("etc/subgid"), f"dockremap:231072:65536\nme:100000:9\n{common}8:9\n")
    daemon_json(machine, **{"userns-remap": remap})
    docker(machine.docker, images=2)
    inside = docker(os.path.join(machine.docker, folder)).root
    assert open_store().root == inside
    assert places.docker_root() == machine.docker
    assert unused(machine.docker) == f"with userns-remap, Docker has its images in {inside}"
    # Of a user without ids of their own nothing can be told.
    daemon_json(machine, **{"userns-remap": "nobody-knows"})
    assert open_store().root == machine.docker


def test_user_to_map_root_to_that_is_given_by_number(machine: Machine) -> None:
    machine.write(machine.path("etc/subuid"), "nobody:5:9\n")
    machine.write(machine.path("etc/subgid"), "nobody:6:9\n")
    daemon_json(machine, **{"userns-remap": str(pwd.getpwnam("nobody").pw_uid)})
    inside = docker(os.path.join(machine.docker, "5.6")).root
    assert open_store().root == inside


@pytest.mark.parametrize("line", ["me", "me:", "me::1", "me:x:1", "me:\u00b2:1", "you:1:1", ""])
def test_subordinate_ids_are_in_the_first_line_that_has_one(machine: Machine, line: str) -> None:
    for name in ("etc/subuid", "etc/subgid"):
        machine.write(machine.path(name), f"{line}\nme:4294967294:1\nme:7:1\n")
    path = daemon_json(machine, **{"userns-remap": "me"})
    found = docker_settings(path, machine.docker).graph_root
    assert found == f"{machine.docker}/4294967294.4294967294"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"storage-driver": 5}, '$["storage-driver"]: must be a string'),
        ({"userns-remap": []}, '$["userns-remap"]: must be a string'),
        ({"features": []}, "$.features: must be an object"),
    ],
)
def test_settings_of_docker_that_are_wrong(
    machine: Machine, content: dict[str, object], message: str
) -> None:
    path = daemon_json(machine, **content)
    with pytest.raises(StoreError) as raised:
        docker_settings(path, machine.docker)
    assert str(raised.value) == f"{path}: {message}"


def test_rootless_docker_and_that_of_snap(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap = docker(machine.path("var/snap/docker/common/var-lib-docker")).root
    assert open_store().root == snap
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    own = docker(machine.path("home/.local/share/docker")).root
    engines = {place.root: place.engine for place in places.docker()}
    assert engines[snap] == "docker (snap)"
    assert engines[own] == "docker rootless"
    elsewhere = docker(machine.path("elsewhere")).root
    settings = machine.path("home/.config/docker/daemon.json")
    machine.write(settings, json.dumps({"data-root": elsewhere}))
    assert elsewhere in [place.root for place in places.docker() if place.own]


def test_folders_of_a_user_that_variables_name(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", machine.path("data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", machine.path("config"))
    os.makedirs(machine.path("data/docker"))
    os.makedirs(machine.path("data/containerd"))
    assert [place.root for place in places.docker()][1:] == [machine.path("data/docker")]
    assert [place.root for place in places.containerd()][1:] == [machine.path("data/containerd")]
    os.makedirs(machine.path("elsewhere"))
    settings = json.dumps({"data-root": machine.path("elsewhere")})
    machine.write(machine.path("config/docker/daemon.json"), settings)
    assert [place.root for place in places.docker()][1:] == [machine.path("elsewhere")]


def test_what_is_not_there_of_a_user_or_a_distribution_is_no_place(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert [place.root for place in places.docker()] == [machine.docker]
    assert [place.root for place in places.containerd()] == [machine.containerd]
    rootless = machine.path("home/.local/share/containerd")
    os.makedirs(rootless)
    assert [(place.root, place.engine, place.own) for place in places.containerd()] == [
        (machine.containerd, "containerd", True),
        (rootless, "containerd rootless", True),
    ]


# containerd.


@pytest.mark.parametrize("number", [99, 100, 101])
def test_files_that_containerd_s_settings_are_read_of(machine: Machine, number: int) -> None:
    path = machine.path("etc/containerd/config.toml")
    machine.write(path, 'root = "/one"\nimports = ["conf.d/*.toml"]\n')
    for one in range(number - 1):
        machine.write(machine.path(f"etc/containerd/conf.d/{one}.toml"), "")
    with refused_if(number > 100, StoreError, f"{path}: imports more than 100 files"):
        assert containerd_settings(path, "/default").root == "/one"


@pytest.mark.parametrize(
    "content", ["plugins = 5\n", "[plugins]\noverlayfs = 5\n", "[plugins.overlayfs]\nx = 5\n"]
)
def test_plugins_of_containerd_that_say_no_folder(machine: Machine, content: str) -> None:
    path = machine.write(machine.path("etc/containerd/config.toml"), f"{content}# root")
    assert containerd_settings(path, "/default") == ("/default", "")


def test_containerd_reads_what_its_settings_import(machine: Machine) -> None:
    path = machine.path("etc/containerd/config.toml")
    machine.write(path, 'root = "/one"\nimports = ["conf.d/*.toml"]\n')
    assert containerd_settings(path, "/default") == ("/one", "")
    machine.write(machine.path("etc/containerd/conf.d/a.toml"), 'root = "/two"\n')
    machine.write(machine.path("etc/containerd/conf.d/b.toml"), f'imports = ["{path}"]\n')
    assert containerd_settings(path, "/default").root == "/two"
    plugin = '[plugins."io.containerd.snapshotter.v1.overlayfs"]\nroot_path = "/three"\n'
    machine.write(machine.path("etc/containerd/conf.d/c.toml"), plugin)
    assert containerd_settings(path, "/default") == ("/two", "/three")
    for content, message in (
        ('imports = "x"\n', "imports: must be an array of strings"),
        ('[plugins."overlayfs"]\nroot_path = "x"\n', "root_path is no absolute path: 'x'"),
    ):
        machine.write(path, content)
        with pytest.raises(StoreError, match=message):
            containerd_settings(path, "/default")
    assert containerd_settings(machine.path("none"), "/default") == ("/default", "")


def test_snapshotter_that_is_elsewhere(machine: Machine) -> None:
    built = containerd(machine.containerd, "moby")
    usual = os.path.join(built.root, "io.containerd.snapshotter.v1.overlayfs")
    expected = [image.image_id for image in open_store().images()]
    moved = machine.path("srv/snapshots")
    os.makedirs(os.path.dirname(moved))
    os.rename(usual, moved)
    plugin = f'[plugins."io.containerd.snapshotter.v1.overlayfs"]\nroot_path = "{moved}"\n'
    machine.write(machine.path("etc/containerd/config.toml"), plugin)
    for store in (open_store(), open_store(root=machine.containerd)):
        assert [image.image_id for image in store.images()] == expected
        for image in store.images():
            assert all(layer.folder.startswith(moved) for layer in image.layers)
            assert all(store.still_has(layer) for layer in image.layers)


def test_containerd_of_a_distribution_of_kubernetes(machine: Machine) -> None:
    root = containerd(machine.path("var/lib/rancher/k3s/agent/containerd"), "k8s.io").root
    assert (open_store().root, open_store().kind) == (root, "containerd")
    assert [place.engine for place in places.containerd() if place.root == root] == ["k3s"]


# Podman, Buildah, CRI-O.


def test_files_that_are_dropped_in_beside_storage_conf(machine: Machine) -> None:
    etc, usr = machine.storage_confs
    machine.write(usr, '[storage]\ngraphroot = "/usr"\n[storage.options]\nsize = "1"\n')
    assert storage_conf.system_location().root == "/usr"
    machine.write(usr.replace(".conf", ".conf.d/10-a.conf"), '[storage]\ngraphroot = "/a"\n')
    assert storage_conf.system_location().root == "/a"
    # The administrator's file of the same name counts in place of it.
    more = '[storage.options]\nadditionalimagestores = ["/more"]\n'
    machine.write(etc.replace(".conf", ".conf.d/10-a.conf"), more)
    assert storage_conf.system_location() == ("/usr", ("/more",), "")
    machine.write(etc.replace(".conf", ".rootful.conf.d/20.conf"), '[storage]\ngraphroot = "/b"\n')
    assert storage_conf.system_location() == ("/b", ("/more",), "")
    user = {"HOME": machine.path("home"), "UID": "1000"}
    assert storage_conf.user_location(user).root.endswith("home/.local/share/containers/storage")
    own = machine.path("home/.config/containers/storage.conf.d/1.conf")
    machine.write(own, '[storage]\ngraphroot = "/mine"\n')
    assert storage_conf.user_location(user).root == "/mine"


def test_storage_driver_that_is_not_overlay(machine: Machine) -> None:
    root = storage(machine.storage).root
    path = machine.write(machine.storage_confs[0], '[storage]\ndriver = "vfs"\n')
    with pytest.raises(StoreError, match="says the storage driver 'vfs': its containers-storage"):
        open_store()
    assert unused(root) == f"{path} says the storage driver 'vfs'"
    machine.write(machine.storage_confs[0], '[storage]\ndriver = "overlay"\n')
    assert open_store().root == root


def test_settings_of_crio(machine: Machine) -> None:
    path = machine.path("etc/crio/crio.conf")
    assert storage_conf.crio_location() is None
    machine.write(path, "[crio.runtime]\n")
    assert storage_conf.crio_location() is None
    root = storage(machine.path("crio")).root
    machine.write(path, '[crio]\nroot = "/first"\n')
    machine.write(f"{path}.d/10.conf", f'[crio]\nroot = "{root}"\n')
    assert (open_store().root, open_store().kind) == (root, "containers-storage")
    assert [one.place.engine for one in list_stores() if one.root == root] == ["cri-o"]
    driven = f'[crio]\nroot = "{root}"\nstorage_driver = "vfs"\n'
    machine.write(f"{path}.d/20.conf", driven)
    driver = f"{path}.d/20.conf says the storage driver 'vfs'"
    assert storage_conf.crio_location() == storage_conf.Location(root, unused=driver)
    # A drop-in may say the driver alone.
    machine.write(f"{path}.d/20.conf", '[crio]\nstorage_driver = "zfs"\n')
    driver = f"{path}.d/20.conf says the storage driver 'zfs'"
    assert storage_conf.crio_location() == storage_conf.Location(root, unused=driver)
    machine.write(f"{path}.d/20.conf", '[crio]\nroot = "x"\n')
    with pytest.raises(StoreError, match=r"20.conf: root is no absolute path: 'x'"):
        storage_conf.crio_location()
    machine.write(f"{path}.d/20.conf", "[crio]\nroot = 5\n")
    with pytest.raises(StoreError, match=r"20.conf: crio.root: must be a string"):
        storage_conf.crio_location()


def test_root_finds_the_stores_of_all_users(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    homes = [{"HOME": machine.path(f"home/{name}"), "UID": "1000"} for name in "ab"]
    monkeypatch.setattr(storage_conf, "all_users", lambda: homes)
    first = storage(machine.path("home/a/.local/share/containers/storage")).root
    second = docker(machine.path("home/b/.local/share/docker")).root
    found = {one.root: one.place for one in list_stores() if one.store is not None}
    assert found.keys() == {first, second}
    # None of them is scanned unless it is named.
    assert not any(place.own for place in found.values())
    with pytest.raises(StoreError, match="no image store found"):
        open_store()


def test_one_who_called_sudo_is_a_user_once_and_who_has_no_files_is_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    me, other, empty = (
        {"HOME": machine.path(f"home/{name}"), "UID": "1000"} for name in ("me", "other", "empty")
    )
    monkeypatch.setattr(storage_conf, "sudo_user", lambda: me)
    monkeypatch.setattr(storage_conf, "all_users", lambda: [empty, other, me])
    folder = ".local/share/containers/storage"
    for user in (me, other):
        os.makedirs(os.path.join(user["HOME"], folder))
    mine, theirs = (os.path.join(user["HOME"], folder) for user in (me, other))

    def found(*, everyone: bool) -> list[tuple[str, bool]]:
        return [(place.root, place.own) for place in places.containers_storage(everyone=everyone)]

    assert found(everyone=False) == [(machine.storage, True), (mine, False)]
    assert found(everyone=True) == [(machine.storage, True), (mine, False), (theirs, False)]
    for name in ("docker", "containerd"):
        os.makedirs(machine.path(f"home/me/.local/share/{name}"))
        os.makedirs(machine.path(f"home/other/.local/share/{name}"))
    assert [place.own for place in places.docker(everyone=True)] == [True, False, False]
    for of_engine in (places.docker, places.containerd, places.containers_storage):
        # Who is not asked for is not looked at.
        assert of_engine() == of_engine(everyone=False) != of_engine(everyone=True)


def test_people_have_the_ids_of_people(monkeypatch: pytest.MonkeyPatch) -> None:
    def people(*ids: int) -> list[str]:
        entries = [SimpleNamespace(pw_uid=one, pw_dir=f"/home/{one}") for one in ids]
        monkeypatch.setattr(pwd, "getpwall", lambda: entries)
        found = storage_conf.all_users()
        assert [one["HOME"] for one in found] == [f"/home/{one['UID']}" for one in found]
        return [one["UID"] for one in found]

    assert people(0, 999, 1000, 65533, 65534) == ["1000", "65533"]
    # Of more than a thousand, as a directory service may have them, the first are looked at.
    assert people(*range(1000, 2001)) == [str(one) for one in range(1000, 2000)]


def test_people_are_users() -> None:
    people = storage_conf.all_users()
    assert all(1000 <= int(one["UID"]) < 65534 for one in people)
    assert all(os.path.isabs(one["HOME"]) for one in people)
