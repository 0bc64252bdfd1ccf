"""Texts that look broken and are not: each becomes an ordinary decision."""

from __future__ import annotations

import pytest

from services.events.content import CONTENT_DECIDED, ContentDecided
from tests.integration.spine.app import App
from tests.integration.spine.topics import review_event

TEXTS = {
    "empty": "",
    "one space": " ",
    "only emoji": "😀🏳️‍🌈👨‍👩‍👧‍👦🇩🇪",
    "only zero-width": "\u200b\u200c\u200d\u2060\ufeff",
    "99,999 characters without a space": "x" * 99_999,
    "100,000 characters": "漢" * 100_000,
    "right-to-left": "مرحبا بالعالم שלום",
    "bidi controls": "\u202eevil\u202c \u2066x\u2069",
    "mixed scripts": "pаypаl ＦＲＥＥ 免费 бесплатно",
    "combining marks": "Z̸̢̛͔͎a̷͓͘l̶̰͝g̴̦͌o̶͚͐",
    "control characters": "\x01\x02\x1b[31m\x7f\u0085",
    "line ends": "\r\n\u2028\u2029",
    "quotes and backslashes": '\\"\\u0041\'"; DROP TABLE review_decision; --',
    "format directives": "%s %(x)s {0} {x!r} ${HOME}",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "private use": "\ue000\U000f0000",
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_odd_text_is_decided_like_any_other(app: App, name: str) -> None:
    (sent,) = app.send("content.submitted", review_event(TEXTS[name]))
    decision = CONTENT_DECIDED.validate(app.result(sent).data)
    assert isinstance(decision, ContentDecided)
    assert decision.model is not None
    app.wait_settled(sent)
    assert app.dead_letters(sent) == []
