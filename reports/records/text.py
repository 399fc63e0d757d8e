"""Text from elsewhere, made fit to be shown and kept: names of files, messages, addresses."""

import re

LONGEST_REASON = 500  # letters of a reason that tables and terminals show
# Control characters, lone surrogates, separators of lines, and marks that turn the direction.
CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
# user:password@ of an address, up to the last @: a password may hold any sign
PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):\S+@", re.IGNORECASE)
SECRET = re.compile(
    r"([?&](?:password|passwd|pwd|token|secret|api_?key|access_?key)=)[^&\s'\"]+", re.IGNORECASE
)
MASK = "***"


def count(number: int, noun: str) -> str:
    """Return "1 run" or "7 runs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def one_line(text: str) -> str:
    """Return text on one line, in which characters that control a terminal or a page are spelt."""
    return make_printable(" ".join(text.split()))


def make_printable(text: str) -> str:
    r"""Return text in which control characters but tab and newline are spelt, such as ``\x1b``."""
    return CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shorten_text(text: str, longest: int = LONGEST_REASON) -> str:
    """Return the start of a long text with its number of letters; a short text as it is."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text):,} letters)"


def mask_passwords(text: str) -> str:
    """Return text without the passwords and tokens in its addresses."""
    return SECRET.sub(rf"\1{MASK}", PASSWORD.sub(rf"\1:{MASK}@", text))
