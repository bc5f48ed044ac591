"""What PBXs, trunks and border controllers do to the dialogs of a call (telephony.md, section 1.4): a test a trap."""

from dataclasses import replace

import pytest
from sip.peers import ANSWER, OFFER, TRUSTING, Callee, Caller, World, describe_all, invite, request, respond
from sip.test_client import FIRST
from sip.test_client import Caller as LineCaller
from sip.test_registration import CHALLENGE, Extension

from sipagent.sip.digest import Credentials
from sipagent.sip.events import (
    Accepted,
    Acknowledged,
    EarlyAnswered,
    Ended,
    IncomingInvite,
    Progressed,
    Refreshed,
    Registered,
    Reinvited,
    ReinviteRejected,
    UpdateAccepted,
)
from sipagent.sip.message import Request
from sipagent.sip.uri import Uri

DATAGRAM_MAX = 1300
"""Bytes of a request that may still go over UDP (RFC 3261, section 18.1.1)."""

RELIABLE = "Require: 100rel\nRSeq: 1"


def up() -> Caller:
    """A call of ours that is up."""
    alice = Caller()
    alice.answer(200, body=ANSWER)
    alice.take(Accepted)
    return alice


def reinvite(bob: Callee, number: int = 2, body: bytes = OFFER, **fields: str) -> list[str]:
    return bob.say(invite(cseq=f"{number} INVITE", branch=f"z9hG4bKre{number}", to_tag=bob.tag, body=body, **fields))


# Asterisk


def test_asterisk_updates_the_connected_line_while_it_rings() -> None:
    alice = Caller()
    alice.answer(180)
    alice.take(Progressed)
    assert alice.say(alice.within("UPDATE", 1, headers='P-Asserted-Identity: "Bob" <sip:200@pbx>')) == ["200 UPDATE"]
    assert alice.events == []


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_asterisk_changes_the_call_right_after_its_answer(method: str) -> None:
    """Direct media: the re-INVITE is there before anybody has said a word."""
    alice = Caller()
    assert alice.answer(200, body=ANSWER) == ["ACK"]
    alice.take(Accepted)
    assert alice.say(alice.within(method, 1, body=OFFER)) == (["100 INVITE"] if method == "INVITE" else [])
    assert alice.take(Reinvited).body == OFFER
    alice.agent.accept(alice.handle, ANSWER, now=0.0)
    assert describe_all(alice.messages()) == [f"200 {method}"]


def test_asterisk_changes_the_call_just_as_we_do() -> None:
    alice = up()
    alice.agent.reinvite(alice.handle, b"ours", now=0.0)
    ours = alice.last("INVITE")
    assert alice.say(alice.within("INVITE", 1, body=b"theirs")) == ["491 INVITE"]
    assert alice.say(respond(ours, 491)) == ["ACK"]
    assert alice.say(alice.within("INVITE", 2, body=b"theirs", branch="z9hG4bKagain")) == ["100 INVITE"]
    alice.agent.accept(alice.handle, ANSWER, now=1.0)
    assert alice.take(ReinviteRejected).status == 491
    alice.take(Reinvited)


def test_asterisk_asks_by_options_whether_we_are_there_and_wants_200() -> None:
    """With ``qualify_2xx_only`` a 404 or a 405 is no life."""
    bob = Callee(settings=TRUSTING)
    assert bob.say(request("OPTIONS")) == ["200 OPTIONS"]
    bob.talk()
    assert bob.say(request("OPTIONS", 2, to_tag=bob.tag)) == ["200 OPTIONS"]


@pytest.mark.parametrize("transport", ["UDP", "TCP", "TLS"])
def test_asterisk_drops_what_is_not_for_a_sip_uri(transport: str) -> None:
    """Without a word; so nothing of ours becomes ``sips:`` because it goes by TLS."""
    flow = replace(FIRST, transport=transport)
    extension = Extension(targets={"example.com": [flow]})
    caller = LineCaller(flow)
    caller.answer(200, body=ANSWER, contact="<sip:bob@192.0.2.11;transport=tcp>")
    caller.agent.hang_up(caller.handle, now=1.0)
    caller.drain()
    sent = [extension.last, *(caller.last(method)[0] for method in ("INVITE", "ACK", "BYE"))]
    assert [message.uri.scheme for message in sent] == ["sip"] * 4


