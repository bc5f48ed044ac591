import io
import json
from itertools import pairwise
from threading import Event

from sipagent.aio.line_writer import MAX_WAITING, WHOLE, LineWriter, pieces_of


class Terminal(io.StringIO):
    """It takes what is written only while nobody holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_free = Event()
        self.was_asked = Event()

    def write(self, text: str) -> int:
        self.was_asked.set()
        assert self.is_free.wait(10.0)
        return super().write(text)


def test_lines_are_written_in_order_and_all_before_the_end() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    lines = [f"line {number}\n" for number in range(2_000)]
    for line in lines:
        writer.write(line)
    writer.close()
    assert stream.getvalue() == "".join(lines)


def test_whoever_logs_does_not_wait_for_a_terminal_that_stands_still() -> None:
    terminal = Terminal()
    writer = LineWriter(terminal)
    writer.write("first\n")
    assert terminal.was_asked.wait(10.0)
    writer.write("second\n")  # it would never return, if it waited
    terminal.is_free.set()
    writer.close()
    assert terminal.getvalue() == "first\nsecond\n"


def test_what_is_too_much_is_dropped_and_told() -> None:
    terminal = Terminal()
    writer = LineWriter(terminal)
    writer.write("first\n")
    assert terminal.was_asked.wait(10.0)
    for number in range(MAX_WAITING + 7):
        writer.write(f"{number}\n")
    terminal.is_free.set()
    writer.close()
    *written, last = terminal.getvalue().splitlines()
    assert written == ["first", *map(str, range(MAX_WAITING))]
    assert json.loads(last) | {"time": ""} == {"time": "", "level": "warning", "event": "log_lines_dropped", "count": 7}


def test_a_reader_that_is_gone_ends_nothing() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    stream.close()
    writer.write("nobody reads\n")
    writer.close()
    assert not writer._thread.is_alive(), "it came to its end, by itself"


def test_lines_of_several_processes_stay_whole_on_a_pipe() -> None:
    lines = [f"{'ä' * length}\n" for length in (10, 2000, 3000, 1, 1, 2046, 2047, 2048, 5)]
    pieces = list(pieces_of(lines))
    assert "".join(pieces) == "".join(lines)
    assert all(piece.endswith("\n") for piece in pieces)
    sizes = [len(piece.encode()) for piece in pieces]
    assert [size for size in sizes if size > WHOLE] == [6001, 4097], "only what is too long by itself"
    assert all(sum(pair) > WHOLE for pair in pairwise(sizes)), "and no more pieces than needed"
