"""Which set of jobs is in force: accepted sets are kept, a bad file never replaces one, and nobody is kept in the dark."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from echopilot_jobs import definitions
from echopilot_jobs.definitions import InForce, shelf
from echopilot_jobs.definitions.shelf import read_shelf
from echopilot_jobs.definitions.watching import Watcher
from echopilot_jobs.processes import this_process
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock

BUILT_IN = ["ceo_brief", "daily_report", "heartbeat", "self_heal"]
GOOD = '[jobs.mine]\nevery = "60s"\ncommand = ["sh", "-c", "true"]\n'
BAD = GOOD + '[jobs.other]\nevery = "60s"\nrun = "nowhere:f"\n'
BROKEN = GOOD + "[jobs"


class Home:
    """A project's folder, and what a scheduler would make of it."""

    def __init__(self, settings: Settings, clock: FakeClock) -> None:
        self.settings, self.clock = settings, clock
        self.file = settings.home / "jobs.toml"
        settings.var_dir.mkdir(mode=0o700)

    def write(self, content: str | bytes) -> None:
        self.file.write_bytes(content.encode() if isinstance(content, str) else content)

    def judge(self) -> None:
        """As the scheduler's watching thread does."""
        self.clock.sleep(60)
        definitions.keep(self.settings, definitions.check(self.settings), self.clock.now())

    def begin(self) -> InForce:
        return definitions.begin(self.settings, self.clock.now())[0]

    def in_force(self) -> InForce:
        return definitions.in_force(self.settings)

    @property
    def shelf(self) -> Path:
        return self.settings.var_dir / "jobs.accepted.json"

    def scheduler_lives(self) -> None:
        (self.settings.var_dir / "scheduler.lock").write_text(str(this_process()))


@pytest.fixture
def home(settings: Settings, clock: FakeClock) -> Home:
    return Home(settings, clock)


def names(found: InForce) -> list[str]:
    return sorted(set(found.registry) - set(BUILT_IN))


def test_without_a_jobs_file_the_built_in_jobs_are_in_force(home: Home) -> None:
    found = home.in_force()

    assert sorted(found.registry) == BUILT_IN
    assert (found.problems, found.accepted_at) == ((), None)


def test_an_accepted_set_is_kept_for_this_account_alone_and_comes_back_the_same_S27(home: Home) -> None:
    home.write(GOOD)
    home.judge()

    found = home.in_force()

    assert home.shelf.stat().st_mode & 0o777 == 0o600
    assert names(found) == ["mine"]
    assert found.registry["mine"].declared_in == "jobs.toml:1"
    assert found.accepted_at == home.clock.now()


@pytest.mark.parametrize(
    "content",
    [BAD, BROKEN, GOOD[:-10], b"\xff\xfe" + GOOD.encode("utf-16-le"), GOOD.encode() + b"\0", b"\x80"],
    ids=["missing module", "torn", "cut", "utf-16", "nul", "not utf-8"],
)
def test_a_bad_file_never_replaces_the_good_set_and_says_what_is_wrong_I28_F65(
    home: Home, content: str | bytes
) -> None:
    home.write(GOOD)
    home.judge()
    accepted_at = home.clock.now()

    home.write(content)
    home.judge()

    found = home.in_force()
    assert names(found) == ["mine"]
    assert found.problems
    assert (found.accepted_at, found.refused_at) == (accepted_at, home.clock.now())
    assert names(home.begin()) == ["mine"]


def test_an_empty_file_is_the_empty_set_F65(home: Home) -> None:
    home.write(GOOD)
    home.judge()

    home.write("")
    home.judge()

    assert names(home.in_force()) == []
    assert home.in_force().problems == ()


def test_a_deleted_file_leaves_the_last_good_set_and_says_so_F65(home: Home) -> None:
    home.write(GOOD)
    home.judge()

    home.file.unlink()
    home.judge()

    found = home.in_force()
    assert names(found) == ["mine"]
    assert str(found.problems[0]).startswith("jobs.toml: it is gone; put it back")
    assert found.refusal == "jobs.toml is gone; the last good set stays in force"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "it is a folder; wanted: a file"),
        (os.mkfifo, "it is a pipe, socket or device; wanted: a file"),
        (lambda path: path.symlink_to(path.name), "it is a link that leads to itself; wanted: a file"),
        (lambda path: (path.touch(), path.chmod(0o646)), "other accounts may write it, and so choose what runs here"),
    ],
    ids=["folder", "pipe", "loop", "open to others"],
)
def test_what_is_no_jobs_file_is_refused_without_waiting_for_it_F65_S27(
    home: Home, make: Callable[[Path], object], said: str
) -> None:
    home.write(GOOD)
    home.judge()
    home.file.unlink()

    make(home.file)
    home.judge()

    found = home.in_force()
    assert said in str(found.problems[0])
    assert names(found) == ["mine"]


