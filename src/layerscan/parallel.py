"""Tasks in threads: several at a time, all of them or none.

Owns that the first failure ends the rest, that the calling thread stays open to
an interrupt, and that no thread which waits for something keeps the program from
ending.
"""

import os
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

Task = Callable[[threading.Event], T]
"""A task; it looks at the event now and then, and gives up where that is set."""

_TICK = 0.1  # seconds between two calls of ``on_tick``
_PATIENCE = 1.0  # seconds in which threads that are told to stop are waited for


class _Outcome(NamedTuple, Generic[T]):
    """What became of a task: a result, or an error."""

    number: int
    results: tuple[T, ...]
    error: BaseException | None = None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def in_parallel(
    tasks: Sequence[Task[T]], *, workers: int, on_tick: Callable[[], object] | None = None
) -> list[T]:
    """Run `tasks`, begun in their order, and give what each returned, in their order.

    Args:
        tasks: what to run. Each gets an event that is set where it is to give up.
        workers: how many run at a time; one without `on_tick` is the calling thread.
        on_tick: called some ten times a second, in this thread. What it raises ends the run.

    What the first one that failed raised is raised; the others are told to stop, and waited
    for a second at most.
    """
    if workers == 1 and on_tick is None:
        return [task(threading.Event()) for task in tasks]
    return _in_threads(tasks, workers, on_tick or (lambda: None))


def _in_threads(tasks: Sequence[Task[T]], workers: int, on_tick: Callable[[], object]) -> list[T]:
    cancel = threading.Event()
    outcomes: SimpleQueue[_Outcome[T]] = SimpleQueue()
    waiting = iter(list(enumerate(tasks)))
    lock = threading.Lock()

    def work() -> None:
        while not cancel.is_set():
            with lock:
                number, task = next(waiting, (0, None))
            if task is None:
                return
            try:
                outcomes.put(_Outcome(number, (task(cancel),)))
            except BaseException as error:  # noqa: BLE001 - the calling thread raises it
                outcomes.put(_Outcome(number, (), error))
                cancel.set()

    # Daemons: one that waits for a network does not keep the process from ending.
    threads = [
        threading.Thread(target=work, name=f"worker-{number}", daemon=True)
        for number in range(min(workers, len(tasks)))
    ]
    try:
        for thread in threads:
            thread.start()
        results: dict[int, T] = {}
        while len(results) < len(tasks):
            outcome = _next(outcomes)
            if outcome is not None and outcome.error is not None:
                raise outcome.error
            if outcome is not None:
                (results[outcome.number],) = outcome.results
            on_tick()
    finally:
        cancel.set()
        join(threads)
    return [results[number] for number in range(len(tasks))]


def join(threads: Sequence[threading.Thread]) -> None:
    """Wait for threads that have been told to stop, but not for long."""
    deadline = monotonic() + _PATIENCE
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(deadline - monotonic(), 0))


def _next(outcomes: "SimpleQueue[_Outcome[T]]") -> _Outcome[T] | None:
    """What became of the next task that has ended, None if none does in a while."""
    try:
        return outcomes.get(timeout=_TICK)
    except Empty:
        return None
