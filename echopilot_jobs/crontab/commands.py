"""A command line of cron: whether a shell must read it, and what a job that does it may be called."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from itertools import count

from echopilot_jobs.jobs import NAME_RULE

# What only a shell can do. `[` and `test` exist as programs too, but whoever writes them goes on with `&&`.
BUILTINS = frozenset({
    "[", "[[", ".", ":", "!", "{", "(", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done", "eval",
    "exec", "exit", "export", "fg", "for", "function", "if", "jobs", "let", "local", "read", "readonly", "return", "select",
    "set", "shift", "source", "times", "trap", "type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait",
    "while",
})  # fmt: skip
# Programs that run another one: the options of theirs that take a value, and how many words come before the other one.
WRAPPERS = {
    "sudo": ("ugCph", 0), "nice": ("n", 0), "ionice": ("cnp", 0), "nohup": ("", 0), "env": ("uC", 0), "time": ("of", 0),
    "timeout": ("ks", 1), "flock": ("wE", 1), "setlock": ("", 1), "chronic": ("", 0), "cronic": ("", 0), "chrt": ("", 1),
    "stdbuf": ("ioe", 0), "exec": ("", 0), "command": ("", 0), "eatmydata": ("", 0), "systemd-cat": ("tp", 0),
    "xvfb-run": ("ens", 0), "run-one": ("", 0), "taskset": ("", 1), "doas": ("u", 0), "runuser": ("u", 0),
}  # fmt: skip
PRELUDES = frozenset({
    "cd", "test", "[", "[[", ".", "source", "export", "set", "umask", "ulimit", "sleep", "true", ":", "echo", "exit", "trap",
    "if", "then", "while",
})  # fmt: skip
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
INTERPRETERS = re.compile(r"(python|perl|php|ruby|node|nodejs|Rscript|java|deno|bun)[0-9.]*")
ENDINGS = re.compile(r"\.(sh|bash|py|pl|php|rb|js|mjs|jar|R|exe)$")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)


def words_of(command: str) -> list[str] | None:
    """The program and its arguments, where a shell would do nothing but find their ends; None where one is needed."""
    if _speaks_to_a_shell(command):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if not words or words[0] in BUILTINS or ASSIGNMENT.fullmatch(words[0]):
        return None
    return words


def _speaks_to_a_shell(command: str) -> bool:
    """Whether a character stands where it means something to a shell besides itself."""
    quote = ""
    before = " "
    for character in command:
        if quote == "'":
            quote = "" if character == "'" else quote
        elif quote == '"':
            if character in "$`\\!":
                return True
            quote = "" if character == '"' else quote
        elif character in "'\"":
            quote = character
        elif character in "|&;<>()$`\\*?[]{}!\n" or (character in "#~" and before in " \t=:"):
            return True
        before = character
    return False


def name_for(command: str, taken: Collection[str]) -> str:
    """A name that says what *command* does and that is not *taken*."""
    stem = _slug("_".join(_telling(command))) or "job"
    name = next(each for n in count(1) if (each := stem if n == 1 else f"{stem[:58].rstrip('_-')}_{n}") not in taken)
    if not NAME_RULE.fullmatch(name):
        raise AssertionError(f"'{name}' is no job's name")
    return name


def _slug(said: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", said.lower()).strip("_")[:60].rstrip("_")


def _telling(command: str) -> Sequence[str]:
    """The words of *command* that say what it does: the first program of weight and a verb, or just its first word."""
    simple = [part for part in _simple_commands(command) if part]
    for part in simple:
        if part[0] not in PRELUDES and (found := _of_program(part)):
            return found
    return simple[0][:1] if simple else []


def _simple_commands(command: str) -> Iterator[list[str]]:
    """The commands between the operators of a line, without what runs them."""
    reader = shlex.shlex(command, posix=True, punctuation_chars=True)
    reader.commenters = ""
    reader.wordchars += ":@%+,${}!^[]"
    part: list[str] = []
    try:
        for word in reader:
            if set(word) <= set("();<>|&"):
                yield _unwrapped(part)
                part = []
            else:
                part.append(word)
    except ValueError:  # a quote that is not closed
        part = part or command.split()
    yield _unwrapped(part)


def _unwrapped(words: list[str]) -> list[str]:
    """*words* without assignments and the programs that only run another one."""
    while words:
        program = words[0].rpartition("/")[2]
        if ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        elif program in WRAPPERS and len(words) > 1:
            words = _after_options(words[1:], *WRAPPERS[program])
        else:
            return words
    return words


def _after_options(words: list[str], with_value: str, places: int) -> list[str]:
    """What is left after a program's options and so many words of its own."""
    while words and words[0].startswith("-"):
        takes_next = len(words[0]) == 2 and words[0][1] in with_value
        words = words[2 if takes_next else 1 :]
    rest = words[places:]
    return rest[1:] if rest[:1] == ["-c"] else rest  # flock FILE -c 'command'


def _of_program(words: list[str]) -> list[str]:
    """The program and its verb; nothing for an interpreter that is given its program as a text."""
    program = words[0].rpartition("/")[2]
    if program in SHELLS and "-c" in words[1:-1]:
        return [*_telling(words[words.index("-c", 1) + 1])]
    if len(words) > 1 and (program in SHELLS or INTERPRETERS.fullmatch(program)):
        script = _script(words[1:])
        return _of_program(script) if script else []
    if " " in words[0]:  # flock's -c, or a quoted line
        return [*_telling(words[0])]
    stem = ENDINGS.sub("", program)
    verb = words[1] if len(words) > 1 and re.fullmatch(r"[a-z][a-z0-9:_-]*", words[1]) else ""
    return [stem, verb]


def _script(words: list[str]) -> list[str]:
    """What an interpreter is to run, from its arguments on."""
    for number, word in enumerate(words):
        if word in ("-m", "-jar") and number + 1 < len(words):
            return words[number + 1 :]
        if word in ("-c", "-e", "-r"):
            return []
        if not word.startswith("-"):
            return words[number:]
    return []
