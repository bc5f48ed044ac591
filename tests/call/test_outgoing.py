"""Calls that we make: the model first, then the telephone."""

from base64 import b64decode

from call.stage import CALLER, FRAME_S, NO_OTHER, SPEECH, Stage, describe

from sipagent.call import events
from sipagent.call.continuity import ContinuitySettings
from sipagent.call.events import Address
from sipagent.call.phase import Phase

GREETING = "Say who calls."


def dialled(continuity: ContinuitySettings | None = None) -> Stage:
    """A call whose INVITE is on its way."""
    stage = Stage(greeting=GREETING, continuity=continuity)
    assert stage.feed(stage.call.dial) == [events.ConnectModel()]
    stage.feed(stage.call.model_connected)
    stage.say("session.created", session={"id": "sess_1"})
    assert not stage.of(events.Dial)
    stage.say("session.updated", session=stage.sent("session.update")[0]["session"])
    assert len(stage.of(events.Dial)) == 1
    return stage


def test_the_model_is_there_before_anybody_is_dialled_and_speaks_when_they_pick_up() -> None:
    stage = dialled()
    assert stage.call.phase is Phase.DIALLED
    assert stage.call.next_packet(now=stage.now) is None
    stage.feed(lambda *, now: stage.call.receive_progress(180, now=now))
    assert stage.of(events.Progressed) == [events.Progressed(180)]
    assert not stage.sent("response.create")
    stage.advance(3.0)
    stage.feed(stage.call.receive_answer, describe())
    assert stage.call.phase is Phase.UP
    (answered,) = stage.of(events.Answered)
    assert answered.setup_s == 3.0
    assert len(stage.sent("response.create")) == 1
    assert stage.call.next_packet(now=stage.now) is not None


def test_what_an_update_agreed_on_while_it_rang_holds_when_the_200_says_nothing() -> None:
    stage = dialled()
    stage.feed(stage.call.receive_reinvite, describe())
    (accept,) = stage.of(events.Accept)
    assert b"m=audio" in accept.body
    assert stage.call.phase is Phase.DIALLED
    stage.feed(stage.call.receive_answer, b"")
    assert stage.call.phase is Phase.UP
    assert stage.call.next_packet(now=stage.now) is not None


def test_a_200_without_any_answer_is_hung_up() -> None:
    stage = dialled()
    stage.feed(stage.call.receive_answer, b"")
    assert stage.of(events.HangUp) == [events.HangUp()]
    assert stage.of(events.Ended)[0].reason == "bad_answer"


def test_nobody_picks_up() -> None:
    stage = dialled()
    stage.feed(stage.call.leg_ended, "rejected_486")
    (ended,) = stage.of(events.Ended)
    assert (ended.reason, ended.duration_s) == ("rejected_486", 0.0)
    assert stage.call.get_timer() is None


def test_without_a_model_nobody_is_called() -> None:
    stage = Stage(greeting=GREETING)
    stage.feed(stage.call.dial)
    stage.feed(lambda *, now: stage.call.model_lost(0, "refused", now=now))
    assert not stage.of(events.Dial)
    assert stage.of(events.Ended)[0].reason == "model_failed"


def test_a_model_that_is_lost_while_it_rings_takes_the_call_back() -> None:
    stage = dialled(NO_OTHER)
    stage.feed(lambda *, now: stage.call.model_lost(1006, "gone", now=now))
    assert stage.of(events.HangUp) == [events.HangUp()]
    assert stage.of(events.Ended)[0].reason == "model_failed"


def test_a_service_that_stops_takes_the_call_back() -> None:
    stage = dialled()
    stage.feed(stage.call.drain)
    assert stage.of(events.HangUp) == [events.HangUp()]
    assert stage.of(events.Ended)[0].reason == "drained"


def hello(stage: Stage, packets: int, source: Address = CALLER) -> None:
    """Whoever picks up speaks already."""
    for _ in range(packets):
        stage.feed(stage.call.receive_rtp, stage.caller.say(SPEECH), source)
        stage.advance(FRAME_S)


def test_the_hello_that_overtakes_the_200_is_heard() -> None:
    stage = dialled()
    hello(stage, 9)
    assert not stage.of(events.AgentPaused)
    stage.feed(stage.call.receive_answer, describe())
    assert len(stage.of(events.AgentPaused)) == 1
    hello(stage, 25)
    assert len(stage.of(events.SpeechStarted)) == 1
    assert appended(stage).count(SPEECH) == 34, "not a packet is missing"


def test_what_came_long_before_the_200_is_not() -> None:
    """Ringing and announcements; of them the last 200 ms."""
    stage = dialled()
    hello(stage, 50)
    stage.feed(stage.call.receive_answer, describe())
    stage.advance(0.3)
    assert 9 <= appended(stage).count(SPEECH) <= 10


def appended(stage: Stage) -> bytes:
    return b"".join(b64decode(message["audio"]) for message in stage.sent("input_audio_buffer.append"))


def test_what_came_long_ago_or_from_a_stranger_is_not_heard() -> None:
    stage = dialled()
    hello(stage, 9, ("192.0.2.9", 4000))
    stage.feed(stage.call.receive_answer, describe(host="8.8.8.8"))
    assert not stage.of(events.SpeechStarted)
    assert stage.call.remote == ("8.8.8.8", CALLER[1])
    stage = dialled()
    hello(stage, 9)
    stage.advance(0.5)
    stage.feed(stage.call.receive_answer, describe())
    assert not stage.of(events.AgentPaused)


def test_the_hello_is_heard_where_an_update_agreed_while_it_rang() -> None:
    stage = dialled()
    stage.feed(stage.call.receive_reinvite, describe())
    hello(stage, 9)
    assert not stage.of(events.SpeechStarted)
    stage.feed(stage.call.receive_answer, b"")
    assert len(stage.of(events.AgentPaused)) == 1
