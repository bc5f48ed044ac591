import pytest

from sipagent.call import events, phone
from sipagent.notebook import Notebook, Spread


def filled() -> Notebook:
    notebook = Notebook()
    for at, fact in (
        (100.0, phone.Ringing(180)),
        (101.0, phone.PickedUp(1000.0)),
        (101.5, phone.LineSaid("Hello", False)),
        (102.0, events.CallerSaid("")),
        (102.1, events.CallerSaid("hello")),
        (102.5, events.ToolCalled("find", '{"name": "[x]"}')),
        (102.6, events.ToolReturned("find", "nothing")),
        (103.0, events.DigitPressed("#")),
        (103.5, events.Truncated("item", 0, 500, 2000)),
        (104.0, events.AgentSaid("Good —", 500, True, "item")),
    ):
        notebook.note(fact, at)
    return notebook


def test_a_transcript_counts_from_the_answer() -> None:
    assert list(filled().transcript()) == [
        (0.5, "caller", "Hello"),
        (pytest.approx(1.1), "heard", "hello"),
        (1.5, "tool", 'find({"name": "[x]"})'),
        (pytest.approx(1.6), "tool", "→ nothing"),
        (2.0, "key", "#"),
        (2.5, "cut", "after 500 ms of 2000 ms"),
        (3.0, "agent", "Good —"),
    ]


def test_facts_for_a_file() -> None:
    data = filled().as_data()
    assert data[0] == {"at_s": -1.0, "kind": "Ringing", "status": 180}
    said = {"text": "Good —", "heard_ms": 500, "is_cut": True, "item_id": "item"}
    assert data[-1] == {"at_s": 3.0, "kind": "AgentSaid"} | said


def test_a_call_that_was_never_answered_counts_from_its_beginning() -> None:
    notebook = Notebook()
    assert (notebook.as_data(), list(notebook.transcript())) == ([], [])
    notebook.note(phone.Ringing(180), 5000.0)
    notebook.note(phone.HungUp("rejected", 503, 0.0), 5000.5)
    assert [entry["at_s"] for entry in notebook.as_data()] == [0.0, 0.5]


def test_what_is_found() -> None:
    notebook = filled()
    assert notebook.all(phone.PickedUp) == [phone.PickedUp(1000.0)]
    assert notebook.when(phone.LineSaid) == 101.5
    assert notebook.when(phone.HungUp) is None


def test_a_spread() -> None:
    assert Spread.of([]) is None
    one = Spread.of([0.0215])
    assert one == Spread(1, 21.5, 21.5)
    assert str(one) == "21.5 ms"
    many = Spread.of([number / 1000 for number in range(101)])
    assert many is not None
    assert (many.count, many.p50_ms, many.p95_ms) == (101, pytest.approx(50.0), pytest.approx(95.0))
    assert str(many) == "p50 50.0 ms, p95 95.0 ms (101)"
