"""An hour of 10,000 registrations, and a registrar that is restarted without its table: no storm, and all come back.

The bounds are derived. Who begins, or loses a connection, does so within 20 s, in two messages: N/20 a second, and as
many again for the challenges. Who is not answered sends five copies within 8 s and then waits for 10 s at least, as he
is one of many: 5N/18. Who is refused waits for 10 s at least: N/10. When the registrar is back, each message that
comes may bring another, with credentials: twice as many. Over UDP, who is registered renews that after 15 s at least.
"""

from collections.abc import Iterator
from math import sqrt
from time import process_time

import pytest
from sim.registrar import DOWN_S, Town

from sipagent.sip.registration import CROWD_MAX_S, LONGEST_WAIT_AFTER_S, PATIENCE_S

BEGIN = 2 / CROWD_MAX_S
SILENT = 5 / (PATIENCE_S + LONGEST_WAIT_AFTER_S / 2)
REFUSED = 1 / (LONGEST_WAIT_AFTER_S / 2)
BACK_S = 30.0


def at_most(rate: float) -> float:
    """What a second may bring where so many are expected: four standard deviations more."""
    return rate + 4 * sqrt(rate)


@pytest.fixture
def cpu(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Say what it cost."""
    began_at = process_time()
    yield
    with capsys.disabled():
        print(f"; {process_time() - began_at:.0f} s of CPU")


def show(town: Town, accounts: int, capsys: pytest.CaptureFixture[str]) -> None:
    back = town.restart_at
    spans = {"begin": (0, 25), "down": (back - DOWN_S, back), "back": (back, back + 60), "later": (back + 60, 2 * back)}
    peaks = ", ".join(f"{name} {town.peak(*span)}" for name, span in spans.items())
    with capsys.disabled():
        print(f"\n{accounts} registrations, the most REGISTERs a second: {peaks}", end="")


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cpu")
def test_an_hour_over_one_connection(capsys: pytest.CaptureFixture[str]) -> None:
    """Renewed by time alone; others keep the connection open, and its loss is told to all at once."""
    accounts, back = 10_000, 1_800.0
    town = Town(accounts, transport="TCP", expires_s=1_800, restart_at=back)
    town.run(back - DOWN_S)
    assert town.bound == town.agent.registrations == accounts
    town.run(back + BACK_S)
    assert town.bound == town.agent.registrations == accounts
    town.run(3_600.0)
    show(town, accounts, capsys)
    assert town.bound == town.agent.registrations == accounts
    assert town.peak(0, 30) <= at_most(BEGIN * accounts)
    assert town.peak(back - DOWN_S, back) <= at_most(REFUSED * accounts)
    assert town.peak(back, back + 60) <= at_most(2 * REFUSED * accounts)
    assert town.peak(back + 60, 3_600) <= at_most(2 / (0.1 * 1_800) * accounts)
    assert town.failures == {"none": 2 * accounts, "it can't be reached": accounts}


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("cpu")
def test_the_restart_over_udp(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody tells, so all renew each 25 s, and find out."""
    accounts, back = 1_000, 150.0
    calm = 1 / 15
    town = Town(accounts, restart_at=back)
    town.run(back - DOWN_S)
    assert town.bound == town.agent.registrations == accounts
    town.run(back + BACK_S)
    assert town.bound == town.agent.registrations == accounts
    town.run(2 * back)
    show(town, accounts, capsys)
    assert town.bound == town.agent.registrations == accounts
    assert town.peak(0, 30) <= at_most((BEGIN + calm) * accounts)
    assert town.peak(30, back - DOWN_S) <= at_most(calm * accounts)
    assert town.peak(back - DOWN_S, back) <= at_most(SILENT * accounts)
    assert town.peak(back, back + 60) <= at_most(2 * SILENT * accounts)
    assert town.peak(back + 60, 2 * back) <= at_most(2 * calm * accounts)
    assert town.failures == {"none": 2 * accounts, "no answer": accounts}
