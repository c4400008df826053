"""storage.conf: which file counts, for whom, and what it says."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

import pytest

from layerscan.errors import StoreError
from layerscan.stores import storage_conf
from layerscan.stores.storage_conf import (
    Location,
    Variables,
    sudo_user,
    system_location,
    this_user,
    user_location,
)
from tests.builders.machine import Machine

UID = 1234


def owner(machine: Machine, environment: Mapping[str, str] | None = None) -> Variables:
    return {**(environment or {}), "HOME": machine.path("home/me"), "UID": str(UID)}


def user_conf(machine: Machine) -> str:
    return machine.path("home/me/.config/containers/storage.conf")


def test_nothing_is_configured(machine: Machine) -> None:
    assert system_location() == Location(machine.storage)
    default = ".local/share/containers/storage"
    assert user_location(owner(machine)) == Location(machine.path("home/me", default))
    with_data = owner(machine, {"XDG_DATA_HOME": "/data"})
    assert user_location(with_data) == Location("/data/containers/storage")


def test_first_system_file_counts_alone(machine: Machine) -> None:
    etc, usr = machine.storage_confs
    machine.write(usr, '[storage]\ngraphroot = "/usr-root"\n')
    assert system_location().root == "/usr-root"
    machine.write(etc, '[storage]\ndriver = "overlay"\n')
    assert system_location().root == machine.storage
    machine.write(etc, '[storage]\ngraphroot = "/etc-root/../x/"\n')
    assert system_location().root == "/x"


def test_variable_names_the_only_file(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write(machine.storage_confs[0], '[storage]\ngraphroot = "/etc-root"\n')
    named = machine.write(machine.path("named.conf"), '[storage]\ngraphroot = "/named"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", named)
    assert system_location().root == "/named"
    machine.write(user_conf(machine), '[storage]\ngraphroot = "/own"\n')
    environment = {"CONTAINERS_STORAGE_CONF": named}
    assert user_location(owner(machine, environment)).root == "/named"
    assert user_location(owner(machine)).root == "/own"


def test_additional_stores(machine: Machine) -> None:
    machine.write(
        machine.storage_confs[0],
        '[storage]\nimagestore = "/images"\n'
        '[storage.options]\nadditionalimagestores = ["/a", "", "/b/"]\n',
    )
    assert system_location() == Location(machine.storage, ("/images", "/a", "/b"))
    # They are not those of other users.
    assert user_location(owner(machine)).additional == ()
    machine.write(user_conf(machine), '[storage.options]\nadditionalimagestores = ["$HOME/more"]\n')
    assert user_location(owner(machine)).additional == (machine.path("home/me/more"),)


def test_places_of_users(machine: Machine) -> None:
    machine.write(
        machine.storage_confs[0], '[storage]\nrootless_storage_path = "/all/$USER/${UID}"\n'
    )
    me = owner(machine, {"USER": "me"})
    assert user_location(me).root == f"/all/me/{UID}"
    path = user_conf(machine)
    machine.write(path, '[storage]\ndriver = "overlay"\n')
    assert user_location(me).root == f"/all/me/{UID}"
    machine.write(path, '[storage]\nrootless_storage_path = "$HOME/mine"\n')
    assert user_location(me).root == machine.path("home/me/mine")
    machine.write(path, '[storage]\ngraphroot = "/g"\nrootless_storage_path = "/r"\n')
    assert user_location(me).root == "/g"
    other = machine.write(
        machine.path("config/containers/storage.conf"), '[storage]\ngraphroot = "/xdg"\n'
    )
    config = os.path.dirname(os.path.dirname(other))
    assert user_location(owner(machine, {"XDG_CONFIG_HOME": config})).root == "/xdg"


def test_file_behind_a_symbolic_link(machine: Machine) -> None:
    etc, _ = machine.storage_confs
    real = machine.write(machine.path("real.conf"), '[storage]\ngraphroot = "/linked"\n')
    os.makedirs(os.path.dirname(etc))
    os.symlink(real, etc)
    assert system_location().root == "/linked"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x", "is no TOML: Expected '=' after a key in a key/value pair (at end of document)"),
        ("storage = 5\n", "storage: must be an object"),
        ("[storage]\noptions = 5\n", "storage.options: must be an object"),
        ("[storage]\ngraphroot = 5\n", "storage.graphroot: must be a string"),
        ('[storage]\ngraphroot = "rel"\n', "no absolute path: 'rel'"),
        ('[storage]\ngraphroot = "/a\\u0001"\n', "no absolute path: '/a\\x01'"),
        (
            '[storage]\ngraphroot = "/a/$NOWHERE"\n',
            "'/a/$NOWHERE' uses the variable NOWHERE, which is not set",
        ),
        (
            '[storage.options]\nadditionalimagestores = "/a"\n',
            "storage.options.additionalimagestores: must be an array",
        ),
        (
            "[storage.options]\nadditionalimagestores = [1]\n",
            "storage.options.additionalimagestores[0]: must be a string",
        ),
        ("a = " + "[" * 100_000, "is no TOML: nested too deeply"),
        (" " * (1 << 20) + "\n", "is longer than 1048576 bytes"),
    ],
)
def test_files_that_cannot_be_used(machine: Machine, content: str, message: str) -> None:
    etc, _ = machine.storage_confs
    machine.write(etc, content)
    with pytest.raises(StoreError) as error:
        system_location()
    assert str(error.value) == f"{etc}: {message}"


def test_file_that_is_dropped_in_and_cannot_be_used(machine: Machine) -> None:
    etc, _ = machine.storage_confs
    machine.write(etc, '[storage]\ngraphroot = "/etc-root"\n')
    machine.write(etc.replace(".conf", ".conf.d/1.conf"), "storage = 5\n")
    with pytest.raises(StoreError, match="storage: must be an object"):
        system_location()


def test_file_that_is_no_utf8(machine: Machine) -> None:
    etc, _ = machine.storage_confs
    machine.write(etc, "")
    Path(etc).write_bytes(b"a = \xff")
    with pytest.raises(StoreError, match=r"is no TOML: .* byte 0xff in position 4"):
        system_location()


def test_who_this_is(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert this_user() is None
    monkeypatch.setattr(os, "geteuid", lambda: UID)
    found = this_user()
    assert found is not None
    assert (found["UID"], found["HOME"]) == (str(UID), machine.path("home"))
    monkeypatch.delenv("HOME")
    found = this_user()
    assert found is not None
    assert found["HOME"] == "/"  # nobody has this id
    # A home that is no whole path is none: that of the system's list counts.
    entry = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    monkeypatch.setattr(os, "geteuid", lambda: entry.pw_uid)
    monkeypatch.setenv("HOME", "me")
    found = this_user()
    assert found is not None
    assert (found["UID"], found["HOME"]) == (str(entry.pw_uid), entry.pw_dir)
    # As `podman unshare` runs it.
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("_CONTAINERS_ROOTLESS_UID", str(UID))
    found = this_user()
    assert found is not None
    assert found["UID"] == str(UID)
    for no_number in ("x", "\u00b2", "-1"):
        monkeypatch.setenv("_CONTAINERS_ROOTLESS_UID", no_number)
        assert this_user() is None


def test_who_called_sudo(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine
    entry = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert sudo_user() is None
    monkeypatch.setenv("SUDO_USER", entry.pw_name)
    assert sudo_user() == {"HOME": entry.pw_dir, "UID": str(entry.pw_uid)}
    for name in ("root", "no such user"):
        monkeypatch.setenv("SUDO_USER", name)
        assert sudo_user() is None
    monkeypatch.setenv("SUDO_USER", entry.pw_name)
    monkeypatch.setattr(os, "geteuid", lambda: UID)
    assert sudo_user() is None


def test_a_file_that_is_named_by_no_path() -> None:
    with pytest.raises(StoreError, match=r"^'a\\x00b': is no path$"):
        storage_conf._system_settings({"CONTAINERS_STORAGE_CONF": "a\0b"}, "rootful")
