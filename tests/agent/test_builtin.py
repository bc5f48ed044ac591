from sipagent.agent.builtin import HANG_UP


def test_hang_up_is_described_to_the_model() -> None:
    definition = HANG_UP.definition
    assert definition["name"] == "hang_up"
    assert definition["description"].startswith("End the phone call.")
    assert definition["parameters"]["required"] == []
    assert "Why" in definition["parameters"]["properties"]["reason"]["description"]


def test_hang_up_answers_the_model() -> None:
    assert HANG_UP(**HANG_UP.parse_arguments('{"reason":"goodbye"}')) == HANG_UP(**HANG_UP.parse_arguments(""))
