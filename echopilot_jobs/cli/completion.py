"""`echopilot completion SHELL`: let the shell complete verbs, options and the names of jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out
from echopilot_jobs.cli.inputs import OneOf
from echopilot_jobs.runs import BAD_ENDS, OPEN_STATES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from echopilot_jobs.jobs import Job
    from echopilot_jobs.runs import State

OFFERED_MOST = 100
HOW = {
    "bash": 'add to ~/.bashrc:  eval "$(echopilot completion bash)"',
    "zsh": 'add to ~/.zshrc, after compinit:  eval "$(echopilot completion zsh)"',
    "fish": "keep it:  echopilot completion fish > ~/.config/fish/completions/echopilot.fish",
}


@click.command("completion")
@click.argument("shell", type=OneOf(HOW, "SHELL"), metavar="bash|zsh|fish")
def command(shell: str) -> None:
    """Print the script that lets SHELL complete commands and jobs.

    On a terminal, how to install it is said behind it.

    Example: echopilot completion bash
    """
    from click.shell_completion import get_completion_class

    from echopilot_jobs.cli.door import COMPLETING, echopilot

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for '{shell}'; wanted: {', '.join(HOW)}")
    made = kind(echopilot, {}, "echopilot", COMPLETING)
    out.script(made.source_template % made.source_vars())
    if out.is_terminal():  # else a shell reads it, perhaps at each of its starts
        out.say(f"to use it, {HOW[shell]}")


def job_names(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The jobs whose names go on from what was *begun*. Silent whatever is wrong: somebody is typing."""
    return [name for name in _jobs() if name.startswith(begun)]


def parameters(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """What may follow `-p` for the job that stands on the line already: `date=`."""
    # An option still without its value ends Click's reading of the line; what stood before it is left in `args`.
    named = context.params.get("job") or next(iter(context.args), "")
    job = _jobs().get(named)
    return [f"{name}=" for name in (job.params if job else ()) if name.startswith(begun)]


def runs(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The newest runs whose numbers go on from what was *begun*, each with its job and state."""
    return _runs(begun)


def open_runs(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """As `runs`, of those that have not ended."""
    return _runs(begun, OPEN_STATES)


def ended_runs(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """As `runs`, of those that have ended badly: what somebody may want to try again."""
    return _runs(begun, BAD_ENDS)


def _runs(begun: str, states: frozenset[State] | None = None) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from echopilot_jobs.cli import sight
    from echopilot_jobs.errors import EchoPilotError

    with contextlib.suppress(EchoPilotError), contextlib.closing(sight.ledger(sight.settings())) as ledger:
        found = ledger.runs(states=states, limit=OFFERED_MOST)
        told = ((str(run.id), f"{run.job_name} {run.words}") for run in found)
        return [CompletionItem(number, help=words) for number, words in told if number.startswith(begun)]
    return []


def _jobs() -> Mapping[str, Job]:
    from echopilot_jobs import definitions
    from echopilot_jobs.cli import sight
    from echopilot_jobs.errors import EchoPilotError

    with contextlib.suppress(EchoPilotError):
        return definitions.in_force(sight.settings()).registry
    return {}
