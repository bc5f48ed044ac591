"""The E-model against the recommendation's own figures."""

import pytest

from sipagent.rtp.emodel import PERFECT, delay_impairment, judge, mos_of


@pytest.mark.parametrize(
    ("loss_percent", "mos"), [(0, 4.41), (1, 4.33), (2, 4.23), (5, 3.92), (10, 3.41), (20, 2.63), (100, 1.18)]
)
def test_random_loss(loss_percent: float, mos: float) -> None:
    """G.711 with concealment."""
    assert judge(loss=loss_percent / 100).mos == pytest.approx(mos, abs=0.01)


@pytest.mark.parametrize(
    ("r_factor", "mos"), [(0, 1.0), (50, 2.58), (60, 3.10), (70, 3.60), (80, 4.03), (90, 4.34), (93.2, 4.41)]
)
def test_mos_of_r(r_factor: float, mos: float) -> None:
    """G.107, table B.1."""
    assert mos_of(r_factor) == pytest.approx(mos, abs=0.01)


@pytest.mark.parametrize(
    ("delay_ms", "impairment"), [(0, 0), (100, 0), (150, 0.2), (200, 3.0), (300, 14.8), (400, 24.1)]
)
def test_delay(delay_ms: float, impairment: float) -> None:
    assert delay_impairment(delay_ms) == pytest.approx(impairment, abs=0.1)


def test_bursts_are_worse_than_as_much_random_loss() -> None:
    scores = [judge(loss=0.05, burst_ratio=ratio).mos for ratio in (1, 1.5, 2, 4)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 0.05


def test_without_loss_or_delay_nothing_is_missing() -> None:
    quality = judge(loss=0.0, jitter_ms=3.0, delay_ms=40.0)
    assert (quality.r_factor, quality.jitter_ms, quality.delay_ms) == (PERFECT, 3.0, 40.0)
