"""The fault script: how it is written, and each misfortune it plays."""

import pytest
from realtime.local_harness import DELTA, DONE, PHONE, Harness, error_of, kinds, of_kind, only

from sipagent.errors import ConfigError
from sipagent.realtime.local.events import Close, Drop
from sipagent.realtime.local.faults import KINDS, Fault, FaultScript


def test_a_script_is_read() -> None:
    script = FaultScript.parse("stall on=2 after_ms=400 seconds=1.5; refuse_handshake status=401;")
    assert script.faults == (
        Fault("stall", on=2, seconds=1.5, after_ms=400),
        Fault("refuse_handshake", status=401),
    )
    assert script.find("stall", 1) is None
    assert script.find("stall", 2) is script.faults[0]
    assert script.find("refuse_handshake", 7) is script.faults[1]
    assert FaultScript.parse(" ") == FaultScript()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explode", "no fault is named 'explode'"),
        ("stall when=2", "'when' is not one"),
        ("stall on=x", "is not a number"),
    ],
)
def test_a_wrong_script_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FaultScript.parse(text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_written(kind: str) -> None:
    assert FaultScript.parse(kind).find(kind, 1) == Fault(kind)


def test_slow_session() -> None:
    harness = Harness(faults="slow_session seconds=2").open(session=None)
    assert harness.events == []
    assert kinds(harness.run(3.0)) == ["session.created", "conversation.created"]
    assert harness.times[0] == 1002.0


def test_refuse_session() -> None:
    harness = Harness(faults="refuse_session code=insufficient_quota").open(session=None)
    assert only(harness.events, "error")["error"]["code"] == "insufficient_quota"
    assert harness.closes == [Close(1008, "insufficient_quota")]


def test_faults_of_a_connection_can_strike_the_second_only() -> None:
    assert not Harness(faults="refuse_session on=2").open(number=1).closes
    assert Harness(faults="refuse_session on=2").open(number=2, session=None).closes


def test_slow_update() -> None:
    harness = Harness(faults="slow_update seconds=1.5 on=1").open()
    assert kinds(harness.events) == ["session.created", "conversation.created"]
    assert kinds(harness.run(2.0)) == ["session.updated"]
    assert harness.times[-1] == 1001.5


def test_refuse_update() -> None:
    harness = Harness(faults="refuse_update code=invalid_value on=1").open(session=None)
    assert error_of(harness.send("session.update", session=PHONE))["code"] == "invalid_value"
    assert kinds(harness.send("session.update", session=PHONE)) == ["session.updated"]


def test_wrong_format() -> None:
    harness = Harness(faults="wrong_format").open()
    for direction in ("input", "output"):
        assert harness.events[-1]["session"]["audio"][direction]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert len(of_kind(harness.respond(), DELTA)[0]["delta"]) == pytest.approx(1600 * 4 / 3, abs=4)


def test_expire() -> None:
    harness = Harness(faults="expire seconds=20").open()
    assert harness.events[0]["session"]["expires_at"] == 1_795_176_320
    harness.run(30.0)
    assert harness.events[-1]["error"]["code"] == "session_expired"
    assert harness.closes == [Close(1001, "session_expired")]


def test_strange_events() -> None:
    harness = Harness(faults="strange_events").open()
    assert {"session.weather.changed", "ping"} <= set(kinds(harness.events))


def test_slow_first_delta_strikes_the_response_it_names() -> None:
    harness = Harness(faults="slow_first_delta seconds=2 on=2").open()
    for expected in (0.1, 2.1, 0.1):
        started_at = harness.now
        harness.send("response.create")
        harness.run(until=DELTA)
        assert harness.now == pytest.approx(started_at + expected)
        harness.run(until=DONE)


def test_stall_for_good_can_be_cancelled() -> None:
    harness = Harness(faults="stall after_ms=400").open()
    events = harness.respond()
    assert len(of_kind(events, DELTA)) == 2
    assert DONE not in kinds(events)
    assert only(harness.send("response.cancel"), DONE)["response"]["status"] == "cancelled"


def test_stall_for_a_while() -> None:
    harness = Harness(faults="stall after_ms=400 seconds=5").open()
    harness.send("response.create")
    harness.run(4.0)
    assert len(of_kind(harness.events, DELTA)) == 2
    assert only(harness.run(until=DONE), DONE)["response"]["status"] == "completed"


def test_fail() -> None:
    harness = Harness(faults="fail after_ms=200 code=inference_rate_limit_exceeded").open()
    events = harness.respond()
    response = only(events, DONE)["response"]
    assert response["status"] == "failed"
    assert response["status_details"]["error"]["code"] == "inference_rate_limit_exceeded"
    assert response["output"][0]["status"] == "incomplete"
    assert len(of_kind(events, DELTA)) == 1


def test_drop() -> None:
    harness = Harness(faults="drop after_ms=600").open()
    events = harness.respond()
    assert harness.closes == [Drop()]
    assert len(of_kind(events, DELTA)) == 3
    assert DONE not in kinds(events)
