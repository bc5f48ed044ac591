"""baresip calls sipagent, listens, talks over it and hears it stop; what it heard is compared with what was said."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from interop.baresip import Baresip
from interop.sound import ALIKE, AUDIBLE_DBFS, RATE, SAME, SILENT_DBFS, Samples, correlate, level, likeness, onset
from interop.story import Voices
from program import Entry, Server

from sipagent.audio.wav import read_wav

pytestmark = pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed: make tools")

Transport = Literal["udp", "tcp"]

SPEAKS_AT_S = 3.0
"""When the caller speaks; the greeting takes eight seconds."""

STOPS_WITHIN_S = 0.3
"""From the caller's first sound to the agent's silence."""

FRAME = 160
TALK_S = 20.0


@dataclass(frozen=True)
class Talk:
    """A call that is over."""

    entries: list[Entry]
    heard: Samples
    """By baresip."""
    said: Samples
    caller: Samples
    """The left side of sipagent's own recording."""
    agent: Samples
    """The right side."""

    def find(self, event: str) -> Entry:
        return next(entry for entry in self.entries if entry["event"] == event)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), {"agents": {"tested": {"record": True}}}) as server:
        yield server


@pytest.fixture(scope="module", params=["udp", "tcp"])
def talk(
    request: pytest.FixtureRequest, server: Server, voices: Voices, tmp_path_factory: pytest.TempPathFactory
) -> Talk:
    """A call: the caller asks something over the greeting, listens to the answer, and hangs up."""
    user = f"talk-{request.param}"
    pause, rest = np.zeros(int(SPEAKS_AT_S * RATE), np.int16), np.zeros(int(TALK_S * RATE), np.int16)
    speech = np.concatenate((pause, voices.question, rest))
    with Baresip(tmp_path_factory.mktemp(user), speech, transport=request.param) as phone:
        phone.dial(server.uri(user, request.param))
        (call,) = server.calls(user)
        wait_for(server, call, "agent_said", is_cut=False)
        phone.hang_up()
        wait_for(server, call, "ended")
        phone.stop()
        (recording,) = server.recordings.glob(f"*-{call}.wav")
        _, sides = read_wav(recording.read_bytes())
        return Talk(server.calls(user)[call], phone.heard(), phone.said, sides[:, 0], sides[:, 1])


def wait_for(server: Server, call: str, event: str, **fields: object) -> Entry:
    wanted = {"call": call, "event": event} | fields
    return server.wait_for(lambda entry: wanted.items() <= entry.items(), timeout_s=TALK_S)


def test_baresip_hears_the_agents_voice(talk: Talk, voices: Voices) -> None:
    heard = talk.find("truncated")["audio_end_ms"] * RATE // 1000
    at, fit = correlate(voices.greeting[:heard], talk.heard)
    assert fit > ALIKE
    assert level(talk.heard[at : at + heard]) > AUDIBLE_DBFS
    assert correlate(voices.fine[:RATE], talk.heard[at + heard :])[1] > ALIKE


def test_baresip_hears_what_sipagent_says_it_sent(talk: Talk) -> None:
    assert likeness(talk.agent, talk.heard) > SAME


def test_sipagent_hears_baresip(talk: Talk, voices: Voices) -> None:
    assert correlate(voices.question, talk.caller)[1] > SAME
    assert likeness(talk.said, talk.caller) > SAME


def test_the_agent_stops_when_baresip_speaks(talk: Talk, voices: Voices) -> None:
    """The two sides of sipagent's recording share a clock; by it, the caller's onset is found in what baresip heard."""
    at, _ = correlate(voices.question, talk.caller)
    skew, _ = correlate(talk.agent[: 2 * RATE], talk.heard)
    begins = at + onset(voices.question) + skew
    ends = begins + int(STOPS_WITHIN_S * RATE)
    assert level(talk.heard[begins - RATE : begins]) > AUDIBLE_DBFS
    assert level(talk.heard[ends : ends + RATE // 2]) < SILENT_DBFS


def test_the_model_is_told_what_baresip_heard(talk: Talk, voices: Voices) -> None:
    truncated = talk.find("truncated")
    heard_ms, received_ms = truncated["audio_end_ms"], truncated["received_ms"]
    assert talk.find("barged_in")["discarded_ms"] == pytest.approx(received_ms - heard_ms, abs=1)
    assert SPEAKS_AT_S * 1000 - 500 < heard_ms < SPEAKS_AT_S * 1000 + 500
    heard = heard_ms * RATE // 1000
    at, _ = correlate(voices.greeting[:heard], talk.heard)
    assert level(talk.heard[at + heard - RATE // 2 : at + heard]) > AUDIBLE_DBFS
    assert level(talk.heard[at + heard + FRAME : at + heard + RATE // 2]) < SILENT_DBFS


def test_the_log_tells_the_story(talk: Talk) -> None:
    told = [entry["event"] for entry in talk.entries]
    wanted = ["invited", "answered", "agent_started", "barged_in", "truncated", "agent_started", "agent_said", "ended"]
    rest = iter(told)
    assert [event for event in wanted if event in rest] == wanted, told
    assert talk.find("invited")["caller"] == "sip:baresip@127.0.0.1"
    media = talk.find("ended")["media"]
    assert (media["lost"], media["from_strangers"], media["malformed"]) == (0, 0, 0)


def test_a_key_of_baresips_ends_the_call(server: Server, tmp_path: Path) -> None:
    with Baresip(tmp_path, np.zeros(30 * RATE, np.int16)) as phone:
        phone.dial(server.uri("keys"))
        (call,) = server.calls("keys")
        wait_for(server, call, "agent_started")
        phone.press("9")
        phone.wait_for("CALL_CLOSED")
        assert wait_for(server, call, "ended")["reason"] == "agent"
    events = [entry["event"] for entry in server.calls("keys")[call]]
    assert (events.count("digit_pressed"), events.count("tool_called")) == (1, 1)
