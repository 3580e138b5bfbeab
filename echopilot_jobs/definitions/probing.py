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
from echopilot_jobs.jobsfile import Document, Problem, modules_of
from echopilot_jobs.placeholders import Hider, Unfilled, fill, names_in
from echopilot_jobs.records import record

FIRST_LINE_MOST = 256


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
    """One job as its document says it, before anything of it was judged."""

    document: Document
    name: str
    table: Mapping[str, Any]

    def problem(self, key: str, message: str) -> Problem:
        """A problem with *key* of this job, at its place."""
        text = f"job '{self.name}': {key}: {message}"
        return self.document.problem(text, ("jobs", self.name, key), job=self.name, about=key)

    def text(self, key: str) -> str | None:
        """The value of *key* where it is text; anything else is judged elsewhere."""
        value = self.table.get(key)
        return value if isinstance(value, str) else None

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
        return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, Mapping) else {}


def probe(world: World, document: Document) -> Probed:
    """Look at all that *document* and the modules it lists need. Raises nothing for what is missing."""
    probed = Probed()
    modules = modules_of(document)
    said = list(_jobs_of(document))
    targets = [each for each in said if _is_target(each.text("run"))]
    items = [Item(module=name) for name in modules]
    items += [Item(target=each.text("run"), env=each.environment(world.environ)) for each in targets]
    answers = import_all(world.home, items) if items else Answers()
    probed.files.update(answers.files)
    _take_modules(probed, document, modules, answers)
    for number, each in enumerate(targets, start=len(modules)):
        _take_target(probed, world, each, answers, number)
    for each in [*said, *(job for code in probed.code for job in _jobs_of(code))]:
        _look_at_program(probed, world, each)
    for name in [*modules, *(str(each.text("run")).partition(":")[0] for each in targets)]:
        probed.files.update(_places_of(world.home, name))
    return probed


def _jobs_of(document: Document) -> Iterator[_Said]:
    jobs = document.tables.get("jobs")
    for name, table in jobs.items() if isinstance(jobs, Mapping) else ():
        if isinstance(table, Mapping):
            yield _Said(document, name, table)


def _is_target(value: str | None) -> bool:
    """Whether *value* has the shape of a target; every other shape is refused where the definition is judged."""
    module, _, function = (value or "").partition(":")
    return all(part.isidentifier() for part in [*module.split("."), *function.split(".")])


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
            problem = each.problem("run", f"came '{each.text('run')}'; {refused[each.name]}")
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
            problem = said.problem("run", f"came '{said.text('run')}'; {safe}")
            (probed.warnings if said.is_off else found).append(problem)


# -- programs and folders


def _look_at_program(probed: Probed, world: World, said: _Said) -> None:
    folder, found = world.home, []
    if (cwd := said.text("cwd")) and "${" not in cwd:
        folder = world.home / cwd
        probed.files.add(folder)
        if not folder.is_dir():
            what = "is no folder" if folder.exists() else "does not exist"
            found.append(said.problem("cwd", f"came '{cwd}'; '{folder}' {what}"))
    argv = said.table.get("command")
    if not found and isinstance(argv, list) and argv and isinstance(argv[0], str) and "${" not in argv[0]:
        path = said.environment(world.environ).get("PATH", world.environ.get("PATH", os.defpath))
        found += [
            said.problem("command", f"came '{argv[0]}'; {words}") for words in _wrong(probed, argv[0], folder, path)
        ]
    (probed.warnings if said.is_off else probed.problems).extend(found)


def _wrong(probed: Probed, program: str, folder: Path, path: str) -> Iterator[str]:
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
    if not place.exists():
        yield f"'{place}' does not exist{_nearest_file(place)}"
    elif not place.is_file():
        yield f"'{place}' is no file; wanted: a program"
    elif not os.access(place, os.X_OK):
        yield f"'{place}' may not be executed; `chmod +x` it, or name its interpreter first"
    elif (interpreter := _missing_interpreter(place)) is not None:
        yield f"the first line of '{place}' asks for '{interpreter}', which does not exist"


def _not_on_path(program: str, folder: Path, path: str) -> str:
    if (folder / program).is_file():
        return f"not found on PATH; did you mean './{program}'?"
    known = [each.name for place in path.split(os.pathsep) if place for each in _files_of(Path(place))]
    near = get_close_matches(program, known, n=1, cutoff=0.8)
    return f"not found on PATH ({path}){f'; did you mean {near[0]!r}?' if near else '; install it, or give its path'}"


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
    return None if not words.startswith("/") or Path(words).exists() else words.replace("\r", "U+000D")


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
