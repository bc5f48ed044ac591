"""Logs: one line an event whatever is in it, and no secret."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sipagent.aio.log import MAX_CHARACTERS, Cleaner, get_logger, set_up
from sipagent.config import Secret


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def read_json(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert isinstance(event, dict)
    return event


def test_json(stream: io.StringIO) -> None:
    set_up(level="info", style="json", stream=stream)
    get_logger(call="ab12").info("call_answered", codec="PCMU", seconds=0.25, local=("h", 1), none=None)
    event = read_json(stream)
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "info",
        "event": "call_answered",
        "call": "ab12",
        "codec": "PCMU",
        "seconds": 0.25,
        "local": ["h", 1],
        "none": None,
    }


def test_what_every_event_bears(stream: io.StringIO) -> None:
    set_up(level="info", style="json", stream=stream, fields={"worker": 2})
    get_logger(call="ab12").info("answered")
    event = read_json(stream)
    assert (event["call"], event["worker"]) == ("ab12", 2)


def test_console(stream: io.StringIO) -> None:
    set_up(level="info", style="console", stream=stream)
    get_logger(call="ab12").warning("tool_failed", reason="it is late", count=2, empty="")
    line = stream.getvalue()
    assert line[2] + line[5] + line[8] == "::."
    assert line[12:] == ' warning tool_failed  call=ab12  reason="it is late"  count=2  empty=""\n'


def test_colour_is_for_terminals() -> None:
    terminal = Terminal()
    set_up(level="info", style="auto", stream=terminal)
    get_logger().error("lost")
    assert terminal.getvalue().startswith("\x1b[31m")
    assert terminal.getvalue().endswith("lost\x1b[0m\n")


def test_auto_is_json_where_nobody_looks(stream: io.StringIO) -> None:
    set_up(level="info", style="auto", stream=stream)
    get_logger().info("started")
    assert read_json(stream)["event"] == "started"


def test_the_level_is_a_floor(stream: io.StringIO) -> None:
    set_up(level="warning", style="json", stream=stream)
    get_logger().info("not_this")
    get_logger().warning("this")
    assert read_json(stream)["event"] == "this"


@pytest.mark.parametrize("style", ["console", "json"])
def test_an_exception_is_one_line(stream: io.StringIO, style: str) -> None:
    set_up(level="info", style=style, stream=stream)
    try:
        raise ValueError("first\nsecond\x1b[2J")
    except ValueError:
        get_logger().exception("call_failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: first" in line
    assert "test_an_exception_is_one_line" in line
    assert "\x1b" not in line


def test_an_exception_may_be_given(stream: io.StringIO) -> None:
    set_up(level="info", style="json", stream=stream)
    get_logger().error("call_failed", exc_info=KeyError("x"))
    event = read_json(stream)
    assert event["error"] == "KeyError: 'x'"
    assert event["traceback"] == "KeyError: 'x'\\n"


def test_what_libraries_say_comes_along(stream: io.StringIO) -> None:
    set_up(level="debug", style="json", stream=stream)
    logging.getLogger("asyncio").info("not this")
    logging.getLogger("asyncio").error("slow: %s\n", "Bearer abc")
    event = read_json(stream)
    assert event.pop("time")
    assert event == {"level": "error", "event": "library_said", "logger": "asyncio", "message": "slow: Bearer ***\\n"}


def test_a_level_that_we_do_not_know_is_a_warning(stream: io.StringIO) -> None:
    set_up(level="debug", style="json", stream=stream)
    logging.getLogger("x").log(35, "odd")
    assert read_json(stream)["level"] == "warning"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("\u2028\u2029\u2066\ud800", "\\u2028\\u2029\\u2066\\ud800"),
        ("Zürich 東京 🙂", "Zürich 東京 🙂"),
    ],
)
def test_what_harms_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert Cleaner().clean(text) == shown
    assert Cleaner().clean({text: [text]}) == {shown: [shown]}


def test_bytes_are_shown_as_text() -> None:
    assert Cleaner().clean(b"INVITE sip:a\r\n\xff") == "INVITE sip:a\\r\\n\\xff"


def test_a_long_value_is_cut() -> None:
    shown = Cleaner().clean("x" * 10_000)
    assert shown == "x" * MAX_CHARACTERS + "… (10000 characters)"


def test_a_big_value_is_cut() -> None:
    assert Cleaner().clean(range(3)) == "range(0, 3)"
    assert Cleaner().clean(list(range(1000))) == list(range(50))
    deep: object = "x"
    for _ in range(1000):
        deep = [deep]
    assert Cleaner().clean(deep) == [[[["…"]]]]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer sk-abc\r\nTo: b", "Authorization: ***\\r\\nTo: b"),
        ('Proxy-Authorization: Digest username="a", response="b c"\r\nX: 1', "Proxy-Authorization: ***\\r\\nX: 1"),
        ("'authorization': 'Bearer abc'", "'authorization': '***'"),
        ("with bearer abc.def-1, then", "with bearer ***, then"),
        ("key sk-proj-abcdefgh123 was refused", "key *** was refused"),
        ("wss://h/?api_key=abc&x=1", "wss://h/?api_key=***&x=1"),
        ('{"password": "abc"}', '{"password": "***"}'),
        ("task-force risk-averse sk-8", "task-force risk-averse sk-8"),
        ("an authorization is missing", "an authorization is missing"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert Cleaner().clean(text) == shown


def test_a_field_named_for_a_secret_is_masked() -> None:
    event = {"api_key": "x", "Authorization": ["x"], "max_output_tokens": 5, "nested": {"Password": 1}, "token": None}
    assert Cleaner().clean(event) == {
        "api_key": "***",
        "Authorization": "***",
        "max_output_tokens": 5,
        "nested": {"Password": "***"},
        "token": None,
    }


def test_secrets_that_are_known_are_masked_wherever_they_are() -> None:
    clean = Cleaner(["hunter2", "hunter2.long", ""]).clean
    assert clean("url?x=hunter2.long&y=hunter2") == "url?x=***&y=***"
    assert clean(Secret("hunter2")) == "***"
    assert "hun" not in str(clean("x" * (MAX_CHARACTERS - 3) + "hunter2" + "x" * 100))


@given(st.text(), st.text())
def test_one_event_is_one_harmless_line(what: str, value: str) -> None:
    for style in ("console", "json"):
        stream = io.StringIO()
        set_up(level="info", style=style, stream=stream)
        get_logger().info(what, value=value)
        line = stream.getvalue()
        assert len(line.splitlines()) == 1
        assert line.endswith("\n")
        line.encode()
        assert "\x1b" not in line
        assert "\u202e" not in line


def test_a_caller_can_not_forge_a_field_on_the_console() -> None:
    stream = io.StringIO()
    set_up(level="info", style="console", stream=stream)
    get_logger().info("caller_said", text='four"  call="forged')
    assert 'text="four\\"  call=\\"forged"' in stream.getvalue()
