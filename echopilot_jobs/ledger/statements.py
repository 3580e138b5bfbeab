"""SQL kept in files: named statements and numbered migrations."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_EVERY = "every()"  # in a statement: the values it is about


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


def spellings(statement: str) -> tuple[str, str]:
    """The two texts a statement is sent as: about a single value, and about any number of them in a JSON array."""
    return _of_one(statement), _of_many(statement)


@cache
def _of_one(statement: str) -> str:
    return statement.replace(f"in {_EVERY}", "= :every").replace(_EVERY, "(select :every as value)")


@cache
def _of_many(statement: str) -> str:
    return statement.replace(_EVERY, "(select value from json_each(:every))")


class Sql:
    """Named statements on one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def do(self, statement: str, **params: object) -> int:
        """Run a statement that returns no rows; the number of rows it changed."""
        return self.db.execute(statements()[statement], params).rowcount

    def many(self, statement: str, params: Sequence[Mapping[str, object]]) -> None:
        """Run a statement once for each of *params*."""
        if params:
            self.db.executemany(statements()[statement], params)

    def each(self, statement: str, **params: object) -> Iterator[sqlite3.Row]:
        """The rows of a statement one by one, for whoever may not need them all."""
        return self.db.execute(statements()[statement], params)

    def rows(self, statement: str, **params: object) -> list[sqlite3.Row]:
        """All rows of a statement."""
        return self.db.execute(statements()[statement], params).fetchall()

    def together(self, statement: str, values: Sequence[object], **params: object) -> list[sqlite3.Row]:
        """All rows of a statement that is about each of *values* at once: a third of what one statement for each takes.

        A single one goes as it is, because SQLite needs as long to take JSON apart as for the rest.
        """
        text = statements()[statement]
        if len(values) == 1:
            return self.db.execute(_of_one(text), {**params, "every": values[0]}).fetchall()
        return self.db.execute(_of_many(text), {**params, "every": json.dumps(values)}).fetchall()

    def maybe(self, statement: str, **params: object) -> sqlite3.Row | None:
        """The first row, or None."""
        rows = self.rows(statement, **params)
        return rows[0] if rows else None

    def one(self, statement: str, **params: object) -> sqlite3.Row:
        """The only row."""
        (row,) = self.rows(statement, **params)
        return row
