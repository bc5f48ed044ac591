"""The tools that come with every agent."""

import pytest

from sipagent.agent.builtin import COLLECT_DIGITS, HANG_UP, SEND_DIGITS, make_transfer
from sipagent.agent.tools import ToolArgumentError


def test_hang_up_wants_nothing() -> None:
    assert HANG_UP.parse_arguments("{}") == {}
    assert HANG_UP.definition["name"] == "hang_up"


def test_the_model_chooses_a_destination_by_name() -> None:
    tool = make_transfer(["sales", "the workshop"])
    schema = tool.parameters["properties"]["destination"]
    assert sorted(schema["enum"]) == ["sales", "the workshop"]
    assert tool.parameters["required"] == ["destination"]
    assert tool.parse_arguments('{"destination": "sales", "reason": "wants to buy"}') == {
        "destination": "sales",
        "reason": "wants to buy",
    }


@pytest.mark.parametrize("destination", ["+4930123", "sip:200@pbx.example", "Sales", ""])
def test_the_model_can_not_choose_a_number(destination: str) -> None:
    """Trap: toll fraud by talking the model into a premium number."""
    with pytest.raises(ToolArgumentError):
        make_transfer(["sales"]).parse_arguments(f'{{"destination": "{destination}"}}')


def test_where_any_number_is_allowed_the_names_are_told_as_well() -> None:
    tool = make_transfer(["sales"], allow_any=True)
    schema = tool.parameters["properties"]["destination"]
    assert schema["type"] == "string"
    assert "enum" not in schema
    assert "sales" in schema["description"]
    assert tool.parse_arguments('{"destination": "+4930"}') == {"destination": "+4930"}
    assert "enum" not in make_transfer([], allow_any=True).parameters["properties"]["destination"]


def test_a_transfer_to_nowhere_is_no_tool() -> None:
    with pytest.raises(TypeError, match="destinations"):
        make_transfer([])


def test_the_model_is_told_what_keys_there_are() -> None:
    assert SEND_DIGITS.parameters["required"] == ["digits"]
    assert SEND_DIGITS.parse_arguments('{"digits": "1# 23"}') == {"digits": "1# 23"}
    with pytest.raises(ToolArgumentError):
        SEND_DIGITS.parse_arguments('{"digits": "call me"}')


def test_the_model_may_collect_digits_without_saying_how() -> None:
    assert COLLECT_DIGITS.parse_arguments("{}") == {}
    assert COLLECT_DIGITS.parse_arguments('{"max_digits": "4", "terminator": "none", "timeout_s": 5}') == {
        "max_digits": 4,
        "terminator": "none",
        "timeout_s": 5.0,
    }
    assert set(COLLECT_DIGITS.parameters["properties"]) == {"max_digits", "terminator", "timeout_s", "is_secret"}
