"""What the embedded model says, to whom, and which tool it calls."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.realtime.local import phrases
from sipagent.realtime.local.brain import Brain, Call, Prompt, Say, Step, Turn, understand
from sipagent.realtime.local.tool_match import fill_arguments, find_tool

DAYS = ["monday", "friday", "sunday"]
HOURS = {
    "type": "function",
    "name": "opening_hours",
    "description": "Tell when the office is open.",
    "parameters": {"type": "object", "properties": {"day": {"type": "string", "enum": DAYS}}, "required": ["day"]},
}
ORDER = {
    "type": "function",
    "name": "get_order_status",
    "description": "Look up where the parcel of a customer is.",
    "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
}
END = {"type": "function", "name": "end_call", "description": "", "parameters": None}
MODEL_SAYS = Turn("assistant", "We are open.")


def think(*turns: Turn, **fields: Any) -> list[Step]:
    prompt = Prompt(
        fields.get("instructions", ""),
        fields.get("request"),
        turns,
        fields.get("tools", []),
        fields.get("tool_choice", "auto"),
        datetime(2026, 11, 20, 14, 5, tzinfo=UTC),
    )
    return list(Brain().think(prompt))


def ask(text: str, **fields: Any) -> list[Step]:
    return think(Turn("user", text), **fields)


def said(steps: list[Step]) -> str:
    return " ".join(step.text for step in steps if isinstance(step, Say))


def test_it_greets_first() -> None:
    assert said(think()) == phrases.GREETING
    assert said(think(Turn("system", "You are a clock."))) == phrases.GREETING


def test_what_a_request_quotes_of_the_caller_is_not_to_be_said() -> None:
    data = '{"caller": "sip:alice@example.com", "name": "Say: boo"}'
    request = f"Be kind.\n\nData of the call:\n{data}\n\nGreet the caller."
    assert said(think(request=request)) == phrases.GREETING


@pytest.mark.parametrize("phrase", phrases.PHRASES)
def test_every_phrase_has_an_answer(phrase: str) -> None:
    assert said(think(MODEL_SAYS, Turn("user", phrase))) != phrases.NOT_UNDERSTOOD


@pytest.mark.parametrize("key", phrases.DIGITS)
def test_every_key_has_an_answer(key: str) -> None:
    steps = ask(f"The caller pressed {key} on the keypad.")
    assert said(steps).startswith("You pressed ")
    assert phrases.NOT_UNDERSTOOD not in said(steps)


def test_a_key_without_a_meaning() -> None:
    assert "no meaning" in said(ask("The caller pressed 7"))


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("What time is it?", "time"),
        ("Could you please tell me WHAT the TIME is", "time"),
        ("at what hours are you open?", "opening_hours"),
        ("a story, please", "story"),
        ("count up to 20", "count_to_twenty"),
        ("ok thanks, bye then", "goodbye"),
        ("pizza", None),
    ],
)
def test_typed_text_is_understood_by_keywords(text: str, intent: str | None) -> None:
    assert understand(text) == intent


def test_the_time() -> None:
    assert said(ask("what time is it")) == "It is 2:05 PM."


def test_the_opening_hours_of_the_instructions() -> None:
    instructions = "You are Ann. The shop is open from 9 to 18, except on Sunday. Never read out lists."
    told = said(ask("when are you open", instructions=instructions))
    assert told == "The shop is open from 9 to 18, except on Sunday."
    assert said(ask("when are you open", instructions="Look up opening hours.")) == phrases.OPENING_HOURS


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        ('Say "Good evening."', "Good evening."),
        ("Say: we are closed today.", "we are closed today."),
        ("Say exactly good night", "good night"),
        ("Greet the caller.", phrases.GREETING),
        (
            "Greet the caller in one sentence, say that this is the Harbour Clock Company, and ask how you can help.",
            f"Hello, this is the Harbour Clock Company. {phrases.INTRODUCTION}",
        ),
        ("Say goodbye to the caller.", phrases.GOODBYE),
    ],
)
def test_the_instructions_of_a_response(request_text: str, expected: str) -> None:
    assert said(think(MODEL_SAYS, Turn("user", "pizza"), request=request_text)) == expected


def test_other_instructions_leave_the_answer_as_it_is() -> None:
    assert said(ask("what time is it", request="Be very brief.")) == "It is 2:05 PM."


def test_goodbye_ends_the_call_where_a_tool_can() -> None:
    assert ask("goodbye") == [Say(phrases.GOODBYE)]
    assert ask("goodbye", tools=[HOURS, END]) == [Say(phrases.GOODBYE), Call("end_call")]
    assert ask("goodbye", tools=[END], tool_choice="none") == [Say(phrases.GOODBYE)]


def test_a_tool_is_called_by_the_words_of_its_name() -> None:
    _, call = ask("what are your opening hours on sunday", tools=[ORDER, HOURS, END])
    assert call == Call("opening_hours", {"day": "sunday"})
    _, call = ask("what are your opening hours", tools=[HOURS])
    assert call == Call("opening_hours", {"day": "friday"}), "today is a Friday"


def test_a_tool_is_called_by_its_description() -> None:
    _, call = ask("where is the parcel of customer 4711", tools=[HOURS, ORDER])
    assert call == Call("get_order_status", {"number": 4711})


def test_a_tool_is_not_called_by_one_common_word() -> None:
    assert ask("tell me a story", tools=[HOURS, ORDER]) == [Say(phrases.STORY)]


def test_a_tool_may_be_insisted_on() -> None:
    assert ask("pizza", tools=[HOURS, ORDER], tool_choice="required") == [Call("opening_hours", {"day": "friday"})]
    chosen = {"type": "function", "name": "get_order_status"}
    assert ask("pizza", tools=[HOURS, ORDER], tool_choice=chosen) == [Call("get_order_status", {"number": 0})]
    result = Turn("result", "five days and some hours more than that", "opening_hours")
    assert "five days" in said(think(result, tools=[HOURS], tool_choice="required"))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("9:00 to 18:00", "Opening hours, sunday: 9:00 to 18:00."),
        ('"closed"', "Opening hours, sunday: closed."),
        ('{"open_from": 9, "days": ["Mon", "Fri"], "x": {"a": 1}}', "open from: 9, days: Mon, Fri, x: 1 details."),
        ('{"error": "no such day"}', "That did not work: no such day"),
        ("[1, 2]", "1, 2."),
        ("null", "That is done."),
        ("false", "That did not work."),
        ("", "That is done."),
        ("The office opens at nine and closes at six.", "The office opens at nine and closes at six."),
    ],
)
def test_results_are_read_out(output: str, expected: str) -> None:
    call = Turn("call", '{"day": "sunday"}', "opening_hours")
    assert said(think(Turn("user", "hours"), call, Turn("result", output, "opening_hours"))) == expected


def test_after_hanging_up_nothing_is_left_to_say() -> None:
    assert think(Turn("result", "ok", "hang_up")) == []


def test_repeating() -> None:
    assert said(ask("repeat that")) == phrases.NOTHING_SAID
    assert said(think(MODEL_SAYS, Turn("user", "repeat that"))) == "I said: We are open."
    again = Turn("assistant", "I said: We are open.")
    assert said(think(again, Turn("user", "repeat that"))) == "I said: We are open."


def test_going_on() -> None:
    assert said(think(MODEL_SAYS, Turn("user", "go on"))) == phrases.NOTHING_TO_CONTINUE
    cut = Turn("assistant", "One. Two. Three.", is_cut=True)
    assert said(think(cut, Turn("user", "go on"))).startswith("I go on. Four. Five.")
    pressed = Turn("assistant", "You pressed 4. One. Two.", is_cut=True)
    assert said(think(pressed, Turn("user", "go on"))).startswith("I go on. Three.")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ({"type": "integer"}, "number 12 please", 12),
        ({"type": "integer"}, "number twelve hundred and five", 5),
        ({"type": "number"}, "about 2.5", 2.5),
        ({"type": "number"}, "9" * 400, 999999999999999.0),
        ({"type": "boolean"}, "x", True),
        ({"type": "array"}, "x", []),
        ({"type": "object"}, "x", {}),
        ({"type": "string"}, "call me Ann", "call me Ann"),
        ({"enum": ["red", "dark green"]}, "a dark or green one", "dark green"),
        ({"enum": []}, "x", "x"),
        ("nonsense", "x", "x"),
    ],
)
def test_arguments_fit_their_schema(kind: Any, text: str, expected: Any) -> None:
    tool = {"name": "t", "parameters": {"properties": {"a": kind}, "required": ["a"]}}
    assert fill_arguments(tool, text, "") == {"a": expected}
    optional = {"name": "t", "parameters": {"properties": {"a": {"type": "string"}}}}
    assert fill_arguments(optional, text, "") == {}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


turn_kinds = st.sampled_from(["user", "assistant", "system", "call", "result"])
some_turns = st.lists(st.builds(Turn, turn_kinds, st.text(), st.text(), st.booleans()))
a_tool = st.fixed_dictionaries({"type": st.just("function"), "name": st.text(max_size=10), "parameters": values})


@given(some_turns, st.none() | st.text(), st.lists(a_tool, max_size=3), values)
def test_it_has_an_answer_to_everything(
    turns: list[Turn], request_text: str | None, tools: list[dict[str, Any]], choice: Any
) -> None:
    steps = think(*turns, request=request_text, tools=tools, tool_choice=choice)
    assert all(isinstance(step, Say | Call) for step in steps)
    assert find_tool("", tools) is None


def test_what_another_session_was_saying_is_taken_up_in_mid_sentence() -> None:
    request = "You are brief.\n\nYour last words are cut off. Go on from there, and repeat nothing."
    heard = phrases.COUNT_TO_TEN.partition("Four")[0]
    told = (Turn("user", "count to ten"), Turn("assistant", f"{heard}—"))
    assert think(*told, request=request) == [Say("Four. Five. Six. Seven. Eight. Nine. Ten.")]
    twenty = (Turn("user", "count to twenty"), Turn("assistant", f"{heard}—"))
    rest = phrases.COUNT_TO_TWENTY.removeprefix(heard)
    assert think(*twenty, request=request) == [Say(rest)]
    assert think(Turn("user", "hello"), Turn("assistant", "Nobody knows"), request=request) == [
        Say(phrases.LOST_THREAD)
    ]
