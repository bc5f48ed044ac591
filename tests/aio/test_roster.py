import pytest

from sipagent.aio.roster import BRIEF_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, Roster


def up(count: int) -> Roster:
    roster = Roster(count)
    for number in range(1, count + 1):
        roster.worker_started(number, now=0.0)
        roster.worker_ready(number)
    return roster


def test_nobody_is_chosen_before_a_worker_is_ready() -> None:
    roster = Roster(2)
    roster.worker_started(2, now=0.0)
    assert roster.choose() is None
    roster.worker_ready(2)
    assert (roster.choose(), roster.up) == (2, 1)


def test_the_next_call_goes_to_who_has_the_fewest() -> None:
    roster = up(3)
    for number in range(9):
        worker = roster.choose()
        assert worker is not None
        roster.begin(f"call {number}", worker)
    assert [roster.worker_with(f"call {number}") for number in range(9)] == [1, 2, 3] * 3
    roster.over("call 4")
    assert roster.choose() == 2
    assert (roster.calls, roster.begun) == (8, 9)


def test_a_call_has_as_many_dialogs_as_it_wants_and_is_over_when_its_worker_says_so() -> None:
    roster = up(2)
    roster.begin("call", 2, 7)
    assert roster.join(8, "call")
    for handle in (7, 8):
        ticket = roster.ticket_of(handle)
        assert ticket is not None
        assert (ticket.call_id, ticket.worker) == ("call", 2)
    roster.dialog_ended(7)
    assert roster.ticket_of(7) is None
    assert roster.calls == 1
    roster.over("call")
    assert roster.calls == 0
    ticket = roster.ticket_of(8)
    assert ticket is not None, "its events still have a place to go"
    assert not roster.join(9, "call")
    roster.dialog_ended(8)
    assert roster.ticket_of(8) is None


def test_what_is_said_twice_counts_once() -> None:
    roster = up(2)
    roster.begin("one", 1)
    roster.begin("two", 2)
    roster.over("one")
    roster.over("one")
    roster.dialog_ended(99)
    roster.over("nobody's")
    assert (roster.calls, roster.choose()) == (1, 1)


def test_a_death_costs_its_own_calls() -> None:
    roster = up(2)
    roster.begin("one", 1, 10)
    roster.begin("two", 2, 20)
    roster.begin("three", 1, 30)
    roster.join(31, "three")
    roster.answered(30, now=5.0)
    roster.answered(31, now=6.0)
    roster.begin("just over", 1, 40)
    roster.over("just over")  # and its dialog is not
    loss = roster.worker_died(1, now=100.0)
    assert [(ticket.call_id, ticket.answered_at) for ticket in loss.calls] == [("one", None), ("three", 5.0)]
    assert [ticket.invite for ticket in loss.calls] == [10, None], "one still waits for an answer"
    assert sorted(loss.handles) == [10, 30, 31, 40]
    assert (roster.calls, roster.deaths, roster.up, roster.choose()) == (1, 1, 1, 2)
    roster.worker_started(1, now=100.0)
    assert roster.choose() == 2, "it is not there yet"
    roster.worker_ready(1)
    assert roster.choose() == 1, "and has no call of the one before it"
    roster.over("three")
    assert roster.worker_with("three") is None
    assert roster.worker_with("two") == 2


@pytest.mark.parametrize("lived_s", [BRIEF_S + 0.1, BRIEF_S - 0.1])
def test_one_that_lived_is_replaced_at_once_and_one_that_did_not_is_waited_for(lived_s: float) -> None:
    roster = up(1)
    assert roster.worker_died(1, now=lived_s).pause_s == (0.0 if lived_s > BRIEF_S else FIRST_PAUSE_S)


def test_who_dies_again_and_again_is_started_less_and_less_often() -> None:
    roster, pauses = up(1), []
    for number in range(10):
        roster.worker_started(1, now=100.0 * number)
        pauses.append(roster.worker_died(1, now=100.0 * number + 1.0).pause_s)
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    roster.worker_started(1, now=2_000.0)
    assert roster.worker_died(1, now=2_060.0).pause_s == 0.0, "a good one makes up for them"
