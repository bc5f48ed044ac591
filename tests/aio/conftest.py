"""Runs a test of the shell on both loops, and looks for what it left behind."""

import logging
from collections.abc import Iterator

import pytest
from loopback import LOOPS, Clean, run_clean


@pytest.fixture(params=sorted(LOOPS))
def run(request: pytest.FixtureRequest) -> Clean:
    """``run(main())`` on each loop in turn."""
    return lambda main: run_clean(LOOPS[request.param], main)


@pytest.fixture
def nothing_unheard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No exception may end up where only asyncio tells of it."""
    yield
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
