import functools
from contextlib import suppress
from dataclasses import FrozenInstanceError
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sipagent
from sipagent.agent.tools import DEFAULT_TIMEOUT_S, CallInfo, Tool, ToolArgumentError, tool

CALL = CallInfo("a1b2", caller="sip:ada@example.com", called="sip:100@example.com", agent="reception")


@tool
def look_up(number: int, part: Literal["status", "price"] = "status", note: Annotated[str, "Anything."] = "") -> str:
    """Look up an order.

    Args:
        number: The order's number.
    """
    return f"{number} {part} {note}".strip()


@tool(timeout_s=3)
async def fetch(call: CallInfo, word: str) -> dict[str, str]:
    """Fetch a word.

    :param word: which one
    """
    return {"caller": call.caller, "word": word}


def test_the_definition_is_what_session_update_wants() -> None:
    assert look_up.definition == {
        "type": "function",
        "name": "look_up",
        "description": "Look up an order.",
        "parameters": {
            "type": "object",
            "properties": {
                "number": {"type": "integer", "description": "The order's number."},
                "part": {"enum": ["price", "status"], "default": "status"},
                "note": {"type": "string", "description": "Anything.", "default": ""},
            },
            "required": ["number"],
            "additionalProperties": False,
        },
    }


def test_a_tool_is_still_its_function() -> None:
    assert look_up(7, part="price") == "7 price"
    assert not look_up.is_async
    assert look_up.timeout_s == DEFAULT_TIMEOUT_S


def test_an_async_tool_with_a_timeout_and_the_call() -> None:
    assert fetch.is_async
    assert fetch.timeout_s == 3
    assert list(fetch.parameters["properties"]) == ["word"]
    assert fetch.parse_arguments('{"word":"hi"}', CALL) == {"word": "hi", "call": CALL}
    assert fetch.parse_arguments('{"word":"hi"}') == {"word": "hi"}


def test_the_call_is_not_given_to_who_does_not_ask() -> None:
    assert look_up.parse_arguments('{"number":7}', CALL) == {"number": 7}


def test_the_model_cannot_fill_in_the_call() -> None:
    with pytest.raises(ToolArgumentError, match="there is no parameter call"):
        fetch.parse_arguments('{"word":"hi","call":{"call_id":"x"}}', CALL)


def test_name_and_description_may_be_given() -> None:
    made = tool(name="find-it", description="Find.")(look_up.function)
    assert (made.name, made.description) == ("find-it", "Find.")
    assert tool(description="")(look_up.function).description == ""


def test_a_bound_method_and_an_undocumented_function() -> None:
    class Desk:
        def ring(self, times: int) -> int:
            return times

    made = tool(Desk().ring)
    assert made.description == ""
    assert made(**made.parse_arguments('{"times":"2"}')) == 2


def test_the_package_exports_the_decorator() -> None:
    assert sipagent.tool is tool


def test_a_tool_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        look_up.name = "x"  # type: ignore[misc]


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_arguments(text: str) -> None:
    @tool
    def now() -> str:
        return "noon"

    assert now.parse_arguments(text) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "The arguments of look_up are not valid JSON."),
        ("number=7", "The arguments of look_up are not valid JSON."),
        ('{"number":NaN}', "The arguments of look_up are not valid JSON."),
        ("[" * 100_000, "The arguments of look_up are not valid JSON."),
        ("\ud800", "The arguments of look_up are not valid JSON."),
        ("[]", "The arguments of look_up must be a JSON object."),
        ("null", "The arguments of look_up must be a JSON object."),
        ("", "The arguments of look_up are wrong: number is missing."),
        ('{"number":7,"colour":"red"}', "The arguments of look_up are wrong: there is no parameter colour."),
        ('{"number":"seven"}', "The arguments of look_up are wrong: Expected int, got str, in number."),
        ('{"number":[7]}', "The arguments of look_up are wrong: Expected int, got array, in number."),
        ('{"number":7,"part":"size"}', "The arguments of look_up are wrong: Invalid enum value 'size', in part."),
    ],
)
def test_arguments_that_do_not_fit_make_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ToolArgumentError) as caught:
        look_up.parse_arguments(text)
    assert str(caught.value) == sentence


@given(st.text() | st.dictionaries(st.text(), st.none() | st.integers() | st.text()).map(str))
def test_any_text_is_arguments_or_a_tool_argument_error(text: str) -> None:
    with suppress(ToolArgumentError):
        assert "number" in look_up.parse_arguments(text)


def good(a: int) -> None: ...


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: tool(name="with space")(good), "tool 'with space': a name has"),
        (lambda: tool(name="x" * 65)(good), "tool 'xxx.*': a name has"),
        (lambda: tool(lambda a: a), "tool '<lambda>': a name has"),
        (lambda: tool(functools.partial(good, 1)), "tool '': a name has"),
        (lambda: tool(timeout_s=0)(good), "tool good: timeout_s is 0"),
        (lambda: tool(timeout_s=float("nan"))(good), "tool good: timeout_s is nan"),
        (lambda: tool(name="anything")(lambda a: a), "tool anything: .*a needs a type hint"),
    ],
)
def test_what_cannot_be_a_tool(make: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        make()


def test_a_tool_is_a_tool() -> None:
    assert isinstance(look_up, Tool)
    assert isinstance(fetch, Tool)
