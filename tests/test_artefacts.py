"""Pairs of files that are whole or absent (I23, F33)."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from echopilot_jobs.artefacts import ArtefactFailed, Pair, free_stem, write_pair

DATA = {"headline": "all is well", "ts": "2026-03-02T08:00:00Z"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_pair_carries_the_size_and_digest_of_its_json(tmp_path: Path) -> None:
    pair = write_pair(tmp_path / "exec_briefs", "brief_20260302_080000", DATA, "<p>well</p>")

    content = pair.json_path.read_bytes()
    assert json.loads(content) == DATA
    assert pair.html_path.read_text() == "<p>well</p>"
    assert (pair.sha256, pair.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert names(tmp_path / "exec_briefs") == ["brief_20260302_080000.html", "brief_20260302_080000.json"]


def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        pair = write_pair(tmp_path / "logs" / "briefs", "brief", DATA, "x")
    finally:
        os.umask(before)

    assert [stat.S_IMODE(path.stat().st_mode) for path in (pair.json_path, pair.html_path)] == [0o600, 0o600]
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("logs", "logs/briefs")] == [0o700, 0o700]


@pytest.mark.parametrize("taken", ["brief.json", "brief.html"])
def test_a_name_taken_in_the_same_second_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")

    assert write_pair(tmp_path, "brief", DATA, "x").json_path.name == "brief_2.json"
    assert write_pair(tmp_path, "brief", DATA, "x").json_path.name == "brief_3.json"
    assert (tmp_path / taken).read_text() == "mine"
    assert free_stem(tmp_path, "brief") == "brief_4"


def test_writers_at_the_same_moment_get_a_pair_each(tmp_path: Path) -> None:
    pairs: list[Pair] = []
    threads = [
        threading.Thread(target=lambda n=n: pairs.append(write_pair(tmp_path, "brief", {"n": n}, f"page {n}")))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len({pair.json_path for pair in pairs}) == 12
    for pair in pairs:
        assert pair.html_path.read_text() == f"page {json.loads(pair.json_path.read_text())['n']}"


def test_text_no_encoding_can_hold_is_still_written(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, "brief", {"text": "\ud800 \u2028 \x00"}, "lone \ud800 surrogate")

    assert json.loads(pair.json_path.read_text())["text"] == "\ud800 \u2028 \x00"
    assert pair.json_path.read_bytes().isascii()
    assert pair.html_path.read_text() == "lone \\ud800 surrogate"


@pytest.mark.parametrize("stem", ["", "../brief", "a/b", ".hidden", "x" * 101, "a.json", "nul\0"])
def test_a_stem_never_leaves_its_folder(tmp_path: Path, stem: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        write_pair(tmp_path, stem, DATA, "x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("data", [{"n": float("nan")}, {"n": float("inf")}])
def test_what_is_not_strict_json_is_refused_before_anything_is_written(tmp_path: Path, data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_pair(tmp_path, "brief", data, "x")
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")

    with pytest.raises(
        ArtefactFailed, match=r"'brief' could not be written to .*logs/briefs': Not a directory; nothing"
    ):
        write_pair(tmp_path / "logs" / "briefs", "brief", DATA, "x")


def test_only_our_own_leftovers_are_swept(tmp_path: Path) -> None:
    for name in (".brief.json.draft", "brief.html", ".old.html.draft", "kept.html", ".mine.draft", "notes.txt"):
        (tmp_path / name).write_text("x")

    write_pair(tmp_path, "next", DATA, "x")

    assert names(tmp_path) == [".mine.draft", "kept.html", "next.html", "next.json", "notes.txt"]


FULL = """
import resource, sys
from pathlib import Path
from echopilot_jobs.artefacts import ArtefactFailed, write_pair
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_pair(Path(sys.argv[1]), "brief", {"a": "x" * 3000}, "y" * int(sys.argv[3]))
except ArtefactFailed as error:
    print(error)
"""


@pytest.mark.process
@pytest.mark.parametrize(("limit", "page"), [("0", "10"), ("1000", "10"), ("4000", "9000")])
def test_a_disk_that_is_full_leaves_nothing_and_says_so(tmp_path: Path, limit: str, page: str) -> None:
    """I23: the limit strikes at the first byte, inside the JSON, inside the page."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path, limit, page], check=False, capture_output=True, text=True, timeout=60
    )

    assert "could not be written" in done.stdout, done.stderr
    assert "nothing of it was kept" in done.stdout
    assert names(tmp_path) == []


CRASH = """
import json, os, signal, sys
from pathlib import Path
from echopilot_jobs import artefacts

def trace(left):
    def step(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename != artefacts.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return step
    return step

def attempt(folder, crash_at):
    pid = os.fork()
    if pid == 0:
        sys.settrace(trace(crash_at))
        artefacts.write_pair(folder, "brief", {"a": 1}, "page")
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0

root, report, crash_at, survived = Path(sys.argv[1]), [], 0, False
while not survived:
    crash_at += 1
    folder = root / str(crash_at)
    survived = attempt(folder, crash_at)
    seen = sorted(p.name for p in folder.glob("[!.]*")) if folder.exists() else []
    again = artefacts.write_pair(folder, "brief", {"a": 2}, "page")
    report.append([seen, again.json_path.name, sorted(p.name for p in folder.iterdir())])
print(json.dumps(report))
"""


@pytest.mark.process
def test_killed_at_any_line_a_pair_is_whole_or_absent_and_the_next_writer_cleans_up(tmp_path: Path) -> None:
    """F33, I23: kill -9 before every single line that write_pair executes."""
    done = subprocess.run(
        [sys.executable, "-c", CRASH, tmp_path], capture_output=True, text=True, timeout=300, check=True
    )

    report = json.loads(done.stdout)
    pair = ["brief.html", "brief.json"]
    assert len(report) > 30
    for seen, again, left in report:
        assert seen in ([], ["brief.html"], pair), seen  # listing by JSON never shows half
        if "brief.json" in seen:
            assert (again, left) == ("brief_2.json", ["brief.html", "brief.json", "brief_2.html", "brief_2.json"])
        else:
            assert (again, left) == ("brief.json", pair)
    assert any(seen == ["brief.html"] for seen, _, _ in report), "the window between the two renames was struck"
