from random import Random
from typing import TypeVar

import pytest
from call.stage import CALLER, FRAME_S, QUIET, SPEECH, Caller, describe, make_leg

from sipagent.call import events
from sipagent.call.jitter_buffer import JitterStats
from sipagent.call.phone import (
    PAUSE_S,
    AgentHeard,
    AgentSilent,
    AgentStopped,
    EarlyMediaHeard,
    HungUp,
    Line,
    LineSaid,
    Phone,
    PhoneOutput,
    PickedUp,
    Ringing,
)
from sipagent.rtp.packet import Packet, parse_packet

T = TypeVar("T")


class Dial:
    """A phone, the agent it talks to as a puppet, and a clock."""

    def __init__(self, *lines: Line, linger_s: float = 4.0, max_call_s: float = 120.0) -> None:
        self.now = 50.0
        self.phone = Phone(
            leg=make_leg(translates=False),
            lines=lines,
            linger_s=linger_s,
            max_call_s=max_call_s,
            random=Random(1),
            now=self.now,
        )
        self.agent = Caller()
        self.outputs: list[PhoneOutput] = []
        self.phone.offer()

    def drain(self) -> None:
        while (output := self.phone.poll()) is not None:
            self.outputs.append(output)

    def pick_up(self, after_s: float = 0.0) -> None:
        self.now += after_s
        self.phone.receive_answer(describe((0,)), now=self.now)
        self.drain()

    def beat(self, letter: str) -> Packet | None:
        """20 ms: the agent speaks (``s``), is silent (``.``) or sends nothing (a space), then the phone sends."""
        self.now += FRAME_S
        while (due_at := self.phone.get_timer()) is not None and due_at <= self.now:
            self.phone.handle_timer(now=self.now)
            self.drain()
        if letter != " ":
            frame = SPEECH if letter == "s" else QUIET["PCMU"]
            self.phone.receive_rtp(self.agent.say(frame), CALLER, now=self.now)
        data = self.phone.next_packet(now=self.now)
        self.drain()
        return None if data is None else parse_packet(data)

    def hear(self, pattern: str) -> list[Packet | None]:
        return [self.beat(letter) for letter in pattern]

    def of(self, kind: type[T]) -> list[T]:
        return [output for output in self.outputs if isinstance(output, kind)]


def spoken(packets: list[Packet | None]) -> list[int]:
    """In which beats the phone spoke."""
    return [n for n, packet in enumerate(packets) if packet is not None and packet.payload == SPEECH]


def test_it_rings_and_is_picked_up() -> None:
    dial = Dial()
    dial.phone.receive_progress(180, now=dial.now)
    assert dial.phone.next_packet(now=dial.now) is None
    assert dial.phone.get_timer() is None
    dial.pick_up(after_s=0.25)
    assert dial.outputs == [Ringing(180), PickedUp(250.0)]
    assert dial.phone.remote == CALLER


def test_the_first_line_waits_for_the_agents_silence() -> None:
    dial = Dial(Line("hello", SPEECH * 5))
    dial.pick_up()
    packets = dial.hear("." * 50 + "s" * 20 + "." * 60)
    begin = spoken(packets)[0]
    assert spoken(packets) == list(range(begin, begin + 5))
    assert begin == 69 + 35
    assert dial.of(LineSaid) == [LineSaid("hello", is_interruption=False)]


def test_lines_are_said_in_turn() -> None:
    dial = Dial(Line("one", SPEECH), Line("two", SPEECH))
    dial.pick_up()
    dial.hear("s" * 10 + "." * 60)
    assert [line.text for line in dial.of(LineSaid)] == ["one"]
    dial.hear("s" * 10 + "." * 60)
    assert [line.text for line in dial.of(LineSaid)] == ["one", "two"]


def test_an_interruption_comes_over_the_agents_voice() -> None:
    dial = Dial(Line("stop", SPEECH * 5, after_speech_ms=500))
    dial.pick_up()
    packets = dial.hear("s" * 40)
    assert spoken(packets)[0] == 25
    assert dial.of(LineSaid) == [LineSaid("stop", is_interruption=True)]


def test_the_stopwatch_of_an_interruption() -> None:
    """From our first audible sample, 20 ms into the line, to the agent's last audible packet."""
    dial = Dial(Line("stop", QUIET["PCMU"] + SPEECH * 5, after_speech_ms=500))
    dial.pick_up()
    dial.hear("s" * 30 + "." * 20)
    (stopped,) = dial.of(AgentStopped)
    assert stopped.after_ms == pytest.approx((29 - 25) * 20 - 20)


