"""What a program has a call do."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from call.stage import FRAME_S, Stage, describe

from sipagent.call import events, steering
from sipagent.call.commands import ALLOWED_EVENTS, MAX_EVENT_BYTES, MAX_TEXT, Commands
from sipagent.call.ending import TAIL_MS
from sipagent.call.phase import Phase
from sipagent.call.transfer import ANNOUNCE, TransferSettings
from sipagent.errors import LocalProtocolError
from sipagent.sip.targets import Targets
from sipagent.sip.uri import Uri

TURN = "." * 15 + "s" * 10 + "." * 30
SALES = Uri.parse("sip:200@pbx.example.com")
TRANSFER = TransferSettings(
    {"sales": SALES}, targets=Targets(["pbx.example.com"], allow=["internal"], deny=[]), is_tool=False
)


class Program:
    """A call that is up, and the commands for it; each is followed by all its outputs."""

    def __init__(self, **settings: Any) -> None:
        self.stage = Stage(**settings)
        self.commands = Commands(self.stage.call)

    def answered(self) -> "Program":
        self.stage.answer()
        return self

    def do(self, name: str, *arguments: Any, **named: Any) -> list[events.Output]:
        getattr(self.commands, name)(*arguments, now=self.stage.now, **named)
        return self.stage.drain()

    @property
    def asked(self) -> list[str]:
        """The instructions of every response.create so far."""
        return [each["response"].get("instructions", "") for each in self.stage.sent("response.create")]


@pytest.fixture
def program() -> Program:
    return Program().answered()


EVERY: list[tuple[str, tuple[Any, ...]]] = [
    ("say", ("Hello.",)),
    ("prompt", ("Say hello.",)),
    ("interrupt", ()),
    ("pause", ()),
    ("resume", ()),
    ("mute", ("both",)),
    ("send_event", ({"type": "conversation.item.delete", "item_id": "item"},)),
    ("send_digits", ("1",)),
    ("transfer", ("sales",)),
    ("start_recording", ()),
    ("stop_recording", ()),
]


@pytest.mark.parametrize(("name", "arguments"), EVERY)
def test_before_the_answer_and_after_the_end_a_command_is_illegal(name: str, arguments: tuple[Any, ...]) -> None:
    program = Program(transfer=TRANSFER)
    with pytest.raises(LocalProtocolError):
        program.do(name, *arguments)
    program.answered()
    program.stage.feed(program.stage.call.leg_ended, "bye")
    with pytest.raises(LocalProtocolError):
        program.do(name, *arguments)
    assert program.stage.ended.reason == "bye"


class TestSay:
    def test_in_its_own_words_or_in_these(self, program: Program) -> None:
        program.do("say", "we close in ten minutes")
        assert "we close in ten minutes" in program.asked[0]
        program.stage.respond(ms=100)
        program.stage.finish()
        program.do("say", "Goodbye, Ada.", verbatim=True)
        assert 'word for word, and nothing else: "Goodbye, Ada."' in program.asked[1]
        assert all(each["response"]["tool_choice"] == "none" for each in program.stage.sent("response.create"))

    def test_one_after_another_and_never_into_a_sentence(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond(ms=1000)
        program.do("say", "one")
        program.do("say", "two")
        assert len(program.asked) == 1
        stage.finish()
        assert "one" in program.asked[1]
        stage.respond(ms=100, response_id="resp_2", item_id="item_2")
        assert len(program.asked) == 2
        stage.finish(response_id="resp_2", item_id="item_2")
        assert "two" in program.asked[2]

    def test_not_while_the_caller_speaks_and_after_his_answer(self, program: Program) -> None:
        stage = program.stage
        stage.hear("." * 15 + "s" * 10)
        program.do("say", "one")
        assert program.asked == []
        stage.hear("." * 30)
        assert program.asked == [""]
        stage.respond(ms=100)
        stage.finish()
        assert "one" in program.asked[1]

    def test_what_may_not_be_interrupted_is_not(self, program: Program) -> None:
        stage = program.stage
        program.do("say", "This call is recorded.", is_interruptible=False)
        stage.hear("." * 5 + "s" * 10)  # before the first sound of it
        stage.respond("This call is recorded.", ms=2000)
        stage.finish()
        stage.hear("s" * 40)
        stage.press("1")
        assert not stage.of(events.BargedIn)
        stage.play(2100)
        assert [said.is_cut for said in stage.of(events.AgentSaid)] == [False]

    def test_what_comes_behind_it_may_be(self, program: Program) -> None:
        stage = program.stage
        program.do("say", "This call is recorded.", is_interruptible=False)
        stage.respond("This call is recorded.", ms=400)
        stage.finish()
        stage.play(400)
        program.do("say", "How are you?")
        stage.respond("How are you?", ms=4000, response_id="resp_2", item_id="item_2")
        stage.play(400)
        stage.hear("." * 15 + "s" * 40)
        assert stage.of(events.BargedIn)

    @pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_TEXT + 1)])
    def test_nothing_and_too_much_are_refused(self, program: Program, text: str) -> None:
        with pytest.raises(LocalProtocolError):
            program.do("say", text)


class TestInterrupt:
    def test_silence_at_the_next_tick_and_the_model_knows(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond("One two three four.", ms=2000)
        stage.play(500)
        program.do("say", "more")
        program.do("interrupt")
        assert stage.of(steering.Interrupted) == [steering.Interrupted(1500)]
        assert not stage.of(events.BargedIn)
        (truncate,) = stage.sent("conversation.item.truncate")
        assert truncate["audio_end_ms"] == 500
        assert stage.sent("response.cancel")
        stage.done(status="cancelled")
        assert len(program.asked) == 1  # what waited is forgotten
        stage.tick()
        assert stage.play(100) == b"\xff" * 800


class TestPause:
    def test_it_goes_on_with_the_sample_that_was_due(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond()
        audio = stage.speak(1000)
        stage.finish()
        before = stage.play(400)
        program.do("pause")
        assert stage.of(steering.Halted) == [steering.Halted(True)]
        stage.tick()  # what fades
        assert stage.play(600) == b"\xff" * 4800
        program.do("resume")
        after = stage.play(600)
        assert before == audio[: 8 * 400]
        assert after[8 * 20 :] == audio[8 * 420 :]  # the first frame is faded in
        assert not stage.sent("conversation.item.truncate")

    def test_meanwhile_it_neither_listens_nor_answers(self, program: Program) -> None:
        stage = program.stage
        program.do("pause")
        appended = len(stage.sent("input_audio_buffer.append"))
        stage.hear(TURN)
        program.do("say", "one")
        assert len(stage.sent("input_audio_buffer.append")) == appended
        assert program.asked == []
        program.do("resume")
        assert ["one" in words for words in program.asked] == [True]

    def test_a_tool_that_comes_back_meanwhile_is_spoken_of_afterwards(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond()
        stage.call_function("lookup")
        stage.done()
        program.do("pause")
        stage.feed(stage.call.tool_finished, "fc", "42")
        assert len(program.asked) == 1
        program.do("resume")
        assert len(program.asked) == 2

    def test_twice_or_without_is_illegal(self, program: Program) -> None:
        with pytest.raises(LocalProtocolError):
            program.do("resume")
        program.do("pause")
        with pytest.raises(LocalProtocolError):
            program.do("pause")

    def test_a_goodbye_is_heard_all_the_same(self, program: Program) -> None:
        stage = program.stage
        program.do("pause")
        program.do("hang_up", says_goodbye=True)
        assert stage.of(steering.Halted)[-1] == steering.Halted(False)
        stage.respond(ms=200)
        stage.finish()
        stage.play(200 + TAIL_MS + 20)
        assert stage.ended.reason == "hung_up"


class TestMute:
    def test_the_agent_hears_a_muted_caller_no_more(self, program: Program) -> None:
        stage = program.stage
        program.do("mute", "caller")
        assert stage.of(steering.Muted) == [steering.Muted(caller=True, agent=False)]
        stage.hear(TURN)
        assert not stage.of(events.SpeechStarted)
        stage.press("1")
        assert stage.of(events.DigitPressed)
        program.do("mute", "caller", False)
        stage.hear(TURN)
        assert stage.of(events.SpeechStarted)

    def test_a_turn_in_which_he_is_muted_ends(self, program: Program) -> None:
        stage = program.stage
        stage.hear("." * 15 + "s" * 10)
        program.do("mute", "caller")
        stage.hear("s" * 30)
        assert len(program.asked) == 1

    def test_the_caller_hears_a_muted_agent_no_more(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond(ms=400)
        program.do("mute", "both")
        assert stage.play(200) == b"\xff" * 1600
        program.do("mute", "agent", False)
        assert stage.play(200) != b"\xff" * 1600
        assert stage.of(steering.Muted)[-1] == steering.Muted(caller=True, agent=False)


class TestSendEvent:
    def test_it_is_sent_under_an_id_of_ours(self, program: Program) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "The parcel came."}]}
        program.do("send_event", {"type": "conversation.item.create", "item": item, "event_id": "theirs"})
        (sent,) = program.stage.sent("conversation.item.create")
        assert sent["item"] == item
        assert sent["event_id"].startswith("own_")

    @pytest.mark.parametrize(
        "event",
        [
            {},
            {"type": 3},
            {"type": "response.create"},
            {"type": "response.cancel"},
            {"type": "input_audio_buffer.append", "audio": ""},
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 0},
            {"type": "session.update", "session": {"type": "realtime", "audio": {}}},
            {"type": "session.update", "session": {"type": "realtime", "tools": []}},
            {"type": "session.update", "session": None},
            {"type": "conversation.item.create", "item": {"text": "x" * MAX_EVENT_BYTES}},
            {"type": "conversation.item.create", "item": object()},
        ],
    )
    def test_what_is_the_calls_own_too_long_or_no_json_is_refused(self, program: Program, event: Any) -> None:
        before = len(program.stage.sent())
        with pytest.raises(LocalProtocolError):
            program.do("send_event", event)
        assert len(program.stage.sent()) == before

    def test_what_is_allowed_is_said(self) -> None:
        assert sorted(ALLOWED_EVENTS) == ["conversation.item.create", "conversation.item.delete", "session.update"]

    def test_instructions_can_be_updated(self, program: Program) -> None:
        session = {"type": "realtime", "instructions": "Whisper."}
        program.do("send_event", {"type": "session.update", "session": session})
        assert program.stage.sent("session.update")[-1]["session"] == session


class TestDigits:
    def test_they_are_pressed(self, program: Program) -> None:
        program.do("send_digits", "4#")
        packets = [program.stage.tick() for _ in range(30)]
        assert {packet.payload[0] for packet in packets if packet and packet.payload_type == 101} == {4, 11}

    def test_where_rtp_takes_none_they_go_in_info(self) -> None:
        program = Program(keys_in_rtp=False).answered()
        assert program.do("send_digits", "4#") == [events.PressKeys("4#")]

    @pytest.mark.parametrize("digits", ["", "4 5", "x", "1" * 65])
    def test_what_is_no_key_is_refused(self, program: Program, digits: str) -> None:
        with pytest.raises(LocalProtocolError):
            program.do("send_digits", digits)


class TestTransfer:
    @pytest.fixture
    def program(self) -> Program:
        return Program(transfer=TRANSFER).answered()

    @pytest.mark.parametrize("target", ["sales", "sip:200@pbx.example.com"])
    def test_the_agent_says_so_and_it_is_heard_before_the_peer_is_asked(self, program: Program, target: str) -> None:
        stage = program.stage
        program.do("transfer", target)
        assert ANNOUNCE.format(destination=target) in program.asked[-1]
        stage.advance(1.0)
        assert not stage.of(events.Refer)
        stage.respond(ms=300)
        stage.finish()
        stage.play(300 + TAIL_MS - 20)
        assert not stage.of(events.Refer)
        stage.tick()
        assert stage.of(events.Refer) == [events.Refer(SALES)]
        stage.feed(stage.call.refer_finished, 200)
        assert stage.ended.reason == "transferred"

    def test_what_is_being_said_is_finished_first(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond(ms=1000)
        program.do("transfer", "sales")
        stage.finish()
        assert ANNOUNCE.format(destination="sales") in program.asked[-1]
        stage.respond(ms=300, response_id="resp_2", item_id="item_2")
        stage.finish(response_id="resp_2", item_id="item_2")
        stage.play(1300)
        assert not stage.of(events.Refer)
        stage.play(TAIL_MS + 20)
        assert len(stage.of(events.Refer)) == 1

    def test_when_it_fails_the_agent_says_why(self, program: Program) -> None:
        stage = program.stage
        program.do("transfer", "sales")
        stage.respond(ms=100)
        stage.finish()
        stage.play(100 + TAIL_MS + 20)
        stage.feed(stage.call.refer_finished, 486)
        assert "the line is busy" in program.asked[-1]
        assert stage.call.phase is Phase.UP

    @pytest.mark.parametrize("target", ["nobody", "sip:evil@elsewhere.example", "0900123456", "", "sip:"])
    def test_where_it_may_not_go_it_does_not(self, program: Program, target: str) -> None:
        with pytest.raises(LocalProtocolError, match="not allowed"):
            program.do("transfer", target)
        assert program.asked == []

    def test_one_at_a_time(self, program: Program) -> None:
        program.do("transfer", "sales")
        with pytest.raises(LocalProtocolError):
            program.do("transfer", "sales")
        with pytest.raises(LocalProtocolError):
            program.do("pause")

    def test_the_model_has_no_such_tool_where_only_the_program_may(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond()
        stage.call_function("transfer", arguments='{"destination": "sales"}')
        stage.play(1000)
        assert not stage.of(events.Refer)
        assert stage.of(events.RunTool)  # of which the shell says that there is none


class TestHangUp:
    def test_what_is_being_said_is_heard(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond(ms=1000)
        stage.finish()
        stage.play(200)
        program.do("hang_up", "closing_time")
        stage.play(800 + TAIL_MS - 20)
        assert not stage.of(events.HangUp)
        stage.tick()
        assert stage.ended.reason == "closing_time"
        assert len(program.asked) == 1

    def test_at_once_cuts_a_word(self, program: Program) -> None:
        stage = program.stage
        stage.hear(TURN)
        stage.respond("One two three.", ms=1000)
        stage.play(200)
        program.do("hang_up", at_once=True)
        assert stage.ended.reason == "hung_up"
        assert [said.is_cut for said in stage.of(events.AgentSaid)] == [True]

    def test_a_call_that_rings_is_ended_and_an_ended_one_is_not(self) -> None:
        program = Program()
        program.stage.feed(program.stage.call.receive_invite, describe())
        program.do("hang_up")
        assert program.stage.ended.reason == "hung_up"
        with pytest.raises(LocalProtocolError):
            program.do("hang_up")

    @pytest.mark.parametrize("reason", ["", "two words", "x" * 200, "line\nbreak"])
    def test_a_reason_is_a_word(self, program: Program, reason: str) -> None:
        with pytest.raises(LocalProtocolError):
            program.do("hang_up", reason)


class TestRecording:
    def test_it_begins_and_ends_at_a_word_and_a_second_is_another(self, program: Program) -> None:
        stage = program.stage
        stage.hear("." * 100)
        assert not stage.of(events.RecordAudio)
        with pytest.raises(LocalProtocolError):
            program.do("stop_recording")
        for number in (1, 2):
            program.do("start_recording")
            with pytest.raises(LocalProtocolError):
                program.do("start_recording")
            stage.outputs.clear()
            for _ in range(round(2.0 / FRAME_S)):
                stage.hear("s")
                stage.call.next_packet(now=stage.now)
            program.do("stop_recording")
            pieces = stage.of(events.RecordAudio)
            assert sum(len(piece.caller) for piece in pieces) == pytest.approx(16_000, abs=400), number
            assert isinstance(stage.outputs[-2], events.CloseRecording)
            assert isinstance(stage.outputs[-1], steering.RecordingStopped)


@pytest.fixture
def burst() -> Callable[[Stage], None]:
    def say(stage: Stage) -> None:
        """Let the model say goodbye in one burst, much faster than it is heard, with the call of the tool behind it."""
        stage.hear(TURN)
        stage.respond("Goodbye, and thank you for calling.", ms=3000)
        stage.call_function("hang_up")
        stage.finish()

    return say


class TestTheSentenceIsFinished:
    """Pitfall 14: the end of what the model sends is not the end of what is heard."""

    def test_pitfall_14_a_goodbye_in_one_burst_with_the_tool_in_the_same_response(
        self, program: Program, burst: Callable[[Stage], None]
    ) -> None:
        stage = program.stage
        burst(stage)
        heard = stage.play(3000)
        assert b"\xff" * 160 not in heard
        assert not stage.of(events.HangUp)
        stage.play(TAIL_MS + 20)
        assert stage.ended.reason == "agent"
        assert [said.heard_ms for said in stage.of(events.AgentSaid)] == [3000]

    def test_pitfall_14_a_caller_who_speaks_over_the_goodbye_does_not_cut_it(
        self, program: Program, burst: Callable[[Stage], None]
    ) -> None:
        stage = program.stage
        burst(stage)
        heard = b""
        for _ in range(150):
            stage.hear("s")
            packet = stage.call.next_packet(now=stage.now)
            stage.drain()
            assert packet is not None
            heard += packet[12:]
        assert b"\xff" * 160 not in heard
        stage.play(TAIL_MS + 20)
        assert stage.ended.reason == "agent"
        assert json.dumps(stage.sent("conversation.item.truncate")) == "[]"


def test_a_prompt_is_answered_in_the_next_pause(program: Program) -> None:
    program.do("prompt", "Tell the caller a joke.")
    assert program.asked == ["Tell the caller a joke."]
    for text in (" ", "x" * (MAX_TEXT + 1)):
        with pytest.raises(LocalProtocolError, match="1 to 4000"):
            program.do("prompt", text)


@pytest.mark.parametrize("tells_words", [True, False])
def test_words_are_told_as_they_come_to_whoever_judges_them(tells_words: bool) -> None:
    program = Program(greeting="Greet.", talks={"tells_words": tells_words}).answered()
    ids = {"response_id": "resp", "item_id": "item", "output_index": 0, "content_index": 0}
    program.stage.say("response.created", response={"id": "resp"})
    for delta in ("Good day ", "to you."):
        program.stage.say("response.output_audio_transcript.delta", delta=delta, **ids)
    program.stage.transcribe("Good day to you.")
    wrote = program.stage.of(events.AgentWrote)
    assert "".join(fact.text for fact in wrote) == ("Good day to you." if tells_words else "")
    assert {fact.item_id for fact in wrote} == ({"item"} if tells_words else set())
