"""A sha256 that two threads compute: the right one, whoever does the work."""

import hashlib
import random
import threading

import pytest

from layerscan.prediction.shared_hash import SharedHash

CHUNKS = [random.Random(number).randbytes(number * 7 % 5000) for number in range(600)]  # noqa: S311
WHOLE = hashlib.sha256(b"".join(CHUNKS)).hexdigest()


@pytest.mark.parametrize("most", [0, 1, 16, 10_000])
def test_one_thread_does_all(most: int) -> None:
    shared = SharedHash("sha256:", most)
    for chunk in CHUNKS:
        shared.update(chunk)
    assert shared.hexdigest() == WHOLE
    assert not shared.catch_up()


def test_no_more_wait_than_may() -> None:
    shared = SharedHash("sha256:", 3)
    for chunk in CHUNKS[:50]:
        shared.update(chunk)
    waited = 0
    while shared.catch_up():
        waited += 1
    assert waited == 3


@pytest.mark.parametrize("most", [0, 2, 16])
def test_two_threads_agree(most: int) -> None:
    shared = SharedHash("sha256:", most)
    is_over = threading.Event()

    def help_out() -> None:
        while not is_over.is_set():
            shared.catch_up()

    helper = threading.Thread(target=help_out)
    helper.start()
    try:
        for chunk in CHUNKS * 5:
            shared.update(chunk)
        found = shared.hexdigest()
    finally:
        is_over.set()
        helper.join()
    assert found == hashlib.sha256(b"".join(CHUNKS * 5)).hexdigest()
