"""A whole call with GPT-Live under virtual time: the caller's packets, and the machine of the embedded Live server."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from call.stage import CALLER, FRAME_S, NO_OTHER, Stage, describe, make_leg
from realtime.live_harness import TOOLS, LiveHarness

from sipagent.call import events
from sipagent.call.barge_in import BargeInSettings
from sipagent.call.call import Call, Phase
from sipagent.call.continuity import ContinuitySettings
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.listener import ListenerSettings
from sipagent.call.settings import CallSettings
from sipagent.formats import PCMU
from sipagent.realtime.dialects import LIVE
from sipagent.realtime.local.phrases import GOODBYE
from sipagent.realtime.local.synthetic import speak
from sipagent.realtime.settings import SessionSettings


class LiveStage(Stage):
    """A stage on which the model is the machine of the embedded Live server."""

    def __init__(self, *, faults: str = "", continuity: ContinuitySettings | None = None, **dialect: Any) -> None:
        super().__init__()
        conversation = ConversationSettings(
            SessionSettings(
                "gpt-live-1",
                "Now we are the Clock Shop.",
                tools=TOOLS,
                dialect=replace(LIVE, **dialect),
                turn_detection="server",
            ),
            greeting="Greet the caller.",
            listener=ListenerSettings(detection="server"),
            barge_in=BargeInSettings(enabled=False),
            continuity=continuity or ContinuitySettings(),
        )
        self.call = Call("call", leg=make_leg(), settings=CallSettings(conversation), random=Random(2))
        self.models = {1: LiveHarness(faults=faults)}
        """By the number of their connection."""
        self.used = 1
        self.carried = 0
        self.heard = b""
        """What the caller heard: every frame that went out."""

    @property
    def model(self) -> LiveHarness:
        """The one in use."""
        return self.models[self.used]

    def answer(self, offer: bytes | None = None) -> None:
        self.feed(self.call.receive_invite, describe() if offer is None else offer)
        self.feed(self.call.model_connected)
        self.carry()
        self.beat(b"")
        self.feed(self.call.receive_ack, b"")
        assert self.of(events.Accept)

    def carry(self) -> None:
        """Between the call and its model, until neither has more to say."""
        while self.carried < len(self.outputs):
            output = self.outputs[self.carried]
            self.carried += 1
            match output:
                case events.SendModel(data):
                    self.reply(self.model.receive(data), self.used)
                case events.SendComingModel(number, data):
                    self.reply(self.models[number].receive(data), number)
                case events.ConnectModel(number) if number > 1:
                    self.models[number] = LiveHarness(now=self.now)
                    self.feed(self.call.model_connected, number)
                case events.UseModel(number):
                    self.used = number

    def reply(self, answers: list[dict[str, Any]], number: int = 1) -> None:
        for event in answers:
            self.feed(self.call.receive_model, json.dumps(event), number)

    def beat(self, frame: bytes) -> None:
        """20 ms: a frame of the caller's, if he sends one, and one of ours."""
        self.advance(FRAME_S)
        for number, model in list(self.models.items()):
            self.reply(model.advance(FRAME_S), number)
        if frame:
            self.feed(self.call.receive_rtp, self.caller.say(frame), CALLER)
        self.carry()
        data = self.call.next_packet(now=self.now)
        self.drain()
        self.carry()
        self.heard += PCMU.silence_of(20) if data is None else data[12:]

    def wait(self, seconds: float, *, sends: bool = True) -> None:
        for _ in range(round(seconds / FRAME_S)):
            self.beat(PCMU.silence_of(20) if sends else b"")

    def ask(self, phrase: str) -> None:
        """Let the caller say a phrase that the model knows, and be silent for a second."""
        audio = speak(phrase, PCMU, self.model.phrases or tuple(self.model.server._brain.phrases))
        for offset in range(0, len(audio), 160):
            self.beat(audio[offset : offset + 160])
        self.wait(1.0)

    @property
    def said(self) -> str:
        return " ".join(fact.text for fact in self.of(events.AgentSaid))


@pytest.fixture
def stage() -> LiveStage:
    stage = LiveStage()
    stage.answer()
    return stage


def level(audio: bytes) -> float:
    """The share of samples that are no silence."""
    return 1 - audio.count(0xFF) / len(audio)


def test_the_greeting_is_heard_as_it_was_sent(stage: LiveStage) -> None:
    stage.wait(12.0)
    assert stage.said.startswith("Hello, this is the Clock Shop.")
    assert stage.said in stage.model.words()
    sent = stage.model.audio().strip(b"\xff")
    assert sent[:8000] in stage.heard  # not a sample is missing, or doubled, in its first second
    assert stage.model.of("error") == stage.model.of("info") == []


def test_the_playback_buffer_stays_small(stage: LiveStage) -> None:
    queued = []
    for _ in range(500):
        stage.beat(PCMU.silence_of(20))
        assert stage.call._conversation is not None
        queued.append(stage.call._conversation.queued_ms)
    assert 100 <= max(queued) <= 180


def test_a_caller_of_whom_nothing_comes_is_silence_to_the_model(stage: LiveStage) -> None:
    stage.wait(5.0, sends=False)
    assert stage.model.of("info") == stage.model.of("error") == []
    assert stage.model.server._heard_ms == pytest.approx(5000, abs=200)
    stage.ask("what are your opening hours")
    assert [fact.text for fact in stage.of(events.CallerSaid)] == ["what are your opening hours"]


