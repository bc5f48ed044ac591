"""The reorder window: what comes out, with which call, and what is counted."""

from math import inf

import pytest

from sipagent.rtp.jitter import GIVEN_UP_MEMORY, MAX_GAP, MAX_HELD, MAX_WAIT_S, Released, ReorderWindow
from sipagent.rtp.packet import Packet


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
    put(window, 3, 1.05)
    assert numbers(window.release_due(now=1.00 + MAX_WAIT_S)) == [(1, 1)]
    assert window.due_at == 1.05 + MAX_WAIT_S


def test_a_packet_after_the_time_ends_the_wait_too() -> None:
    window = window_at()
    put(window, 1, 1.0)
    assert put(window, 3, 1.0 + MAX_WAIT_S) == [(1, 1)]
    assert window.due_at == 1.0 + 2 * MAX_WAIT_S


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
    assert (window.late, window.duplicate, window.lost) == (1, 1, 1)


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
