"""The fields that challenge and answer: what is read, and what is left out."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.sip.authentication import Authentication, parse_authentications
from sipagent.sip.grammar import quote

NAMES = {"realm": "r", "nonce": "n"}


def read(*values: str) -> list[tuple[str, dict[str, str | None]]]:
    return [(found.scheme, dict(found.parameters.pairs)) for found in parse_authentications(values)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('Digest realm="r", nonce="n"', [("digest", NAMES)]),
        ('DIGEST   realm = "r"\t,nonce ="n",', [("digest", NAMES)]),
        ("Digest realm=r,nonce=n", [("digest", NAMES)]),
        (r'Digest realm="a, \"b\" \\ c=d"', [("digest", {"realm": 'a, "b" \\ c=d'})]),
        ('Digest qop="auth,auth-int"', [("digest", {"qop": "auth,auth-int"})]),
        ('Digest realm="r", nonce="n", Digest realm="s"', [("digest", NAMES), ("digest", {"realm": "s"})]),
        ('NTLM, Digest realm="r", nonce="n"', [("ntlm", {}), ("digest", NAMES)]),
        ("Basic dXNlcjpw==", [("basic", {"dXNlcjpw": "="})]),
        ('Digest opaque=""', [("digest", {"opaque": ""})]),
        ("Digest nonce=a==", [("digest", {"nonce": "a=="})]),
        ("", []),
        (",,", []),
        ('realm="r"', []),
    ],
)  # fmt: skip
def test_what_is_read(text: str, found: object) -> None:
    assert read(text) == found


@pytest.mark.parametrize(
    "text",
    [
        'Digest realm="r", nonce="n", realm="other"',
        'Digest realm="r", nonce="n", NONCE="other"',
        'Digest realm="r", nonce="n", what is this',
        'Digest realm="r", nonce="n',
        'Digest realm="r", nonce=',
    ],
)
def test_what_can_be_read_two_ways_or_not_at_all_is_left_out_and_its_neighbours_are_not(text: str) -> None:
    good = ("digest", {"realm": "good"})
    assert read('Digest realm="good"', text, 'Digest realm="good"') == [good, good]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")))
def test_any_value_survives_its_quotes(value: str) -> None:
    (found,) = parse_authentications([f"Digest realm={quote(value)}, nonce=n"])
    assert (found.get("realm"), found.get("Nonce")) == (value, "n")


@given(st.text(alphabet='Digest realm=",\\ <>\t', max_size=60))
def test_nothing_raises(text: str) -> None:
    assert all(isinstance(found, Authentication) for found in parse_authentications([text]))


@pytest.mark.parametrize("piece", ['a="\\', "a ", "a=b,", '",', "a = ", "<", '"a" ', "Digest a=b, "])
def test_time_is_linear(piece: str) -> None:
    def measure(size: int) -> float:
        text = "Digest " + piece * (size // len(piece))
        start = perf_counter()
        parse_authentications([text])
        return perf_counter() - start

    measure(1_000)
    short, long = (min(measure(size) for _ in range(3)) for size in (20_000, 80_000))
    assert long < 12 * short + 0.005
