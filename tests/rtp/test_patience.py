"""How long a gap is waited for, by what came late before."""

import pytest

from sipagent.rtp.patience import MARGIN, MARGIN_S, MAX_WAIT_S, MEMORY_S, MIN_WAIT_S, Patience

VAIN = None
LOSS = [(n, VAIN) for n in range(5)]


def after(*events: tuple[float, float | None]) -> Patience:
    """Patience that saw, at each time, a packet so late or a gap given up."""
    patience = Patience()
    for now, late_s in events:
        if late_s is None:
            patience.waited_in_vain(now=now)
        else:
            patience.filled(late_s, now=now)
    return patience


def with_margin(late_s: float) -> float:
    return late_s * MARGIN + MARGIN_S


@pytest.mark.parametrize(
    ("events", "wait_s"),
    [
        pytest.param([], MAX_WAIT_S, id="the worst is assumed"),
        pytest.param([(1, VAIN)], MAX_WAIT_S / 2, id="one gap in vain"),
        pytest.param([(1, VAIN), (2, VAIN)], MAX_WAIT_S / 4, id="two"),
        pytest.param([(n, VAIN) for n in range(9)], MIN_WAIT_S, id="many"),
        pytest.param([(1, 0.01)], MAX_WAIT_S, id="one that came soon says nothing of the worst"),
        pytest.param([(1, VAIN), (1.1, 0.06)], with_margin(0.06), id="given up too soon"),
        pytest.param([*LOSS, (6, 0.001)], MIN_WAIT_S, id="hardly late"),
        pytest.param([*LOSS, (6, 0.03)], with_margin(0.03), id="a little late"),
        pytest.param([*LOSS, (6, 0.05), (7, 0.03)], with_margin(0.05), id="the latest counts"),
        pytest.param([*LOSS, (6, 0.095)], MAX_WAIT_S, id="no longer than the longest"),
        pytest.param([*LOSS, (6, 0.2)], MIN_WAIT_S, id="too late to wait for"),
        pytest.param([*LOSS, (6, 0.05), *[(7, VAIN)] * 9], with_margin(0.05), id="loss beside"),
    ],
)
def test_wait(events: list[tuple[float, float | None]], wait_s: float) -> None:
    assert after(*events).wait_s == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("passed_s", "is_remembered"),
    [(1, True), (MEMORY_S - 1, True), (2 * MEMORY_S + 1, False), (1000, False)],
)
def test_memory(passed_s: float, is_remembered: bool) -> None:
    patience = after(*[(0, VAIN)] * 5, (0, 0.05), (passed_s / 2, VAIN), (passed_s, VAIN))
    assert patience.wait_s == pytest.approx(with_margin(0.05) if is_remembered else MIN_WAIT_S)
