"""Short lists that a call has many of, most of them empty: an empty ``deque`` takes 760 bytes, an empty list 56."""

from typing import TypeVar

Item = TypeVar("Item")


def remember(items: list[Item], item: Item, most: int) -> None:
    """Add an item; of more than ``most`` the oldest is forgotten."""
    items.append(item)
    if len(items) > most:
        items.pop(0)  # compiled, quicker than del
