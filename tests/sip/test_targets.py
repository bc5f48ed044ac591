"""Targets: where a call may go, however the number is written."""

import pytest

from sipagent.sip.targets import Targets
from sipagent.sip.uri import Uri

PBX = Targets(["pbx.example.com"])


def allows(targets: Targets, text: str, **options: str) -> bool:
    return targets.allows(Uri.parse(text), **options)


class TestDefault:
    @pytest.mark.parametrize(
        "text",
        [
            "sip:100@pbx.example.com",
            "sip:100@PBX.example.com.",
            "sips:100@pbx.example.com:5061;transport=tls",
            "sip:123456@pbx.example.com;user=phone",
            "sip:1@pbx.example.com",
            "sip:alice@pbx.example.com",
            "sip:Front.Desk-2@pbx.example.com",
            "tel:100",
            "sip:100@pbx.example.com?Replaces=abc%3Bto-tag%3D1",
        ],
    )
    def test_extensions_and_names_of_its_own_domain(self, text: str) -> None:
        assert PBX.refusal(Uri.parse(text)) is None

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("sip:100@example.com", "another domain"),
            ("sip:100@pbx.example.com.evil.example", "another domain"),
            ("sip:100@192.0.2.9", "another domain"),
            ("sip:1234567@pbx.example.com", "the number is not allowed"),
            ("sip:+4930123456@pbx.example.com", "the number is not allowed"),
            ("tel:+4930123456", "the number is not allowed"),
            ("sip:*72100@pbx.example.com", "the number is not allowed"),
            ("sip:%23100@pbx.example.com", "the number is not allowed"),
            ("sip:100,,9@pbx.example.com", "the number is not allowed"),
            ("sip:1a@pbx.example.com", "the number is not allowed"),
            ("sip:%D9%A1%D9%A2@pbx.example.com", "the number is not allowed"),
            ("sip:pbx.example.com", "nobody is named, or not in a way that is understood"),
            ("mailto:100@pbx.example.com", "nobody is named, or not in a way that is understood"),
            ("sip:100:secret@pbx.example.com", "nobody is named, or not in a way that is understood"),
            ("sip:100@pbx.example.com;maddr=192.0.2.9", "nobody is named, or not in a way that is understood"),
            ("sip:100@pbx.example.com;method=BYE", "nobody is named, or not in a way that is understood"),
            ("sip:100;postd=pp9001900@pbx.example.com", "nobody is named, or not in a way that is understood"),
            ("sip:" + "a" * 65 + "@pbx.example.com", "nobody is named, or not in a way that is understood"),
            ("tel:+" + "1" * 16, "nobody is named, or not in a way that is understood"),
        ],
    )
    def test_nothing_else(self, text: str, reason: str) -> None:
        assert PBX.refusal(Uri.parse(text)) == reason

    def test_the_address_of_the_pbx_stands_for_its_domain(self) -> None:
        assert allows(PBX, "sip:100@192.0.2.9", peer="192.0.2.9")
        assert not allows(PBX, "sip:100@192.0.2.8", peer="192.0.2.9")

    @pytest.mark.parametrize("number", ["911", "112", "999", "000", "11833", "118500"])
    def test_short_numbers_that_are_no_extensions(self, number: str) -> None:
        assert PBX.refusal(Uri.parse(f"sip:{number}@pbx.example.com")) == "the number is denied"


ANYWHERE = Targets(["trunk.example"], allow=["*"])
PREMIUM = [
    "+19005551234", "+1 (900) 555-1234", "0019005551234", "01119005551234", "19005551234", "9005551234",
    "1-900-555-1234", "+1.212.976.1234", "+97912345678", "0097912345678", "+88216123456789", "+883510012345",
    "+881612345678", "00881612345678", "+870773123456", "+4990012345", "090012345", "0900 123 45", "+449012345678",
    "+447012345678", "+33899123456", "+41900123456", "+34803123456", "+39899123456", "+390878123", "001 (900) 5551234",
    "81081990123456",
]  # fmt: skip


