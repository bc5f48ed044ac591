"""What waits to be said."""

import pytest

from sipagent.call.remarks import MAX_WAITING, Remark, Remarks
from sipagent.errors import LocalProtocolError


def test_they_are_said_in_the_order_in_which_they_came() -> None:
    remarks = Remarks()
    assert not remarks
    remarks.add(Remark("one"))
    remarks.add(Remark("two"))
    assert [remarks.take().instructions, remarks.take().instructions] == ["one", "two"]
    assert not remarks


def test_more_than_some_are_refused_and_those_before_stay() -> None:
    remarks = Remarks()
    for number in range(MAX_WAITING):
        remarks.add(Remark(str(number)))
    with pytest.raises(LocalProtocolError):
        remarks.add(Remark("too much"))
    assert remarks.take().instructions == "0"
    remarks.clear()
    assert not remarks
