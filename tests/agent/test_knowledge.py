"""What an agent knows from files."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.agent.knowledge import (
    NOTHING,
    PASSAGE_CHARACTERS,
    Document,
    Knowledge,
    as_instructions,
    make_search,
    split,
    terms_of,
)

CLOCKS = """# Clocks

We sell and mend clocks of every make.

## Repairs

A repair takes two weeks and costs from 80 euros.
Bring the clock in its box.

## Öffnungszeiten

Wir haben montags bis freitags von neun bis achtzehn Uhr geöffnet.

# Delivery

Delivery within the city is free.

## 修理

時計の修理には二週間かかります。
"""
KNOWN = Knowledge([Document("clocks.md", CLOCKS), Document("other.txt", "Nothing about prices here.")])


def test_paragraphs_know_the_headings_above_them() -> None:
    sources = [(passage.source, passage.text[:12]) for passage in split(Document("clocks.md", CLOCKS))]
    assert sources == [
        ("clocks.md › Clocks", "We sell and "),
        ("clocks.md › Clocks › Repairs", "A repair tak"),
        ("clocks.md › Clocks › Öffnungszeiten", "Wir haben mo"),
        ("clocks.md › Delivery", "Delivery wit"),
        ("clocks.md › Delivery › 修理", "時計の修理には二週間かか"),
    ]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("How much is a repair?", "A repair takes"),
        ("repaired", "A repair takes"),
        ("do you deliver in the city", "Delivery within"),
        ("OFFNUNGSZEIT", "Wir haben"),
        ("wann sind Sie geöffnet", "Wir haben"),
        ("時計の修理", "時計の修理には"),
    ],
)
def test_what_is_about_the_question_comes_first(question: str, found: str) -> None:
    assert KNOWN.rank(question)[0].text.startswith(found)


def test_what_is_about_nothing_is_said_to_be_so() -> None:
    assert KNOWN.search("xylophone", limit=1000) == NOTHING
    assert KNOWN.search("", limit=1000) == NOTHING
    assert Knowledge([]).search("clocks", limit=1000) == NOTHING


def test_the_answer_is_cut_to_its_limit() -> None:
    many = Knowledge([Document("a.txt", "\n\n".join(f"Clock number {n} is blue and old." for n in range(50)))])
    answer = many.search("blue clock", limit=200)
    assert 100 < len(answer) <= 200
    assert answer.count("[a.txt]") > 1
    assert len(many.search("blue clock", limit=20)) == 20


def test_a_long_paragraph_is_parted_where_a_sentence_ends() -> None:
    text = "It is a long story about clocks. " * 100
    passages = list(split(Document("a", text)))
    assert len(passages) > 2
    assert all(len(each.text) <= PASSAGE_CHARACTERS and each.text.endswith(".") for each in passages)
    assert " ".join(each.text for each in passages) == text.strip()


@given(st.text(max_size=5000))
def test_nothing_is_lost_and_nothing_raises(text: str) -> None:
    passages = list(split(Document("a", text)))
    assert all(0 < len(each.text) <= PASSAGE_CHARACTERS for each in passages)
    assert len(Knowledge([Document("a", text)]).search(text[:50], limit=300)) <= 300


def test_terms_know_no_language() -> None:
    assert terms_of("Café CAFE") == {"cafe": 2}
    assert terms_of("opening") == {"opening": 1, "openi…": 1}
    assert set(terms_of("時計屋")) == {"時計", "計屋"}


def test_short_texts_go_whole_into_the_instructions() -> None:
    text = as_instructions([Document("a.md", "Alpha.\n"), Document("b.md", "Beta.")])
    assert text.endswith("[a.md]\nAlpha.\n\n[b.md]\nBeta.")


def test_the_tool_says_what_may_be_found() -> None:
    search = make_search(KNOWN, limit=500, about=["clocks.md"])
    assert search.name == "search_knowledge"
    assert "clocks.md" in search.description
    assert search.parameters["required"] == ["question"]
    assert "80 euros" in search(**search.parse_arguments('{"question": "repair"}'))


def test_much_text_is_searched_in_little_time() -> None:
    words = ["clock", "spring", "repair", "harbour", "tide", "bell", "wheel", "price"]
    text = "\n\n".join(" ".join(words[(n * k) % 8] + str(n % 97) for k in range(60)) for n in range(3000))
    large = Knowledge([Document("a", text)])
    assert large.passages == 3000
    begun = process_time()
    large.search("repair33 spring12 bell", limit=2000)
    assert process_time() - begun < 0.5
