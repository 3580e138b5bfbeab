"""What a job does, as it is written: a python function, a command and what surrounds it."""

from __future__ import annotations

import keyword
import re

from echopilot_jobs.jobs.job import RETRY_RULE, RETRY_WANTED
from echopilot_jobs.jobs.params import shown
from echopilot_jobs.jobsfile.literals import looks_secret, placeholder_for
from echopilot_jobs.jobsfile.words import Wrong, unshown, wrong

COMMAND_MOST_BYTES = 128 * 1024
ENV_VALUE_MOST = 32 * 1024
RUN_WANTED = "'package.module:function'"
_OURS = ("ECHOPILOT_RUN_ID", "ECHOPILOT_JOB", "ECHOPILOT_ATTEMPT", "ECHOPILOT_SLOT_AT", "ECHOPILOT_IDEMPOTENCY_KEY")
_OVERLAP = re.compile(r"allow ?\( ?([0-9]{1,3}) ?\)")
OVERLAPS = ("skip", "queue_one", "queue_all", "cancel_previous")


def run(value: object) -> str:
    """A callable by its place; whether it can be imported is looked at later, in a child process."""
    said = value if isinstance(value, str) else ""
    module, colon, function = said.partition(":")
    if colon and len(said) <= 300 and _is_path(module) and _is_path(function) and "." not in function:
        return said
    raise wrong(value, f"{RUN_WANTED}{_run_hint(said.strip())}")


def _is_path(dotted: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in dotted.split("."))


def _run_hint(said: str) -> str:
    guess = said.removesuffix("()").removeprefix("./").replace(".py:", ":").replace("/", ".")
    if ":" not in guess and "." in guess:
        head, _, tail = guess.rpartition(".")
        guess = f"{head}:{tail}"
    module, _, function = guess.partition(":")
    good = len(guess) <= 80 and guess != said and function != "py" and _is_path(module) and _is_path(function)
    return f"; did you mean '{guess}'?" if good and "." not in function else ""


def command(value: object) -> tuple[str, ...] | str:
    """A list of a program and its arguments, or the line that `shell = true` is for."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise wrong(value, 'a list of texts, the program first: ["bin/export", "--full"]')
    if isinstance(value, list) and words and not words[0].strip():
        raise Wrong('came a list whose first word is empty; wanted: the program first: ["bin/export", "--full"]')
    if not words or not words[0].strip():
        raise wrong(value, 'the program first: ["bin/export", "--full"]')
    if any("\0" in word for word in words):
        raise wrong(value, "arguments without NUL: no program can be given one")
    if (size := sum(len(word.encode()) + 1 for word in words)) > COMMAND_MOST_BYTES:
        raise Wrong(f"came {size:,} bytes; wanted: at most {COMMAND_MOST_BYTES:,} in all; put the rest in a file")
    if any(looks_secret("", word) for word in words):
        raise unshown(
            "no key in an argument, which every user of the machine can read; hand it over in env, as '${NAME}'"
        )
    return value if isinstance(value, str) else tuple(words)


def as_list(line: str) -> str:
    """How a line would be written as a list, for a hint."""
    try:
        import shlex

        words = shlex.split(line)
    except ValueError:
        words = line.split()
    return "[" + ", ".join('"' + shown(word).replace('"', '\\"') + '"' for word in words[:6]) + "]"


def env_name(value: object) -> str:
    """The name of an environment variable that is the job's to set."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value):
        raise wrong(value, "a name of letters, digits and '_', not beginning with a digit")
    if value in _OURS:
        raise wrong(value, "another name: the run itself is told by this one")
    return value


def env_value(name: str, value: object) -> str:
    """The value of an environment variable."""
    if not isinstance(value, str):
        raise wrong(value, "text in quotes")
    if "\0" in value or len(value) > ENV_VALUE_MOST:
        raise unshown(f"at most {ENV_VALUE_MOST:,} characters without NUL")
    if looks_secret(name, value):
        raise unshown(f"it looks like a key, so write '{placeholder_for(name, value)}' and set that in the environment")
    return value


def overlap(value: object) -> tuple[str, int]:
    """The word and how many runs may go on at a time."""
    if isinstance(value, str):
        if value in OVERLAPS:
            return value, 1
        if (found := _OVERLAP.fullmatch(value)) and 1 <= int(found[1]) <= 100:
            return "allow", int(found[1])
    known = ", ".join(f"'{word}'" for word in OVERLAPS)
    raise wrong(value, f"one of {known}, or 'allow(3)' for up to three at a time, at most 100")


def retry_end(value: object) -> str:
    """One bad end another attempt may follow."""
    said = " ".join(value.lower().split()) if isinstance(value, str) else ""
    code = int(said[5:]) if re.fullmatch(r"exit [0-9]{1,3}", said) else 1
    if not RETRY_RULE.fullmatch(said) or not 1 <= code <= 255:
        raise wrong(value, RETRY_WANTED)
    return said


def folder(value: object) -> str:
    """A folder, relative to the project's or absolute."""
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > 4_000:
        raise wrong(value, "a folder, relative to the project's, such as 'work'")
    return value
