"""Sequence numbers, loss and jitter of one source, by the algorithms of RFC 3550, appendix A."""

import pytest

from sipagent.rtp.source import MAX_CUMULATIVE_LOST, Source


def source_at(first: int = 100) -> Source:
    source = Source(1, first, clock_rate=8000)
    assert source.receive(first) == first
    return source


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        pytest.param([101, 102, 103], [101, 102, 103], id="in order"),
        pytest.param([102, 101, 103], [102, 101, 103], id="swapped"),
        pytest.param([100, 101, 101], [100, 101, 101], id="duplicates"),
        pytest.param([99, 50], [99, 50], id="from before the first"),
        pytest.param([3099, 3100], [3099, 3100], id="the greatest dropout"),
        pytest.param([5000, 101], [None, 101], id="a stray one is dropped"),
        pytest.param([5000, 5001, 5002], [None, 5001, 5002], id="two in order begin anew"),
        pytest.param([5000, 5002, 5003], [None, None, 5003], id="not in order, not yet"),
        pytest.param([65000, 65001, 65002], [None, 65001, 65002], id="anew far below"),
        pytest.param([65500, 65501], [None, 65501], id="a little too far back"),
    ],
)
def test_extended_numbers(numbers: list[int], expected: list[int | None]) -> None:
    source = source_at()
    assert [source.receive(number) for number in numbers] == expected


def test_wrap() -> None:
    source = source_at(0xFFFE)
    numbers = {0xFFFF: 0xFFFF, 1: 0x10001, 0: 0x10000, 2: 0x10002, 0xFFFE: 0xFFFE}
    assert {number: source.receive(number) for number in numbers} == numbers


def test_no_loss() -> None:
    source = source_at()
    for number in range(101, 110):
        source.receive(number)
    assert source.report()[:3] == (0, 0, 109)


def test_fraction_is_of_the_interval_and_loss_of_all() -> None:
    source = source_at()
    source.receive(103)
    assert source.report()[:3] == (128, 2, 103)
    for number in range(104, 108):
        source.receive(number)
    assert source.report()[:3] == (0, 2, 107)


def test_duplicates_make_loss_negative_but_no_fraction() -> None:
    source = source_at()
    source.receive(100)
    source.receive(100)
    assert source.report()[:2] == (0, -2)


def test_a_new_start_is_no_loss() -> None:
    source = source_at()
    source.receive(20000)
    source.receive(20001)
    assert source.report()[:3] == (0, 0, 20001)


def test_loss_fits_its_field() -> None:
    source = source_at()
    for step in range(1, 4000):
        source.receive((100 + 2900 * step) & 0xFFFF)
    assert source.report().cumulative_lost == MAX_CUMULATIVE_LOST


def test_news() -> None:
    source = source_at()
    assert source.has_news
    source.report()
    assert not source.has_news


def test_even_packets_have_no_jitter() -> None:
    source = source_at()
    for number in range(50):
        source.measure_jitter(160 * number, now=10 + number / 50)
    assert source.jitter_ms == pytest.approx(0)


def test_jitter_is_smoothed_by_sixteen() -> None:
    source = source_at()
    source.measure_jitter(0, now=1.0)
    source.measure_jitter(160, now=1.036)
    assert source.jitter_ms == pytest.approx(1)
    source.measure_jitter(320, now=1.056)
    assert source.jitter_ms == pytest.approx(15 / 16)
    assert source.report().jitter == 7


def test_a_clock_set_anew_is_no_jitter() -> None:
    source = source_at()
    source.measure_jitter(0xFFFFFFFF, now=1.0)
    source.measure_jitter(159, now=1.02)
    source.measure_jitter(319, now=1.04)
    assert source.jitter_ms == pytest.approx(0)
