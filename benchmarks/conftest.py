"""The run of ``pytest benchmarks``: one arena for all, and at the end the report."""

import pytest

from benchmarks import report, settings
from benchmarks.arena import Arena
from benchmarks.groups import GROUPS
from benchmarks.targets import TARGETS, Verdict

_ARENA = pytest.StashKey[Arena]()
_VERDICTS = pytest.StashKey[dict[str, Verdict]]()
_SELECTED = pytest.StashKey[int]()
# What was interrupted has rows missing.
_TO_THE_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ARENA] = Arena(settings.size(), settings.corpus_root())
    config.stash[_VERDICTS] = {}


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_SELECTED] = sum("test_groups" in item.nodeid for item in session.items)


@pytest.fixture(scope="session")
def arena(request: pytest.FixtureRequest) -> Arena:
    """All that is measured in this run."""
    return request.config.stash[_ARENA]


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    """What came of the targets, by name; for the report."""
    return request.config.stash[_VERDICTS]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    arena = config.stash[_ARENA]
    rows = arena.rows()
    if not rows:
        return
    everything = sum(len(group.names) for group in GROUPS.values())
    results = report.results_of(
        arena,
        [config.stash[_VERDICTS][t.name] for t in TARGETS if t.name in config.stash[_VERDICTS]],
        complete=config.stash[_SELECTED] == everything and exitstatus in _TO_THE_END,
    )
    terminalreporter.section("benchmarks")
    terminalreporter.write_line(report.table(results))
    for line in report.publish(results):
        terminalreporter.write_line(line)
