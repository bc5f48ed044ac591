"""A net that catches nothing proves nothing: here each machine is broken in one place, and a watch must see it."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from sim.clock import Clock, Node
from sim.invariants import MAX_BYTES, MAX_LENGTH, EndWatch, RtpWatch, SipWatch, check_bounds
from sim.scenario import Deed, Scenario, line
from sim.world import World

from sipagent.call import events
from sipagent.call.call import Call
from sipagent.call.playout import Part, Playout
from sipagent.formats import PCMU
from sipagent.realtime.responses import ResponseGate, State
from sipagent.realtime.session import RealtimeSession
from sipagent.rtp.packet import pack_packet
from sipagent.rtp.session import RtpSession
from sipagent.sip.refresh import Refresh
from sipagent.sip.sessions import Sessions
from sipagent.sip.ua import UserAgent
from sipagent.sip.update import PromptOffer
from sipagent.timers import Timers

BARGE_IN = Scenario(
    "barge_in", (line("tell me a story"), line("stop", after_speech_ms=1500)), caller_limit_s=8.0, linger_s=1.0
)
HOLD = Scenario("hold", (line("tell me a story"),), (Deed("hold", 1.0), Deed("resume", 2.0)), caller_limit_s=4.0)
UPDATE = replace(HOLD, name="update", changes_by="update")
TIMER = Scenario("timer", linger_s=200.0, caller_limit_s=120.0, session_timer_s=90)
DRAIN = Scenario("drain", (line("tell me a story"),), (Deed("drain", 4.0),), caller_limit_s=8.0)


def test_the_worlds_are_sound() -> None:
    for scenario in (BARGE_IN, HOLD, UPDATE, TIMER, DRAIN):
        World(1, scenario).run()


def exaggerate(original: Any) -> Any:
    return property(lambda part: original.fget(part) + 20)


def keep_playing(clear: Callable[[Playout], list[Part]]) -> Any:
    def broken(playout: Playout) -> list[Part]:
        pieces, queued = playout._pieces.copy(), playout._queued
        unheard = clear(playout)
        playout._pieces, playout._queued = pieces, queued
        return unheard

    return broken


def lose_a_byte(add: Callable[..., None]) -> Any:
    return lambda playout, item, index, audio, *, now: add(playout, item, index, audio[:-1], now=now)


def forget_the_last(clear: Callable[[Playout], list[Part]]) -> Any:
    return lambda playout: clear(playout)[:-1]


def say_more(end: Callable[..., None]) -> Any:
    def broken(call: Call, reason: str, now: float) -> None:
        end(call, reason, now)
        call._outputs.append(events.Ring())

    return broken


def ask_at_any_time(ask: Callable[..., None]) -> Any:
    def broken(gate: ResponseGate, now: float) -> None:
        if gate._deferred is not None:
            gate._state, gate.due_at = State.IDLE, None
        ask(gate, now)

    return broken


def commit_nothing(commit: Callable[..., bool]) -> Any:
    def broken(session: RealtimeSession) -> bool:
        commit(session)
        session._appended_bytes = 10_000
        return commit(session)

    return broken


def ring_on(get_timer: Callable[..., float | None]) -> Any:
    return lambda call: 1003.0


def nothing(original: Callable[..., object]) -> Any:
    return lambda *_, **__: None


def pretend(original: Callable[..., object]) -> Any:
    return lambda *_, **__: True


@pytest.mark.parametrize(
    ("owner", "name", "sabotage", "scenario", "complaint"),
    [
        (Part, "heard_ms", exaggerate, BARGE_IN, "bytes were put on the wire"),
        (Playout, "clear", keep_playing, BARGE_IN, "what goes out is not what comes next"),
        (Playout, "clear", forget_the_last, BARGE_IN, "not truncated"),
        (Playout, "add", lose_a_byte, BARGE_IN, "what goes out is not what comes next"),
        (Playout, "next_frame", nothing, BARGE_IN, "silence, while"),
        (RealtimeSession, "truncate", pretend, BARGE_IN, "without telling the model"),
        (RealtimeSession, "commit", commit_nothing, BARGE_IN, "the model complains"),
        (ResponseGate, "_ask_when_free", ask_at_any_time, DRAIN, "a second response"),
        (RtpSession, "skip", nothing, HOLD, "timestamp"),
        (Sessions, "on_gone", nothing, BARGE_IN, "remembers"),
        (Refresh, "on_timer", nothing, TIMER, "outlives its session timer"),
        (PromptOffer, "_respond", nothing, UPDATE, "no final response"),
        (Call, "_end", say_more, BARGE_IN, "after the end"),
        (Call, "get_timer", ring_on, BARGE_IN, "again"),
    ],
)
def test_what_is_broken_is_seen(
    owner: type, name: str, sabotage: Callable[[Any], Any], scenario: Scenario, complaint: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, sabotage(getattr(owner, name)))
        with pytest.raises(AssertionError, match=rf"World\(seed=1\).*{complaint}"):
            World(1, scenario).run()


def message(first: str, *, cseq: str, tag: str = "") -> bytes:
    lines = [
        first,
        "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1",
        "From: <sip:caller@192.0.2.7>;tag=a",
        f"To: <sip:agent@192.0.2.1>{tag}",
        "Call-ID: call",
        f"CSeq: {cseq}",
        "Max-Forwards: 70",
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def test_a_second_final_response_is_seen() -> None:
    watch = SipWatch("agent")
    busy = message("SIP/2.0 486 Busy Here", cseq="1 INVITE", tag=";tag=b")
    watch.sends(busy, 0.0)
    watch.sends(busy, 0.5)
    with pytest.raises(AssertionError, match="and then with"):
        watch.sends(message("SIP/2.0 200 OK", cseq="1 INVITE", tag=";tag=b"), 1.0)


@pytest.mark.parametrize("heals", ["ACK", "BYE"])
def test_a_2xx_without_ack_or_bye_is_seen(heals: str) -> None:
    agent = UserAgent(random=Random(1))
    watch = SipWatch("agent")
    watch.sends(message("SIP/2.0 200 OK", cseq="1 INVITE", tag=";tag=b"), 0.0)
    with pytest.raises(AssertionError, match="neither ACK nor BYE"):
        watch.check_end(agent)
    number = 1 if heals == "ACK" else 2
    watch.receives(message(f"{heals} sip:agent@192.0.2.1 SIP/2.0", cseq=f"{number} {heals}", tag=";tag=b"), 0.1)
    if heals == "BYE":
        with pytest.raises(AssertionError, match="no final response"):
            watch.check_end(agent)
        watch.sends(message("SIP/2.0 200 OK", cseq="2 BYE", tag=";tag=b"), 0.1)
    watch.check_end(agent)


@pytest.mark.parametrize(
    ("packets", "complaint"),
    [
        ([(7, 1000, 1), (9, 1160, 1)], "follows"),
        ([(7, 1000, 1), (8, 1320, 1)], "timestamp"),
        ([(7, 1000, 1), (8, 1160, 2)], "SSRC"),
    ],
)
def test_packets_out_of_step_are_seen(packets: list[tuple[int, int, int]], complaint: str) -> None:
    watch = RtpWatch("agent")
    first, second = (pack_packet(0, number, at, ssrc, bytes(160)) for number, at, ssrc in packets)
    watch.sends(first)
    with pytest.raises(AssertionError, match=complaint):
        watch.sends(second)


def test_packets_in_step_are_not() -> None:
    watch = RtpWatch("agent")
    for number, timestamp in ((65535, 2**32 - 160), (0, 0), (1, 160)):
        watch.sends(pack_packet(8, number, timestamp, 1, bytes(160)))
    watch.sends(None)
    watch.sends(pack_packet(8, 2, 480, 1, bytes(160)))


def test_a_word_after_the_end_is_seen() -> None:
    watch = EndWatch("call")
    watch.tells(events.Ring())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "is_over", True)
        with pytest.raises(AssertionError, match="after the end"):
            watch.tells(events.Ring())


@pytest.mark.parametrize("size", [MAX_LENGTH, MAX_LENGTH + 1])
def test_a_queue_without_bound_is_seen(size: int) -> None:
    playout = Playout(PCMU)
    playout._started = deque(Part(f"{n}", 0, 0.0, 8) for n in range(size))
    if size > MAX_LENGTH:
        with pytest.raises(AssertionError, match="a deque of"):
            check_bounds([playout])
    else:
        check_bounds([playout])


def test_a_buffer_without_bound_is_seen() -> None:
    with pytest.raises(AssertionError, match="bytes in"):
        check_bounds({"audio": bytes(MAX_BYTES + 1)})


class Restless:
    """A machine that wants its timer again and again."""

    def __init__(self) -> None:
        self.timers: Timers[str] = Timers()

    def poll(self) -> None:
        return None

    def get_timer(self) -> float | None:
        return 1.0

    def handle_timer(self, *, now: float) -> None:
        """Do not move on."""


def test_a_timer_that_does_not_move_on_is_seen() -> None:
    clock = Clock()
    node: Node[None] = Node(clock, Restless(), lambda _: None)
    node.feed(lambda *, now: None)
    with pytest.raises(AssertionError, match="again"):
        clock.run(10.0)
