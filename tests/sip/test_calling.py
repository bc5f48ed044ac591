"""A call of ours until somebody answers: telephones that ring at once, tries one after the other, and giving up."""

from typing import Any

import pytest
from sip.peers import ANSWER, OFFER, TARGET, Caller, describe, describe_all, respond

from sipagent.sip.account import Account
from sipagent.sip.digest import Credentials
from sipagent.sip.events import Accepted, Locate, Progressed, TargetFailed
from sipagent.sip.message import Request
from sipagent.sip.redirect import CONTACTS_MAX
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri


class LineCaller(Caller):
    """Alice, who calls by a line; all that she locates leads to Bob."""

    def __init__(self, headers: Any = (), **settings: Any) -> None:
        super().__init__()
        settings = {"name": "line", "address": Uri.parse("sip:alice@192.0.2.2"), "contact_user": "x", **settings}
        self.agent = UserAgent(accounts=[Account(**settings)], random=self.agent._core.random)
        self.located: list[str] = []
        self.sent.clear()
        self.handle = self.agent.invite(TARGET, self.flow, account="line", body=OFFER, headers=headers, now=0.0)
        self.invite = self.last("INVITE")

    def redirect(self, *contacts: str, status: int = 302) -> list[str]:
        """Send the call elsewhere; return what is sent then."""
        fields = "\n".join(f"Contact: {contact}" for contact in contacts)
        return self.answer(status, tag="r", contact="", headers=fields)

    def answer(self, status: int, now: float = 0.0, **fields: Any) -> list[str]:
        sent = super().answer(status, now, **fields)
        for event in [event for event in self.events if isinstance(event, Locate)]:
            self.events.remove(event)
            self.located.append(str(event.uri))
            self.agent.located(event.query, [self.flow], now=now)
            sent += describe_all(self.messages())
        if "INVITE" in sent:
            self.invite = self.last("INVITE")
        return sent


class TestEarlyDialogs:
    def test_several_telephones_ring_and_one_answers(self) -> None:
        alice = Caller()
        for tag in ("one", "two", "three"):
            alice.answer(180, tag=tag)
        tags = [event.response.to.tag for event in alice.events if isinstance(event, Progressed)]
        assert tags == ["one", "two", "three"]
        alice.events.clear()
        assert alice.say(alice.within("UPDATE", 1, from_tag="three")) == ["200 UPDATE"]
        assert alice.answer(200, tag="two", contact="<sip:two@192.0.2.3>") == ["ACK"]
        alice.take(Accepted)
        assert alice.say(alice.within("UPDATE", 2, from_tag="three")) == ["481 UPDATE"]
        assert alice.say(alice.within("UPDATE", 1, from_tag="two")) == ["200 UPDATE"]

    def test_early_media_come_with_the_tag_of_their_telephone(self) -> None:
        alice = Caller()
        alice.answer(183, tag="one", body=b"first")
        alice.answer(183, tag="two", body=b"second")
        heard = [(event.response.to.tag, event.body) for event in alice.events if isinstance(event, Progressed)]
        assert heard == [("one", b"first"), ("two", b"second")]
        alice.events.clear()
        alice.answer(200, tag="one")
        assert alice.take(Accepted).body == b"first"

    def test_the_answer_of_the_2xx_is_the_last_word(self) -> None:
        alice = Caller()
        alice.answer(183, tag="one", body=b"early")
        alice.answer(200, tag="one", body=ANSWER)
        assert alice.take(Accepted).body == ANSWER
        alice = Caller()
        alice.answer(183, tag="one", body=b"early")
        alice.answer(200, tag="two", body=ANSWER)
        alice.take(Progressed)
        assert alice.take(Accepted).body == ANSWER

    def test_the_call_goes_on_counting_what_its_telephone_sent(self) -> None:
        alice = Caller()
        alice.answer(180)
        assert alice.say(alice.within("UPDATE", 5)) == ["200 UPDATE"]
        alice.answer(200)
        assert alice.say(alice.within("UPDATE", 4)) == ["500 UPDATE"]
        assert alice.say(alice.within("UPDATE", 6)) == ["200 UPDATE"]

    def test_what_an_early_dialog_may_not(self) -> None:
        alice = Caller()
        alice.answer(180)
        assert alice.say(alice.within("BYE", 1)) == ["481 BYE"]
        assert alice.say(alice.within("INVITE", 2, body=OFFER)) == ["491 INVITE"]
        assert alice.say(alice.within("OPTIONS", 3)) == ["200 OPTIONS"]

    def test_a_refusal_leaves_no_early_dialog(self) -> None:
        alice = Caller()
        alice.answer(180, tag="one")
        alice.answer(180, tag="two")
        alice.events.clear()
        alice.answer(486)
        assert alice.say(alice.within("UPDATE", 1, from_tag="one")) == ["481 UPDATE"]
        alice.end("rejected", 486)


