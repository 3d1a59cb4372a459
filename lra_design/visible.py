"""Text of strangers, made safe to show."""

from __future__ import annotations

import unicodedata


def visible_text(text: str) -> str:
    """`text` with everything written out that would steer the reader's screen.

    Control characters (a terminal obeys them), marks that reverse the direction of writing (source
    code can hide behind them) and halves of surrogate pairs (no file can hold them) become
    `\\u{1b}`; line breaks and tabs stay.
    """
    if text.isprintable():  # much the usual case, and much the faster question
        return text
    return "".join(map(_visible, text.replace("\r\n", "\n")))


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs"):
        return character
    return f"\\u{{{ord(character):x}}}"