# FreeSWITCH


def test_freeswitch_reinvites_before_the_ack() -> None:
    """A millisecond after its 200, whether that has come or not."""
    alice = Caller()
    alice.answer(180)
    alice.take(Progressed)
    assert alice.say(alice.within("INVITE", 1, body=OFFER)) == ["491 INVITE"]
    assert alice.answer(200) == ["ACK"]
    alice.take(Accepted)
    assert alice.say(alice.within("INVITE", 2, body=OFFER, branch="z9hG4bKtwo")) == ["100 INVITE"]
    alice.take(Reinvited)


def test_freeswitch_as_the_caller_reinvites_before_the_ack() -> None:
    bob = Callee()
    bob.ring()
    bob.accept()
    assert reinvite(bob) == ["100 INVITE"]
    assert [type(event) for event in bob.events] == [Acknowledged, Reinvited]
    bob.accept(b"new answer")
    assert bob.say(request("ACK", 1, to_tag=bob.tag)) == []
    assert bob.say(request("ACK", 2, to_tag=bob.tag)) == []
    assert bob.advance(40.0) == []
    assert bob.agent.sessions == 1


def test_freeswitch_says_500_where_491_is_meant() -> None:
    alice = up()
    alice.agent.update(alice.handle, b"offer", now=0.0)
    message = alice.last("UPDATE")
    assert alice.say(respond(message, 500, headers="Retry-After: 1"), 0.1) == []
    at, again = alice.advance(6.0)[0]
    assert isinstance(again, Request)
    assert (again.method, again.body) == ("UPDATE", b"offer")
    assert at >= 1.1
    alice.say(respond(again, 200, body=b"answer"), at)
    assert alice.take(UpdateAccepted).body == b"answer"


def test_freeswitch_wants_sessions_of_120_seconds_at_least() -> None:
    bob = Callee()
    bob.talk(headers="Supported: timer\nSession-Expires: 90;refresher=uas\nAllow: UPDATE")
    (at, message), *_ = bob.advance(45.0)
    assert isinstance(message, Request)
    assert bob.say(respond(message, 422, headers="Min-SE: 120"), at) == ["UPDATE"]
    assert bob.last("UPDATE").headers.get("Session-Expires") == "120;refresher=uac"
    assert bob.agent.sessions == 1


def test_freeswitch_challenges_without_a_challenge() -> None:
    alice = Caller()
    assert alice.answer(401) == ["ACK"]
    alice.end("rejected", 401)


def test_freeswitch_reinvites_without_sdp() -> None:
    bob = Callee()
    bob.talk()
    assert reinvite(bob, body=b"") == ["100 INVITE"]
    assert bob.take(Reinvited).body == b""
    assert bob.accept(b"our offer").body == b"our offer"
    assert bob.say(request("ACK", 2, to_tag=bob.tag, body=b"their answer")) == []
    assert bob.take(Acknowledged).body == b"their answer"


# 3CX


def test_3cx_gets_the_rinstance_of_its_contact_back() -> None:
    alice = Caller()
    contact = "<sip:bob@192.0.2.2:5060;rinstance=a1b2c3;transport=udp>"
    alice.answer(200, contact=contact)
    alice.agent.hang_up(alice.handle, now=0.0)
    for method in ("ACK", "BYE"):
        assert f"<{alice.last(method).uri}>" == contact


@pytest.mark.parametrize("status", [403, 488, 501])
def test_3cx_does_not_take_reinvites_and_the_call_goes_on(status: int) -> None:
    bob = Callee()
    bob.talk(headers="Supported: timer\nSession-Expires: 1800;refresher=uas\nAllow: INVITE, ACK, BYE, CANCEL")
    (at, message), *_ = bob.advance(900.0)
    assert isinstance(message, Request)
    assert bob.say(respond(message, status), at) == ["ACK"]
    assert bob.agent.sessions == 1
    assert not [event for event in bob.events if isinstance(event, Refreshed | Ended)]


