import pytest

from sipagent.realtime.failures import ErrorClass, classify, classify_close, failure_kind


@pytest.mark.parametrize(
    ("code", "message", "command", "expected"),
    [
        ("conversation_already_has_active_response", "", "create", ErrorClass.BENIGN),
        (None, "Conversation already has an active response in progress: resp_1.", "", ErrorClass.BENIGN),
        ("response_cancel_not_active", "Cancellation failed: no active response found", "cancel", ErrorClass.BENIGN),
        (None, "Cancellation failed: no active response found", "", ErrorClass.BENIGN),
        ("input_audio_buffer_commit_empty", "", "commit", ErrorClass.BENIGN),
        (None, "Expected at least 100ms of audio, but buffer only has 0.00ms of audio.", "", ErrorClass.BENIGN),
        ("invalid_value", "Audio content of 3700ms is already shorter than 3760ms", "truncate", ErrorClass.BENIGN),
        ("invalid_value", "Audio content of 3700ms is already shorter than 3760ms", "", ErrorClass.BENIGN),
        ("invalid_value", "audio_end_ms is odd", "truncate", ErrorClass.BENIGN),
        ("item_not_found", "no such item", "delete", ErrorClass.BENIGN),
        ("invalid_value", "voice", "update", ErrorClass.INVALID),
        ("unknown_parameter", "Unknown parameter: 'session.reasoning'.", "update", ErrorClass.INVALID),
        ("missing_required_parameter", "", "update", ErrorClass.INVALID),
        ("invalid_event", "", "", ErrorClass.INVALID),
        ("item_create_duplicate_item_id", "", "create-item", ErrorClass.INVALID),
        ("rate_limit_exceeded", "", "create", ErrorClass.TRANSIENT),
        ("inference_rate_limit_exceeded", "", "", ErrorClass.TRANSIENT),
        (None, "Rate limit reached", "", ErrorClass.TRANSIENT),
        ("server_error", "", "", ErrorClass.TRANSIENT),
        ("never_heard_of", "", "", ErrorClass.TRANSIENT),
        ("session_expired", "Your session hit the maximum duration of 60 minutes.", "", ErrorClass.EXPIRED),
        (None, "Your session hit the maximum duration of 60 minutes.", "", ErrorClass.EXPIRED),
        ("beta_api_shape_disabled", "", "", ErrorClass.FATAL),
        ("invalid_api_key", "", "", ErrorClass.FATAL),
        ("insufficient_quota", "", "truncate", ErrorClass.FATAL),
        ("credit_balance_exhausted", "", "", ErrorClass.FATAL),
        ("billing_hard_limit_reached", "", "", ErrorClass.FATAL),
        ("account_deactivated", "", "", ErrorClass.FATAL),
        (None, "Incorrect API key provided: sk-...", "", ErrorClass.FATAL),
    ],
)
def test_classify(code: str | None, message: str, command: str, expected: ErrorClass) -> None:
    assert classify({"code": code, "message": message}, command) is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("invalid_request_error", ErrorClass.INVALID),
        ("authentication_error", ErrorClass.FATAL),
        ("server_error", ErrorClass.TRANSIENT),
        (None, ErrorClass.TRANSIENT),
        ([], ErrorClass.TRANSIENT),
    ],
)
def test_without_code_and_known_words_the_type_decides(kind: object, expected: ErrorClass) -> None:
    assert classify({"type": kind, "code": None, "message": {"odd": 1}}) is expected


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (4000, "invalid_request_error.beta_api_shape_disabled", ErrorClass.FATAL),
        (1001, "", ErrorClass.EXPIRED),
        (1006, "", ErrorClass.TRANSIENT),
        (1000, "", ErrorClass.TRANSIENT),
        (1011, "keepalive ping timeout", ErrorClass.TRANSIENT),
        (3000, "invalid_request_error.invalid_api_key", ErrorClass.FATAL),
        (1008, "insufficient_quota", ErrorClass.FATAL),
        (401, "Unauthorized", ErrorClass.FATAL),
        (404, "", ErrorClass.FATAL),
        (429, "Too Many Requests", ErrorClass.TRANSIENT),
        (503, "", ErrorClass.TRANSIENT),
        (0, "connection refused", ErrorClass.TRANSIENT),
    ],
)
def test_classify_close(code: int, reason: str, expected: ErrorClass) -> None:
    assert classify_close(code, reason) is expected


def test_failure_kind_says_whether_another_try_helps() -> None:
    assert {each: failure_kind(each) for each in ErrorClass} == {
        ErrorClass.BENIGN: "transient",
        ErrorClass.INVALID: "fatal",
        ErrorClass.TRANSIENT: "transient",
        ErrorClass.EXPIRED: "transient",
        ErrorClass.FATAL: "fatal",
    }
