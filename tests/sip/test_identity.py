"""Who calls, by trust; and that nothing of it is longer, more or stranger than it may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sip.peers import invite

from sipagent.sip.headers import NameAddr
from sipagent.sip.identity import (
    ENTRIES_MAX,
    FIELDS_MAX,
    NAME_MAX,
    URI_MAX,
    VALUE_MAX,
    Identity,
    Party,
    UserToUser,
    clean,
)
from sipagent.sip.message import Request, parse_message
from sipagent.sip.uri import Uri

PAI = 'P-Asserted-Identity: "Real" <sip:+4930111@carrier.example>'
RPID = 'Remote-Party-ID: "Desk" <sip:300@pbx.example>;party=calling;screen=yes;privacy=off'


def identify(headers: str = "", *, is_trusted: bool = True, contact_user: str | None = None) -> Identity:
    message = parse_message(invite(headers=headers))
    assert isinstance(message, Request)
    return Identity.from_request(message, is_trusted=is_trusted, contact_user=contact_user)


class TestCaller:
    @pytest.mark.parametrize(
        ("headers", "is_trusted", "user", "is_asserted"),
        [
            ("", True, "alice", False),
            ("", False, "alice", False),
            (PAI, True, "+4930111", True),
            (PAI, False, "alice", False),
            (RPID, True, "300", True),
            (RPID, False, "alice", False),
            (f"{RPID}\n{PAI}", True, "+4930111", True),
            ("P-Asserted-Identity: <tel:+4930222;verstat=x>, <sip:x@y>", True, "+4930222", True),
            ("P-Asserted-Identity: broken <\nP-Asserted-Identity: <sip:ok@y>", True, "ok", True),
            ("P-Asserted-Identity: broken <", True, "alice", False),
            ("Remote-Party-ID: <sip:callee@x>;party=called", True, "alice", False),
            ("P-Preferred-Identity: <sip:boss@x>", True, "alice", False),
        ],
    )
    def test_a_trusted_network_knows_best(self, headers: str, is_trusted: bool, user: str, is_asserted: bool) -> None:
        identity = identify(headers, is_trusted=is_trusted)
        assert (identity.caller.user, identity.is_asserted) == (user, is_asserted)

    def test_an_untrusted_caller_can_not_assert_who_he_is(self) -> None:
        """Trap: caller id that anybody may set is what voice phishing lives on."""
        forged = f"{PAI}\n{RPID}"
        identity = identify(forged, is_trusted=False)
        assert identity.facts()["caller"] == "alice"
        assert identity.facts()["caller_is_vouched_for"] is False
        assert identity.verification == ""

    @pytest.mark.parametrize(
        ("headers", "is_private"),
        [
            ("", False),
            ("Privacy: none", False),
            ("Privacy: id", True),
            ("Privacy: session; ID", True),
            (PAI + "\nPrivacy: user;critical", True),
            (RPID.replace("privacy=off", "privacy=full"), True),
            ("P-Asserted-Identity: <sip:anonymous@anonymous.invalid>", True),
            ("P-Asserted-Identity: <sip:Restricted@pbx.example>", True),
        ],
    )
    def test_who_wants_to_be_nobody_is_nobody_to_the_model(self, headers: str, is_private: bool) -> None:
        identity = identify(headers)
        assert identity.is_private is is_private
        facts = identity.facts()
        assert (facts["caller"] == "withheld") is is_private
        assert not (is_private and "caller_name" in facts)

    def test_what_was_dialled_is_the_to_when_our_contact_was_called(self) -> None:
        assert str(identify().called) == "sip:bob@192.0.2.2"
        assert str(identify(contact_user="bob").called) == "sip:bob@192.0.2.2"
        message = parse_message(invite().replace(b"INVITE sip:bob@", b"INVITE sip:100-secret@"))
        assert isinstance(message, Request)
        ours = Identity.from_request(message, is_trusted=True, contact_user="100-secret")
        assert ours.called.user == "bob"
        assert Identity.from_request(message, is_trusted=True, contact_user="other").called.user == "100-secret"

    @pytest.mark.parametrize(
        ("uri", "verification"),
        [
            ("tel:+1555;verstat=TN-Validation-Passed", "TN-Validation-Passed"),
            ("sip:+1555;verstat=TN-Validation-Failed@x;user=phone", "TN-Validation-Failed"),
            ("sip:+1555@x;verstat=No-TN-Validation", "No-TN-Validation"),
            ("sip:+1555@x", ""),
        ],
    )
    def test_whether_the_network_checked_a_signature(self, uri: str, verification: str) -> None:
        identity = identify(f"P-Asserted-Identity: <{uri}>")
        assert identity.verification == verification
        assert identity.caller.user == "+1555"


class TestWay:
    def test_diversions(self) -> None:
        identity = identify(
            'Diversion: "Reception" <sip:100@pbx.example>;reason=no-answer;counter=1, <tel:+49305>;reason=away\n'
            "Diversion: nonsense <"
        )
        first, second = identity.diversions
        assert (first.party.user, first.party.name, first.reason) == ("100", "Reception", "no-answer")
        assert (second.party.user, second.reason) == ("+49305", "away")
        assert identity.header("diversion") == "100"
        assert identity.facts()["diverted_from"] == ["100, Reception, no-answer", "+49305, away"]

    def test_history(self) -> None:
        identity = identify(
            "History-Info: <sip:bob@a.example?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%22>;index=1,"
            "<sip:carol@a.example>;index=1.1;rc=1"
        )
        assert [(entry.party.user, entry.reason) for entry in identity.history] == [("bob", "302"), ("carol", "")]
        assert identity.header("History-Info") == "bob"
        assert "?" not in str(identity.history[0].party.uri)

    @pytest.mark.parametrize(
        ("value", "data", "text"),
        [
            ("56a390f3;encoding=hex;purpose=isdn-uui;content=isdn-uui", "56a390f3", "56a390f3"),
            ("4f72646572203432;encoding=hex", "4f72646572203432", "Order 42"),
            ('"queue=7; vip"', "queue=7; vip", "queue=7; vip"),
            ("zz;encoding=hex", "zz", "zz"),
        ],
    )
    def test_user_to_user(self, value: str, data: str, text: str) -> None:
        (entry,) = identify(f"User-to-User: {value}").user_to_user
        assert (entry.data, entry.text) == (data, text)
        assert identify(f"User-to-User: {value}").header("user-to-user") == text

    def test_several_user_to_user(self) -> None:
        found = identify("User-to-User: 00;encoding=hex, 01;purpose=foo\nUser-to-User: 02").user_to_user
        assert found == (UserToUser("00", "hex"), UserToUser("01", "", "foo"), UserToUser("02"))

    def test_fields_of_the_peers_own(self) -> None:
        identity = identify("X-Queue: vip\nx-queue: second\nX-Token: a\tb\nSubject: not one")
        assert identity.headers == (("X-Queue", "vip"), ("x-queue", "second"), ("X-Token", "a b"))
        assert identity.header("x-QUEUE") == "vip"
        assert identity.header("X-None") == ""
        assert identity.header("Subject") == ""


class TestBounds:
    def test_nothing_is_more_or_longer_than_it_may_be(self) -> None:
        long = "9" * 7000
        lines = [f"X-{number}: {long}" for number in range(2)] + [f"X-{number}: {number}" for number in range(100)]
        lines += [f'Diversion: "{"D" * 500}" <sip:{"d" * 500}@{"h" * 63}.example>' for _ in range(20)]
        lines += [f"User-to-User: {long[:1000]}" for _ in range(20)]
        lines += [f"History-Info: <sip:{number}@x>;index=1" for number in range(20)]
        identity = identify("\n".join(lines))
        assert len(identity.headers) == FIELDS_MAX
        assert max(len(value) for _, value in identity.headers) == VALUE_MAX
        assert len(identity.diversions) == len(identity.history) == len(identity.user_to_user) == ENTRIES_MAX
        assert len(identity.diversions[0].party.name) == NAME_MAX
        assert len(identity.diversions[0].party.user) == URI_MAX
        assert len(identity.user_to_user[0].data) == VALUE_MAX

    @pytest.mark.parametrize(
        ("text", "seen"),
        [
            ("Anna\r\n\x00\x1b[31mBlume", "Anna [31mBlume"),
            ("\u202egnihsihp\u202c", "gnihsihp"),
            ("a\u200bb\u2066c\ufeffd", "a b c d"),
            ("tags \U000e0041\U000e0042", "tags"),
            ("J\udcfcrgen", "Jürgen"),
            ("\udc9b31m", "31m"),
            ("x" * 100, "x" * 64),
            ("x" * 63 + " y", "x" * 63),
            ("\ud800", ""),
            ("日本 ☎", "日本 ☎"),
        ],
    )
    def test_what_is_not_seen_is_left_out(self, text: str, seen: str) -> None:
        assert clean(text, 64) == seen

    @given(st.text(st.characters(), max_size=300))
    def test_any_text_is_short_visible_and_on_one_line(self, text: str) -> None:
        cleaned = clean(text, 64)
        assert len(cleaned) <= 64
        assert cleaned.isprintable()
        assert cleaned == clean(cleaned, 64)

    @given(st.binary(max_size=200).filter(lambda data: not set(data) & {10, 13}))
    def test_any_octets_in_any_field(self, data: bytes) -> None:
        names = (b"P-Asserted-Identity", b"Remote-Party-ID", b"Diversion", b"History-Info", b"User-to-User", b"X-A")
        fields = b"".join(name + b": " + data + b"\r\n" for name in names)
        message = parse_message(invite().replace(b"Max-Forwards", fields + b"Max-Forwards"))
        assert isinstance(message, Request)
        identity = Identity.from_request(message, is_trusted=True)
        for value in map(str, identity.facts().values()):
            assert value.isprintable()


def test_a_party_is_its_number_or_its_host() -> None:
    assert str(Party(Uri.parse("sip:pbx.example"))) == "pbx.example"
    assert str(Party(Uri.parse("tel:+49;phone-context=x"))) == "+49"
    assert Party.of(NameAddr.parse("<sip:a:secret@h?X=y>")).uri == Uri.parse("sip:a@h")
