from math import inf

from sipagent.rtp.jitter import GIVEN_UP_MEMORY
from sipagent.rtp.packet import Packet
from sipagent.rtp.passage import Passage


def packet(number: int) -> Packet:
    return Packet(0, False, number, number * 160, 1, b"x")


def passed(passage: Passage, *numbers: int) -> list[tuple[int, int]]:
    """What comes out for these, each with how many are missing before it."""
    out = []
    for number in numbers:
        if passage.pass_through(number):
            out.append((number, 0))
        else:
            out += [
                (one.packet.sequence_number, one.missing) for one in passage.insert(number, packet(number), now=0.0)
            ]
    return out


def test_packets_pass_as_they_come_each_once() -> None:
    passage = Passage()
    passage.reset(10)
    assert passed(passage, 10, 11, 14, 12, 12, 14, 15, 13) == [(10, 0), (11, 0), (14, 2), (12, 0), (15, 0), (13, 0)]
    assert (passage.lost, passage.duplicate, passage.late) == (0, 2, 0)
    assert passage.due_at == inf
    assert passage.release_all() == passage.release_due(now=inf) == []


def test_what_does_not_come_is_lost() -> None:
    passage = Passage()
    passage.reset(0)
    assert passed(passage, 0, 5, 6) == [(0, 0), (5, 4), (6, 0)]
    assert passage.lost == 4
    assert passed(passage, 3) == [(3, 0)]
    assert passage.lost == 3


def test_what_is_forgotten_is_late() -> None:
    passage = Passage()
    passage.reset(0)
    passed(passage, 0, 2, *range(4, 4 + 3 * GIVEN_UP_MEMORY))
    assert passed(passage, -GIVEN_UP_MEMORY - 1) == []
    assert passage.late == 1


def test_a_new_start_far_ahead_is_no_loss() -> None:
    passage = Passage()
    passage.reset(0)
    assert passed(passage, 0, 50_000) == [(0, 0), (50_000, 49_999)]
    assert passage.lost == 0
    assert len(passage._missing) == GIVEN_UP_MEMORY
