"""From a command line to a verb, and from what a verb raises to an exit code and one line for a person."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any

import click

from echopilot_jobs import __version__
from echopilot_jobs.access import is_obstacle, obstacle
from echopilot_jobs.cli.out import say
from echopilot_jobs.errors import EchoPilotError, LeaseLost, UnknownName, WrongState, nearest_names

USAGE, REFUSED, INTERRUPTED, PIPE_CLOSED = 2, 3, 130, 141
GROUPS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "Look": ("status", "jobs", "next", "timetable", "runs", "show", "logs", "why"),
        "Act": ("run", "brief", "report", "retry", "cancel", "pause", "resume", "backfill", "backlog", "clock"),
        "Prove": ("check", "doctor", "audit", "simulate", "replay"),
        "Keep": ("backup", "restore", "prune"),
        "Set up": ("completion", "import-crontab", "scheduler"),
    }
)
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)
# Words that stand for one another: whoever gives one is told which of them the verb knows.
SYNONYMS = (
    frozenset({"count", "head", "limit", "lines", "max", "most", "n", "num", "number", "tail", "top"}),
    frozenset({"fix", "mend", "repair"}),
)
COMPLETING = "_ECHOPILOT_COMPLETE"  # set by the shell's script when it asks what could come next


class Verbs(click.Group):
    """Loads a verb's module when the verb is called, so that none pays for another's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"echopilot_jobs.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = nearest_names(args[0], VERBS)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise click.UsageError(f"no command '{args[0][:80]}'; {hint}known: {', '.join(VERBS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Carry out the verb. What Click refuses without saying in which verb is given its name."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if error.ctx is None and ctx.invoked_subcommand in VERBS:
                command = click.Command(ctx.invoked_subcommand)
                error.ctx = click.Context(command, parent=ctx, info_name=ctx.invoked_subcommand)
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs under their headings; their columns stand below one another across all of them."""
        width = max(map(len, VERBS))
        for title, verbs in GROUPS.items():
            with formatter.section(title):
                found = [(verb, self.get_command(ctx, verb)) for verb in verbs]
                formatter.write_dl([(verb.ljust(width), one.get_short_help_str(80)) for verb, one in found if one])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="echopilot")
def echopilot() -> None:
    """Scheduled jobs, supervised, with every slot accounted for.

    Every command has a --help of its own with an example. Answers go to standard output, talk to standard error; with
    --json the answer is one JSON document, of `logs` one a line, whose fields stay from release to release.

    Example: echopilot status

    Exit codes: 0 done; 1 it failed; 2 the command was wrong; 3 refused in the present state; 78 settings or definitions
    cannot be used; 130 interrupted. With --wait the exit code of `run` and `retry` is the run's own.
    """


def carry_out(arguments: list[str]) -> int:
    """The exit code of one command line; everything a person can act on becomes one `error:` line."""
    if sys.stdout is None and sys.stderr is not None:  # the answer would be lost in silence
        say("error: standard output is closed; give it a place to go, such as `> FILE` or `> /dev/null`")
        return USAGE
    _forgiving_streams()
    try:
        asked = os.environ.get(COMPLETING)
        code = _complete(asked) if asked else _invoke(arguments)
        _flush()
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:
        if is_obstacle(error):
            say(f"error: {obstacle(error)}")
            return 1
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            raise
        _drop_output()
        say(f"error: the output cannot be written: {error.strerror}")
        return 1
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        with echopilot.make_context("echopilot", arguments) as context:
            code = echopilot.invoke(context)
            return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.UsageError as error:
        return _wrong_usage(error)
    except click.Abort:  # Ctrl-C or the end of input at a prompt
        say("")
        return INTERRUPTED
    except EchoPilotError as error:
        for problem in getattr(error, "problems", (error,)):
            say(f"error: {problem}")
        return _code_of(error)


def _complete(asked: str) -> int:
    """Answer the shell's question. Whatever goes wrong, somebody in the middle of a line sees nothing of it."""
    from click.shell_completion import shell_complete

    with contextlib.suppress(EchoPilotError, click.ClickException, KeyError, ValueError):
        return shell_complete(echopilot, {}, "echopilot", COMPLETING, asked)
    return 1


def _wrong_usage(error: click.UsageError) -> int:
    about = error.ctx.command_path if error.ctx else "echopilot"
    message = " ".join(_words(error).rstrip(".").split())
    then = "" if message.endswith("?") else ";"
    say(f"error: {message[:1].lower()}{message[1:]}{then} see `{about} --help`")
    return USAGE


def _words(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption) and (meant := _meant(error)):
        return f"{error.message.rstrip('.')}; did you mean '{meant}'?"
    return error.format_message()


def _meant(error: click.NoSuchOption) -> str | None:
    """The option that may have been meant: a word of the same meaning, or else one that is spelt nearly so."""
    options = error.ctx.command.get_params(error.ctx) if error.ctx else []
    known = {name.lstrip("-"): name for option in options for name in option.opts if name.startswith("--")}
    typed = error.option_name.lstrip("-")
    same = (known[word] for words in SYNONYMS if typed in words for word in sorted(words & known.keys()))
    near = nearest_names(typed, known) if len(typed) > 1 else []  # without the dashes, which would make all alike
    return next(same, known[near[0]] if near else None)


def _code_of(error: EchoPilotError) -> int:
    if isinstance(error, UnknownName):
        return USAGE
    return REFUSED if isinstance(error, WrongState | LeaseLost) else error.exit_code


def _forgiving_streams() -> None:
    """A character the terminal's encoding lacks is shown as an escape instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _drop_output() -> None:
    """Let what is still buffered go nowhere, or the interpreter would complain about it at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
