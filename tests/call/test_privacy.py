"""What is told of a call, and what is not."""

import io
import json
from collections.abc import Iterator
from typing import get_args

import pytest
from call.stage import SPEECH, Stage, describe

from sipagent.aio.log import set_up
from sipagent.call import events
from sipagent.call.privacy import DIGIT, PAUSED, PrivacySettings
from sipagent.control.metrics import Metrics
from sipagent.control.observer import CallObserver

CARD = "4111111111111111"
FACTS = get_args(events.Fact)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, at the level at which most is."""
    stream = io.StringIO()
    set_up(level="debug", style="json", stream=stream)
    yield stream
    set_up(level="info", style="json")


def write_down(stage: Stage, words: str) -> None:
    """Let the model's ear write down what the caller said."""
    stage.say("conversation.item.input_audio_transcription.completed", item_id="turn", transcript=words)


def talk(stage: Stage, *, caller: str = "It is four seven one.") -> None:
    """A question, the caller's answer in words, and the agent's words to it."""
    stage.answer(describe())
    stage.hear("s" * 10 + "." * 30)
    write_down(stage, caller)
    stage.respond("So you are 4 7 1.", ms=400)
    stage.finish()
    stage.play(500)


def told(stage: Stage) -> list[events.Fact]:
    return [output for output in stage.outputs if isinstance(output, FACTS)]


def test_without_rules_everything_is_told() -> None:
    stage = Stage(transcribes=True)
    talk(stage)
    assert [said.text for said in stage.of(events.CallerSaid)] == ["It is four seven one."]
    assert [said.text for said in stage.of(events.AgentSaid)] == ["So you are 4 7 1."]


def test_numbers_are_known_in_the_languages_that_are_named() -> None:
    german = PrivacySettings(("digits",), ("de",))
    stage = Stage(transcribes=True, privacy=german)
    talk(stage, caller="Es ist vier sieben eins.")
    assert [said.text for said in stage.of(events.CallerSaid)] == ["Es ist [digits]."]


def test_what_is_redacted_is_told_to_nobody_and_the_model_has_it_whole() -> None:
    stage = Stage(transcribes=True, privacy=PrivacySettings(("digits",)), key_tools=["send_digits"])
    talk(stage)
    assert [said.text for said in stage.of(events.CallerSaid)] == ["It is [digits]."]
    assert [said.text for said in stage.of(events.AgentSaid)] == ["So you are [digits]."]
    stage.hear("s" * 10 + "." * 30)
    stage.respond(response_id="next")
    stage.call_function("order", arguments='{"number": 4711}', response_id="next")
    stage.done(response_id="next")
    (called,) = stage.of(events.ToolCalled)
    assert json.loads(called.arguments) == {"number": "[digits]"}
    (run,) = stage.of(events.RunTool)
    assert run.arguments == '{"number": 4711}', "a tool is given what the model wrote"
    stage.feed(stage.call.tool_finished, "fc", "Order 4711 is on its way.")
    assert stage.of(events.ToolReturned)[0].output == "Order [digits] is on its way."
    output = next(each["item"] for each in stage.sent("conversation.item.create"))
    assert output["output"] == "Order 4711 is on its way."
    stage.press("5")
    assert stage.of(events.DigitPressed)[0].digit == DIGIT
    stage.advance(1.1)
    assert "pressed 5 on" in json.dumps(stage.sent()), "the model gets the key"


def collect(stage: Stage, arguments: dict[str, object]) -> None:
    """From the question to where the caller may begin to press keys."""
    stage.answer()
    stage.hear("s" * 10 + "." * 30)
    stage.respond()
    stage.call_function("collect_digits", arguments=json.dumps(arguments))
    stage.done()


