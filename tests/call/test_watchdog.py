"""Dead air: what is done in a silence, and when."""

from math import inf

import pytest

from sipagent.call.watchdog import DeadAirSettings, Step, Watchdog


def steps(settings: DeadAirSettings, looks: list[tuple[float, float]]) -> list[Step]:
    """What is done at each look: (when anything came last, now)."""
    watchdog = Watchdog(settings)
    return [watchdog.look(since, now=now) for since, now in looks]


@pytest.mark.parametrize(
    ("looks", "done"),
    [
        pytest.param([(0, 4.9)], [Step.NOTHING], id="too early"),
        pytest.param([(0, 5), (0, 20), (0, 60)], [Step.WARN, Step.PROBE, Step.HANG_UP], id="one after the other"),
        pytest.param([(0, 5), (0, 6), (0, 19)], [Step.WARN, Step.NOTHING, Step.NOTHING], id="each once"),
        pytest.param([(0, 5), (6, 8), (6, 11)], [Step.WARN, Step.NOTHING, Step.WARN], id="again in another silence"),
        pytest.param([(0, 20), (30, 49), (30, 50)], [Step.PROBE, Step.WARN, Step.PROBE], id="never hung up on"),
        pytest.param([(0, 61)], [Step.HANG_UP], id="the clock leapt"),
        pytest.param([(100, 100), (300, 300), (300, 305)], [Step.NOTHING, Step.NOTHING, Step.WARN], id="on hold"),
    ],
)
def test_steps(looks: list[tuple[float, float]], done: list[Step]) -> None:
    assert steps(DeadAirSettings(), looks) == done


def test_a_call_may_end_before_it_is_asked_for() -> None:
    settings = DeadAirSettings(warn_s=30, probe_s=40, hang_up_s=10)
    assert steps(settings, [(0, 9), (0, 10)]) == [Step.NOTHING, Step.HANG_UP]


def test_when_to_look_next() -> None:
    watchdog = Watchdog(DeadAirSettings())
    due = []
    for since, now in ((1, 1), (1, 6), (1, 21), (30, 30), (30, 90)):
        watchdog.look(since, now=now)
        due.append(watchdog.due_at)
    assert due == [6, 21, 61, 35, inf]
