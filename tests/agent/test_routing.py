"""Rules that choose an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from sipagent.agent.routing import Route


@dataclass
class Somebody:
    user: str
    host: str = "pbx.example"


@dataclass
class Facts:
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


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
    fitting = (rule for rule in RULES if rule.fits(Facts(headers), caller=caller, called=Somebody(called)))
    assert next((rule.agent for rule in fitting), None) == agent


def test_a_rule_without_conditions_fits_all() -> None:
    assert Route("any").fits(Facts(), caller=Somebody(""), called=Somebody(""))


def test_a_number_sign_and_a_plus_are_themselves() -> None:
    assert Route("a", caller="+49*").fits(Facts(), caller=Somebody("+491"), called=Somebody(""))
    assert not Route("a", caller="+49*").fits(Facts(), caller=Somebody("4491"), called=Somebody(""))
