"""Images in an engine that is running: where it is, what it is asked, what it may answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from layerscan.registry import RegistryClient
from layerscan.sources import docker_daemon, open_source
from tests.builders.docker_daemon import DockerDaemon, answer
from tests.builders.documents import sha256
from tests.builders.image_archives import Saved, docker_save, write_tar
from tests.builders.sources_case import AMD64, fault, read_all

if TYPE_CHECKING:
    from pathlib import Path

NAME = "docker-daemon:acme/web:1"
USUAL = docker_daemon.SOCKET
HINT = "is it running, and may you ask it? DOCKER_HOST can name another"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    monkeypatch.setattr(docker_daemon, "SOCKET", f"unix://{tmp_path / 'usual.sock'}")


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    files = docker_save(Saved(AMD64, ("acme/web:1",)))
    return write_tar(files, tmp_path / "saved.tar").read_bytes()


@pytest.mark.parametrize("way", ["unix", "tcp", "http"])
def test_an_image_is_what_docker_save_gives(
    tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    path = tmp_path / "docker.sock" if way == "unix" else None
    before = set(os.listdir("/proc/self/fd"))
    with DockerDaemon(path, answer(archive)) as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.host.replace("tcp:", f"{way}:"))
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "")
        ((image, tars),) = read_all(NAME)
    assert image.image_id == sha256(AMD64.config)
    assert image.name == f"{NAME}:acme/web:1"
    assert list(tars) == AMD64.diff_ids
    assert daemon.asked == ["/images/acme/web:1/get"]
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("host", [None, ""])
def test_an_engine_is_asked_at_the_usual_place(
    tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch, host: str | None
) -> None:
    if host is not None:
        monkeypatch.setenv("DOCKER_HOST", host)
    with DockerDaemon(tmp_path / "usual.sock", answer(archive)):
        assert len(read_all(NAME)) == 1


def test_the_usual_place_is_that_of_docker() -> None:
    assert USUAL == "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("registry.example:5000/web@sha256:12", "/images/registry.example:5000/web@sha256:12/get"),
        ("0123456789ab", "/images/0123456789ab/get"),
        ("a b?c#d%/../x", "/images/a%20b%3Fc%23d%25/../x/get"),
        ("\udcff", "/images/%3F/get"),
    ],
)
def test_a_name_is_asked_for_as_it_is(
    tmp_path: Path, archive: bytes, wanted: str, path: str
) -> None:
    with DockerDaemon(tmp_path / "usual.sock", answer(archive)) as daemon:
        read_all(f"docker-daemon:{wanted}")
    assert daemon.asked == [path]


def refused(tmp_path: Path, sent: bytes) -> str:
    """What is said of an engine that sends this, after where it is."""
    with DockerDaemon(tmp_path / "usual.sock", sent) as daemon:
        message = fault(NAME)
    where = f"acme/web:1: the engine at {daemon.host}: "
    assert message.startswith(f"docker-daemon:{where}")
    return message.partition(where)[2]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"message": "no such image: acme/web:1"}', "no such image: acme/web:1"),
        (b'{"message": "one\\ntwo"}', r"one\ntwo"),
        (b'{"message": 7}', "7"),
        (b'{"message": ""}', "Not Found"),
        (b'{"message": null}', "Not Found"),
        (b'{"other": "x"}', "Not Found"),
        (b'["message"]', "Not Found"),
        (b"no JSON", "Not Found"),
        (b"\xff", "Not Found"),
        (b"[" * 60_000, "Not Found"),
        (b"", "Not Found"),
    ],
)
def test_why_an_engine_refuses(tmp_path: Path, body: bytes, said: str) -> None:
    assert refused(tmp_path, answer(body, "404 Not Found")) == f"answers 404: {said}"


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_what_is_read_of_a_refusal(tmp_path: Path, more: int) -> None:
    body = b'{"message": "no"' + b"}".rjust(64 * 1024 + more - 16)
    said = "Server Error" if more > 0 else "no"
    assert refused(tmp_path, answer(body, "500 Server Error")) == f"answers 500: {said}"


@pytest.mark.parametrize("status", ["201 Created", "204 No Content", "302 Found"])
def test_only_200_is_an_archive(tmp_path: Path, archive: bytes, status: str) -> None:
    said = status.replace(" ", ": ", 1)
    assert refused(tmp_path, answer(archive, status)) == f"answers {said}"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "SSH-2.0-OpenSSH_9"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "IncompleteRead"),
        (b"", "Remote end closed connection without response"),
    ],
)
def test_what_does_not_speak_http_cannot_be_asked(tmp_path: Path, sent: bytes, said: str) -> None:
    message = refused(tmp_path, sent)
    assert message.startswith(f"cannot be asked: {said}")
    assert message.endswith(f"; {HINT}")


def test_an_engine_that_does_not_run() -> None:
    assert fault(NAME).endswith(f"usual.sock: cannot be asked: No such file or directory; {HINT}")


@pytest.mark.parametrize(
    ("host", "verify"),
    [
        ("ssh://other", ""),
        ("usual.sock", ""),
        ("https://127.0.0.1:1", ""),
        ("tcp://127.0.0.1:1", "1"),
        ("http://127.0.0.1:1", "1"),
    ],
)
def test_an_engine_that_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, host: str, verify: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", verify)
    what = "only unix:// and tcp:// without TLS are asked; use docker save"
    assert fault(NAME) == f"{NAME}: the engine at {host}: {what}"


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:abc", "tcp://["])
def test_what_is_no_address(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert fault(NAME).startswith(f"{NAME}: the engine at {host}: is no address: ")


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_an_archive_that_would_fill_the_disk(
    tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    most = len(archive) - more
    monkeypatch.setattr(docker_daemon, "MAX_UNPACKED", most)
    monkeypatch.setattr(docker_daemon, "_PIECE", 1000)
    if more > 0:
        assert refused(tmp_path, answer(archive)) == f"sends more than {most} bytes"
        return
    with DockerDaemon(tmp_path / "usual.sock", answer(archive)):
        assert len(read_all(NAME)) == 1


def test_what_is_no_archive_is_closed(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with DockerDaemon(tmp_path / "usual.sock", answer(b"no tar" * 100)):
        assert "is no tar archive" in fault(NAME)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("is_unix", [True, False])
def test_an_engine_that_says_nothing_is_given_up(tmp_path: Path, is_unix: bool) -> None:  # noqa: FBT001
    path = tmp_path / "usual.sock" if is_unix else None
    with DockerDaemon(path, b"") as daemon:
        connection = docker_daemon._connection(daemon.host, "it")
        connection.connect()
        try:
            assert connection.sock.gettimeout() == 300
        finally:
            connection.close()


def test_it_is_closed_as_often_as_one_likes(tmp_path: Path, archive: bytes) -> None:
    with (
        DockerDaemon(tmp_path / "usual.sock", answer(archive)),
        open_source(NAME, RegistryClient) as source,
    ):
        source.close()
