"""Keys for the model's tools: pressed for it by the leg, and collected for it from the caller."""

import json
from math import inf

import pytest
from call.stage import EVENT, Stage

from sipagent.agent.builtin import COLLECT_DIGITS, DIGITS_MAX, SEND_DIGITS
from sipagent.call import events
from sipagent.call.collecting import Collecting
from sipagent.errors import LocalProtocolError

COLLECT, SEND = COLLECT_DIGITS.name, SEND_DIGITS.name
BOTH = frozenset((COLLECT, SEND))


class Desk:
    """The tools, and what they pressed."""

    def __init__(self) -> None:
        self.pressed: list[str] = []
        self.tools = Collecting(BOTH, press=self.pressed.append)

    def collect(self, *, pressed: str = "", queued_ms: int = 0, now: float = 100.0, **arguments: object) -> str | None:
        text = json.dumps(arguments)
        return self.tools.start("fc", COLLECT, text, pressed=pressed, queued_ms=queued_ms, now=now)

    def send(self, digits: str) -> str | None:
        return self.tools.start("fc", SEND, json.dumps({"digits": digits}), pressed="", queued_ms=0, now=100.0)

    def output(self, at: float, *, queued_ms: int = 0) -> str | None:
        done = self.tools.handle_timer(queued_ms=queued_ms, now=at)
        return None if done is None else done[1]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_terminator_ends_a_number_and_is_no_part_of_it(desk: Desk) -> None:
    assert desk.collect() is None
    for number, digit in enumerate("4711#"):
        assert desk.tools.take(digit, now=101.0 + number)
    assert desk.tools.due_at == 105.0
    assert desk.tools.handle_timer(queued_ms=0, now=105.0) == ("fc", "4711")
    assert desk.tools.due_at == inf
    assert not desk.tools.take("5", now=106.0)


def test_a_number_that_is_long_enough_is_complete(desk: Desk) -> None:
    desk.collect(max_digits=3, terminator="none")
    for digit in "4#*":
        assert desk.output(100.5) is None
        assert desk.tools.take(digit, now=101.0)
    assert not desk.tools.take("9", now=101.0), "what is pressed after it is for others"
    assert desk.output(101.0) == "4#*"


def test_the_time_runs_anew_with_every_key(desk: Desk) -> None:
    desk.collect(timeout_s=5)
    assert desk.tools.due_at == 105.0
    desk.tools.take("1", now=104.0)
    assert desk.output(105.0) is None
    assert desk.tools.due_at == 109.0
    assert desk.output(108.999) is None
    assert desk.output(109.0) == "1"


def test_nothing_is_said_to_be_nothing(desk: Desk) -> None:
    desk.collect(timeout_s=5)
    assert desk.output(105.0) == "Nothing: the caller pressed no key for 5 s."
    desk.collect(terminator="*")
    desk.tools.take("*", now=101.0)
    assert desk.output(101.0) == "Nothing: the caller pressed * at once."


def test_the_question_is_heard_before_the_time_runs(desk: Desk) -> None:
    desk.collect(timeout_s=5, queued_ms=4_000)
    assert desk.tools.due_at == 109.0
    assert desk.output(109.0, queued_ms=2_000) is None, "the agent goes on talking"
    assert desk.tools.due_at == 116.0
    assert desk.output(116.0) is not None


def test_keys_pressed_in_expectation_of_the_question_count(desk: Desk) -> None:
    desk.collect(pressed="12", max_digits=3)
    desk.tools.take("3", now=101.0)
    assert desk.output(101.0) == "123"


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_digits": 0},
        {"max_digits": DIGITS_MAX + 1},
        {"terminator": "5"},
        {"timeout_s": 0},
        {"timeout_s": 1e9},
        {"a": 1},
    ],
)
def test_arguments_that_make_no_sense_are_told_in_a_sentence(desk: Desk, arguments: dict[str, object]) -> None:
    output = desk.collect(**arguments)
    assert output is not None
    assert COLLECT in output
    assert desk.tools.due_at == inf


def test_one_number_at_a_time(desk: Desk) -> None:
    assert desk.collect() is None
    assert desk.collect() == "A number is being waited for already."


