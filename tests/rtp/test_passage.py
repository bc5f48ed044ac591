from math import inf
from random import Random

from rtp.wire import FRAME, PARAMETERS, PHONE, audio

from sipagent.rtp.jitter import GIVEN_UP_MEMORY
from sipagent.rtp.packet import Packet
from sipagent.rtp.passage import Passage
from sipagent.rtp.session import RtpSession


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
    assert passed(passage, 10, 11, 14, 12, 12, 14, 15, 13) == [(10, 0), (11, 0), (14, 2), (12, -1), (15, 0), (13, -1)]
    assert (passage.lost, passage.duplicate, passage.late) == (0, 2, 0)
    assert passage.due_at == inf
    assert passage.release_all() == passage.release_due(now=inf) == []


def test_what_does_not_come_is_lost() -> None:
    passage = Passage()
    passage.reset(0)
    assert passed(passage, 0, 5, 6) == [(0, 0), (5, 4), (6, 0)]
    assert passage.lost == 4
    assert passed(passage, 3) == [(3, -1)]
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
    assert passage.summarize().expected == 2


def test_losses_are_told_once_nothing_can_fill_them() -> None:
    passage = Passage()
    passage.reset(0)
    passed(passage, 0, 2, 3, 5)
    assert (passage.lost, passage.summarize().lost) == (2, 0)
    passed(passage, 4, *range(6, 6 + GIVEN_UP_MEMORY))
    losses = passage.summarize()
    assert (passage.lost, losses.lost, losses.expected) == (1, 1, 6 + GIVEN_UP_MEMORY)


def test_an_outage_is_lost_but_for_what_may_come_yet() -> None:
    passage = Passage()
    passage.reset(0)
    passed(passage, 0, 101 + GIVEN_UP_MEMORY)
    assert (passage.lost, passage.summarize().lost) == (100 + GIVEN_UP_MEMORY, 100)
    assert passage.summarize().burst_packets == 100


def test_a_session_lets_frames_through_as_they_come() -> None:
    """What comes out of order is no silence, and a packet that fills a gap does not set the clock back."""
    session = RtpSession(random=Random(1), cname="x", parameters=PARAMETERS, in_order=False)
    frames = [
        frame
        for at, number in enumerate((0, 1, 4, 2, 2, 5, 6, 9, 8, 10))
        for frame in session.receive_packet(audio(number), PHONE, now=at * 0.02)
    ]
    heard = [frame.timestamp // FRAME for frame in frames if frame.payload]
    assert heard == [0, 1, 4, 2, 5, 6, 9, 8, 10]
    assert [frame.timestamp // FRAME for frame in frames if frame.lost] == [2, 3, 7, 8]
    assert [frame for frame in frames if not frame.payload and not frame.lost] == []
    assert (session.stats.lost, session.stats.duplicate) == (2, 1)
    assert session.stats.late == 0
