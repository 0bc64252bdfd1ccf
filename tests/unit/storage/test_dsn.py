"""Connection strings: what is none is refused without being shown."""

from __future__ import annotations

import pytest

from services.errors import ConfigurationError
from services.storage.dsn import readable


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


@pytest.mark.parametrize("dsn", ["postgresql://u:se%cret@h/b", "postgres:secret@host", "postgresql://u:pa@secret@h/b"])
def test_what_is_none_is_refused_without_a_word_of_it(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="TIDEGATE_POSTGRES_DSN is no connection string") as found:
        readable(dsn)
    assert "cret" not in str(found.value)
    assert found.value.__cause__ is None
    assert found.value.__suppress_context__
