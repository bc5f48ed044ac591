import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.agent.docstrings import parse_docstring


@pytest.mark.parametrize("docstring", [None, "", "   \n  "])
def test_without_words(docstring: str | None) -> None:
    assert parse_docstring(docstring) == ("", {})


def test_a_description_keeps_its_paragraphs() -> None:
    assert parse_docstring(
        """Look up an order.

        Use it when the caller
        names a number.
        """
    ) == ("Look up an order.\n\nUse it when the caller\nnames a number.", {})


GOOGLE = """Look up an order.

    Args:
        number (int): The order's number,
            as printed: six digits.
        *extras: More.
        plain:

        late: After an empty line.

    Returns:
        name: what it is not.

    And a last word.

    Raises:
        KeyError: never.
"""


def test_google() -> None:
    description, parameters = parse_docstring(GOOGLE)
    assert description == "Look up an order.\n\nAnd a last word."
    assert parameters == {
        "number": "The order's number, as printed: six digits.",
        "extras": "More.",
        "late": "After an empty line.",
    }


REST = """Look up an order.

    :param number: the order's number,
        as printed
    :param str name: the name
    :type number: int
    :keyword late: later
    :returns: the order
    :raises KeyError: never
"""


def test_restructured_text() -> None:
    description, parameters = parse_docstring(REST)
    assert description == "Look up an order."
    assert parameters == {"number": "the order's number, as printed", "name": "the name", "late": "later"}


def test_a_colon_in_the_description_is_no_section() -> None:
    assert parse_docstring("Say hello: then go.\nRule one:\nkeep quiet") == (
        "Say hello: then go.\nRule one:\nkeep quiet",
        {},
    )


def test_a_section_of_odd_lines_has_no_parameters() -> None:
    assert parse_docstring("Do it.\n\nArgs:\n    nothing to see here\n") == ("Do it.", {})


@given(st.text(alphabet="ab :*()\n\t", max_size=60) | st.text(max_size=60))
def test_any_docstring_is_read_without_raising(docstring: str) -> None:
    description, parameters = parse_docstring("Args:\n  " + docstring)
    assert isinstance(description, str)
    assert all(parameters.values())
