"""Regular expressions whose time is bounded."""

import re
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.agent.regular import MAX_NESTING, MAX_PATTERN, MAX_STEPS, MAX_TEXT, Regular

letters = st.sampled_from("ab1.")
atoms = st.sampled_from(["a", "b", "1", ".", r"\.", r"\d", "[ab]", "[^a]", "^", "$", ""])


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{1,2}", "{0,1}"])
    return (
        st.builds("{}{}".format, inner, inner)
        | st.builds("({}|{})".format, inner, inner)
        | st.builds("(?:{}){}".format, inner, repeats)
    )


@settings(max_examples=500)
@given(st.recursive(atoms, combine, max_leaves=6).filter(bool), st.text(letters, max_size=8))
def test_it_finds_what_pythons_own_finds(pattern: str, text: str) -> None:
    # Python's $ fits before a final newline as well; there is none in these texts.
    assert Regular(pattern).fits(text) is (re.search(pattern, text, re.IGNORECASE | re.DOTALL) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"^\+49(30|40)", "+493012", True),
        (r"^\+49(30|40)$", "+493012", False),
        (r"^(2\d{2}|300)$", "245", True),
        (r"^(2\d{2}|300)$", "2450", False),
        ("^vip-", "VIP-1", True),
        ("[]x]", "]", True),
        (r"\\", "a\\b", True),
        ("é", "É", True),
    ],
)
def test_numbers_and_names(pattern: str, text: str, fits: bool) -> None:
    assert Regular(pattern).fits(text) is fits


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "characters"),
        ("a" * (MAX_PATTERN + 1), "characters"),
        ("(a", "without its )"),
        ("a)", "without its ("),
        ("*a", "nothing"),
        ("a**", "nothing"),
        ("^+", "nothing"),
        ("a{3,2}", "repeats"),
        ("a{65}", "repeats"),
        ("((a{60}){60}){60}", "too long"),
        ("(" * (MAX_NESTING + 1) + "a" + ")" * (MAX_NESTING + 1), "nested"),
        (r"(a)\1", "not understood"),
        ("(?=a)", "nothing"),
        ("(?P<n>a)", "nothing"),
        ("[b-a]", "bad character range"),
        ("[a", "not understood"),
        (r"\b", "not understood"),
    ],
)
def test_what_is_none(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        Regular(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(a*)*b", "a*a*a*a*a*a*b", "(a|aa)+$"])
def test_what_takes_pythons_own_for_ever_takes_no_time(pattern: str) -> None:
    """Trap: a caller's display name that keeps the process busy for years."""
    begun = process_time()
    assert not Regular(pattern).fits("a" * (MAX_TEXT - 1) + "!")
    assert process_time() - begun < 1.0  # Python's own: beyond any patience


def test_a_text_that_is_too_long_fits_nothing() -> None:
    assert Regular("a").fits("a" * MAX_TEXT)
    assert not Regular("a").fits("a" * (MAX_TEXT + 1))


def test_the_longest_expression_is_bounded() -> None:
    worst = Regular("(a?){60}(a?){30}b")
    assert len(worst._steps) <= MAX_STEPS
    begun = process_time()
    assert not worst.fits("a" * MAX_TEXT)
    assert process_time() - begun < 1.0
