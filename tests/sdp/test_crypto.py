"""Keys in descriptions: which lines are taken, what is answered, and when a key is new."""

from base64 import b64encode
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sdp.crypto import KEY_BYTES, Crypto, SrtpMode, parse_crypto
from sipagent.sdp.description import Media, parse
from sipagent.sdp.negotiation import MediaParameters, Negotiation, SrtpKeys

CM, CM32, GCM, GCM256 = KEY_BYTES


def key(suite: str = CM, seed: int = 1) -> bytes:
    return Random(seed).randbytes(KEY_BYTES[suite])


def text(suite: str = CM, seed: int = 1) -> str:
    return b64encode(key(suite, seed)).decode()


def line(tag: int = 1, suite: str = CM, seed: int = 1, rest: str = "") -> str:
    return f"crypto:{tag} {suite} inline:{text(suite, seed)}{rest}"


def sdp(*media: str, host: str = "192.0.2.7") -> bytes:
    lines = ["v=0", "o=peer 1 1 IN IP4 192.0.2.7", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    for medium in media:
        first, *rest = medium.split("|")
        lines += [f"m={first}", *(f"a={attribute}" for attribute in rest)]
    return "".join(f"{each}\r\n" for each in lines).encode()


def audio(profile: str, *attributes: str, port: int = 4000) -> str:
    return "|".join((f"audio {port} {profile} 0", *attributes))


def make(srtp: SrtpMode = "optional", *, seed: int = 7) -> Negotiation:
    return Negotiation(address="198.51.100.1", port=10_000, session_id=77, srtp=srtp, random=Random(seed))


def cryptos(description: bytes) -> list[Crypto | None]:
    return [parse_crypto(value) for value in stream(description).get_all("crypto")]


def stream(description: bytes) -> Media:
    return next(media for media in parse(description).media if media.port)


def keys(parameters: MediaParameters) -> SrtpKeys:
    assert parameters.srtp is not None
    return parameters.srtp


# --- a line


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [
        (f"1 {CM} inline:{text()}", True),
        (f"999999999 {CM32} inline:{text(CM32)}", True),
        (f"1 {GCM} inline:{text(GCM)}", True),
        (f"1 {GCM256} inline:{text(GCM256)}", True),
        (f"1 {GCM256} inline:{text(GCM256).rstrip('=')}", True),
        (f"1 {CM.lower()} INLINE:{text()}", True),
        (f"1  {CM}   inline:{text()} ", True),
        (f"1 {CM} inline:{text()}|2^20", True),
        (f"1 {CM} inline:{text()}|2^48", True),
        (f"1 {CM} inline:{text()}|1048576", True),
        (f"1 {CM} inline:{text()} WSH=64", True),
        (f"1 {CM} inline:{text()} KDR=0 -UNKNOWN", True),
        (f"1 {CM} inline:{text()}|2^49", False),
        (f"1 {CM} inline:{text()}|2^19", False),  # a call may outlive it
        (f"1 {CM} inline:{text()}|0", False),
        (f"1 {CM} inline:{text()}|2^{'9' * 5_000}", False),
        (f"1 {CM} inline:{text()}|1:4", False),
        (f"1 {CM} inline:{text()}|2^20|1:4", False),
        (f"1 {CM} inline:{text()}|2^20|1:4;inline:{text()}|2^20|2:4", False),
        (f"1 {CM} inline:{text()};inline:{text()}", False),
        (f"1 {CM} inline:{text()} KDR=16", False),
        (f"1 {CM} inline:{text()} UNENCRYPTED_SRTP", False),
        (f"1 {CM} inline:{text()} UNENCRYPTED_SRTCP", False),
        (f"1 {CM} inline:{text()} UNAUTHENTICATED_SRTP", False),
        (f"1 {CM} inline:{text()} FEC_ORDER=FEC_SRTP", False),
        (f"1 {CM} inline:{text()[:-4]}", False),
        (f"1 {CM} inline:{text()}AAAA", False),
        (f"1 {CM} inline:{text(GCM256)}", False),
        (f"1 {CM} inline:*{text()[1:]}", False),
        (f"1 {CM} inline:Ä{text()[1:]}", False),
        (f"1 {CM} uri:{text()}", False),
        (f"1 {CM} {text()}", False),
        (f"1 {CM}", False),
        (f"x {CM} inline:{text()}", False),
        (f"1234567890 {CM} inline:{text()}", False),
        (f"-1 {CM} inline:{text()}", False),
        ("1 F8_128_HMAC_SHA1_80 inline:" + text(), False),
        ("1 AES_256_CM_HMAC_SHA1_80 inline:" + b64encode(bytes(46)).decode(), False),
        ("", False),
    ],
)
def test_a_line_is_taken_or_passed_over(value: str, is_taken: bool) -> None:
    assert (parse_crypto(value) is not None) == is_taken


