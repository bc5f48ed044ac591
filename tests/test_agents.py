"""Agents, as the configuration says them."""

from dataclasses import replace
from pathlib import Path

import pytest

from sipagent.agents import make_budget, make_privacy, make_silence
from sipagent.call.budget import PRICES, BudgetSettings, Prices
from sipagent.call.privacy import PrivacySettings
from sipagent.call.silence import ASK, SilenceSettings
from sipagent.config import Config, ConfigFileError, load

FILE = """
lines: [{name: line, agent: agent}]
agents: {agent: {engine: model, instructions: Be brief., %s}}
engines: {model: {%s}}
"""


def config_of(folder: Path, agent: str = "", engine: str = "") -> Config:
    (folder / "config.yaml").write_text(FILE % (agent, engine))
    return load(folder / "config.yaml", {})


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("", SilenceSettings(10.0, 2, ASK)),
        ("silence: {prompt_s: 4, prompts: 0, instructions: Cough.}", SilenceSettings(4, 0, "Cough.")),
        ("silence: {prompt_s: null}", None),
    ],
)
def test_what_is_done_about_silence(tmp_path: Path, agent: str, expected: SilenceSettings | None) -> None:
    assert make_silence(config_of(tmp_path, agent).agents["agent"]) == expected


OWN = "prices: {text_in: 1, text_cached: 2, text_out: 3, audio_in: 4, audio_cached: 5, audio_out: 6}"


@pytest.mark.parametrize(
    ("engine", "prices"),
    [
        ("api_key: key", PRICES["gpt-realtime-2.1"]),
        ("api_key: key, model: gpt-realtime-2.1-mini", PRICES["gpt-realtime-2.1-mini"]),
        ("", None),  # without a key the embedded model answers, which costs nothing
        ("api_key: key, dialect: live, url: wss://x", PRICES["gpt-live-1"]),
        ("api_key: key, model: another", None),
        (f"model: another, {OWN}", Prices(1, 2, 3, 4, 5, 6)),
        (OWN, Prices(1, 2, 3, 4, 5, 6)),
    ],
)
def test_what_a_call_may_cost(tmp_path: Path, engine: str, prices: Prices | None) -> None:
    config = config_of(tmp_path, "max_cost_usd: 0.5, max_tokens: 900", engine)
    made = make_budget(config.agents["agent"], config.engines["model"])
    assert made == replace(BudgetSettings(max_usd=0.5, max_tokens=900), prices=prices)


def test_prices_are_given_all_or_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"engines\.model\.prices\.audio_out"):
        config_of(tmp_path, engine="prices: {text_in: 1, text_cached: 2, text_out: 3, audio_in: 4, audio_cached: 5}")


def test_what_one_agent_keeps_to_itself_those_keep_to_whom_it_may_hand_over(tmp_path: Path) -> None:
    privacy = "privacy: {redact: [digits], languages: [de, en]}, hand_over: [other]}, other: {engine: model, "
    other = "privacy: {redact: [card, digits], languages: [fr], pci_pause: true}, instructions: Sell."
    config = config_of(tmp_path, privacy + other)
    assert make_privacy("agent", config) == PrivacySettings(("digits", "card"), ("de", "en", "fr"), True)
    assert make_privacy("other", config) == PrivacySettings(("card", "digits"), ("fr",), True)
    assert make_privacy("agent", config_of(tmp_path)) == PrivacySettings()


def test_a_language_whose_numbers_are_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"privacy\.languages\[1\]: expected de or en or .*; got the text 'xx'"):
        config_of(tmp_path, "privacy: {languages: [en, xx]}")
