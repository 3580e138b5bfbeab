"""Who may come in: sessions, one-time login links and the count of failures, in `var/web.sqlite3`. Needs no Flask.

Only keyed hashes are kept, made with the dashboard key: reading the file lets nobody in, and a changed key ends every
session and link at once. The file has a rollback journal, because two web workers may both write it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from echopilot_jobs.clock import from_ms, to_ms
from echopilot_jobs.errors import ConfigError, EchoPilotError
from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings, dashboard_key, key_path

IDLE_FOR = timedelta(hours=8)
SESSION_FOR = timedelta(days=7)
LINK_FOR = timedelta(minutes=15)
TOUCH_EVERY = timedelta(minutes=1)

FAILURES_A_MINUTE = 5
FAILURES_AN_HOUR = 100
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=1)

_TICKET = re.compile(r"[A-Za-z0-9_-]{22}")
_VERSION = 1
_SCHEMA = """
create table if not exists sessions (hash text primary key, began integer not null, seen integer not null) strict;
create table if not exists links (hash text primary key, ends integer not null) strict;
create table if not exists failures (client text not null, at integer not null) strict;
create index if not exists failures_by_client on failures (client, at);
create index if not exists failures_by_time on failures (at);
create table if not exists waits (client text primary key, level integer not null, until integer not null) strict;
"""


class SessionsUnavailable(EchoPilotError):
    """The file of sessions cannot be read or written right now (full disk, wrong owner)."""

    status = 503


@record(frozen=True)
class Session:
    """A signed-in browser. *name* is safe to log; *form_token* proves that a form came from one of our pages."""

    ticket: str
    name: str
    form_token: str


class Door:
    """Lets people in. Safe for threads and for several processes on one file. Moments are aware, in UTC."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key.encode()
        self._key_digest = hashlib.sha256(self._key).digest()

    def key_fits(self, given: bytes) -> bool:
        """Whether *given* is the dashboard key; takes equally long for every wrong one (S3)."""
        return hmac.compare_digest(hashlib.sha256(given).digest(), self._key_digest)

    # -- sessions

    def begin_session(self, now: datetime) -> Session:
        """A new session with an identity nobody had before (S4)."""
        ticket = secrets.token_urlsafe(16)
        with self._writing() as db:
            db.execute("delete from sessions where began <= ? or seen <= ?", _bounds(now))
            db.execute("insert into sessions values (?, ?, ?)", (self._hash("session", ticket), to_ms(now), to_ms(now)))
        return self._session(ticket)

    def session(self, ticket: str, now: datetime) -> Session | None:
        """The living session of *ticket*: used within eight hours and begun within seven days (S6)."""
        if not _TICKET.fullmatch(ticket):
            return None
        name = self._hash("session", ticket)
        with self._reading() as db:
            row = db.execute("select began, seen from sessions where hash = ?", (name,)).fetchone()
        if row is None or not _lives(from_ms(row[0]), from_ms(row[1]), now):
            return None
        if abs(now - from_ms(row[1])) >= TOUCH_EVERY:
            self._touch(name, now)
        return self._session(ticket)

    def _touch(self, name: str, now: datetime) -> None:
        with suppress(SessionsUnavailable), self._writing() as db:  # a full disk must not sign the operator out
            db.execute("update sessions set seen = ? where hash = ?", (to_ms(now), name))

    def end_session(self, ticket: str) -> None:
        """Sign out: the ticket is worth nothing from now on, wherever it was copied to."""
        with self._writing() as db:
            db.execute("delete from sessions where hash = ?", (self._hash("session", ticket),))

    def _session(self, ticket: str) -> Session:
        return Session(ticket, self._hash("session", ticket)[:8], self._hash("form", ticket))

    # -- one-time links

    def new_link(self, now: datetime) -> str:
        """A token that signs one browser in within a quarter of an hour."""
        token = secrets.token_urlsafe(16)
        with self._writing() as db:
            db.execute("delete from links where ends <= ?", (to_ms(now),))
            db.execute("insert into links values (?, ?)", (self._hash("link", token), to_ms(now + LINK_FOR)))
        return token

    def use_link(self, token: str, now: datetime) -> bool:
        """Spend *token*; True for exactly one caller, and only while it lasts."""
        if not _TICKET.fullmatch(token):
            return False
        with self._writing() as db:
            spent = db.execute("delete from links where hash = ? and ends > ?", (self._hash("link", token), to_ms(now)))
            return spent.rowcount == 1

    # -- failures

    def wait_for(self, client: str, now: datetime) -> timedelta:
        """How long *client* has to wait before it may try a key again; zero for everybody unknown (S7)."""
        try:
            with self._reading() as db:
                row = db.execute("select until from waits where client = ?", (self._hash("client", client),)).fetchone()
        except SessionsUnavailable:
            return timedelta(0)  # a full disk must not lock the operator out; the key is still compared
        # A wait never exceeds its limit, whatever the clock did since it was written.
        return min(max(from_ms(row[0]) - now, timedelta(0)), LONGEST_WAIT) if row else timedelta(0)

    def failed(self, client: str, now: datetime, longest: timedelta = LONGEST_WAIT) -> None:
        """Count a wrong key or token of *client*; too many and it waits a minute, doubling up to *longest*."""
        name, at = self._hash("client", client), to_ms(now)
        with suppress(SessionsUnavailable), self._writing() as db:
            db.execute("delete from failures where at <= ? or at > ?", (to_ms(now - FORGET_AFTER), at))
            db.execute("delete from waits where until <= ?", (to_ms(now - FORGET_AFTER),))
            db.execute("insert into failures values (?, ?)", (name, at))
            if self._too_many(db, name, now):
                self._make_wait(db, name, now, longest)

    @staticmethod
    def _too_many(db: sqlite3.Connection, name: str, now: datetime) -> bool:
        """More than one client's share; when the whole world fails a lot, the share shrinks to one try."""
        (everybody,) = db.execute("select count(*) from failures").fetchone()
        minute = (name, to_ms(now - timedelta(minutes=1)))
        (own,) = db.execute("select count(*) from failures where client = ? and at > ?", minute).fetchone()
        return bool(own >= FAILURES_A_MINUTE or everybody > FAILURES_AN_HOUR)

    @staticmethod
    def _make_wait(db: sqlite3.Connection, name: str, now: datetime, longest: timedelta) -> None:
        row = db.execute("select level from waits where client = ?", (name,)).fetchone()
        level = min(row[0] + 1, 10) if row else 0
        until = to_ms(now + min(FIRST_WAIT * 2**level, longest))
        db.execute("insert or replace into waits values (?, ?, ?)", (name, level, until))
        db.execute("delete from failures where client = ?", (name,))

    def forgive(self, client: str) -> None:
        """Forget the failures of a client that has shown the right key."""
        name = self._hash("client", client)
        with suppress(SessionsUnavailable):
            with self._reading() as db:
                known = db.execute("select 1 from failures where client = ? limit 1", (name,)).fetchone()
            if known:
                with self._writing() as db:
                    db.execute("delete from failures where client = ?", (name,))

    # -- plumbing

    def _hash(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("begin immediate")
            yield db
            db.execute("commit")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each use: the file is tiny, and threads and forks share nothing."""
        try:
            db = _connect(self._path)
        except (sqlite3.Error, OSError) as error:
            raise SessionsUnavailable(_unavailable(self._path, error)) from error
        try:
            yield db
        except sqlite3.Error as error:
            raise SessionsUnavailable(_unavailable(self._path, error)) from error
        finally:
            db.close()


def new_login_link(settings: Settings, now: datetime) -> str:
    """Path and query of a fresh one-time login link, for whoever may read `var/`: `/login?token=…`."""
    return f"/login?token={door(settings).new_link(now)}"


def door(settings: Settings) -> Door:
    """The door of the stack in `settings.home`, locked with its dashboard key."""
    key = dashboard_key(settings)
    settings.var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Door(settings.var_dir / "web.sqlite3", key)


class Doorkeeper:
    """The door of the stack in `settings.home`, always locked with the key in force now.

    A key file that is deleted or replaced, with all of `var/` perhaps, counts from the next request on: the scheduler reads
    it anew each time too, and a key that only a restart brings in would lock its owner out. Safe for threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen = self._look()
        self._door = door(settings)

    def now(self) -> Door:
        """That door. While the key file cannot be read, or its folder is away, it is the one before."""
        seen = self._look()
        if seen != self._seen and self._settings.var_dir.is_dir():
            with suppress(ConfigError, OSError):
                self._door = door(self._settings)
                self._seen = seen
        return self._door

    def _look(self) -> tuple[int, int] | None:
        """What tells one key file from another; None without a file, also where the key is a setting."""
        if self._settings.dashboard_key is not None:
            return None
        with suppress(OSError):
            found = key_path(self._settings).stat()
            return found.st_ino, found.st_mtime_ns
        return None


def _bounds(now: datetime) -> tuple[int, int]:
    return to_ms(now - SESSION_FOR), to_ms(now - IDLE_FOR)


def _lives(began: datetime, seen: datetime, now: datetime) -> bool:
    return now - began < SESSION_FOR and now - seen < IDLE_FOR


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _opened(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        path.unlink(missing_ok=True)  # damaged: all it held were sessions, and signing in again is cheap
        return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = sqlite3.connect(path, timeout=3.0, isolation_level=None)
    try:
        if db.execute("pragma user_version").fetchone()[0] != _VERSION:
            db.executescript(f"begin immediate; {_SCHEMA} pragma user_version = {_VERSION}; commit;")
    except BaseException:
        db.close()
        raise
    return db


def _unavailable(path: Path, error: Exception) -> str:
    return f"the sessions in '{path.name}' cannot be used: {error}; look at the disk and the owner of `var/`"
