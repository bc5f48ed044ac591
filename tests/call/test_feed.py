"""The facts of a call for whoever follows it."""

from sipagent.call.events import AgentSaid, DigitPressed, ModelReady, ToolCalled
from sipagent.call.feed import MAX_WAITING, CallEvent, EventsDropped, Feed


def test_facts_come_in_order_with_their_time_and_what_they_are_about() -> None:
    feed = Feed("call")
    assert not feed
    said = AgentSaid("Hello.", 300, False, "item")
    facts = [ModelReady("sess"), ToolCalled("lookup", "{}", "fc"), said, DigitPressed("1")]
    for number, fact in enumerate(facts):
        feed.add(fact, now=float(number))
    assert feed
    names = ["sess", "fc", "item", ""]
    assert [feed.take() for _ in range(5)] == [
        *(CallEvent("call", float(at), fact, name) for at, (fact, name) in enumerate(zip(facts, names, strict=True))),
        None,
    ]


def test_the_oldest_are_dropped_and_it_is_said_how_many() -> None:
    feed = Feed("call")
    for number in range(MAX_WAITING + 3):
        feed.add(DigitPressed(str(number)), now=float(number))
    first = feed.take()
    assert first == CallEvent("call", 3.0, EventsDropped(3))
    events = [feed.take() for _ in range(MAX_WAITING)]
    assert [event.fact for event in events if event] == [DigitPressed(str(n)) for n in range(3, MAX_WAITING + 3)]
    assert feed.take() is None
    feed.add(DigitPressed("x"), now=9.0)
    assert feed.take() == CallEvent("call", 9.0, DigitPressed("x"))
