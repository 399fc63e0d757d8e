"""Which blocks a method is put into: one setting of all methods, as text."""

import re
from collections.abc import Sequence

from methods.settings import Condition

EXAMPLES = "all, first_K, last_K, every_K, last_half, last_in_stage or numbers such as 2-5"
WORDS = ("all", "last_half", "last_in_stage")
COUNTED = re.compile(r"(first|last|every)_([1-9]\d{0,3})")
NUMBERED = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")


def _is_known(text: str) -> bool:
    numbered = NUMBERED.fullmatch(text)
    if numbered:
        first, last = numbered.groups()
        return last is None or int(first) <= int(last)
    return text in WORDS or COUNTED.fullmatch(text) is not None


BLOCKS = Condition(f"one of {EXAMPLES}", _is_known)


def choose_blocks(text: str, is_last_in_stage: Sequence[bool]) -> frozenset[int]:
    """Return the numbers of the chosen blocks, from 0; one entry a block says where stages end.

    ``every_3`` means blocks 2, 5, 8 and so on. Raises: ValueError if one is not there.
    """
    n_blocks = len(is_last_in_stage)
    everything = range(n_blocks)
    if text == "last_in_stage":
        return frozenset(index for index in everything if is_last_in_stage[index])
    if text == "last_half":
        return frozenset(everything[(n_blocks + 1) // 2 :])
    counted, numbered = COUNTED.fullmatch(text), NUMBERED.fullmatch(text)
    chosen = everything
    if counted:
        count = int(counted[2])
        if count <= n_blocks:
            start = everything[:count]
            end = everything[n_blocks - count :]
            every = everything[count - 1 :: count]
            chosen = {"first": start, "last": end, "every": every}[counted[1]]
        else:
            chosen = range(0)
    elif numbered:
        first, last = int(numbered[1]), int(numbered[2] or numbered[1])
        chosen = range(first, last + 1) if last < n_blocks else range(0)
    if not chosen:
        raise ValueError(f"must be within the {n_blocks} blocks 0-{n_blocks - 1}, got {text}")
    return frozenset(chosen)