def test_the_stopwatch_of_an_answer() -> None:
    dial = Dial(Line("hello", SPEECH * 5))
    dial.pick_up()
    dial.hear("." * 50)
    dial.hear("s" * 10 + "." * 60 + "s")
    first, second = dial.of(AgentHeard)
    assert first.after_ms == pytest.approx(51 * 20)
    last_said = 59 + 35 + 4
    assert second.after_ms == pytest.approx((120 - last_said) * 20)


def test_a_pause_within_speech_is_no_silence() -> None:
    dial = Dial()
    dial.pick_up()
    dial.hear("s" * 10 + "." * 14 + "s" * 10)
    assert not dial.of(AgentSilent)
    dial.hear("." * round(PAUSE_S / FRAME_S))
    assert [silent.spoke_ms for silent in dial.of(AgentSilent)] == [pytest.approx(33 * 20)]


def test_it_presses_keys() -> None:
    dial = Dial(Line("42", digits="42"))
    dial.pick_up()
    packets = dial.hear("s" * 5 + "." * 100)
    assert {packet.payload_type for packet in packets if packet} == {0, 101}


def test_it_hangs_up_after_the_last_answer() -> None:
    dial = Dial(Line("bye", SPEECH), linger_s=2.0)
    dial.pick_up()
    dial.hear("s" * 10 + "." * 40 + "s" * 10 + "." * 90)
    assert not dial.of(HungUp)
    dial.hear("." * 30)
    assert len(dial.of(events.HangUp)) == 1
    assert [over.reason for over in dial.of(HungUp)] == ["hung_up"]
    assert dial.phone.get_timer() is None


def test_it_hangs_up_in_the_end() -> None:
    dial = Dial(Line("never said", SPEECH), max_call_s=3.0)
    dial.pick_up()
    dial.hear("." * 149)
    assert not dial.of(HungUp)
    dial.hear("..")
    assert dial.of(HungUp)[0].duration_s == pytest.approx(3.0, abs=0.021)


def test_a_bad_answer_ends_the_call() -> None:
    dial = Dial()
    dial.phone.receive_answer(b"nonsense", now=dial.now)
    dial.drain()
    assert [type(output) for output in dial.outputs] == [events.HangUp, HungUp]


def test_nothing_comes_after_the_end() -> None:
    dial = Dial(Line("hello", SPEECH))
    dial.pick_up()
    dial.hear("s" * 10)
    dial.phone.leg_ended("bye", None, now=dial.now)
    dial.drain()
    hung_up = dial.outputs[-1]
    assert isinstance(hung_up, HungUp)
    assert (hung_up.reason, hung_up.status, hung_up.duration_s) == ("bye", None, pytest.approx(0.2))
    before = len(dial.outputs)
    assert dial.hear("s" * 100) == [None] * 100
    dial.phone.hang_up(now=dial.now)
    dial.phone.leg_ended("bye", None, now=dial.now)
    dial.drain()
    assert dial.phone.get_timer() is None
    assert len(dial.outputs) == before


def test_it_may_be_put_on_hold() -> None:
    dial = Dial()
    dial.pick_up()
    dial.phone.receive_reinvite(describe((0,), direction="sendonly", version=2), now=dial.now)
    dial.phone.receive_reinvite(b"nonsense", now=dial.now)
    dial.drain()
    (accept,) = dial.of(events.Accept)
    assert b"a=recvonly" in accept.body
    assert [reject.status for reject in dial.of(events.Reject)] == [400]
    assert dial.hear(".") == [None]


def test_it_records_both_sides() -> None:
    dial = Dial(Line("hello", SPEECH * 5))
    dial.pick_up()
    dial.hear("s" * 10 + "." * 90)
    dial.phone.hang_up(now=dial.now)
    dial.drain()
    pieces = dial.of(events.RecordAudio)
    assert all(len(piece.caller) == len(piece.agent) for piece in pieces)
    assert b"".join(piece.caller for piece in pieces).count(SPEECH) == 5
    assert b"".join(piece.agent for piece in pieces).count(SPEECH) == 10


# What a person hears

RINGER = ("192.0.2.9", 6000)
REACHABLE = "8.8.8.8"
"""Who can be reached from anywhere sends from where it says."""


def recorded(dial: Dial) -> tuple[bytes, bytes]:
    """Both sides, ours first."""
    dial.phone.hang_up(now=dial.now)
    dial.drain()
    pieces = dial.of(events.RecordAudio)
    return b"".join(piece.caller for piece in pieces), b"".join(piece.agent for piece in pieces)


