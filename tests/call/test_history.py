"""The conversation as it was heard, bounded."""

from typing import Any, cast

from sipagent.call.history import CUT, MAX_CHARACTERS, MAX_ENTRIES, UNWRITTEN, History

SECOND = b"\x01" * 8000


class Session:
    """One that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def append_audio(self, audio: bytes) -> None:
        self.told.append(("audio", str(len(audio))))

    def commit(self) -> bool:
        _, size = self.told.pop()
        self.told.append(("turn", size))
        return True

    def create_message(self, role: str, words: str) -> None:
        self.told.append((role, words))

    def create_function_call(self, function_call_id: str, name: str, arguments: str) -> None:
        self.told.append(("call", function_call_id, name, arguments))

    def send_tool_output(self, function_call_id: str, output: str) -> None:
        self.told.append(("output", function_call_id, output))


def told(history: History, begin: int = 0) -> list[tuple[str, ...]]:
    """What another session would be told."""
    session = Session()
    history.tell(cast(Any, session), begin, history.end)
    return session.told


def test_a_turn_is_audio_until_it_is_written_down() -> None:
    history = History(60 * 8000)
    history.add_turn(SECOND)
    assert told(history) == [("turn", "8000")]
    history.name_turn("item_1")
    history.write_turn("item_1", "Hello?")
    assert told(history) == [("user", "Hello?")]


def test_turns_are_named_in_their_order() -> None:
    history = History(60 * 8000)
    history.add_turn(SECOND)
    history.add_turn(SECOND)
    history.name_turn("item_1")
    history.name_turn("item_2")
    history.write_turn("item_2", "second")
    history.write_turn("item_1", "first")
    assert told(history) == [("user", "first"), ("user", "second")]


def test_what_the_agent_says_stands_where_it_began() -> None:
    history = History(60 * 8000)
    history.begin_speech()
    history.add_call("fc", "look_up", "{}")
    assert history.settled_end() == 0
    assert history.end_speech("One moment.") == 0
    assert told(history) == [
        ("assistant", "One moment."),
        ("call", "fc", "look_up", "{}"),
    ]
    assert history.settled_end() == history.end


def test_a_cut_is_marked_once() -> None:
    history = History(60 * 8000)
    history.end_speech("Once upon a")
    history.mark_cut()
    history.mark_cut()
    assert told(history) == [("assistant", f"Once upon a{CUT}")]


def test_a_session_that_is_gone_writes_nothing_down_any_more() -> None:
    history = History(60 * 8000)
    history.add_turn(SECOND)
    history.name_turn("item_1")
    history.forget_items(keeps_audio=True)
    history.write_turn("item_1", "late")
    assert told(history) == [("turn", "8000")]
    history.name_turn("item_9")
    history.write_turn("item_9", "Hello?")
    assert told(history) == [("user", "Hello?")]


def test_a_turn_that_can_not_be_said_again_is_told_as_such() -> None:
    history = History(60 * 8000)
    history.add_turn(SECOND)
    history.forget_items(keeps_audio=False)
    assert told(history) == [("user", UNWRITTEN)]
    assert history.settled_end() == 1


def test_the_oldest_audio_goes_first() -> None:
    history = History(2 * 8000)
    for _ in range(3):
        history.add_turn(SECOND)
    assert told(history) == [("user", UNWRITTEN), ("turn", "8000"), ("turn", "8000")]


def test_the_oldest_entries_go_first_and_an_output_goes_with_its_call() -> None:
    history = History(60 * 8000)
    history.add_call("fc", "look_up", "{}")
    history.add_output("fc", "found")
    for number in range(MAX_ENTRIES - 1):
        history.add_note("user", str(number))
    assert not history.has_call("fc")
    assert history.end == MAX_ENTRIES + 1
    assert told(history) == [("user", str(number)) for number in range(MAX_ENTRIES - 1)]


def test_no_entry_is_a_book() -> None:
    history = History(60 * 8000)
    history.add_call("fc", "look_up", "{}")
    history.add_output("fc", "x" * 100_000)
    assert len(told(history)[1][2]) == MAX_CHARACTERS