@pytest.mark.parametrize(("asked", "pressed"), [("123#", "123#"), ("0800 123-456", "0800123456"), ("12a*", "12A*")])
def test_keys_are_pressed(desk: Desk, asked: str, pressed: str) -> None:
    assert desk.send(asked) == f"The keys {' '.join(pressed)} are being pressed."
    assert desk.pressed == [pressed]


@pytest.mark.parametrize("digits", ["", "12x", "+49", "1" * 65, "- -", "１"])
def test_what_is_no_key_is_not_pressed(desk: Desk, digits: str) -> None:
    assert desk.send(digits)
    assert desk.pressed == []


def test_too_many_keys_at_once_are_told_in_a_sentence() -> None:
    def press(digits: str) -> None:
        raise LocalProtocolError("64 digits are waiting already")

    tools = Collecting(BOTH, press=press)
    output = tools.start("fc", SEND, '{"digits": "1"}', pressed="", queued_ms=0, now=0.0)
    assert output == "The keys could not be pressed: 64 digits are waiting already."


# In a call


def ask(stage: Stage, name: str, **arguments: object) -> None:
    """The caller says something, and the model calls the tool."""
    stage.hear("s" * 10 + "." * 30)
    stage.respond()
    stage.call_function(name, arguments=json.dumps(arguments))
    stage.finish()


def outputs(stage: Stage) -> list[str]:
    items = [sent["item"] for sent in stage.sent("conversation.item.create")]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


@pytest.fixture
def stage() -> Stage:
    stage = Stage(key_tools=BOTH)
    stage.answer()
    stage.feed(stage.call.receive_ack, b"")
    return stage


def test_the_model_gets_the_number_and_goes_on(stage: Stage) -> None:
    ask(stage, COLLECT, max_digits=4)
    responses = len(stage.sent("response.create"))
    for digit in "4711":
        stage.press(digit)
    stage.advance(0.1)
    assert outputs(stage) == ["4711"]
    assert len(stage.sent("response.create")) == responses + 1
    assert not stage.of(events.RunTool), "the call itself sees to it"
    stage.advance(3.0)
    assert "keypad" not in str(stage.sent("conversation.item.create")), "and it is not told twice"


def test_after_the_number_keys_are_told_as_they_are_otherwise(stage: Stage) -> None:
    ask(stage, COLLECT, max_digits=1)
    stage.press("1")
    stage.press("2")
    stage.advance(2.0)
    assert outputs(stage) == ["1"]
    assert "pressed 2 on the keypad" in str(stage.sent("conversation.item.create")[-1])


def test_a_key_stops_the_question(stage: Stage) -> None:
    stage.hear("s" * 10 + "." * 30)
    stage.respond("Enter your number, please.", ms=3_000)
    stage.call_function(COLLECT)
    stage.finish()
    stage.play(200)
    stage.press("1")
    assert stage.of(events.BargedIn)
    stage.press("#")
    stage.advance(0.1)
    assert outputs(stage) == ["1"]


def test_a_caller_who_presses_nothing_is_told_of_in_time(stage: Stage) -> None:
    ask(stage, COLLECT, timeout_s=5)
    stage.advance(4.9)
    assert outputs(stage) == []
    stage.advance(0.2)
    assert outputs(stage) == ["Nothing: the caller pressed no key for 5 s."]


def test_keys_go_in_rtp_where_the_peer_takes_them(stage: Stage) -> None:
    ask(stage, SEND, digits="42")
    assert outputs(stage) == ["The keys 4 2 are being pressed."]
    packets = [stage.tick() for _ in range(40)]
    events_sent = [packet for packet in packets if packet is not None and packet.payload_type == EVENT]
    codes = [packet.payload[0] for packet in events_sent]
    assert list(dict.fromkeys(codes)) == [4, 2]
    assert not stage.of(events.PressKeys)


def test_they_go_in_info_where_it_does_not() -> None:
    stage = Stage(key_tools=BOTH, keys_in_rtp=False)
    stage.answer()
    ask(stage, SEND, digits="42")
    assert stage.of(events.PressKeys) == [events.PressKeys("42")]
    assert outputs(stage) == ["The keys 4 2 are being pressed."]


def test_an_agent_without_the_tools_may_have_its_own_of_these_names() -> None:
    stage = Stage()
    stage.answer()
    ask(stage, COLLECT)
    assert [run.name for run in stage.of(events.RunTool)] == [COLLECT]
