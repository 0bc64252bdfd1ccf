"""What every training text goes through before anything else: encoding repair, HTML, control characters, white space.

Promises: idempotent; never lower-cases, folds or strips evasion (zero-width characters, confusables and emoji stay: the model
must learn to see through them); an empty result means that there was no text. Serving does not clean: spans point into the
text that came, so cleaning here removes only what a client would not send.
"""

from __future__ import annotations

import html
import re

import ftfy

__all__ = ["clean", "language_of"]

_TAG = re.compile(r"<(?:/?[a-zA-Z][^<>]{0,200}|!--.*?--)>", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SPACES = re.compile(r"[^\S\n]+")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTER = re.compile(r"[^\W\d_]")

_REPAIR = ftfy.TextFixerConfig(
    unescape_html=False,  # done below, once, whatever else is in the text
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,  # full-width letters are evasion, and the model must see them
    normalization=None,
    explain=False,
)


def clean(text: str) -> str:
    """The text as a person sees it."""
    text = ftfy.fix_text(text, _REPAIR)
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    return _SPACES.sub(" ", _CONTROL.sub(" ", text)).strip()


def language_of(text: str) -> str:
    """`zh` when at least a quarter of the letters are Han characters, else `en`: the two languages that are told apart."""
    letters = len(_LETTER.findall(text))
    return "zh" if letters and len(_HAN.findall(text)) >= letters / 4 else "en"
