"""Which dialog is to be replaced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import RemoteProtocolError
from sipagent.sip.headers import Headers
from sipagent.sip.replaces import REPLACES_MAX, Replaces, name_dialog

TOKEN = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "replaces"),
    [
        ("98732@sip.example;from-tag=r33th4x0r;to-tag=ff87ff", Replaces("98732@sip.example", "ff87ff", "r33th4x0r")),
        ("a ; To-Tag = 1 ; from-tag=2;early-only", Replaces("a", "1", "2", early_only=True)),
        ("a=b,c@[::1];to-tag=1;from-tag=0;x=y", Replaces("a=b,c@[::1]", "1", "0")),
    ],
)
def test_read(text: str, replaces: Replaces) -> None:
    assert Replaces.parse(text) == replaces
    assert Replaces.parse(str(replaces)) == replaces


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a;to-tag=1",
        "a;from-tag=1",
        "a;to-tag;from-tag=1",
        "a;to-tag=1;from-tag=2;to-tag=3",
        ";to-tag=1;from-tag=2",
        "a b;to-tag=1;from-tag=2",
        "a;to-tag=1;from-tag=" + "2" * REPLACES_MAX,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Replaces.parse(text)


def test_one_a_request() -> None:
    field = ("Replaces", "a;to-tag=1;from-tag=2")
    assert Replaces.of_request(Headers()) is None
    assert Replaces.of_request(Headers([field])) == Replaces("a", "1", "2")
    with pytest.raises(RemoteProtocolError):
        Replaces.of_request(Headers([field, field]))


@given(TOKEN, TOKEN, TOKEN, st.booleans())
def test_what_is_written_reads_back(call_id: str, to_tag: str, from_tag: str, early_only: bool) -> None:
    replaces = Replaces(call_id, to_tag, from_tag, early_only)
    assert Replaces.parse(str(replaces)) == replaces


def test_the_name_of_our_dialog_finds_the_same_dialog_at_its_other_side() -> None:
    ours = ("call", "our-tag", "their-tag")
    assert name_dialog(ours).dialog_id == ("call", "their-tag", "our-tag")
    assert name_dialog(("call", "ours", "")).to_tag == "0"
    assert Replaces("call", "ours", "0").dialog_id == ("call", "ours", "")
