"""A question to a registrar."""

from random import Random

from sip.peers import ALICE, Endpoint, respond
from sip.test_registration import ACCOUNT, CHALLENGE, FIRST

from sipagent.sip.events import Locate, Queried
from sipagent.sip.message import Request
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

REGISTRAR = Uri.parse("sip:example.com")


class Asking(Endpoint):
    """Asks, and finds the registrar."""

    def __init__(self) -> None:
        super().__init__(ALICE)
        self.agent = UserAgent(accounts=[ACCOUNT], random=Random(1))
        self.agent.query("pbx", REGISTRAR, now=0.0)
        located = self.take(Locate)
        assert located.uri == REGISTRAR
        self.agent.located(located.query, [FIRST], now=0.0)
        (request,) = self.messages()
        assert isinstance(request, Request)
        self.asked = request


def test_it_is_challenged_as_any_and_changes_nothing() -> None:
    asking = Asking()
    (again,) = asking.receive(respond(asking.asked, 401, headers=CHALLENGE.format("n")), FIRST, 0.0)
    assert "Authorization" in again.headers
    assert "Contact" not in again.headers
    assert isinstance(again, Request)
    asking.receive(respond(again, 100), FIRST, 0.0)
    assert asking.events == []
    asking.receive(respond(again, 200), FIRST, 0.0)
    queried = asking.take(Queried)
    assert (queried.account, queried.registrar) == ("pbx", REGISTRAR)
    assert queried.response is not None
    assert queried.response.status == 200
    assert asking.agent.registrations == 0
    asking.advance(100.0)
    asking.assert_clean()


def test_no_answer_is_one() -> None:
    asking = Asking()
    asking.advance(100.0)
    assert asking.take(Queried).response is None
