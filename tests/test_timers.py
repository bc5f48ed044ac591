"""Deadlines by key."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from sipagent.timers import COMPACT_AT, Timers


def test_the_earliest_is_due_first_and_among_equals_the_one_set_first() -> None:
    timers: Timers[str] = Timers()
    for key, at in (("late", 3.0), ("first", 1.0), ("second", 1.0)):
        timers.set(key, at)
    assert timers.due_at == 1.0
    assert timers.pop_due(0.9) is None
    assert [timers.pop_due(5.0) for _ in range(4)] == ["first", "second", "late", None]
    assert timers.due_at == inf
    assert timers.next_at() is None


def test_set_again_it_moves() -> None:
    timers: Timers[str] = Timers()
    timers.set("key", 1.0)
    timers.set("key", 2.0)
    assert len(timers) == 1
    assert timers.pop_due(1.5) is None
    assert timers.pop_due(2.0) == "key"
    assert "key" not in timers


def test_cancelled_it_never_fires() -> None:
    timers: Timers[str] = Timers()
    timers.set("one", 1.0)
    timers.set("two", 2.0)
    timers.cancel("one")
    timers.cancel("never set")
    assert timers.due_at == 2.0
    timers.clear()
    assert timers.due_at == inf
    assert timers.pop_due(9.0) is None


def test_setting_one_again_and_again_costs_no_memory() -> None:
    timers: Timers[str] = Timers()
    for number in range(10_000):
        timers.set("key", float(number))
    assert len(timers._heap) <= COMPACT_AT + 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 9))))
def test_it_does_as_a_dictionary_would(steps: list[tuple[str, int | None]]) -> None:
    timers: Timers[str] = Timers()
    plain: dict[str, int] = {}
    for key, at in steps:
        if at is None:
            timers.cancel(key)
            plain.pop(key, None)
        else:
            timers.set(key, float(at))
            plain[key] = at
        assert timers.due_at == min(plain.values(), default=inf)
        assert len(timers) == len(plain)
    popped = []
    while (key_ := timers.pop_due(10.0)) is not None:
        popped.append(plain[key_])
    assert popped == sorted(plain.values())