def test_it_hears_through_a_jitter_buffer_and_times_packets_as_they_come() -> None:
    """Three packets come together, 40 ms late: the recording has no gap in the speech, the stopwatch knows better."""
    dial = Dial()
    dial.pick_up()
    dial.hear("." * 20 + "s" * 10)
    held = [dial.agent.say(SPEECH) for _ in range(3)]
    dial.hear("  ")
    for data in held:
        dial.phone.receive_rtp(data, CALLER, now=dial.now + 0.001)
    dial.hear("s" * 10 + "." * 60)
    assert [silent.spoke_ms for silent in dial.of(AgentSilent)] == [pytest.approx(21 * 20, abs=21)]
    _, agent = recorded(dial)
    (stats,) = dial.of(JitterStats)
    assert stats.late == 0
    assert stats.concealed_ms <= 40.0
    assert len(agent.strip(b"\xff")) >= 23 * 160, "all was heard, and the waiting filled"
    assert dial.outputs.index(stats) == len(dial.outputs) - 2, "just before the end"


def test_what_is_lost_is_concealed_in_the_recording() -> None:
    dial = Dial()
    dial.pick_up()
    dial.hear("." * 20 + "s" * 10)
    dial.agent.say(SPEECH)
    dial.hear("s" * 10 + "." * 60)
    _, agent = recorded(dial)
    (stats,) = dial.of(JitterStats)
    assert stats.concealed_ms == pytest.approx(20.0, abs=10.0)
    assert b"\xff" * 40 not in agent.strip(b"\xff")


def test_early_media_are_heard_and_recorded_but_not_timed() -> None:
    dial = Dial(Line("hello", SPEECH))
    dial.phone.receive_progress(183, describe((0,)), now=dial.now)
    dial.drain()
    assert dial.hear("s" * 20) == [None] * 20
    assert dial.of(EarlyMediaHeard) == [EarlyMediaHeard()]
    assert not dial.of(AgentHeard)
    dial.pick_up()
    packets = dial.hear("." * 30 + "s" * 10)
    assert all(packets)
    assert not dial.of(LineSaid), "a voice before the answer is not the agent's"
    (heard,) = dial.of(AgentHeard)
    assert heard.after_ms == pytest.approx(31 * 20)
    caller, agent = recorded(dial)
    assert agent.count(SPEECH) >= 28
    assert len(caller) == len(agent) == pytest.approx(60 * 160, abs=320)


def test_a_bad_early_description_changes_nothing() -> None:
    dial = Dial()
    dial.phone.receive_progress(183, b"nonsense", now=dial.now)
    dial.hear("s" * 5)
    assert not dial.of(EarlyMediaHeard)
    dial.pick_up()
    dial.hear("s" * 5)
    assert len(dial.of(AgentHeard)) == 1


def test_the_answer_may_be_another_telephones() -> None:
    """It is heard from its own address, and who played the ringing is not heard any more."""
    dial = Dial()
    dial.phone.receive_progress(183, describe((0,), host=RINGER[0], port=RINGER[1]), now=dial.now)
    ringer = Caller()
    for _ in range(5):
        dial.phone.receive_rtp(ringer.say(SPEECH), RINGER, now=dial.now)
        dial.beat(" ")
    dial.pick_up()
    for _ in range(20):
        dial.phone.receive_rtp(ringer.say(SPEECH), RINGER, now=dial.now)
        dial.beat(".")
    assert len(dial.of(EarlyMediaHeard)) == 1
    assert not dial.of(AgentHeard)


def test_what_overtakes_the_answer_is_heard() -> None:
    dial = Dial()
    dial.hear("s" * 30)
    assert not dial.of(EarlyMediaHeard), "nobody has said whom to hear"
    dial.pick_up()
    (heard,) = dial.of(AgentHeard)
    assert -200.0 <= heard.after_ms <= -160.0
    dial.hear("." * 30)
    _, agent = recorded(dial)
    assert 1000 <= len(agent.strip(b"\xff")) <= 10 * 160, "the last 200 ms, a little faster, and no more"


def test_what_a_stranger_sent_before_the_answer_is_not_heard() -> None:
    dial = Dial()
    stranger, answer = Caller(), describe((0,), host=REACHABLE)
    for _ in range(10):
        dial.phone.receive_rtp(stranger.say(SPEECH), RINGER, now=dial.now)
        dial.beat(" ")
    dial.phone.receive_answer(answer, now=dial.now)
    dial.hear(" " * 10)
    assert not dial.of(AgentHeard)
    _, agent = recorded(dial)
    assert agent.count(SPEECH) == 0
