"""The reorder window: what comes out, with which call, and what is counted."""

from collections.abc import Iterable
from math import inf

import pytest

from sipagent.rtp.jitter import GIVEN_UP_MEMORY, MAX_GAP, MAX_HELD, Released, ReorderWindow
from sipagent.rtp.packet import Packet
from sipagent.rtp.patience import MARGIN, MARGIN_S, MAX_WAIT_S, MIN_WAIT_S


def packet(number: int) -> Packet:
    return Packet(0, False, number & 0xFFFF, number * 160, 1, b"x")


def window_at(number: int = 0) -> ReorderWindow:
    window = ReorderWindow()
    window.reset(number)
    return window


def put(window: ReorderWindow, number: int, now: float = 0.0) -> list[tuple[int, int]]:
    """Receive a packet; return (number, missing) of those released."""
    if window.pass_through(number):
        return [(number, 0)]
    return numbers(window.insert(number, packet(number), now=now))


def numbers(released: list[Released]) -> list[tuple[int, int]]:
    return [(released.packet.sequence_number, released.missing) for released in released]


@pytest.mark.parametrize(
    ("arrivals", "released"),
    [
        pytest.param([0, 1, 2], [[0], [1], [2]], id="in order"),
        pytest.param([0, 2, 1, 3], [[0], [], [1, 2], [3]], id="swapped"),
        pytest.param([0, 3, 2, 1], [[0], [], [], [1, 2, 3]], id="backwards"),
        pytest.param([0, 2, 4, 1, 3], [[0], [], [], [1, 2], [3, 4]], id="two gaps filled"),
        pytest.param([0, 0, 1, 1], [[0], [], [1], []], id="duplicates"),
        pytest.param([0, 2, 2, 1, 1], [[0], [], [], [1, 2], []], id="duplicates of a held one"),
        pytest.param([5, 4], [[], []], id="from before the start, and a gap"),
    ],
)
def test_order(arrivals: list[int], released: list[list[int]]) -> None:
    window = window_at()
    assert [[number for number, _ in put(window, arrival)] for arrival in arrivals] == released
    assert window.lost == 0


def test_a_gap_waits_for_its_time_since_the_first_follower() -> None:
    window = window_at()
    put(window, 0, 1.0)
    assert window.due_at == inf
    put(window, 3, 1.02)
    put(window, 4, 1.04)
    assert window.due_at == 1.02 + MAX_WAIT_S
    assert window.release_due(now=1.02 + MAX_WAIT_S - 0.001) == []
    assert numbers(window.release_due(now=1.02 + MAX_WAIT_S)) == [(3, 2), (4, 0)]
    assert window.due_at == inf
    assert window.lost == 2


def test_each_gap_has_its_own_time() -> None:
    window = window_at()
    put(window, 1, 1.00)
    put(window, 3, 1.08)
    assert numbers(window.release_due(now=1.00 + MAX_WAIT_S)) == [(1, 1)]
    assert window.due_at == 1.08 + MAX_WAIT_S / 2


def test_a_packet_after_the_time_ends_the_wait_too() -> None:
    window = window_at()
    put(window, 1, 1.0)
    assert put(window, 3, 1.0 + MAX_WAIT_S) == [(1, 1)]
    assert window.due_at == pytest.approx(1.0 + 1.5 * MAX_WAIT_S)


def arrivals_of(numbers: Iterable[int], *, ms: int = 20, places: int = 0, every: int = 1) -> list[tuple[float, int]]:
    """Packets sent every ``ms``; each ``every``-th is so late that as many others overtake it."""
    late = {number: (places + 0.5) * ms for number in numbers if places and number % every == every - 1}
    return sorted(((number * ms + late.get(number, 0)) / 1000, number) for number in numbers)


def play(window: ReorderWindow, arrivals: list[tuple[float, int]]) -> tuple[list[int], list[float]]:
    """Let packets arrive and time pass; return the numbers released, and how long after its arrival each was."""
    released, delays, came = [], [], {number: at for at, number in reversed(arrivals)}
    for at, number in arrivals:
        steps = [(window.due_at, None)] if window.due_at <= at else []
        for now, arrival in [*steps, (at, number)]:
            out = numbers(window.release_due(now=now)) if arrival is None else put(window, arrival, now)
            released += [one for one, _ in out]
            delays += [now - came[one] for one, _ in out]
    return released, delays