def test_a_refusal_is_over_when_the_accepted_file_is_back(home: Home) -> None:
    home.write(GOOD)
    home.judge()
    home.write(BROKEN)
    home.judge()

    home.write(GOOD)
    at_once = home.in_force()
    home.judge()

    assert at_once.problems == home.in_force().problems == ()
    assert read_shelf(home.shelf).refused is None


def test_the_very_file_that_was_accepted_is_refused_when_what_it_needs_is_gone(home: Home) -> None:
    (home.settings.home / "mine.py").write_text("def f(): ...")
    home.write('[jobs.mine]\nevery = "60s"\nrun = "mine:f"\n')
    home.judge()

    (home.settings.home / "mine.py").unlink()
    home.judge()

    found = home.in_force()
    assert names(found) == ["mine"]
    assert "no module 'mine'" in str(found.problems[0])


def test_a_file_nobody_has_judged_yet_counts_only_where_no_scheduler_will_judge_it(home: Home) -> None:
    home.write(GOOD)
    home.judge()
    home.write(GOOD.replace("mine", "newer"))

    stopped = names(home.in_force())
    home.scheduler_lives()
    running = names(home.in_force())

    assert (stopped, running) == (["newer"], ["mine"])
    assert names(definitions.as_written(home.settings)) == ["newer"]  # what an edit will change is told at once


def test_a_bad_file_nobody_has_judged_yet_is_told_of_beside_the_last_good_set_I28(home: Home) -> None:
    home.write(GOOD)
    home.judge()
    home.write(BROKEN)

    found = home.in_force()

    assert names(found) == ["mine"]
    assert found.problems


def test_without_any_good_set_the_built_in_jobs_run_beside_the_problems(home: Home) -> None:
    home.write(BAD)

    began, kept = home.begin(), home.in_force()

    assert names(began) == names(kept) == []
    assert began.problems == kept.problems
    assert kept.accepted_at is None


def test_a_scheduler_begins_at_once_with_a_file_it_knows_and_checks_a_new_one_first(home: Home) -> None:
    home.write(GOOD)
    first = definitions.begin(home.settings, home.clock.now())
    again = definitions.begin(home.settings, home.clock.now())
    home.write(GOOD.replace("mine", "newer"))
    newer = definitions.begin(home.settings, home.clock.now())

    assert [is_new for _, is_new in (first, again, newer)] == [True, False, True]
    assert [names(found) for found, _ in (first, again, newer)] == [["mine"], ["mine"], ["newer"]]


def test_a_damaged_shelf_is_ignored_and_made_anew(home: Home) -> None:
    home.write(GOOD)
    home.judge()
    whole = home.shelf.read_bytes()

    for content in (b"", whole[:-1], whole.replace(b"60s", b"61s"), b"[]", b'{"format": 2}', b"[" * 200_000, b"\xff"):
        home.shelf.write_bytes(content)
        assert read_shelf(home.shelf) == shelf.Shelf()
        assert names(home.in_force()) == ["mine"]  # judged anew, since no scheduler runs

    assert names(home.begin()) == ["mine"]
    assert read_shelf(home.shelf).accepted is not None


