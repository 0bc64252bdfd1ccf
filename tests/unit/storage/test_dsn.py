"""Connection strings: what is none is refused without being shown."""

from __future__ import annotations

import pytest

from services.errors import ConfigurationError
from services.storage.dsn import masked, readable


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://user:word@host:5432/base",
        "postgresql://user:w%40rd%25@h1,h2/base",
        "postgresql://user@%2Ftmp%2Fa@b/base",
        "host=/tmp/sockets dbname=base",
        "",
    ],
)
def test_a_connection_string_is_taken_as_it_is(dsn: str) -> None:
    assert readable(dsn) == dsn


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:se%cret@h/b",
        "postgres:secret@host",
        "postgresql://u:pa@secret@h/b",
        "postgresql://u:12/secret@h:1/b",
    ],
)
def test_what_is_none_is_refused_without_a_word_of_it(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="TIDEGATE_POSTGRES_DSN is no connection string") as found:
        readable(dsn)
    assert "cret" not in str(found.value)
    assert found.value.__cause__ is None
    assert found.value.__suppress_context__


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:secret@h/b",
        "host=h user=u password = secret",
        "password='my secret' host=h",
        "postgresql://h/b?password=secret&sslpassword=secret",
        "postgresql://u:pa@secret@h/b",
    ],
)
def test_a_connection_string_is_shown_without_its_passwords(dsn: str) -> None:
    assert "secret" not in masked(dsn)
    assert "h" in masked(dsn) or masked(dsn) == "***"


def test_one_without_a_password_is_shown_as_it_is() -> None:
    assert masked("postgresql://u@%2Ftmp%2Fa/b") == "postgresql://u@%2Ftmp%2Fa/b"
