"""An account in use: who we are to those we call."""

from random import Random

import pytest

from sipagent.sip.account import Account
from sipagent.sip.headers import NameAddr
from sipagent.sip.line import Line
from sipagent.sip.uri import Uri


def line(account: Account) -> Line:
    return Line(account, random=Random(1))


class TestWhoWeAre:
    ACCOUNT = Account(
        name="pbx", address=Uri.parse("sip:100@pbx.example.com"), contact_user="100-x", display_name="Harbour"
    )
    ANONYMOUS = Account(
        name="pbx", address=Uri.parse("sip:100@pbx.example.com"), contact_user="100-x", is_anonymous=True
    )

    def test_who_we_are(self) -> None:
        assert line(self.ACCOUNT).present(None) == (NameAddr("Harbour", self.ACCOUNT.address), [])

    def test_another_number_in_from_and_the_truth_beside_it(self) -> None:
        shown = NameAddr.parse("<sip:+4930@pbx.example.com>")
        assert line(self.ACCOUNT).present(shown) == (
            shown,
            [("P-Asserted-Identity", '"Harbour" <sip:100@pbx.example.com>')],
        )
        renamed = NameAddr("Night desk", self.ACCOUNT.address)
        assert line(self.ACCOUNT).present(renamed) == (renamed, [])

    @pytest.mark.parametrize("shown", [None, NameAddr.parse("<sip:+4930@pbx.example.com>")])
    def test_nobody(self, shown: NameAddr | None) -> None:
        us, headers = line(self.ANONYMOUS).present(shown)
        assert str(us) == '"Anonymous" <sip:anonymous@anonymous.invalid>'
        assert headers == [("P-Asserted-Identity", "<sip:100@pbx.example.com>"), ("Privacy", "id")]
