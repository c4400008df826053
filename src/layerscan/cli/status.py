"""The exit status of the program."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the program ends with; docs/reference/exit-status.md has the table."""

    DONE = 0
    DOES_NOT_FIT = 1
    OVER_BUDGET = 1  # the same to a script: something is too large
    BAD_INPUT = 2
    PARTIAL = 3
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    TERMINATED = 143
