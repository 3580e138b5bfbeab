"""A crontab into a jobs file: what can be said there is said, and every other line stays as a comment with the reason."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from echopilot_jobs.crontab import toml
from echopilot_jobs.crontab.commands import name_for, words_of
from echopilot_jobs.crontab.lines import Comment, Entry, Line, Setting, Strange, lines
from echopilot_jobs.jobsfile import BadJobsFile, Document, compose
from echopilot_jobs.jobsfile.literals import looks_secret, placeholder_for
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record
from echopilot_jobs.triggers import zone_named

MAIL = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"})
TIMEOUT = "24h"  # cron has none; what is still there after a day hangs
SHOWN_MOST = 300
UNSHOWN = "is not shown"  # what a jobs file says of a value that looks like a key
INPUT = "what stands after '%' is the command's input, and jobs have none; pipe it in: printf '%s' 'input' | command"
HEAD = (
    "From a crontab, by `echopilot import-crontab`. Where cron does otherwise (docs/from-cron.md):",
    "- output is kept with each run (echopilot show), nobody is mailed; ping tells an outside watch",
    "- a slot that comes while the run before it still goes on is skipped; cron starts another (overlap)",
    "- what was missed while nothing ran is caught up once; cron forgets it (catch_up)",
    f"- a run is ended after {TIMEOUT}; say how long each may take (timeout)",
    "- commands start in the project's folder and not in the home folder (cwd), with the scheduler's PATH (env)",
)


@record(frozen=True)
class Translated:
    """The text of a jobs file, the names in it, and what a person should know, a line each.

    *left_out*: how many entries and settings could not be said and stand in it as comments.
    """

    text: str
    names: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: int


def translate(text: str, *, with_user: bool = False, zone: str = "UTC", taken: Collection[str] = ()) -> Translated:
    """The crontab *text* as a jobs file. Everything in it can be composed: each job has been.

    *with_user*: entries name a user, as in /etc/crontab. *zone* is whose clock the times mean until a `CRON_TZ` says
    otherwise. Names in *taken* are given to no job. Raises `ValueError` for an unknown zone.
    """
    zone_named(zone)
    work = _Translation(zone, set(taken))
    for line in lines(text.replace("\r\n", "\n").removesuffix("\n"), with_user=with_user):
        work.take(line)
    head = [
        toml.comment(each) for each in (*HEAD, f"- times are those of {zone}, unless a job says otherwise (timezone)")
    ]
    whole = "\n".join([*head, "", *work.written]).rstrip() + "\n"
    return Translated(re.sub(r"\n{3,}", "\n\n", whole), tuple(work.names), tuple(work.notes), work.left_out)


@dataclass
class _Translation:
    """What has been written so far, and the settings that hold from here on. *zone* is None after an unknown one."""

    zone: str | None
    taken: set[str]
    env: dict[str, str] = field(default_factory=dict)
    shell: str = "/bin/sh"
    home: str | None = None
    written: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: int = 0

    def take(self, line: Line) -> None:
        match line:
            case Comment():
                self._take_comment(line.text.lstrip("#").strip())
            case Setting():
                self._take_setting(line)
            case Entry():
                self._take_entry(line)
            case Strange():
                self._leave_out(line.number, line.text, line.reason)

    def _take_comment(self, said: str) -> None:
        if looks_secret("", said):
            said = "(a comment that looks like a key)"
        self.written.append(toml.comment(said) if said else "")

    # -- settings

    def _take_setting(self, line: Setting) -> None:
        if line.name in MAIL:
            self._note(
                line.number, f"{line.name}: nobody is mailed; output is kept with the run, ping tells an outside watch"
            )
        elif line.name == "CRON_TZ":
            self._take_zone(line)
        elif line.name == "RANDOM_DELAY":
            self._note(line.number, f"RANDOM_DELAY={line.value}: give jobs a jitter instead, such as jitter = '5m'")
        elif line.name == "SHELL":
            self.shell = line.value
        else:
            self._take_variable(line)

    def _take_zone(self, line: Setting) -> None:
        try:
            self.zone = zone_named(line.value).key
        except ValueError as error:
            self.zone = None
            self._leave_out(line.number, f"CRON_TZ={line.value}", str(error))

    def _take_variable(self, line: Setting) -> None:
        name, value = line.name, line.value
        if name == "TZ":
            self._note(
                line.number, "TZ is the commands' own zone, as in Debian's cron; for the schedule's say timezone"
            )
        if name == "HOME":
            self.home = value
        if looks_secret(name, value):
            value = placeholder_for(name)
            self._note(
                line.number,
                f"{name} looks like a key: set it in the scheduler's environment, where '{value}' is filled from",
            )
        elif "${" in value:
            self._note(
                line.number,
                f"{name} holds '${{': cron hands it over as it is, here it is filled from the scheduler's environment",
            )
        self.env[name] = value

    # -- entries

    def _take_entry(self, line: Entry) -> None:
        if self.zone is None:
            self._leave_out(line.number, line.text, "the zone of its times, CRON_TZ above, is unknown")
            return
        if line.stdin is not None:
            self._leave_out(line.number, line.text, INPUT)
            return
        name = name_for(line.command, self.taken)
        table = self._table(line, self.zone)
        if refused := _refusal(name, table):
            self._leave_out(line.number, line.text, refused)
            return
        self.taken.add(name)
        self.names.append(name)
        self._write(line, name, table)

    def _table(self, line: Entry, zone: str) -> dict[str, toml.Value]:
        table: dict[str, toml.Value] = {"cron": line.when}
        if line.when.lower() == "@reboot":
            table = {"manual": True, "on_startup": True}
        elif zone != "UTC":
            table["timezone"] = zone
        table |= _action(line.command, self.shell)
        if self.env:
            table["env"] = dict(self.env)
        if self.home is not None:
            table["cwd"] = self.home
        return table | {"timeout": TIMEOUT}

    def _write(self, line: Entry, name: str, table: Mapping[str, toml.Value]) -> None:
        for remark in _remarks(line):
            self._note(line.number, f"{name}: {remark}")
        if self.written and not self.written[-1].startswith("#"):
            self.written.append("")
        self.written += [f"[jobs.{name}]", *(f"{key} = {toml.written(value)}" for key, value in table.items()), ""]

    # -- words

    def _leave_out(self, number: int, text: str, reason: str) -> None:
        """Keep the line as a comment; not where it may hold a key (I29)."""
        if looks_secret("", text) or UNSHOWN in reason:
            text = f"{' '.join(text.split()[:5])} …"
        self.left_out += 1
        self.written += [
            "",
            toml.comment(f"not translated: {shorten(text, SHOWN_MOST)}"),
            toml.comment(f"  {reason}"),
            "",
        ]
        self.notes.append(f"line {number}: not translated: {plain(reason)}")

    def _note(self, number: int, words: str) -> None:
        self.written.append(toml.comment(words))
        self.notes.append(f"line {number}: {plain(words)}")


def _action(command: str, shell: str) -> dict[str, toml.Value]:
    """What runs *command* just as cron does: the program itself where that is the same, else the shell."""
    if words := words_of(command):
        return {"command": words}
    if shell == "/bin/sh":
        return {"command": command, "shell": True}
    return {"command": [shell, "-c", command]}


def _refusal(name: str, table: Mapping[str, toml.Value]) -> str:
    """Why a jobs file with this job would be refused, or nothing."""
    try:
        compose(Document("built-in"), Document("jobs.toml", {"jobs": {name: dict(table)}}), environ={})
    except BadJobsFile as error:
        return error.found[0].message.removeprefix(f"job '{name}': ")
    return ""


def _remarks(line: Entry) -> list[str]:
    remarks = []
    if line.user is not None:
        remarks.append(f"cron ran it as '{line.user}'; here everything runs as the user of the stack")
    elif line.command.startswith("root "):
        remarks.append("the command begins with a user's name; of a system's crontab? then add --system")
    if line.when.lower() == "@reboot":
        remarks.append("runs whenever the scheduler starts; a program that is to stay up belongs into supervisord.conf")
    fields = line.when.upper().split()
    if len(fields) == 5 and (re.search(r"[LW]", fields[2]) or re.search(r"#|[0-7]L", fields[4])):
        remarks.append(
            f"cron itself does not know '{fields[2] if fields[2] != '*' else fields[4]}'; here it is understood"
        )
    return remarks