class TestRedirects:
    def test_none_is_followed_unless_the_line_says_so(self) -> None:
        alice = LineCaller()
        assert alice.redirect("<sip:200@192.0.2.2>") == ["ACK"]
        alice.end("rejected", 302)

    def test_the_call_goes_on_as_a_request_of_its_own(self) -> None:
        alice = LineCaller(redirects=1)
        first = alice.invite
        assert alice.redirect("<sip:200@192.0.2.2?Replaces=x>") == ["ACK", "INVITE"]
        again = alice.last("INVITE")
        assert (str(again.uri), str(again.cseq), again.body) == ("sip:200@192.0.2.2", "2 INVITE", OFFER)
        assert (again.call_id, again.from_, again.to) == (first.call_id, first.from_, first.to)
        assert again.via.branch != first.via.branch
        assert alice.answer(200, body=ANSWER) == ["ACK"]
        assert alice.last("ACK").cseq.number == 2
        alice.take(Accepted)

    def test_contacts_are_tried_in_the_order_of_their_preference(self) -> None:
        alice = LineCaller(redirects=1)
        preferences = {"c": ";q=0.1", "a": "", "x": ";q=best", "b": ";q=0.7"}
        alice.redirect(*(f"<sip:{user}@192.0.2.2>{q}" for user, q in preferences.items()))
        tried = [alice.last("INVITE").uri.user]
        for status in (486, 404, 503):
            assert alice.answer(status) == ["ACK", "INVITE"]
            tried.append(alice.last("INVITE").uri.user)
        assert tried == ["a", "b", "c", "x"]
        alice.answer(603)
        alice.end("rejected", 603)

    def test_only_so_many_redirections_and_never_in_a_circle(self) -> None:
        alice = LineCaller(redirects=2)
        assert alice.redirect("<sip:b@192.0.2.2>", "<sip:bob@192.0.2.2>") == ["ACK", "INVITE"]
        assert alice.redirect("<sip:b@192.0.2.2>", "<sip:c@192.0.2.2>") == ["ACK", "INVITE"]
        assert alice.last("INVITE").uri.user == "c"
        assert alice.redirect("<sip:d@192.0.2.2>") == ["ACK"]
        alice.end("rejected", 302)

    def test_only_so_many_contacts(self) -> None:
        alice = LineCaller(redirects=1)
        alice.redirect(*(f"<sip:{number}@192.0.2.2>" for number in range(50)))
        tries = 1
        while "INVITE" in alice.answer(486):
            tries += 1
        assert tries == CONTACTS_MAX

    @pytest.mark.parametrize(
        "contact",
        ["<sip:a@203.0.113.5>", "<sip:a@192.0.2.2;maddr=203.0.113.5>", "<tel:+19005550100>", "<https://a.example>", ""],
    )
    def test_nowhere_but_home(self, contact: str) -> None:
        alice = LineCaller(redirects=5)
        assert alice.redirect(*filter(None, [contact])) == ["ACK"]
        alice.end("rejected", 302)

    def test_where_the_line_may_call(self) -> None:
        alice = LineCaller(redirects=5, may_call=lambda uri: (uri.user or "").startswith("2"))
        assert alice.redirect("<sip:0900@192.0.2.2>", "<sip:200@203.0.113.5>") == ["ACK", "INVITE"]
        assert alice.last("INVITE").uri.host == "203.0.113.5"

    def test_by_the_proxy_of_the_line(self) -> None:
        alice = LineCaller(redirects=1, outbound_proxy=Uri.parse("sip:192.0.2.2;lr"))
        alice.redirect("<sip:200@192.0.2.2>")
        assert alice.located == ["sip:192.0.2.2;lr"]
        assert alice.last("INVITE").headers.get("Route") == "<sip:192.0.2.2;lr>"

    def test_not_after_we_gave_up(self) -> None:
        alice = LineCaller(redirects=1)
        alice.answer(100, tag="")
        alice.agent.hang_up(alice.handle, now=0.0)
        assert describe_all(alice.messages()) == ["CANCEL"]
        assert alice.redirect("<sip:200@192.0.2.2>") == ["ACK"]
        alice.end("hung_up")

    def test_nor_when_the_target_is_silent_after_we_gave_up(self) -> None:
        alice = LineCaller(redirects=1)
        alice.redirect("<sip:a@192.0.2.2>", "<sip:b@192.0.2.2>")
        alice.agent.hang_up(alice.handle, now=0.0)
        alice.advance(40.0)
        assert alice.last("INVITE").uri.user == "a"
        alice.take(TargetFailed)
        alice.end("hung_up")

    def test_the_password_does_not_go_along(self) -> None:
        alice = LineCaller(redirects=1, credentials=Credentials("alice", "secret"), may_call=lambda uri: True)
        challenge = 'WWW-Authenticate: Digest realm="pbx", nonce="n", qop="auth", algorithm=MD5'
        assert alice.answer(401, headers=challenge) == ["ACK", "INVITE"]
        assert "Authorization" in alice.invite.headers
        assert alice.redirect("<sip:200@203.0.113.5>") == ["ACK", "INVITE"]
        assert "Authorization" not in alice.invite.headers
        assert alice.answer(401, headers=challenge) == ["ACK"]

    def test_a_later_target_is_taken_back(self) -> None:
        alice = LineCaller(redirects=1)
        alice.redirect("<sip:a@192.0.2.2>", "<sip:b@192.0.2.2>")
        alice.answer(180, tag="new")
        alice.events.clear()
        alice.agent.hang_up(alice.handle, now=0.0)
        cancel = alice.last("CANCEL")
        assert (cancel.uri.user, cancel.cseq.number) == ("a", 2)
        assert alice.answer(487, tag="new") == ["ACK"]
        alice.end("hung_up")


