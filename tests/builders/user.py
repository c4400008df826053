"""Running a piece of a test as a user who may not read everything."""

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
NOBODY = 65534


def as_nobody(call: Callable[[], T]) -> T:
    """What `call` returns when run without root's rights.

    In a forked process, since the interpreter may be where others cannot read
    it; directly where this process has no such rights to give up. What `call`
    returns must survive pickling.
    """
    if os.geteuid() != 0:
        return call()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with os.fdopen(writer, "wb") as out:
                pickle.dump(call(), out)
            status = 0
        except BaseException:  # noqa: BLE001 - the parent reports it; nothing may get past _exit
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        content = file.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "the call failed as another user; its traceback is above"
    result: T = pickle.loads(content)  # noqa: S301 - our own child wrote it
    return result
