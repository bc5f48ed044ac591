from dataclasses import dataclass

from sipagent.agent.tool_set import MAX_TOOLS, gather
from sipagent.agent.tools import Tool, tool


@dataclass(frozen=True)
class Source:
    name: str
    tools: tuple[Tool, ...]


def make(name: str) -> Tool:
    @tool(name=name)
    def function() -> str:
        return name

    return function


def names(own: list[str], **sources: list[str]) -> list[str]:
    made = [Source(name, tuple(map(make, tools))) for name, tools in sources.items()]
    return [each.name for each in gather(map(make, own), made)]


def test_a_name_that_is_alone_stays() -> None:
    assert names(["hang_up"], files=["read", "write"], web=["search"]) == ["hang_up", "read", "write", "search"]


def test_names_that_collide_get_their_server_s_in_front() -> None:
    assert names(["find"], files=["find", "read"], web=["find", "read"]) == [
        "find", "files_find", "files_read", "web_find", "web_read",
    ]  # fmt: skip


def test_what_still_collides_is_left_out() -> None:
    assert names(["a", "s_a"], s=["a", "b"]) == ["a", "s_a", "b"]
    assert names(["a"], **{"s" * 64: ["a", "a"]}) == ["a", "s" * 64]


def test_no_more_than_the_model_takes() -> None:
    assert len(names(["a"], many=[f"t{number}" for number in range(200)])) == MAX_TOOLS


def test_a_tool_by_another_name_is_the_same_function() -> None:
    tools = gather([make("find")], [Source("files", (make("find"),))])
    assert [each() for each in tools] == ["find", "find"]