@pytest.mark.parametrize(("status", "asks", "answers"), [(401, "WWW", ""), (407, "Proxy", "Proxy-")])
def test_3cx_wants_its_trunks_registered_and_asks_by_401_or_407(status: int, asks: str, answers: str) -> None:
    extension = Extension()
    extension.answer(status, headers=CHALLENGE.format("n1").replace("WWW", asks))
    assert (extension.last.headers.get(f"{answers}Authorization") or "").startswith("Digest ")
    extension.accept()
    assert [type(event) for event in extension.take_said()] == [Registered]


# Twilio, Telnyx, VoIP.ms


def test_twilio_wants_numbers_in_e_164_and_gets_them_as_they_were_dialled() -> None:
    caller = LineCaller(FIRST, target=Uri.parse("sip:+15550100@example.com"))
    message, _ = caller.last()
    assert str(message.uri) == str(message.to.uri) == "sip:+15550100@example.com"


def test_voip_ms_has_sub_accounts_and_peers_behind_nats_that_forget_within_30_seconds() -> None:
    account = "100000_desk"
    extension = Extension(address=Uri.parse(f"sip:{account}@example.com"), credentials=Credentials(account, "secret"))
    extension.answer(401, headers=CHALLENGE.format("n1"))
    assert f'username="{account}"' in (extension.last.headers.get("Authorization") or "")
    extension.accept(expires=3_600)
    for _ in range(20):
        last = extension.now
        assert extension.run_to_next() - last < 30.0
        extension.accept(expires=3_600)


def test_twilio_private_addresses_come_back_as_they_were_written() -> None:
    alice = Caller()
    routes = "Record-Route: <sip:192.0.2.2:5060;lr;ftag=1;did=a.b>\nRecord-Route: <sip:172.25.4.9;lr>"
    alice.answer(200, contact="<sip:+15550100@172.25.4.10:5060;transport=udp>", headers=routes)
    alice.agent.hang_up(alice.handle, now=0.0)
    for message in (alice.last("ACK"), alice.last("BYE")):
        assert str(message.uri) == "sip:+15550100@172.25.4.10:5060;transport=udp"
        assert message.headers.get_all("Route") == ["<sip:172.25.4.9;lr>", "<sip:192.0.2.2:5060;lr;ftag=1;did=a.b>"]


def test_telnyx_two_record_routes_and_the_ack_goes_to_the_contact_by_them() -> None:
    alice = Caller()
    routes = "Record-Route: <sip:10.255.0.1;lr;r2=on>\nRecord-Route: <sip:192.0.2.2;transport=udp;lr;r2=on>"
    assert alice.answer(200, contact="<sip:x@10.13.37.4:6060>", headers=routes) == ["ACK"]
    assert str(alice.last("ACK").uri) == "sip:x@10.13.37.4:6060"
    assert alice.sent[-1].flow.remote == ("192.0.2.2", 5060)
    assert alice.advance(40.0) == []
    assert alice.agent.sessions == 1


# Cisco


def test_cisco_requires_100rel_and_leaves_the_offer_to_us() -> None:
    bob = Callee()
    bob.say(invite(headers="Require: 100rel\nSupported: timer,resource-priority,replaces,sdp-anat", body=b""))
    event = bob.take(IncomingInvite)
    assert event.wants_early_offer
    bob.agent.ring(event.handle, status=183, body=b"our offer", now=0.0)
    ringing = bob.messages()[-1]
    bob.handle, bob.tag = event.handle, ringing.to.tag or ""
    rack = f"RAck: {ringing.headers.get('RSeq')} 1 INVITE"
    assert bob.say(request("PRACK", 2, to_tag=bob.tag, headers=rack, body=b"their answer")) == ["200 PRACK"]
    assert bob.take(EarlyAnswered).body == b"their answer"
    assert bob.accept(b"our offer").body == b""
    assert bob.say(request("ACK", 1, to_tag=bob.tag)) == []
    assert bob.agent.sessions == 1


