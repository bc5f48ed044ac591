"""Rates and bans: how much a key gets, and that no table outgrows its size."""

from sipagent.sip.limits import Bans, Rates


class TestRates:
    def test_a_burst_then_a_rate(self) -> None:
        rates: Rates[str] = Rates(2.0, 3, size=10)
        assert [rates.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
        assert [rates.take("a", at) for at in (0.49, 0.5, 0.99, 1.0, 1.0)] == [False, True, False, True, False]

    def test_it_fills_up_again_and_no_further(self) -> None:
        rates: Rates[str] = Rates(2.0, 3, size=10)
        for _ in range(3):
            rates.take("a", 0.0)
        assert [rates.take("a", 100.0) for _ in range(4)] == [True, True, True, False]

    def test_one_key_costs_another_nothing(self) -> None:
        rates: Rates[str] = Rates(1.0, 1, size=10)
        assert [rates.take(key, 0.0) for key in "aabb"] == [True, False, True, False]

    def test_what_is_refused_costs_nothing(self) -> None:
        rates: Rates[str] = Rates(1.0, 1, size=10)
        rates.take("a", 0.0)
        assert not any(rates.take("a", 0.5) for _ in range(1000))
        assert rates.take("a", 1.0)

    def test_the_key_admitted_the_longest_ago_is_forgotten(self) -> None:
        rates: Rates[int] = Rates(0.001, 1, size=3)
        for key in (1, 2, 3):
            rates.take(key, 0.0)
        rates.add(1, 0.0)
        rates.take(4, 0.0)
        assert len(rates) == 3
        assert [key in rates for key in (1, 2, 3, 4)] == [True, False, True, True]
        assert not rates.take(1, 0.0)
        assert rates.take(2, 0.0)

    def test_a_million_keys_are_no_more_than_there_is_room_for(self) -> None:
        rates: Rates[int] = Rates(1.0, 1, size=100)
        for key in range(100_000):
            rates.take(key, 0.0)
        assert len(rates) == 100

    def test_known_and_forgotten(self) -> None:
        rates: Rates[str] = Rates(1.0, 1, size=3)
        rates.add("a", 0.0)
        assert "a" in rates
        assert rates.take("a", 0.0)
        rates.add("a", 0.0)
        assert not rates.take("a", 0.0)
        rates.discard("a")
        rates.discard("a")
        assert "a" not in rates


class TestBans:
    def test_from_the_strike_that_is_one_too_many(self) -> None:
        bans: Bans[str] = Bans(3, 60.0, 900.0, size=10)
        assert [bans.strike("a", what, at) for what, at in (("x", 0.0), ("y", 10.0))] == [False, False]
        assert not bans.holds("a", 10.0)
        assert bans.strike("a", "z", 59.9)
        assert bans.holds("a", 59.9 + 899.9)
        assert not bans.holds("a", 59.9 + 900.0)
        assert not bans.holds("b", 60.0)

    def test_afterwards_all_begins_anew(self) -> None:
        bans: Bans[str] = Bans(2, 60.0, 900.0, size=10)
        bans.strike("a", "x", 0.0)
        bans.strike("a", "y", 0.0)
        assert not bans.holds("a", 900.0)
        assert not bans.strike("a", "z", 900.0)
        assert len(bans) == 1

    def test_strikes_far_apart_do_not_count(self) -> None:
        bans: Bans[str] = Bans(3, 60.0, 900.0, size=10)
        assert not any(bans.strike("a", f"{number}", 30.0 * number) for number in range(100))

    def test_forgiven(self) -> None:
        bans: Bans[str] = Bans(2, 60.0, 900.0, size=10)
        bans.strike("a", "x", 0.0)
        bans.forgive("a")
        bans.forgive("nobody")
        assert not bans.strike("a", "y", 1.0)

    def test_the_same_again_is_no_further_strike(self) -> None:
        bans: Bans[str] = Bans(2, 60.0, 900.0, size=10)
        assert not any(bans.strike("a", "x", float(at)) for at in range(59))
        assert bans.strike("a", "y", 59.9)

    def test_one_strike_is_enough_where_it_is(self) -> None:
        assert Bans(1, 60.0, 900.0, size=10).strike("a", "x", 0.0)

    def test_the_tables_are_bounded(self) -> None:
        bans: Bans[int] = Bans(2, 60.0, 900.0, size=10)
        for key in range(1000):
            bans.strike(key, "x", 0.0)
        for key in range(1000):
            bans.strike(key, "x", 0.0)
            bans.strike(key, "y", 0.0)
        assert len(bans) <= 20
        assert bans.holds(999, 1.0)
