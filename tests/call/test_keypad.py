from math import inf

from sipagent.call.keypad import MAX_DIGITS, PAUSE_S, Keypad


def test_digits_are_gathered_until_a_pause() -> None:
    keypad = Keypad()
    assert keypad.due_at == inf
    for n, digit in enumerate("4711"):
        keypad.press(digit, now=n * 0.4)
    assert keypad.due_at == 3 * 0.4 + PAUSE_S
    assert keypad.handle_timer(now=3 * 0.4 + PAUSE_S - 0.001) is None
    assert keypad.handle_timer(now=3 * 0.4 + PAUSE_S) == "4711"
    assert keypad.due_at == inf
    assert keypad.handle_timer(now=100.0) is None


def test_the_hash_key_ends_a_number_at_once_and_belongs_to_it() -> None:
    keypad = Keypad()
    keypad.press("1", now=0.0)
    keypad.press("#", now=0.2)
    assert keypad.due_at == 0.2
    assert keypad.handle_timer(now=0.2) == "1#"


def test_numbers_are_told_apart() -> None:
    keypad = Keypad()
    keypad.press("1", now=0.0)
    assert keypad.handle_timer(now=1.0) == "1"
    keypad.press("2", now=1.5)
    assert keypad.handle_timer(now=2.5) == "2"


def test_a_jammed_key_is_handed_on_in_pieces() -> None:
    keypad = Keypad()
    for n in range(MAX_DIGITS - 1):
        keypad.press("5", now=n * 0.1)
        assert keypad.due_at == n * 0.1 + PAUSE_S
    keypad.press("5", now=9.0)
    assert keypad.due_at == 9.0
    assert keypad.handle_timer(now=9.0) == "5" * MAX_DIGITS