def test_no_secret_reaches_the_shelf_and_whoever_lacks_it_still_sees_the_set_I29(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret-s3cret-s3cret")
    home.write(GOOD + 'env = { TOKEN = "${API_TOKEN}" }\n')
    home.judge()
    monkeypatch.delenv("API_TOKEN")

    found = home.in_force()

    assert b"s3cret" not in home.shelf.read_bytes()
    assert names(found) == ["mine"]
    assert found.problems == ()


def test_a_name_that_only_the_living_scheduler_can_fill_is_nothing_to_warn_of_in_somebodys_shell(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret-s3cret-s3cret")
    home.write(GOOD + 'env = { TOKEN = "${API_TOKEN}" }\n')
    home.judge()
    monkeypatch.delenv("API_TOKEN")

    stopped = definitions.check(home.settings)
    home.scheduler_lives()
    running = definitions.check(home.settings)

    assert ["API_TOKEN" in str(warning) for warning in stopped.warnings] == [True]
    assert running.warnings == ()


def test_the_same_verdict_is_not_written_again(home: Home) -> None:
    for content in (GOOD, BROKEN):
        home.write(content)
        home.judge()
        before = home.shelf.stat().st_mtime_ns, home.in_force()

        home.judge()

        assert (home.shelf.stat().st_mtime_ns, home.in_force()) == before


def test_a_desk_reads_again_only_when_the_file_or_the_shelf_has_changed(home: Home) -> None:
    home.write(GOOD)
    home.judge()
    desk = definitions.Desk(home.settings)

    first, second = desk.now(), desk.now()
    home.write(GOOD.replace("mine", "newer"))
    home.judge()

    assert first is second
    assert names(desk.now()) == ["newer"]


def test_the_shelf_cannot_be_written_and_the_set_comes_into_force_all_the_same(home: Home) -> None:
    home.write(GOOD)
    home.shelf.mkdir()

    _, unkept = definitions.keep(home.settings, definitions.check(home.settings), home.clock.now())

    assert unkept is not None
    assert names(home.begin()) == ["mine"]


def test_what_is_kept_is_plain_json_with_its_places(home: Home) -> None:
    home.write(GOOD)
    home.judge()

    kept = json.loads(home.shelf.read_text())["body"]["accepted"]

    assert kept["document"]["tables"]["jobs"]["mine"]["every"] == "60s"
    assert ["jobs", "mine"] in [path for path, *_ in kept["document"]["places"]]


def test_a_set_the_disk_had_no_room_for_is_written_down_as_soon_as_there_is_some(home: Home) -> None:
    home.write(GOOD)
    home.judge()
    watcher = Watcher(home.settings, home.clock, lambda: None)
    home.shelf.unlink()
    home.shelf.mkdir()
    home.write(GOOD.replace("mine", "newer"))
    watcher._judge()
    home.scheduler_lives()
    watcher._put_back()
    assert names(home.in_force()) == []

    home.shelf.rmdir()
    home.clock.sleep(6)
    watcher._put_back()

    assert names(home.in_force()) == ["newer"]
    assert home.in_force().problems == ()


def test_a_damaged_word_on_what_was_composed_is_written_again_too(home: Home) -> None:
    """Else a shell with other settings would compose it for itself."""
    home.write(GOOD)
    watcher = Watcher(home.settings, home.clock, lambda: None)
    watcher._judge()
    path = home.settings.var_dir / "jobs.composed.json"
    right = path.read_bytes()
    path.write_bytes(right[:-9])
    home.clock.sleep(6)

    watcher._put_back()

    assert path.read_bytes() == right


def test_what_another_scheduler_has_written_down_meanwhile_stays(home: Home) -> None:
    home.write(GOOD)
    watcher = Watcher(home.settings, home.clock, lambda: None)
    watcher._judge()
    home.write(GOOD.replace("mine", "newer"))
    home.judge()
    home.clock.sleep(6)

    watcher._put_back()

    assert names(home.in_force()) == ["newer"]


def test_a_file_that_a_living_scheduler_should_have_judged_long_ago_is_told_of(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write(GOOD)
    home.judge()
    home.write(GOOD.replace("mine", "newer"))
    home.scheduler_lives()
    at_once = home.in_force()
    monkeypatch.setattr("echopilot_jobs.definitions.inforce.JUDGED_WITHIN", timedelta(0))

    later = home.in_force()

    assert (names(at_once), at_once.problems) == (["mine"], ())
    assert names(later) == ["mine"]
    assert "what the scheduler runs is not known here" in str(later.problems[0])
    assert later.refusal == "what the scheduler runs is not known here"
    assert later.remedy == "see to the disk if it is full; nothing that runs is stopped by this"


@pytest.mark.parametrize("name", ["jobs.accepted.json", "jobs.composed.json", "scheduler.lock"])
def test_nobody_waits_for_a_pipe_in_the_place_of_a_file(home: Home, name: str) -> None:
    home.write(GOOD)
    home.judge()
    (home.settings.var_dir / name).unlink(missing_ok=True)
    os.mkfifo(home.settings.var_dir / name)

    assert names(home.in_force()) == ["mine"]
    assert names(home.begin()) == ["mine"]