@pytest.mark.parametrize(
    ("privacy", "arguments"),
    [(PrivacySettings(pci_pause=True), {"max_digits": 16}), (PrivacySettings(), {"max_digits": 16, "is_secret": True})],
    ids=["by_setting", "by_the_model"],
)
def test_a_secret_is_nowhere(privacy: PrivacySettings, arguments: dict[str, object], log: io.StringIO) -> None:
    stage = Stage(privacy=privacy, key_tools=["collect_digits"], records=True, transcribes=True)
    collect(stage, arguments)
    assert stage.of(events.RecordingPaused)
    write_down(stage, "It is four, I think.")
    for digit in CARD:
        stage.press(digit)
    stage.advance(0.1)
    assert stage.of(events.RecordingResumed)
    output = next(each["item"] for each in stage.sent("conversation.item.create"))
    assert output["output"] == CARD, "the model has it"
    stage.respond(f"That was {' '.join(CARD)}.", ms=200, response_id="next", item_id="next")
    stage.finish(response_id="next", item_id="next")
    stage.play(400)
    stage.hear("s" * 10 + "." * 30)
    stage.respond(response_id="last", item_id="last")
    stage.call_function("pay", call_id="pay", arguments=json.dumps({"card": CARD}), response_id="last")
    stage.done(response_id="last")
    stage.feed(stage.call.tool_finished, "pay", f"{CARD} was charged")
    stage.feed(stage.call.hang_up)
    assert stage.of(events.CallerSaid)[-1].text == PAUSED
    assert stage.of(events.AgentSaid)[-1].text == "That was [digits]."
    assert {pressed.digit for pressed in stage.of(events.DigitPressed)} == {DIGIT}
    observer = CallObserver(Metrics(active_calls=int, sip_counters=dict))
    for fact in told(stage):
        observer.observe("call", fact, now=stage.now)
    for text in (*map(repr, told(stage)), log.getvalue()):
        assert CARD not in text
        assert " ".join(CARD) not in text
    assert "tool_called" in log.getvalue(), "there is something in the log"


def test_what_is_said_while_a_secret_is_entered_is_not_recorded_whoever_else_resumes_it() -> None:
    stage = Stage(privacy=PrivacySettings(pci_pause=True), key_tools=["collect_digits"], records=True)
    collect(stage, {"max_digits": 4})
    record = stage.call.recording.record
    assert record is not None
    stage.feed(record.resume)
    assert record.is_paused
    stage.hear("." * 100)
    stage.outputs.clear()
    stage.hear("s" * 100 + "." * 50)
    pieces = stage.of(events.RecordAudio)
    assert pieces
    assert SPEECH not in b"".join(piece.caller for piece in pieces)
    for digit in "0815":
        stage.press(digit)
    stage.advance(0.1)
    assert not record.is_paused
    stage.outputs.clear()
    stage.hear("s" * 100)
    assert SPEECH in b"".join(piece.caller for piece in stage.of(events.RecordAudio))


def test_a_pause_that_was_there_before_stays() -> None:
    stage = Stage(privacy=PrivacySettings(pci_pause=True), key_tools=["collect_digits"], records=True)
    collect(stage, {"max_digits": 1})
    record = stage.call.recording.record
    assert record is not None
    stage.feed(record.pause)
    stage.press("1")
    stage.advance(0.1)
    assert record.is_paused
    stage.feed(record.resume)
    assert not record.is_paused


def test_a_recording_that_begins_while_a_secret_is_entered_is_paused_from_the_start() -> None:
    stage = Stage(privacy=PrivacySettings(pci_pause=True), key_tools=["collect_digits"])
    collect(stage, {"max_digits": 1})
    stage.feed(stage.call.recording.start)
    record = stage.call.recording.record
    assert record is not None
    assert record.is_paused
    stage.press("1")
    stage.advance(0.1)
    assert not record.is_paused


def test_no_audio_is_logged(log: io.StringIO) -> None:
    stage = Stage(records=True, greeting="Say hello.")
    stage.answer()
    stage.respond("Hello.", ms=400)
    stage.finish()
    stage.play(400)
    stage.hear("s" * 40 + "." * 30)
    stage.feed(stage.call.hang_up)
    observer = CallObserver(Metrics(active_calls=int, sip_counters=dict))
    for fact in told(stage):
        observer.observe("call", fact, now=stage.now)
    assert stage.sent("input_audio_buffer.append"), "there was some"
    lines = log.getvalue().splitlines()
    assert len(lines) > 5
    assert max(len(word) for line in lines for word in line.split('"')) < 100, "audio has no space in it"
