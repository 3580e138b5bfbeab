"""`echopilot import-crontab [FILE]`: a crontab as a jobs file, on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.inputs import refused, zone

BYTES_MOST = 1024 * 1024


@click.command("import-crontab")
@click.argument("file", metavar="[FILE]", default="-")
@click.option("--system", is_flag=True, help="Entries name a user, as in /etc/crontab and /etc/cron.d.")
@click.option("--timezone", "tz", type=zone, metavar="ZONE", help="Whose clock the times mean; UTC by default.")
def command(file: str, system: bool, tz: str | None) -> int:
    """Translate a crontab into the text of a jobs.toml; FILE, or standard input.

    Nothing is changed: look at what comes out and add it to jobs.toml. What has no counterpart stands there as a comment
    with the reason, and the exit code is 1.

    Example: crontab -l | echopilot import-crontab --timezone Europe/Riga
    """
    text = _decoded(_content(file), file)
    from echopilot_jobs.crontab import translate

    done = translate(text, with_user=system, zone=tz or "UTC", taken=frozenset(sight.registry(sight.settings())))
    for each in done.text.splitlines():
        out.line(each)
    for note in done.notes:
        out.say(f"note: {note}")
    count = len(done.names)
    out.say(f"{count:,} job{'' if count == 1 else 's'}; {done.left_out:,} not translated")
    return 1 if done.left_out else 0


def _content(file: str) -> bytes:
    if file == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise refused(
                "FILE", "nothing came; wanted: a file, or a crontab piped in: crontab -l | echopilot import-crontab"
            )
        return sys.stdin.buffer.read(BYTES_MOST + 1)
    try:
        with Path(file).open("rb") as source:
            return source.read(BYTES_MOST + 1)
    except OSError as error:
        raise refused("FILE", f"came '{file}', which cannot be read: {error.strerror}") from None


def _decoded(content: bytes, file: str) -> str:
    if len(content) > BYTES_MOST:
        raise refused("FILE", f"came more than {BYTES_MOST:,} bytes; wanted: a crontab")
    if b"\0" in content:
        raise refused("FILE", f"came '{file}' with a NUL byte in it; wanted: the text of a crontab")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise refused(
            "FILE", f"came the byte 0x{byte:02X} on line {line}; wanted: UTF-8, as `iconv -t utf-8` makes it"
        ) from None
