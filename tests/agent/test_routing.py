"""Rules that choose an agent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from sipagent.agent.hours import Hours, Span
from sipagent.agent.routing import Route, check_pattern


@dataclass
class Somebody:
    user: str
    host: str = "pbx.example"


@dataclass
class Facts:
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)

RULES = (
    Route("vip", headers={"X-Queue": "VIP*"}),
    Route("overflow", called="2??", headers={"Diversion": "[0-9]*"}),
    Route("sales", called="2*", caller="+49*"),
    Route("partners", caller="*@partner.example"),
    Route("night", called="299"),
)


@pytest.mark.parametrize(
    ("called", "caller", "headers", "agent"),
    [
        ("200", Somebody("+4930"), {}, "sales"),
        ("200", Somebody("+4330"), {}, None),
        ("200", Somebody("+4930"), {"x-queue": "vip-1"}, "vip"),
        ("200", Somebody("+4930"), {"x-queue": "none"}, "sales"),
        ("200", Somebody("+4930"), {"diversion": "100"}, "overflow"),
        ("2000", Somebody("+4930"), {"diversion": "100"}, "sales"),
        ("1", Somebody("x", "Partner.example"), {}, "partners"),
        ("299", Somebody(""), {}, "night"),
        ("1", Somebody("y"), {}, None),
    ],
)
def test_the_first_rule_that_fits(called: str, caller: Somebody, headers: dict[str, str], agent: str | None) -> None:
    fitting = (rule for rule in RULES if rule.fits(Facts(headers), caller=caller, called=Somebody(called), moment=NOON))
    assert next((rule.agent for rule in fitting), None) == agent


def test_a_rule_without_conditions_fits_all() -> None:
    assert Route("any").fits(Facts(), caller=Somebody(""), called=Somebody(""), moment=NOON)


def test_a_number_sign_and_a_plus_are_themselves() -> None:
    assert Route("a", caller="+49*").fits(Facts(), caller=Somebody("+491"), called=Somebody(""), moment=NOON)
    assert not Route("a", caller="+49*").fits(Facts(), caller=Somebody("4491"), called=Somebody(""), moment=NOON)


@pytest.mark.parametrize(
    ("pattern", "number", "fits"),
    [
        (r"/^\+49(30|40)/", "+493012", True),
        (r"/^\+49(30|40)/", "+498912", False),
        ("/30/", "+493012", True),
        ("/^a/", "Ada", True),
        ("/", "/", True),
        ("//", "//", True),
    ],
)
def test_a_regular_expression_stands_between_slashes(pattern: str, number: str, fits: bool) -> None:
    rule = Route("a", caller=pattern)
    assert rule.fits(Facts(), caller=Somebody(number), called=Somebody(""), moment=NOON) is fits


def test_a_regular_expression_with_an_at_sees_the_host() -> None:
    rule = Route("a", caller=r"/@(.*\.)?partner\.example$/")
    assert rule.fits(Facts(), caller=Somebody("x", "a.partner.example"), called=Somebody(""), moment=NOON)
    assert not rule.fits(Facts(), caller=Somebody("x", "apartner.example"), called=Somebody(""), moment=NOON)


def test_hours() -> None:
    office = Hours((Span.parse("mon-fri 09:00-18:00"),), zone=UTC)
    inside, outside = Route("a", hours=office), Route("b", hours=office, is_outside=True)
    parties = {"caller": Somebody(""), "called": Somebody("")}
    assert inside.fits(Facts(), **parties, moment=NOON)
    assert not outside.fits(Facts(), **parties, moment=NOON)
    night = NOON.replace(hour=20)
    assert not inside.fits(Facts(), **parties, moment=night)
    assert outside.fits(Facts(), **parties, moment=night)


def test_a_text_longer_than_any_name_fits_no_pattern() -> None:
    assert not Route("a", headers={"X-Long": "*a*"}).fits(
        Facts({"x-long": "a" * 301}), caller=Somebody(""), called=Somebody(""), moment=NOON
    )


@pytest.mark.parametrize(("pattern", "problem"), [("", "1 to"), ("x" * 201, "1 to"), ("/(/", "slashes: a ( without")])
def test_what_is_no_pattern_is_told(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        check_pattern(pattern)
