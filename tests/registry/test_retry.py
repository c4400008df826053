"""When the registry client tries again, how long it waits, and when it gives up."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.errors import RefusedByRegistryError, RegistryError
from layerscan.oci import OCI_MANIFEST
from layerscan.reference import parse
from layerscan.registry import RegistryClient, RegistryOptions, retry
from layerscan.registry.faults import TemporaryError
from layerscan.registry.retry import ATTEMPTS, LONGEST_DELAY, Waits, retry_after
from tests.builders.overlay2 import StoreBuilder
from tests.builders.registry_case import MANIFEST, described, fault, opened, repository
from tests.builders.registry_faults import Drop, Lost, Silent, Status
from tests.builders.registry_server import OpenRegistry
from tests.builders.tree import File
from tests.cli_runner import PROGRAM, environment, interruptible

pytestmark = pytest.mark.usefixtures("docker_config")

AGAIN = int(socket.EAI_AGAIN)


class Clock(threading.Event):
    """An event that nobody sets, and that keeps how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0)
        return self.is_set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    init = Waits.__init__
    monkeypatch.setattr(Waits, "__init__", lambda waits, _: init(waits, found))
    return found


@pytest.fixture
def seven(open_registry: OpenRegistry) -> OpenRegistry:
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    return open_registry


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_a_fault_of_the_server_is_tried_again_after_longer_and_longer(
    seven: OpenRegistry, clock: Clock, status: int
) -> None:
    seven.fail("GET", "", Status(status), times=ATTEMPTS - 1)
    with repository(seven) as repo:
        assert repo.manifest("7").raw == MANIFEST
    assert len(clock.waited) == ATTEMPTS - 1
    for number, seconds in enumerate(clock.waited):
        longest = retry.FIRST_DELAY * 2**number
        assert longest / 2 <= seconds <= longest


def test_it_is_given_up_with_what_went_wrong(seven: OpenRegistry, clock: Clock) -> None:
    seven.fail("GET", "", Status(503), times=99)
    with repository(seven) as repo:
        assert fault(lambda: repo.manifest("7")) == (
            f"{repo.name}:7: the registry answers 503 (Service Unavailable): UNAVAILABLE: "
            "come back later (tried 5 times)"
        )
    assert len(clock.waited) == ATTEMPTS - 1
    assert seven.count("GET") == ATTEMPTS


@pytest.mark.parametrize("status", [400, 403, 405, 409, 416, 501])
def test_what_no_second_attempt_mends_is_not_tried_again(
    seven: OpenRegistry, clock: Clock, status: int
) -> None:
    seven.fail("GET", "", Status(status))
    with repository(seven) as repo:
        fault(lambda: repo.manifest("7"), RefusedByRegistryError)
    assert clock.waited == []


def date_in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("0", 0, 0),
        ("7", 7, 7),
        ("99999999999999999999", LONGEST_DELAY, LONGEST_DELAY),
        (lambda: date_in(20), 15, 20),
        (lambda: date_in(-20), 0, 0),
        (lambda: date_in(10**6), LONGEST_DELAY, LONGEST_DELAY),
        ("soon", 0.25, 0.5),
        ("-1", 0.25, 0.5),
        ("", 0.25, 0.5),
    ],
)
def test_the_wait_that_the_registry_asks_for_is_kept_up_to_a_minute(
    seven: OpenRegistry, clock: Clock, header: str | Callable[[], str], least: float, most: float
) -> None:
    text = header if isinstance(header, str) else header()
    for status in (429, 503):
        seven.fail("GET", "", Status(status, {"Retry-After": text}))
        with repository(seven) as repo:
            assert repo.manifest("7").raw == MANIFEST
        assert least <= clock.waited.pop() <= most
    assert clock.waited == []


@pytest.mark.slow
def test_a_real_wait_takes_that_long(seven: OpenRegistry) -> None:
    seven.fail("GET", "", Status(429, {"Retry-After": "1"}))
    begun = time.monotonic()
    with repository(seven) as repo:
        repo.manifest("7")
    assert 1 <= time.monotonic() - begun < 10


@given(st.text(max_size=30))
def test_any_text_is_a_number_of_seconds_or_nothing(text: str) -> None:
    seconds = retry_after(text)
    assert seconds is None or seconds >= 0


def test_lost_connections_are_made_again(seven: OpenRegistry, clock: Clock) -> None:
    seven.fail("GET", "", Lost(), times=2)
    with repository(seven) as repo:
        repo.manifest("7")
        seven.fail("PUT", "/manifests/", Drop(), times=2)
        seven.put_blob("acme/web", b"{}")
        repo.push_manifest(MANIFEST, OCI_MANIFEST, "8")
    assert len(clock.waited) == 4