def test_cisco_requires_100rel_of_a_telephone_that_would_not_offer_early() -> None:
    bob = Callee()
    bob.say(invite(headers="Require: 100rel", body=b""))
    bob.handle = bob.take(IncomingInvite).handle
    bob.agent.ring(bob.handle, now=0.0)
    assert bob.messages() == []
    assert bob.accept(b"our offer").body == b"our offer"


def test_cisco_has_early_media_in_183_only_and_reliably() -> None:
    alice = Caller()
    assert alice.answer(183, headers=RELIABLE, body=b"early") == ["PRACK"]
    assert alice.take(Progressed).body == b"early"
    assert alice.answer(200) == ["ACK"]
    assert alice.take(Accepted).body == b"early"


def test_cisco_has_sessions_of_1800_seconds_and_no_shorter() -> None:
    bob = Callee()
    bob.ring(headers="Supported: timer\nMin-SE: 1800\nSession-Expires: 1800")
    response = bob.accept()
    assert response.headers.get("Session-Expires") == "1800;refresher=uac"
    assert response.headers.get("Min-SE") is None  # only a 422 may have one


@pytest.mark.parametrize("number", [2, 7])
def test_genesys_and_cisco_invite_without_sdp(number: int) -> None:
    bob = Callee()
    bob.ring(body=b"", cseq=f"{number} INVITE")
    assert bob.accept(b"our offer").body == b"our offer"
    assert bob.say(request("ACK", number, to_tag=bob.tag, body=b"their answer")) == []
    assert bob.take(Acknowledged).body == b"their answer"


# AudioCodes, Oracle, Sonus


def test_oracle_changes_its_tag_between_180_and_200() -> None:
    alice = Caller()
    alice.answer(180, tag="one", headers=RELIABLE)
    alice.answer(183, tag="two", body=b"early", headers=RELIABLE)
    assert alice.answer(200, tag="three", body=ANSWER) == ["ACK"]
    assert alice.last("ACK").to.tag == "three"
    assert alice.take(Accepted).body == ANSWER
    alice.agent.hang_up(alice.handle, now=0.0)
    assert (alice.last("BYE").to.tag, alice.last("BYE").cseq.number) == ("three", 2)


def test_audiocodes_changes_the_codec_right_after_the_ack() -> None:
    bob = Callee()
    bob.talk()
    for number in (2, 3, 4):
        assert reinvite(bob, number, body=b"other codec") == ["100 INVITE"]
        bob.take(Reinvited)
        bob.accept(b"answer")
        assert bob.say(request("ACK", number, to_tag=bob.tag)) == []
        bob.take(Acknowledged)
    assert bob.agent.sessions == 1


# Everybody


def test_our_invite_fits_a_datagram() -> None:
    body = b"x" * 400  # more than our descriptions have
    alice = Caller()
    assert len(bytes(alice.invite)) - len(alice.invite.body) + len(body) < DATAGRAM_MAX


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_bridges_forget_to_repeat_their_200_until_the_ack(transport: str) -> None:
    """sip-to-ai, siphon and others: the first 200 is lost, and the call with it."""
    world = World(transport=transport)
    lost: list[int] = []

    def drop(message: object) -> bool:
        is_200 = getattr(message, "status", 0) == 200 and len(lost) < 3
        lost.extend([1] * is_200)
        return is_200

    world.drop = drop
    world.on_event[world.bob] = lambda event: (
        world.bob.agent.accept(event.handle, ANSWER, now=world.now) if isinstance(event, IncomingInvite) else None
    )
    world.call()
    world.run(10.0)
    world.alice.take(Accepted)
    world.bob.take(Acknowledged)


def test_bridges_hear_a_copy_of_the_invite_as_a_second_call() -> None:
    bob = Callee()
    bob.ring()
    assert bob.say(invite(), 0.5) == ["180 INVITE"]
    bob.accept()
    assert bob.say(invite(), 0.6) == []
    assert bob.agent.sessions == 1


def test_bridges_answer_for_calls_that_they_have_forgotten() -> None:
    bob = Callee()
    for method in ("BYE", "INVITE", "UPDATE", "PRACK", "OPTIONS"):
        assert bob.say(request(method, 2, to_tag="gone")) == [f"481 {method}"]
    bob.assert_clean()
