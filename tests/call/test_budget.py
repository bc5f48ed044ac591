"""What a call has cost, by the usage that its model reports."""

import pytest

from sipagent.call.budget import PRICES, Budget, BudgetSettings, Prices, Step, cost_of

FULL = PRICES["gpt-realtime-2.1"]
ROUND = Prices(text_in=1.0, text_cached=0.1, text_out=10.0, audio_in=100.0, audio_cached=1.0, audio_out=1_000.0)


def usage(
    *, text_in: int = 0, audio_in: int = 0, text_cached: int = 0, audio_cached: int = 0, text: int = 0, audio: int = 0
) -> dict[str, object]:
    return {
        "total_tokens": text_in + audio_in + text + audio,
        "input_tokens": text_in + audio_in,
        "output_tokens": text + audio,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "cached_tokens": text_cached + audio_cached,
            "cached_tokens_details": {"text_tokens": text_cached, "audio_tokens": audio_cached},
        },
        "output_token_details": {"text_tokens": text, "audio_tokens": audio},
    }


class TestCost:
    @pytest.mark.parametrize(
        ("tokens", "micro_usd"),
        [
            ({"text_in": 7}, 7),
            ({"text_in": 7, "text_cached": 5}, 2 + 0.5),
            ({"audio_in": 3}, 300),
            ({"audio_in": 3, "audio_cached": 2}, 100 + 2),
            ({"text": 4, "audio": 2}, 40 + 2_000),
        ],
    )
    def test_each_kind_has_its_price(self, tokens: dict[str, int], micro_usd: float) -> None:
        assert cost_of(usage(**tokens), ROUND) == pytest.approx(micro_usd / 1e6)

    def test_ten_seconds_of_each_side_of_the_full_model(self) -> None:
        spoken = usage(audio_in=100, audio=200)  # a token for 100 ms of the caller's and for 50 ms of ours
        assert cost_of(spoken, FULL) == pytest.approx(100 * 32e-6 + 200 * 64e-6)

    def test_a_model_that_is_sold_by_time(self) -> None:
        assert cost_of({"seconds": 90.0}, PRICES["gpt-live-1"]) == pytest.approx(0.075)
        assert cost_of({"seconds": 90.0}, FULL) == 0.0

    @pytest.mark.parametrize("seconds", [None, "9", -1.0, float("nan"), float("inf"), 1e12, True])
    def test_a_time_that_is_none_costs_nothing(self, seconds: object) -> None:
        assert cost_of({"seconds": seconds}, PRICES["gpt-live-1"]) == 0.0

    def test_what_is_not_told_apart_is_text(self) -> None:
        told = {"input_tokens": 10, "output_tokens": 5, "input_token_details": {"cached_tokens": 4}}
        assert cost_of(told, ROUND) == pytest.approx((6 * 1 + 4 * 0.1 + 5 * 10) / 1e6)

    @pytest.mark.parametrize(
        "odd",
        [
            {},
            {"input_tokens": None, "output_tokens": "many"},
            {"input_tokens": -5, "output_tokens": True},
            {"input_tokens": 0, "input_token_details": [], "output_token_details": {"audio_tokens": 1.5}},
            {"input_tokens": 0, "input_token_details": {"cached_tokens": 10**30, "cached_tokens_details": "x"}},
        ],
    )
    def test_a_count_that_is_none_costs_nothing(self, odd: dict[str, object]) -> None:
        assert cost_of(odd, ROUND) == 0.0

    def test_more_cached_than_there_was_makes_nothing_cheaper_than_cached(self) -> None:
        assert cost_of(usage(audio_in=2, audio_cached=50), ROUND) == pytest.approx(2 * 1 / 1e6)


class TestBudget:
    def test_a_warning_at_four_fifths_then_the_end_each_once(self) -> None:
        account = Budget(BudgetSettings(prices=ROUND, max_usd=1.0))
        steps = []
        for _ in range(10):
            account.add(usage(audio=125))  # 0.125 USD
            steps.append(account.look())
        assert steps == [Step.NOTHING] * 6 + [Step.WARN, Step.END, Step.NOTHING, Step.NOTHING]
        assert account.usd == pytest.approx(1.25)
        assert account.tokens == 1_250

    def test_one_response_may_spend_it_all(self) -> None:
        account = Budget(BudgetSettings(prices=ROUND, max_usd=0.05))
        account.add(usage(audio=100))
        assert [account.look(), account.look()] == [Step.END, Step.NOTHING]

    def test_tokens_are_a_limit_without_prices(self) -> None:
        account = Budget(BudgetSettings(max_tokens=100))
        account.add(usage(text_in=80))
        assert (account.look(), account.usd) == (Step.WARN, None)
        account.add(usage(text_in=20))
        assert account.look() is Step.END

    def test_money_is_no_limit_where_nobody_knows_the_prices(self) -> None:
        account = Budget(BudgetSettings(max_usd=0.01))
        account.add(usage(audio=1_000_000))
        assert (account.look(), account.usd) == (Step.NOTHING, None)

    def test_a_response_without_usage_costs_nothing(self) -> None:
        account = Budget(BudgetSettings(prices=ROUND, max_usd=0.01))
        account.add(None)
        assert (account.look(), account.usd, account.tokens) == (Step.NOTHING, 0.0, 0)