def test_a_pushed_manifest_whose_answer_was_lost_is_pushed_again(
    seven: OpenRegistry, clock: Clock
) -> None:
    seven.put_blob("acme/web", b"{}")
    seven.fail("PUT", "/manifests/", Lost())
    with repository(seven) as repo:
        repo.push_manifest(MANIFEST, OCI_MANIFEST, "8")
    assert seven.count("PUT") == 2
    assert clock.waited


def test_nobody_listening_is_an_error_at_once(clock: Clock) -> None:
    with OpenRegistry() as gone:
        pass
    with repository(gone) as repo:
        refused = f"{gone.address}: no connection: [Errno 111] Connection refused"
        assert fault(lambda: repo.manifest("7")) == refused
        assert fault(lambda: repo.push_blob(described(b"x"), opened(b"x"))) == refused
    with repository(gone, insecure=(gone.address,)) as repo:
        assert fault(lambda: repo.manifest("7")) == refused
    assert clock.waited == []


@pytest.mark.parametrize(
    ("failure", "message", "attempts"),
    [
        (ConnectionRefusedError(111, "refused"), "no connection: [Errno 111] refused", 1),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "there is no such host (unknown)", 1),
        (socket.gaierror(socket.EAI_AGAIN, "later"), f"no connection: [Errno {AGAIN}] later", 5),
        (TimeoutError("timed out"), "does not answer: no connection in time", 5),
        (ConnectionResetError(104, "reset"), "no connection: [Errno 104] reset", 5),
        (OSError(101, "unreachable"), "no connection: [Errno 101] unreachable", 5),
    ],
)
def test_only_what_seconds_may_mend_is_tried_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, failure: OSError, message: str, attempts: int
) -> None:
    tried = []

    def connect(address: object, *_: object, **__: object) -> socket.socket:
        tried.append(address)
        raise failure

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setenv("no_proxy", "*")
    with repository("registry.example") as repo:
        said = fault(lambda: repo.manifest("7"))
    tail = "" if attempts == 1 else f" (tried {ATTEMPTS} times)"
    assert said == f"registry.example: {message}{tail}"
    assert len(tried) == attempts
    assert len(clock.waited) == attempts - 1


def test_closing_the_client_ends_the_waiting(seven: OpenRegistry) -> None:
    seven.fail("GET", "", Status(503, {"Retry-After": "60"}), times=99)
    client = RegistryClient()
    repo = client.repository(parse(f"{seven.address}/acme/web"))
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(fault(lambda: repo.manifest("7"))))
    thread.start()
    while not seven.seen:
        time.sleep(0.01)
    begun = time.monotonic()
    client.close()
    thread.join()
    assert time.monotonic() - begun < 10
    assert said[0].endswith("(given up)")
    assert "the client is closed" in fault(lambda: repo.manifest("7"))


@pytest.mark.parametrize("tls", [True, False])
def test_closing_the_client_ends_the_wait_for_an_answer(tls_certificate: str, *, tls: bool) -> None:
    with OpenRegistry(certificate=tls_certificate if tls else None) as silent:
        silent.fail("GET", "/manifests/", Silent(), times=99)
        client = RegistryClient(RegistryOptions(frozenset({silent.address} if tls else ())))
        repo = client.repository(parse(f"{silent.address}/acme/web"))
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(fault(lambda: repo.manifest("7"))))
        thread.start()
        while not silent.count("GET", "/manifests/"):
            time.sleep(0.01)
        begun = time.monotonic()
        client.close()
        thread.join()
    assert time.monotonic() - begun < 10
    assert said[0].endswith("(given up)")


def test_an_interrupted_scan_does_not_wait_for_a_silent_registry(
    open_registry: OpenRegistry, tmp_path: Path
) -> None:
    open_registry.fail("GET", "", Silent(), times=99)
    store = StoreBuilder(tmp_path / "store")
    base = store.layer(None, File("base", size=100))
    for number in range(3):
        store.image([base], names=[f"{open_registry.address}/acme/{number}:1"], extra={"n": number})
    scan = [sys.executable, *PROGRAM, "scan", "-d", store.root, "--resolve-digests"]
    with (
        interruptible(),
        subprocess.Popen(scan, stderr=subprocess.PIPE, env=environment()) as process,
    ):
        while not open_registry.seen:
            time.sleep(0.01)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert (process.returncode, err.decode()) == (130, "layerscan: error: interrupted\n")


def test_progress_counts_the_attempts_anew() -> None:
    waits = Waits(Clock())
    for megabytes in range(1, 4):
        for _ in range(ATTEMPTS - 1):
            waits.wait(TemporaryError("x"))
        waits.reached(megabytes << 20)
    for _ in range(ATTEMPTS - 1):
        waits.wait(TemporaryError("x"))
    with pytest.raises(RegistryError, match=r"x \(tried 5 times\)"):
        waits.wait(TemporaryError("x"))