@given(st.text(max_size=200) | st.builds(lambda a, b: f"1 {CM} inline:{a}{text()}{b}", st.text(), st.text()))
def test_any_text_is_a_line_or_none(value: str) -> None:
    found = parse_crypto(value)
    if found is not None:
        assert parse_crypto(found.to_attribute().value or "") == found


def test_a_key_shows_nowhere() -> None:
    offer = sdp(audio("RTP/SAVP", line()))
    answer, parameters = make().answer(offer)
    secrets = [text(), b64encode(keys(parameters).send_key).decode(), *map(repr, (key(), keys(parameters).send_key))]
    for shown in (parse(offer), parse(answer), parameters, cryptos(offer)[0]):
        assert not any(secret in repr(shown) or secret in f"{shown!s}" for secret in secrets)


# --- our answer


@pytest.mark.parametrize("profile", ["RTP/AVP", "RTP/SAVP", "RTP/AVPF", "RTP/SAVPF"])
@pytest.mark.parametrize("mode", ["off", "optional", "required"])
@pytest.mark.parametrize("has_key", [True, False])
def test_who_is_encrypted_and_who_is_refused(profile: str, mode: SrtpMode, has_key: bool) -> None:
    offer = sdp(audio(profile, *([line(5)] if has_key else [])))
    is_secure = profile.startswith("RTP/S")
    negotiation = make(mode)
    if (is_secure or mode == "required") and (mode == "off" or not has_key):
        with pytest.raises(RemoteProtocolError) as caught:
            negotiation.answer(offer)
        assert caught.value.status == 488
        return
    answer, parameters = negotiation.answer(offer)
    assert stream(answer).protocol == profile
    if mode == "off" or not has_key:
        assert (parameters.srtp, cryptos(answer)) == (None, [])
        return
    agreed = keys(parameters)
    assert cryptos(answer) == [Crypto(5, CM, agreed.send_key)], "the tag is the peer's"
    assert agreed.receive_key == key()
    assert agreed.send_key != key()


def test_the_first_line_that_we_can_do_is_answered() -> None:
    lines = (f"crypto:1 F8_128_HMAC_SHA1_80 inline:{text()}", line(2, GCM), line(3))
    answer, parameters = make().answer(sdp(audio("RTP/SAVP", *lines)))
    assert keys(parameters).suite == GCM
    assert cryptos(answer) == [Crypto(2, GCM, keys(parameters).send_key)]


@pytest.mark.parametrize(
    ("mode", "ports"), [("off", [0, 10_000]), ("optional", [10_000, 0]), ("required", [10_000, 0])]
)
@pytest.mark.parametrize("is_secure_first", [True, False])
def test_of_two_streams_the_encrypted_one_is_taken(mode: SrtpMode, ports: list[int], is_secure_first: bool) -> None:
    media = [audio("RTP/SAVP", line()), audio("RTP/AVP", port=5000)]
    order = 1 if is_secure_first else -1
    answer, _ = make(mode).answer(sdp(*media[::order]))
    assert [medium.port for medium in parse(answer).media] == ports[::order]


def test_our_key_stays_as_long_as_the_peers() -> None:
    negotiation = make()
    first, parameters = negotiation.answer(sdp(audio("RTP/SAVP", line())))
    again, same = negotiation.answer(sdp(audio("RTP/SAVP", line(), "sendonly")))
    assert keys(same) == keys(parameters)
    assert cryptos(again) == cryptos(first)
    renumbered, same = negotiation.answer(sdp(audio("RTP/SAVP", line(4))))
    assert keys(same).send_key == keys(parameters).send_key
    assert [each and each.tag for each in cryptos(renumbered)] == [4]
    _, other = negotiation.answer(sdp(audio("RTP/SAVP", line(seed=2))))
    assert keys(other).receive_key == key(seed=2)
    assert keys(other).send_key != keys(parameters).send_key
    _, suite = negotiation.answer(sdp(audio("RTP/SAVP", line(suite=GCM))))
    assert len(keys(suite).send_key) == KEY_BYTES[GCM]


def test_a_failed_offer_changes_no_key() -> None:
    negotiation = make()
    _, parameters = negotiation.answer(sdp(audio("RTP/SAVP", line())))
    with pytest.raises(RemoteProtocolError):
        negotiation.answer(sdp(audio("RTP/SAVP", line(seed=2)), host="name.example"))
    assert negotiation.parameters == parameters
    assert negotiation.answer(sdp(audio("RTP/SAVP", line())))[1] == parameters


# --- our offer