class TestGivingUp:
    def test_after_as_long_as_the_line_says(self) -> None:
        alice = LineCaller(ring_limit_s=20.0)
        alice.answer(180)
        alice.take(Progressed)
        at, message = alice.advance(30.0)[0]
        assert (at, describe(message)) == (20.0, "CANCEL")
        assert alice.answer(487, 20.1) == ["ACK"]
        alice.end("timeout")

    @pytest.mark.parametrize(("expires", "at"), [("5", 5.0), ("600", 20.0), ("soon", 20.0)])
    def test_or_as_our_invite_says(self, expires: str, at: float) -> None:
        alice = LineCaller(headers=[("Expires", expires)], ring_limit_s=20.0)
        alice.answer(180)
        assert alice.advance(30.0)[0][0] == at

    def test_a_2xx_after_our_cancel_is_acknowledged_and_hung_up(self) -> None:
        alice = LineCaller()
        alice.answer(180)
        alice.events.clear()
        alice.agent.hang_up(alice.handle, now=0.1)
        assert describe_all(alice.messages()) == ["CANCEL"]
        assert alice.answer(200, 0.2) == ["ACK", "BYE"]
        bye = alice.last("BYE")
        assert isinstance(bye, Request)
        alice.say(respond(bye, 200), 0.3)
        alice.end("hung_up")
