import json
from typing import Any

import pytest

from sipagent.agent.http_tool import HttpToolSettings, check_template, make_request, read_answer
from sipagent.agent.tools import CallInfo, ToolError

CALL = CallInfo("a1b2", caller="sip:ada@example.com", called="sip:shop@example.com", agent="clerk")


def settings(url: str = "https://shop.example.com/orders/{order}", **others: Any) -> HttpToolSettings:
    return HttpToolSettings("find", url, **others)


def url(template: str, **arguments: Any) -> str:
    return make_request(settings(template), arguments, CALL).url


@pytest.mark.parametrize(
    ("template", "arguments", "expected"),
    [
        ("http://a/orders/{order}", {"order": 7}, "http://a/orders/7"),
        ("http://a/{x}-{y}.json?z={x}&lang=en", {"x": "ä/b", "y": True}, "http://a/%C3%A4%2Fb-true.json?z=%C3%A4%2Fb&lang=en"),
        ("http://a/?x={x}&y={y}", {"y": "a&b=c#d"}, "http://a/?y=a%26b%3Dc%23d"),
        ("http://a/?x={x}", {}, "http://a/"),
        ("http://a:8080/%41?by={call.caller}&id={call.id}", {}, "http://a:8080/%41?by=sip%3Aada%40example.com&id=a1b2"),
        ("http://a/{x}", {"x": "a/../b?c"}, "http://a/a%2F..%2Fb%3Fc"),
        ("http://a/{x}", {"x": "//evil.example"}, "http://a/%2F%2Fevil.example"),
    ],
)  # fmt: skip
def test_arguments_are_escaped_where_they_go(template: str, arguments: dict[str, Any], expected: str) -> None:
    assert url(template, **arguments) == expected


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_an_argument_leads_out_of_no_folder(value: str) -> None:
    with pytest.raises(ToolError, match="An argument is empty, or is no name"):
        url("http://a/orders/{order}/lines", order=value)


def test_a_path_needs_its_arguments() -> None:
    with pytest.raises(ToolError, match="The argument order is missing"):
        url("http://a/{order}")


def test_a_body_is_all_arguments_or_what_the_template_says() -> None:
    arguments = {"order": 7, "name": "Ada", "lines": [1, 2]}
    every = make_request(settings(method="POST"), arguments, CALL)
    assert json.loads(every.body or b"") == arguments
    assert every.headers["Content-Type"] == "application/json"
    template = {
        "id": "{order}",
        "text": "Order {order} of {name} by {call.agent}",
        "lines": "{lines}",
        "note": "{note}",
        "fixed": [True, None, "{name}", "{note}"],
    }
    made = make_request(settings(method="PUT", body=template), arguments, CALL)
    assert json.loads(made.body or b"") == {
        "id": 7,
        "text": "Order 7 of Ada by clerk",
        "lines": [1, 2],
        "fixed": [True, None, "Ada"],
    }
    assert make_request(settings(), arguments, CALL).body is None


def test_a_key_is_not_shown() -> None:
    with_key = settings(headers={"Authorization": "Bearer hunter2"})
    request = make_request(with_key, {"order": 7}, CALL)
    assert request.headers["Authorization"] == "Bearer hunter2"
    assert "hunter2" not in f"{with_key!r} {request!r}"


@pytest.mark.parametrize(
    ("template", "body", "problem"),
    [
        ("ftp://a/", None, "expected an address after https://"),
        ("https:///x", None, "expected an address after https://"),
        ("https://{order}.example.com/", None, "an argument can't choose the host"),
        ("https://a/{name}", None, "there is no parameter name"),
        ("https://a/ b", None, "expected an address with everything"),
        ("https://a/", {"x": ["{call.password}"]}, "there is no parameter call.password"),
    ],
)
def test_a_template_that_can_not_work(template: str, body: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_template(settings(template, body=body), {"order": {}})


def test_a_template_that_can() -> None:
    check_template(settings("https://a/{order}?b={call.id}", body={"x": "{order} {call.called}"}), {"order": {}})


ANSWER = b'{"order": {"state": "shipped", "a/b": [1, {"c": 2}]}}'


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("", ANSWER.decode()),
        ("/order/state", "shipped"),
        ("/order/a~1b/1", '{"c":2}'),
        ("/order/a~1b/0", "1"),
    ],
)
def test_what_of_an_answer_the_model_is_told(pointer: str, expected: str) -> None:
    assert read_answer(settings(answer=pointer), 200, ANSWER) == expected


@pytest.mark.parametrize("pointer", ["/order/x", "/order/a~1b/7", "/order/state/0", "/order/a~1b/x"])
@pytest.mark.parametrize("body", [ANSWER, b"no JSON", b"", b"[" * 100_000])
def test_an_answer_without_it(pointer: str, body: bytes) -> None:
    with pytest.raises(ToolError, match="answered, but not with what was asked for"):
        read_answer(settings(answer=pointer), 200, body)


def test_an_answer_is_cut() -> None:
    assert read_answer(settings(max_characters=5), 200, b"123456") == "12345 (cut)"
    assert read_answer(settings(max_characters=6), 200, b"123456") == "123456"


def test_an_empty_answer_is_one() -> None:
    assert read_answer(settings(), 204, b"") == "Done."


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (404, b"", "The service find failed: it knows nothing of the kind."),
        (404, b'{"error": "no order 7"}', 'knows nothing of the kind. It says: {"error": "no order 7"}'),
        (503, b"<html>down</html>", "it has a problem of its own at the moment."),
        (302, b"", "it sent us elsewhere."),
        (418, b"a teapot", "it answered with status 418. It says: a teapot"),
    ],
)
def test_a_refusal_is_a_sentence(status: int, body: bytes, sentence: str) -> None:
    with pytest.raises(ToolError) as raised:
        read_answer(settings(), status, body)
    assert str(raised.value).endswith(sentence)


def test_what_a_service_says_is_cut() -> None:
    with pytest.raises(ToolError) as raised:
        read_answer(settings(), 500, b"x" * 100_000)
    assert len(str(raised.value)) < 500
