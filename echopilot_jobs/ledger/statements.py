"""SQL kept in files: named statements and numbered migrations."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def statements() -> dict[str, str]:
    """Every named statement of `sql/queries.sql`."""
    text = (_HERE / "sql" / "queries.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """(version, script) of every migration, in order; the version is the number its file name begins with."""
    files = [file for file in (_HERE / "migrations").iterdir() if file.name.endswith(".sql")]
    return tuple(sorted((int(file.name[:4]), file.read_text(encoding="utf-8")) for file in files))


def split(script: str) -> Iterator[str]:
    """The single statements of a script. `executescript` would commit between them; a migration must not (I30)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class Sql:
    """Named statements on one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def do(self, statement: str, **params: object) -> int:
        """Run a statement that returns no rows; the number of rows it changed."""
        return self.db.execute(statements()[statement], params).rowcount

    def many(self, statement: str, params: Sequence[Mapping[str, object]]) -> int:
        """Run a statement once for each of *params*; the number of rows they changed together."""
        return self.db.executemany(statements()[statement], params).rowcount if params else 0

    def each(self, statement: str, **params: object) -> Iterator[sqlite3.Row]:
        """The rows of a statement one by one, for whoever may not need them all."""
        return self.db.execute(statements()[statement], params)

    def rows(self, statement: str, **params: object) -> list[sqlite3.Row]:
        """All rows of a statement."""
        return self.db.execute(statements()[statement], params).fetchall()

    def maybe(self, statement: str, **params: object) -> sqlite3.Row | None:
        """The first row, or None."""
        rows = self.rows(statement, **params)
        return rows[0] if rows else None

    def one(self, statement: str, **params: object) -> sqlite3.Row:
        """The only row."""
        (row,) = self.rows(statement, **params)
        return row
