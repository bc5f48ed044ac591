import json
from time import process_time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.agent.number_words import LanguageTag, numerals
from sipagent.agent.redaction import KINDS, MARK_OF_PATTERN, Redaction, check_rule
from sipagent.agent.regular import Regular

CARD = "4111111111111111"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("My number is 4711.", "My number is [digits]."),
        ("It is 47 11 - 08/15, please", "It is [digits], please"),
        ("four one two five", "[digits]"),
        ("Four, one, two. And five!", "[digits]!"),
        ("double four triple seven", "[digits]"),
        ("it is forty-one eleven", "it is [digits]"),
        ("oh three oh", "[digits]"),
        ("one or two, perhaps 12", "one or two, perhaps 12"),
        ("the one thing", "the one thing"),
        ("٤٧١١", "[digits]"),
        ("", ""),
    ],
)
def test_numbers(text: str, redacted: str) -> None:
    assert Redaction(["digits"]).redact(text) == redacted


@pytest.mark.parametrize(
    ("language", "text", "redacted"),
    [
        ("en", "one hundred and five, please", "[digits], please"),
        ("en", "a hundred thanks, a thousand times", "a hundred thanks, a thousand times"),
        ("en", "twenty twenty and 4", "[digits]"),
        ("en", "Milo has a dog", "Milo has a dog"),
        ("de", "null eins sieben zwo", "[digits]"),
        ("de", "Es ist die Siebenundvierzig elf.", "Es ist die [digits]."),
        ("de", "einundzwanzig, dreiundDREISSIG", "[digits]"),
        ("de", "zwei und vierzig, eins", "[digits]"),
        ("de", "tausendzweihundertfünfzig Euro", "[digits] Euro"),
        ("de", "fu\u0308nf vier drei", "[digits]"),
        ("de", "ein Hundert-Euro-Schein", "[digits]-Euro-Schein"),
        ("de", "der Hundertmarkschein", "der Hundertmarkschein"),
        ("fr", "zéro six, douze, quatre-vingt-dix-sept", "[digits]"),
        ("fr", "vingt et un soixante-et-onze", "[digits]"),
        ("fr", "cinq pour cent de plus", "cinq pour cent de plus"),
        ("es", "treinta y uno, veintidós", "[digits]"),
        ("es", "mil gracias, doscientos treinta", "mil gracias, [digits]"),
        ("it", "centotto, ventuno e tre", "[digits] e tre"),
        ("nl", "zevenenveertig tweeëntwintig", "[digits]"),
        ("pt", "meia dois três", "[digits]"),
        ("pt", "cento e vinte e três", "[digits]"),
        ("en", "null eins sieben zwo", "null eins sieben zwo"),
    ],
)
def test_numbers_in_words(language: LanguageTag, text: str, redacted: str) -> None:
    assert Redaction(["digits"], [language]).redact(text) == redacted


@pytest.mark.parametrize(
    ("language", "text", "redacted"),
    [
        ("de", "jo ät example punkt org, bitte", "[email], bitte"),
        ("fr", "c'est jo.b arobase example point co point uk", "c'est [email]"),
        ("en", "look at this point of view", "look at this point of view"),
        ("es", "jo@example.org", "[email]"),
    ],
)
def test_addresses_in_words(language: LanguageTag, text: str, redacted: str) -> None:
    assert Redaction(["email"], [language]).redact(text) == redacted


def test_without_a_language_only_figures_and_signs_count() -> None:
    redaction = Redaction(["email", "digits"], [])
    assert redaction.redact("one two three at  example.org") == "one two three at  example.org"
    assert redaction.redact("123 jo@example.org") == "[digits] [email]"


def test_languages_may_be_mixed_up() -> None:
    redaction = Redaction(["digits", "card"], get_args(LanguageTag))
    assert redaction.redact("four, vier, quatre and ocho") == "[digits]"
    assert redaction.redact("quarante et un, once, elf, once, elf, once, elf, once") == "[card]"