def test_the_caller_interrupts_and_nothing_of_the_realtime_api_is_sent(stage: LiveStage) -> None:
    stage.wait(2.0)
    stage.ask("tell me a story")
    stage.wait(4.0)
    begun = len(stage.heard)
    assert level(stage.heard[-8000:]) > 0.5
    stage.ask("wait")
    assert level(stage.heard[begun + 4000 : begun + 5600]) < 0.1  # it was silent within half a second
    kinds = {message["type"] for message in stage.sent()}
    assert kinds == {"session.start", "session.input_audio.append", "session.commentary.append"}
    assert stage.of(events.BargedIn) == stage.of(events.Truncated) == stage.of(events.AgentPaused) == []
    stage.wait(6.0)
    assert "stopped" in stage.said


@pytest.mark.parametrize("after_s", [3.0, 3.04, 3.08, 3.12, 3.16])
def test_from_the_callers_first_sound_to_silence_is_no_longer_than_without_gpt_live(after_s: float) -> None:
    stage = LiveStage()
    stage.answer()
    stage.ask("tell me a story")
    stage.wait(after_s)
    begun = len(stage.heard)
    stage.ask("wait")
    heard = stage.heard[begun:]
    silent = [level(heard[offset : offset + 160]) < 0.1 for offset in range(0, len(heard), 160)]
    assert 20 * next(n for n in range(len(silent)) if all(silent[n : n + 10])) <= 220


def test_a_tool_is_run_and_spoken_of(stage: LiveStage) -> None:
    stage.wait(8.0)
    stage.ask("what are your opening hours")
    (run,) = stage.of(events.RunTool)
    assert run.name == "opening_hours"
    stage.feed(stage.call.tool_finished, run.function_call_id, "Open from nine until noon.")
    stage.carry()
    stage.wait(6.0)
    assert stage.said.endswith("Open from nine until noon.")
    kinds = [message["type"] for message in stage.sent() if message["type"].startswith("response")]
    assert kinds == ["response.item.create", "response.create"]
    assert stage.model.of("error") == []


def test_the_goodbye_is_said_once_and_to_its_end(stage: LiveStage) -> None:
    stage.wait(8.0)
    stage.ask("goodbye")
    stage.wait(10.0)
    assert stage.call.phase is Phase.ENDED
    assert stage.ended.reason == "agent"
    assert stage.said.count(GOODBYE) == 1
    assert stage.said.endswith(GOODBYE)


def test_a_key_silences_what_is_being_said_and_is_answered(stage: LiveStage) -> None:
    stage.wait(2.0)
    stage.press("2")
    stage.carry()
    stage.wait(0.1)
    assert level(stage.heard[-320:]) < 0.2
    stage.wait(8.0)
    assert "You pressed 2" in stage.said
    assert stage.of(events.Truncated) == []


def test_what_the_network_was_late_with_is_left_out_when_the_caller_speaks(stage: LiveStage) -> None:
    stage.wait(2.0)
    late = []
    for _ in range(100):  # two seconds of the model's are held up
        stage.advance(FRAME_S)
        late += stage.model.advance(FRAME_S)
        stage.carry()
        stage.call.next_packet(now=stage.now)
    stage.reply(late)
    conversation = stage.call._conversation
    assert conversation is not None
    assert conversation.queued_ms > 1500
    stage.hear("ssss")
    assert conversation.queued_ms <= 300


def test_a_session_that_ends_ends_the_call_in_peace() -> None:
    stage = LiveStage(faults="expire seconds=12", continuity=NO_OTHER)
    stage.answer()
    stage.wait(14.0)
    (failed,) = stage.of(events.ModelFailed)
    assert (failed.kind, failed.code) == ("transient", "expired")
    assert stage.ended.reason == "model_failed"


def test_another_session_takes_over_and_knows_what_was_said() -> None:
    stage = LiveStage(faults="expire seconds=20")
    stage.answer()
    stage.wait(10.0)
    stage.ask("how are you")
    stage.wait(12.0)
    assert stage.used == 2
    assert stage.of(events.ModelResumed)
    known = [turn.text for turn in stage.model.server._turns]
    assert known[0].startswith("You said: Hello, this is the Clock Shop.")
    assert "how are you" in known
    stage.ask("what are your opening hours")
    (run,) = stage.of(events.RunTool)
    stage.feed(stage.call.tool_finished, run.function_call_id, "Open from nine until noon.")
    stage.carry()
    stage.wait(6.0)
    assert stage.said.endswith("Open from nine until noon.")
    for model in stage.models.values():
        assert model.of("error") == model.of("info") == []


def test_a_session_is_left_in_time_where_the_server_does_not_say_how_long_it_lasts() -> None:
    stage = LiveStage(session_limit_s=60.0)
    stage.answer()
    stage.wait(70.0)
    assert stage.used == 2
    assert stage.of(events.SessionRolledOver)
    assert stage.of(events.ModelLost) == []
    assert stage.model.of("error") == stage.model.of("info") == []


def test_a_model_at_another_rate_is_converted() -> None:
    stage = LiveStage(codecs=frozenset(), rate=16000)
    stage.answer()
    stage.wait(3.0)
    (start,) = stage.sent("session.start")
    assert start["session"]["audio"]["format"] == {"type": "audio/pcm", "rate": 16000}
    assert stage.model.words().startswith("Hello, this is the Clock Shop.")
    assert level(stage.heard[8000:]) > 0.5
    stage.ask("what time is it")
    assert [fact.text for fact in stage.of(events.CallerSaid)] == ["what time is it"]
    assert stage.model.of("error") == stage.model.of("info") == []
