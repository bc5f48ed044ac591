"""What the tests against others share: the voices, and the table of what was shown."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop.matrix import Matrix
from interop.story import Voices
from program import ROOT

from sipagent.aio.voice import open_voice
from sipagent.audio.g711 import decode_ulaw
from sipagent.formats import PCMU
from sipagent.realtime.local import phrases

TABLE = ROOT / "build" / "interop.json"

CALLER_VOICE = "echo"
AGENT_VOICE = "marin"
"""As :class:`~sipagent.config.settings.AgentConfig` has it."""

_matrix = pytest.StashKey[Matrix]()


@pytest.fixture(scope="session")
def voices() -> Voices:
    """What is said in the calls, as it was rendered."""

    async def render() -> Voices:
        voice = await open_voice()
        try:
            said = (
                (Voices.QUESTION, CALLER_VOICE),
                (phrases.GREETING, AGENT_VOICE),
                (phrases.FINE, AGENT_VOICE),
                (Voices.ORDER, CALLER_VOICE),
            )
            return Voices(*[decode_ulaw(await voice.render(text, name, 1.0, PCMU)) for text, name in said])
        finally:
            await voice.close()

    return asyncio.run(render())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the programs of one test write."""
    return tmp_path


def pytest_configure(config: pytest.Config) -> None:
    """Begin the table."""
    config.stash[_matrix] = Matrix()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Enter the outcome of a test into the table."""
    report = yield
    if report.when == "call" or report.outcome != "passed":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        item.config.stash[_matrix].add(list(item.iter_markers("cell")), item.name, report.outcome, reason)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, when it is what was asked for."""
    if config.getoption("-m") != "interop":
        return
    matrix = config.stash[_matrix]
    matrix.write(TABLE)
    terminalreporter.section("peers")
    for line in matrix.lines():
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"written to {TABLE.relative_to(ROOT)}")
