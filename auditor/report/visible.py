"""Text that hides nothing and that no terminal obeys."""

from __future__ import annotations

import unicodedata

# Joiners shape Persian and Indic names and do no harm; every other invisible character can hide or fake text.
_HARMLESS = {"\u200c", "\u200d"}
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""The text with control, escape, bidirectional and undecodable characters written as \x1b or \u202e."""
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _is_invisible(char) else char for char in text)


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in _INVISIBLE and char not in _HARMLESS


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