@pytest.mark.parametrize(("mode", "profile"), [("optional", "RTP/AVP"), ("required", "RTP/SAVP")])
def test_what_is_offered(mode: SrtpMode, profile: str) -> None:
    negotiation = make(mode)
    offer = negotiation.offer()
    lines = [each for each in cryptos(offer) if each]
    assert stream(offer).protocol == profile
    assert [each.suite for each in lines] == [CM, GCM256, GCM, CM32]
    assert [each.tag for each in lines] == [1, 2, 3, 4]
    assert len({each.key for each in lines}) == 4
    assert negotiation.offer() == offer, "an offer that is the same has the same keys"
    assert len(offer) < 850, "an INVITE goes by UDP while it has less than 1300 bytes (RFC 3261, 18.1.1)"
    assert cryptos(make("off").offer()) == []


@pytest.mark.parametrize("profile", ["RTP/AVP", "RTP/SAVP"])
@pytest.mark.parametrize("answered", [line(1, CM), line(3, GCM), line(1, GCM256)])  # the last one's tag is wrong
def test_an_answer_with_a_key(profile: str, answered: str) -> None:
    negotiation = make()
    offered = {each.suite: each.key for each in cryptos(negotiation.offer()) if each}
    agreed = keys(negotiation.receive_answer(sdp(audio(profile, answered))))
    assert agreed.send_key == offered[agreed.suite]
    assert agreed.receive_key == key(agreed.suite)


@pytest.mark.parametrize(
    ("mode", "answer", "is_accepted"),
    [
        ("optional", audio("RTP/AVP"), True),
        ("optional", audio("RTP/SAVP"), False),
        ("required", audio("RTP/SAVP"), False),
        ("required", audio("RTP/AVP"), False),
        ("required", audio("RTP/AVP", line()), True),
        ("off", audio("RTP/SAVP", line()), False),
        ("off", audio("RTP/AVP", line()), True),
    ],
)
def test_an_answer_without_what_was_asked_for(mode: SrtpMode, answer: str, is_accepted: bool) -> None:
    negotiation = make(mode)
    negotiation.offer()
    if is_accepted:
        agreed = negotiation.receive_answer(sdp(answer))
        assert (agreed.srtp is not None) == (mode == "required")
        return
    with pytest.raises(RemoteProtocolError) as caught:
        negotiation.receive_answer(sdp(answer))
    assert (caught.value.status, negotiation.parameters) == (488, None)


def test_an_offer_within_a_call_goes_on_with_the_key_in_use() -> None:
    negotiation = make()
    _, parameters = negotiation.answer(sdp(audio("RTP/SAVP", line(2, GCM))))
    offer = negotiation.offer()
    first, *others = [each for each in cryptos(offer) if each]
    assert stream(offer).protocol == "RTP/SAVP"
    assert first == Crypto(2, GCM, keys(parameters).send_key)
    assert [each.suite for each in others] == [CM, GCM256, CM32]
    assert len({each.tag for each in (first, *others)}) == 4
    assert keys(negotiation.receive_answer(sdp(audio("RTP/SAVP", line(2, GCM))))) == keys(parameters)


def test_a_key_that_was_used_is_not_offered_again() -> None:
    """Two packets of one number under one key would give both away."""
    negotiation = make()
    negotiation.offer()
    used = keys(negotiation.receive_answer(sdp(audio("RTP/AVP", line(1, CM))))).send_key
    negotiation.answer(sdp(audio("RTP/AVP", line(1, GCM))))
    assert used not in {each.key for each in cryptos(negotiation.offer()) if each}


def test_a_refresh_keeps_the_keys() -> None:
    negotiation = make()
    _, parameters = negotiation.answer(sdp(audio("RTP/SAVP", line(2))))
    assert negotiation.receive_refresh(sdp(audio("RTP/SAVP", line(2)))) == parameters


def test_there_are_no_keys_without_randomness() -> None:
    with pytest.raises(LocalProtocolError):
        Negotiation(address="198.51.100.1", port=1, session_id=1, srtp="optional")


modes = st.sampled_from(["off", "optional", "required"])


@given(modes, modes, st.lists(st.booleans(), max_size=6))
def test_two_of_us_always_agree(mode_a: SrtpMode, mode_b: SrtpMode, exchanges: list[bool]) -> None:
    a, b = make(mode_a, seed=1), make(mode_b, seed=2)
    used: set[frozenset[bytes]] = set()
    for a_offers in exchanges:
        offerer, answerer = (a, b) if a_offers else (b, a)
        offer = offerer.offer()
        if {mode_a, mode_b} == {"off", "required"}:
            with pytest.raises(RemoteProtocolError):
                answerer.answer(offer)
            continue
        answer, theirs = answerer.answer(offer)
        ours = offerer.receive_answer(answer)
        if "off" in (mode_a, mode_b):
            assert (ours.srtp, theirs.srtp) == (None, None)
            continue
        mine, yours = keys(ours), keys(theirs)
        assert (mine.suite, mine.send_key, mine.receive_key) == (yours.suite, yours.receive_key, yours.send_key)
        used.add(frozenset((mine.send_key, mine.receive_key)))
    assert len(used) <= 1, "keys stay"