class TestDenied:
    @pytest.mark.parametrize("number", PREMIUM)
    def test_however_it_is_written(self, number: str) -> None:
        escaped = number.replace(" ", "%20")
        assert ANYWHERE.refusal(Uri.parse(f"sip:{escaped}@trunk.example")) == "the number is denied"
        if " " not in number:
            assert ANYWHERE.refusal(Uri.parse(f"tel:{number}")) == "the number is denied"

    @pytest.mark.parametrize(
        "text", ["tel:9005551234;phone-context=+1", "sip:9005551234;phone-context=+1@trunk.example"]
    )
    def test_a_number_in_its_context(self, text: str) -> None:
        assert ANYWHERE.refusal(Uri.parse(text)) == "the number is denied"

    @pytest.mark.parametrize(
        ("country", "number"),
        [("49", "01377123456"), ("44", "09012345678"), ("34", "803123456"), ("44", "07012345678"), ("1", "2129765551")],
    )
    def test_as_it_is_dialled_in_the_country(self, country: str, number: str) -> None:
        targets = Targets(["trunk.example"], allow=["*"], country=country)
        assert targets.refusal(Uri.parse(f"sip:{number}@trunk.example")) == "the number is denied"

    @pytest.mark.parametrize(
        "number",
        ["+4930123456", "004930123456", "030123456", "+12125551234", "12125551234", "2125551234", "8705551234",
         "9795551234", "7803551234", "09111234567", "+442079460000", "+8613912345678"],
    )  # fmt: skip
    def test_ordinary_numbers_are_not(self, number: str) -> None:
        assert ANYWHERE.refusal(Uri.parse(f"sip:{number}@trunk.example")) is None

    def test_denying_wins_over_allowing(self) -> None:
        targets = Targets(["trunk.example"], allow=["+19005551234", "19*@*"], deny=["+1900*"])
        assert not allows(targets, "sip:+19005551234@trunk.example")
        assert not allows(targets, "sip:19005551234@elsewhere.example")

    def test_a_list_of_its_own(self) -> None:
        targets = Targets(["pbx"], deny=["1??", "boss@*"])
        assert not allows(targets, "sip:123@pbx")
        assert not allows(targets, "sip:Boss@pbx")
        assert allows(targets, "sip:911@pbx")


class TestAllowed:
    def test_patterns(self) -> None:
        targets = Targets(["trunk.example"], allow=["+49*", "2??", "[*]97", "internal"])
        for user in ("+4930123456", "+49%2030%20123456", "0049-30-123456", "200", "*97", "123456", "alice"):
            assert allows(targets, f"sip:{user}@trunk.example"), user
        for user in ("+43123456789", "030123456", "*98", "+49*", "+49301,,9", "+4930p1", "*97,1"):
            assert targets.refusal(Uri.parse(f"sip:{user}@trunk.example")), user
        assert not allows(targets, "sip:+4930123456@elsewhere.example")

    def test_without_the_word_internal_extensions_are_not(self) -> None:
        assert not allows(Targets(["pbx"], allow=["+49*"]), "sip:100@pbx")

    def test_another_domain(self) -> None:
        targets = Targets(["pbx"], allow=["*@support.example", "sales@*"])
        assert allows(targets, "sip:anybody@Support.Example")
        assert allows(targets, "sip:sales@wherever.example")
        assert not allows(targets, "sip:anybody@wherever.example")
        assert not allows(targets, "sip:anybody@pbx")
        assert not allows(targets, "sip:+19005551234@support.example")

    @pytest.mark.parametrize(
        ("country", "number", "allowed"),
        [
            ("49", "030123456", True),
            ("49", "0043123456", False),
            ("1", "2125551234", True),
            ("45", "32123456", True),
            ("49", "44207946000000", False),
        ],
    )
    def test_numbers_of_the_country(self, country: str, number: str, allowed: bool) -> None:
        targets = Targets(["pbx"], allow=[f"+{country}*"], country=country)
        assert allows(targets, f"sip:{number}@pbx") is allowed

    def test_the_prefix_is_the_countrys(self) -> None:
        targets = Targets(["pbx"], allow=["+49*"], international_prefix="011")
        assert allows(targets, "sip:0114930123456@pbx")
        assert not allows(targets, "sip:004930123456@pbx")

    def test_nothing_at_all(self) -> None:
        assert not allows(Targets(["pbx"], allow=[]), "sip:100@pbx")
