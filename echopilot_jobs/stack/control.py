"""`bin/supervisorctl`: supervisor's own tool on the socket of this project, however deep the project lies."""

from __future__ import annotations

import os
import sys

from supervisor import supervisorctl

from echopilot_jobs import settings
from echopilot_jobs.errors import EchoPilotError, SupervisorUnreachable
from echopilot_jobs.stack.bootstrap import say
from echopilot_jobs.supervision import Supervisor, reachable

NO_DAEMON = 4  # supervisorctl's own code for it
OFFLINE = frozenset({"-h", "--help", "help", "version", "-v"})


def main(arguments: list[str]) -> int:
    """supervisorctl with *arguments*. Stock hangs for ever on a frozen supervisord; this says so after 3 s."""
    configuration = settings.load()
    path = configuration.home / "supervisord.conf"
    try:
        if arguments and not OFFLINE & set(arguments):
            Supervisor(configuration.supervisor_socket).pid()
        with reachable(configuration.supervisor_socket) as name:
            supervisorctl.main(["-c", str(path), "-s", f"unix://{name}", *arguments])
    except SupervisorUnreachable as error:
        say(str(error))
        return NO_DAEMON
    except FileNotFoundError:
        say(f"no '{configuration.var_dir}' yet; start the stack with `bin/stack`")
        return NO_DAEMON
    except BrokenPipeError:  # `supervisorctl status | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EchoPilotError as error:
        say(str(error))
        sys.exit(error.exit_code)
