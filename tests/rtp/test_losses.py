"""How losses lie: patterns of packets, and what a report says of them."""

from random import Random

import pytest

from sipagent.rtp.losses import GAP_MIN, Losses, LossLog


def losses_of(pattern: str, *, log: LossLog | None = None) -> Losses:
    """``.`` a packet that was heard, ``x`` one that was lost."""
    log = log or LossLog()
    at = 0
    while (first := pattern.find("x", at)) >= 0:
        count = len(pattern) - first - len(pattern[first:].lstrip("x"))
        log.lose(first, count)
        at = first + count
    return log.summarize(len(pattern))


GAP = "." * GAP_MIN


@pytest.mark.parametrize(
    ("pattern", "bursts"),
    [
        # density in bursts and in gaps, mean length of a burst and of a gap
        pytest.param("", (0, 0, 0, 0), id="nothing yet"),
        pytest.param("." * 100, (0, 0, 0, 100), id="no loss"),
        pytest.param(GAP + "x" + GAP, (0, 1 / 33, 0, 33), id="a single loss is in a gap"),
        pytest.param("x" + GAP, (0, 1 / 17, 0, 17), id="the first one"),
        pytest.param(GAP + "x" + GAP + "x" + GAP, (0, 2 / 50, 0, 50), id="two singles"),
        pytest.param(GAP + "xx" + GAP, (1, 0, 2, 16), id="two in a row are a burst"),
        pytest.param(GAP + "x" + "." * 15 + "x" + GAP, (2 / 17, 0, 17, 16), id="two with less than a gap between"),
        pytest.param(GAP + "xx.x" + GAP + "xxxx", (7 / 8, 0, 4, 32 / 3), id="two bursts, one open"),
        pytest.param(GAP + "xx" + GAP + "x" + GAP, (1, 1 / 49, 2, 49 / 2), id="a burst, then a single"),
        pytest.param(GAP + "x" + GAP + "xx" + GAP, (1, 1 / 49, 2, 49 / 2), id="a single, then a burst"),
    ],
)
def test_bursts_and_gaps(pattern: str, bursts: tuple[float, ...]) -> None:
    losses = losses_of(pattern)
    assert (losses.expected, losses.lost) == (len(pattern), pattern.count("x"))
    figures = losses.burst_density, losses.gap_density, losses.burst_packets, losses.gap_packets
    assert figures == pytest.approx(bursts)


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])
def test_random_losses_have_a_burst_ratio_of_one(loss: float) -> None:
    random = Random(1)
    losses = losses_of("".join("x" if random.random() < loss else "." for _ in range(50_000)))
    assert losses.fraction == pytest.approx(loss, rel=0.1)
    assert losses.burst_ratio == pytest.approx(1, abs=0.05)


def test_losses_in_fours_have_a_burst_ratio_of_four() -> None:
    losses = losses_of(("." * 96 + "xxxx") * 100)
    assert losses.burst_ratio == pytest.approx(4 * 0.96)


def test_a_row_told_piece_by_piece_is_one_run() -> None:
    log = LossLog()
    for number in range(10, 14):
        log.lose(number, 1)
    assert log.summarize(100).burst_ratio == pytest.approx(4 * 0.96)
    assert log.summarize(100).burst_packets == 4


def test_sources_add_up() -> None:
    log = LossLog()
    losses_of("." * 40 + "xx" + "." * 8, log=log)
    log.restart(50, 1000)
    log.lose(1010, 1)
    losses = log.summarize(1050)
    assert (losses.expected, losses.lost, losses.fraction) == (100, 3, 0.03)
    assert losses.burst_packets == 2
    assert losses.gap_density == pytest.approx(1 / 98)
