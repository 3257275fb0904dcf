"""Text that a spreadsheet would take for a formula: made harmless when it is written, and put back when read.

An apostrophe in front says "this is text" to spreadsheets. One rule decides for both ways (`_RISKY`), and a text
that begins with apostrophes before something risky is itself risky, so each gets one more and loses one again.
"""

import re

_SIGNS = "=+\\-@|%\t\r\n＝＋－＠"
# What a spreadsheet may skip or show as nothing before the sign: spaces of all kinds, quotes, invisible marks.
_SKIPPED = " '\"\v\f\x1c-\x1f\x85\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff"
_RISKY = re.compile(f"[{_SKIPPED}]*[{_SIGNS}]")
_FIRST = re.compile(f"[{_SKIPPED}{_SIGNS}]")
SUSPECT = frozenset(c for c in map(chr, range(0x10000)) if _FIRST.match(c))
"""First characters of every risky text: the cheap question to ask before `disarmed`."""


def disarmed(text: str) -> str:
    """The text as it may stand in a CSV file."""
    return "'" + text if _RISKY.match(text) else text


def rearmed(text: str) -> str:
    """The text that was disarmed."""
    return text[1:] if text[:1] == "'" and _RISKY.match(text, 1) else text
