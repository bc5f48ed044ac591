import pytest

from sipagent.agent.builtin import HANG_UP
from sipagent.agent.profile import AgentProfile
from sipagent.agent.tools import tool
from sipagent.errors import ConfigError


@tool
def look_up(number: int) -> str:
    """Look up an order."""
    return str(number)


def test_tools_are_found_and_defined_in_order() -> None:
    profile = AgentProfile("reception", "Be kind.", tools=(HANG_UP, look_up))
    assert profile.tool_definitions == (HANG_UP.definition, look_up.definition)
    assert profile.find_tool("look_up") is look_up
    assert profile.find_tool("order_pizza") is None


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="agent reception: two tools have the name look_up"):
        AgentProfile("reception", "Be kind.", tools=(look_up, HANG_UP, look_up))