@pytest.mark.parametrize("tag", get_args(LanguageTag))
def test_every_number_below_a_hundred_can_be_said(tag: LanguageTag) -> None:
    assert {*numerals((tag,)).words.values()} >= {str(number) for number in range(100)}


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"it is {CARD}.", "it is [card]."),
        ("4111 1111 1111 1111 12/26 123", "[card] 12/26 123"),
        ("4111-1111-1111-1111", "[card]"),
        ("378282246310005 is Amex", "[card] is Amex"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("four one one one, one one one one, one one one one, one one one one", "[card]"),
        ("four triple one quadruple", "four triple one quadruple"),
        (f"00{CARD}1", "00[card]1"),
    ],
)
def test_cards(text: str, redacted: str) -> None:
    assert Redaction(["card"]).redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("DE89 3704 0044 0532 0130 00 is mine", "[iban] is mine"),
        ("gb29nwbk60161331926819", "[iban]"),
        ("DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130 01"),
        ("write to jo.b+x@mail.example.org, please", "write to [email], please"),
        ("it is jo at example dot co dot uk", "it is [email]"),
        ("look at example", "look at example"),
    ],
)
def test_accounts_and_addresses(text: str, redacted: str) -> None:
    assert Redaction(["iban", "email"]).redact(text) == redacted


def test_the_most_telling_kind_is_named() -> None:
    everything = Redaction(KINDS)
    assert everything.redact(f"{CARD}, DE89370400440532013000, 4711") == "[card], [iban], [digits]"


def test_patterns_of_ones_own() -> None:
    own = Redaction([r"/kd-\d{2,4}/", "/blue (harbour|anchor)/"])
    assert own.redact("KD-12345 of Blue Anchor") == f"{MARK_OF_PATTERN}5 of {MARK_OF_PATTERN}"
    assert own.redact("nothing") == "nothing"


def test_nothing_is_redacted_unasked() -> None:
    assert not Redaction([])
    assert Redaction([]).redact(CARD) == CARD


def test_json_stays_json() -> None:
    redaction = Redaction(["digits"])
    given = {"number": 4711815, "words": ["four one two", True, None, 1.5], "deep": {"pin 4711": "0815"}, "few": 12}
    redacted = json.loads(redaction.redact_json(json.dumps(given)))
    expected = {"number": "[digits]", "words": ["[digits]", True, None, 1.5], "deep": {"pin [digits]": "[digits]"}}
    assert redacted == expected | {"few": 12}
    assert redaction.redact_json('{ "few": 12 }') == '{ "few": 12 }', "what has nothing in it stays as it was"
    assert redaction.redact_json("no JSON: 4711") == "no JSON: [digits]"
    deep = "[" * 40 + '"4711"' + "]" * 40
    assert "4711" not in redaction.redact_json(deep)
    assert "4711" not in redaction.redact_json("[" * 100_000 + "4711")


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    everything = Redaction([*KINDS, "/a+b/"], get_args(LanguageTag))
    redacted = everything.redact(text)
    assert isinstance(redacted, str)
    assert everything.redact_json(text) is not None


@given(st.lists(st.sampled_from("0123456789"), min_size=4, max_size=40), st.sampled_from(["", " ", "-", ", "]))
def test_no_long_number_is_left(digits: list[str], separator: str) -> None:
    assert Redaction(["digits"]).redact(f"it is {separator.join(digits)} now") == "it is [digits] now"


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50_000,
        "1 " * 25_000,
        "DE12" + "A1 " * 20_000,
        "a@" * 25_000,
        "a at b dot " * 5_000,
        "DE12 " * 10_000,
        "hundert" * 8_000,
        "hundert" * 9 + " vier",
        "quatre vingt " * 5_000,
    ],
)
@pytest.mark.parametrize("patterns", [(), ("/(a+)+b/", "/(a|a)*c/")])
def test_no_text_takes_long(text: str, patterns: tuple[str, ...]) -> None:
    began = process_time()
    Redaction([*KINDS, *patterns], get_args(LanguageTag)).redact(text)
    assert process_time() - began < 5.0


def test_a_text_that_a_pattern_is_not_done_with_is_taken_out_as_a_whole() -> None:
    assert Redaction(["/a.*b/"]).redact("a" * 5_000) == MARK_OF_PATTERN


def test_a_pattern_that_is_none_is_refused() -> None:
    check_rule("digits")
    check_rule("/x+/")
    with pytest.raises(ValueError, match="without its"):
        check_rule("/(x/")
    with pytest.raises(ValueError, match="email, iban, card, digits, or a regular expression between slashes"):
        check_rule("digit")


def test_a_regular_expression_says_where_it_is() -> None:
    found, steps = Regular("ab+|c").find("xabbcab", max_steps=1000)
    assert found == [(1, 4), (4, 5), (5, 7)]
    assert 0 < steps < 100
    assert Regular("^a$").find("aa", max_steps=100)[0] == []
    assert Regular("^a").find("aa", max_steps=100)[0] == [(0, 1)]
    assert Regular("a*").find("xx", max_steps=100)[0] == []
