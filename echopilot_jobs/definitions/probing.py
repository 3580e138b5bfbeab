"""Everything a definition says about the world, looked at before it is accepted: functions, programs, folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from echopilot_jobs.definitions.importing import Answers, Item, import_all
from echopilot_jobs.jobsfile import Document, Problem, doing, modules_of
from echopilot_jobs.jobsfile.words import came, is_accepted
from echopilot_jobs.placeholders import Hider, Unfilled, fill, names_in
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record

FIRST_LINE_MOST = 256
PATH_SHOWN = 1000


@record(frozen=True)
class World:
    """What definitions are looked at with: the project's folder and the environment of the scheduler."""

    home: Path
    environ: Mapping[str, str]


@dataclass
class Probed:
    """What came of looking. *code*: the jobs that modules declare. A change of one of *files* asks for another look."""

    code: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)


@record(frozen=True)
class _Said:
    """One job as its document says it. Of its values only those are looked at that are not refused where they are judged."""

    document: Document
    name: str
    table: Mapping[str, Any]

    def problem(self, key: str, message: str) -> Problem:
        """A problem with *key* of this job, at its place."""
        text = f"job '{self.name}': {key}: {message}"
        return self.document.problem(text, ("jobs", self.name, key), job=self.name, about=key)

    @property
    def target(self) -> str | None:
        """The function it calls."""
        target = self.table.get("run")
        return str(target) if is_accepted(doing.run, target) else None

    @property
    def folder(self) -> str | None:
        """The folder it asks for, where that is known before the run."""
        cwd = self.table.get("cwd")
        return str(cwd) if is_accepted(doing.folder, cwd) and "${" not in str(cwd) else None

    @property
    def program(self) -> str | None:
        """The program of a command that is written as a list, where that is known before the run."""
        argv = self.table.get("command")
        if not isinstance(argv, list) or not is_accepted(doing.command, argv) or "${" in argv[0]:
            return None
        return str(argv[0])

    @property
    def is_off(self) -> bool:
        """Whether it will not run: what it needs may then be missing."""
        return self.table.get("enabled") is False

    @property
    def placeholders(self) -> list[str]:
        """The names its variables are filled from."""
        return [name for value in self._env.values() for name in names_in(value)]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Its own variables, filled as far as they can be."""
        filled = {}
        for name, value in self._env.items():
            try:
                filled[name] = fill(value, environ)
            except Unfilled:
                continue  # said where the definition itself is judged
        return filled

    @property
    def _env(self) -> dict[str, str]:
        found = self.table.get("env")
        pairs = found.items() if isinstance(found, Mapping) else ()
        return {k: v for k, v in pairs if isinstance(v, str) and "\0" not in v and is_accepted(doing.env_name, k)}


def probe(world: World, document: Document) -> Probed:
    """Look at all that *document* and the modules it lists need. Raises nothing for what is missing."""
    probed = Probed()
    modules = modules_of(document)
    said = list(_jobs_of(document))
    targets = [each for each in said if each.target]
    items = [Item(module=name) for name in modules]
    items += [Item(target=each.target, env=each.environment(world.environ)) for each in targets]
    answers = import_all(world.home, items) if items else Answers()
    probed.files.update(answers.files)
    _take_modules(probed, document, modules, answers)
    for number, each in enumerate(targets, start=len(modules)):
        _take_target(probed, world, each, answers, number)
    for each in [*said, *(job for code in probed.code for job in _jobs_of(code))]:
        _look_at_program(probed, world, each)
    for name in [*modules, *(str(each.target).partition(":")[0] for each in targets)]:
        probed.files.update(_places_of(world.home, name))
    return probed


def _jobs_of(document: Document) -> Iterator[_Said]:
    jobs = document.tables.get("jobs")
    for name, table in jobs.items() if isinstance(jobs, Mapping) else ():
        if isinstance(table, Mapping):
            yield _Said(document, name, table)


def _take_modules(probed: Probed, document: Document, modules: Sequence[str], answers: Answers) -> None:
    declared: tuple[dict[str, Any], ...] = ()
    refused: dict[str, str] = {}
    listed = list(document.tables.get("modules", ()))
    for number, name in enumerate(modules):
        answer, path = answers.by_item[number], ("modules", str(listed.index(name)))
        if answer.problem:
            problem = document.problem(f"modules: came '{name}'; {answer.problem}", path, about="modules")
            probed.problems.append(problem)
        elif len(answer.declared) == len(declared):
            words = f"modules: '{name}' declares no job; wanted: a function with `@job`"
            probed.warnings.append(document.problem(words, path, about="modules"))
        declared = answer.declared or declared
        refused.update(answer.refused)
    probed.code += _documents(declared)
    for each in (job for code in probed.code for job in _jobs_of(code)):
        if each.name in refused:
            problem = each.problem("run", f"came '{each.table['run']}'; {refused[each.name]}")
            (probed.warnings if each.is_off else probed.problems).append(problem)


def _documents(declared: Sequence[Mapping[str, Any]]) -> list[Document]:
    """A document for each module that declares jobs, as if it were a file."""
    names = list(dict.fromkeys(str(each["module"]) for each in declared))
    return [_document(name, [each for each in declared if each["module"] == name]) for name in names]


def _document(module: str, declared: Sequence[Mapping[str, Any]]) -> Document:
    jobs: dict[str, Any] = {}
    places: dict[tuple[str, ...], tuple[int, int]] = {}
    for each in declared:
        jobs[str(each["name"])] = {key: value for key, value in each.items() if key not in ("name", "module", "line")}
        places["jobs", str(each["name"])] = (int(each["line"]), 1)
    return Document(module, {"jobs": jobs}, places)


def _take_target(probed: Probed, world: World, said: _Said, answers: Answers, number: int) -> None:
    answer = answers.by_item[number]
    for words, found in ((answer.problem, probed.problems), (answer.warning, probed.warnings)):
        if words:
            safe = Hider(said.placeholders, world.environ)(words)  # an exception may quote what it was given
            problem = said.problem("run", f"came '{said.target}'; {safe}")
            (probed.warnings if said.is_off else found).append(problem)


# -- programs and folders


def _look_at_program(probed: Probed, world: World, said: _Said) -> None:
    folder, found = world.home, []
    if cwd := said.folder:
        folder = world.home / cwd
        found += [said.problem("cwd", f"came {came(cwd)}; {words}") for words in _wrong_folder(probed, folder)]
    if not found and (program := said.program):
        path = said.environment(world.environ).get("PATH", world.environ.get("PATH", os.defpath))
        wrong = _wrong_program(probed, program, folder, path)
        found += [said.problem("command", f"came {came(program)}; {words}") for words in wrong]
    (probed.warnings if said.is_off else probed.problems).extend(found)


def _wrong_folder(probed: Probed, folder: Path) -> Iterator[str]:
    """Why nothing could run in *folder*; nothing when it could."""
    probed.files.add(folder)
    if words := _unseen(folder):
        yield words
    elif not folder.is_dir():
        yield f"'{folder}' is no folder"


def _wrong_program(probed: Probed, program: str, folder: Path, path: str) -> Iterator[str]:
    """Why *program* could not be started in *folder* with *path*; nothing when it could."""
    if "/" in program:
        place = folder / program
    elif (found := shutil.which(program, path=path)) is None:
        probed.files.update(Path(each) / program for each in path.split(os.pathsep) if each.startswith("/"))
        yield _not_on_path(program, folder, path)
        return
    else:
        place = Path(found)
    probed.files.add(place)
    if words := _unseen(place):
        yield f"{words}{_nearest_file(place)}"
    elif not place.is_file():
        yield f"'{place}' is no file; wanted: a program"
    elif not os.access(place, os.X_OK):
        yield f"'{place}' may not be executed; `chmod +x` it, or name its interpreter first"
    elif (interpreter := _missing_interpreter(place)) is not None:
        yield f"the first line of '{place}' asks for '{interpreter}', which does not exist"


def _unseen(place: Path) -> str | None:
    """Why *place* cannot be looked at: it does not exist, its name is too long, a folder above it is closed to us."""
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: what no file can be named
        return f"'{place}' does not exist"
    except OSError as error:
        return f"it cannot be looked at as uid {os.getuid()}: {error.strerror}"
    return None


def _not_on_path(program: str, folder: Path, path: str) -> str:
    if os.path.isfile(folder / program):  # noqa: PTH113 - pathlib raises where a name is too long
        return f"not found on PATH; did you mean './{program}'?"
    known = [each.name for place in path.split(os.pathsep) if place for each in _files_of(Path(place))]
    near = get_close_matches(program, known, n=1, cutoff=0.8)
    advice = f"did you mean {near[0]!r}?" if near else "install it, or give its path"
    return f"not found on PATH ({shorten(path, PATH_SHOWN)}); {advice}"


def _nearest_file(place: Path) -> str:
    near = get_close_matches(place.name, [each.name for each in _files_of(place.parent)], n=1)
    return f"; did you mean '{place.with_name(near[0]).name}'?" if near else ""


def _files_of(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _missing_interpreter(place: Path) -> str | None:
    """What `#!` names when that is not there, such as a path that ends in the carriage return of another system."""
    try:
        with place.open("rb") as file:
            first = file.readline(FIRST_LINE_MOST)
    except OSError:
        return None  # it may be run without being read
    if not first.startswith(b"#!"):
        return None
    words = first[2:].rstrip(b"\n").strip(b" \t").split(b" ", 1)[0].decode("utf-8", "replace")
    return None if not words.startswith("/") or _unseen(Path(words)) is None else plain(words)


def _places_of(home: Path, module: str) -> Iterator[Path]:
    """Where a module of this name is looked for below *home*: an answer may change when one of these does."""
    steps = module.split(".")
    for count in range(1, len(steps) + 1):
        base = home.joinpath(*steps[:count])
        yield from (base.with_suffix(".py"), base / "__init__.py")


def in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """As a reader of the files meets them; each said once."""
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda each: (each.file or "", each.line or 0, each.column or 0)))