@pytest.mark.parametrize("ms", [10, 20])
@pytest.mark.parametrize("places", [1, 2, 3, 4, 5])
def test_up_to_five_places_out_of_order_lose_nothing_from_the_start(places: int, ms: int) -> None:
    window = window_at()
    released, _ = play(window, arrivals_of(range(500), ms=ms, places=places, every=7))
    assert released == list(range(500))
    assert (window.lost, window.late) == (0, 0)


def losing(first: int, last: int) -> list[int]:
    """Numbers without one in twenty."""
    return [number for number in range(first, last) if number % 20 != 5]


def test_in_a_stream_that_only_loses_a_gap_soon_costs_no_more_than_a_packet() -> None:
    window = window_at()
    _, delays = play(window, arrivals_of(losing(0, 2000)))
    assert max(delays[:200]) == pytest.approx(MAX_WAIT_S)
    assert max(delays[200:]) == pytest.approx(MIN_WAIT_S)
    assert window.lost == 100


@pytest.mark.parametrize("places", [1, 2, 3, 4, 5])
def test_disorder_that_begins_later_is_learnt_by_its_first_packet(places: int) -> None:
    """After so much loss nothing late is expected."""
    window = window_at()
    play(window, arrivals_of(losing(0, 400)))
    before = window.lost
    play(window, arrivals_of(range(400, 2400), places=places, every=25))
    assert window.lost - before <= 1
    assert window.late == window.lost - before


def test_disorder_beside_loss_stays_learnt() -> None:
    window = window_at()
    play(window, arrivals_of(losing(0, 3000), places=4, every=50))
    assert (window.lost, window.late) == (150 + 1, 1)


def test_a_packet_given_up_teaches_even_from_a_burst_of_them() -> None:
    window = window_at()
    for gap in range(4):
        put(window, 2 * gap + 1, gap * 0.2)
        window.release_due(now=gap * 0.2 + 0.19)
    assert window.patience.wait_s == MIN_WAIT_S
    put(window, 12, 1.0)
    window.release_due(now=1.0 + MIN_WAIT_S)
    put(window, 9, 1.06)
    assert window.late == 1
    assert window.patience.wait_s == pytest.approx(0.06 * MARGIN + MARGIN_S)


def test_a_gap_holds_only_so_many() -> None:
    window = window_at()
    for number in range(1, MAX_HELD):
        assert put(window, number) == []
    assert put(window, MAX_HELD) == [(1, 1), *((number, 0) for number in range(2, MAX_HELD + 1))]
    assert put(window, MAX_HELD + 1) == [(MAX_HELD + 1, 0)]


def test_the_widest_gap_waits_and_a_wider_jump_does_not() -> None:
    assert put(window_at(), MAX_GAP) == []
    assert put(window_at(), MAX_GAP + 1) == [(MAX_GAP + 1, MAX_GAP + 1)]


def test_a_jump_releases_what_is_held() -> None:
    window = window_at()
    put(window, 2)
    far = 3 + MAX_GAP + 1
    assert put(window, far) == [(2, 2), (far, MAX_GAP + 1)]
    assert window.due_at == inf


def test_late_and_duplicate_are_told_apart() -> None:
    window = window_at()
    put(window, 1, 0.0)
    window.release_due(now=MAX_WAIT_S)
    assert put(window, 0) == []
    assert put(window, 1) == []
    assert put(window, 0) == []
    assert (window.late, window.duplicate, window.lost) == (1, 2, 1)


def test_before_the_start_is_late() -> None:
    window = window_at(10)
    put(window, 10)
    assert put(window, 9) == []
    assert (window.late, window.duplicate) == (1, 0)


def test_release_all_leaves_nothing() -> None:
    window = window_at()
    put(window, 1)
    put(window, 3)
    assert numbers(window.release_all()) == [(1, 1), (3, 1)]
    assert window.release_all() == []


def test_memory_is_bounded() -> None:
    window = window_at()
    put(window, 2999)
    assert len(window._given_up) == GIVEN_UP_MEMORY
