"""Files of every kind are read within bounds, or named with the reason why not."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from signalkit import NOW, brief_of, minutes, stamp, write

from echopilot_jobs.signals.reading import read_signals
from echopilot_jobs.signals.sources import Unreadable, family, find, identity, read

LINE = '{"ts": "2026-03-01T00:00:00Z", "ok": true}\n'
GIB = 1024**3


def reason(folder: Path, name: str) -> str:
    brief = brief_of(folder, name)
    return "; ".join(each["reason"] for each in brief["missing_signals"])


def test_a_glob_that_matches_nothing_is_named(tmp_path: Path) -> None:
    assert reason(tmp_path, "no/such/*.ndjson") == "'no/such/*.ndjson' matches no file"


def test_an_empty_a_blank_and_a_hollow_file_are_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text("")
    (tmp_path / "b.ndjson").write_text("\n \r\n\n")
    (tmp_path / "c.ndjson").write_bytes(b"\0" * 5000)

    assert reason(tmp_path, "a.ndjson") == "is empty (0 bytes)"
    assert reason(tmp_path, "b.ndjson") == "is empty (5 bytes)"
    assert reason(tmp_path, "c.ndjson").startswith("is empty (5 KiB); 5,000 zero bytes were passed over")


def test_binary_files_and_archives_are_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(bytes(range(256)) * 400)
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04" + b"x" * 100)

    assert reason(tmp_path, "a.ndjson") == "is binary, not text"
    assert "archive or compressed" in reason(tmp_path, "b.zip")


def test_text_without_json_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts,ok\n2026-03-01,true\n2026-03-02,true\n")

    assert reason(tmp_path, "a.csv") == "holds no JSON record in 3 entries (38 bytes)"


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    """A pipe without a writer would block for ever; a device might do anything."""
    os.mkfifo(tmp_path / "pipe.ndjson")
    (tmp_path / "folder.ndjson").mkdir()
    (tmp_path / "device.ndjson").symlink_to("/dev/zero")
    (tmp_path / "loop.ndjson").symlink_to("loop.ndjson")
    (tmp_path / "dangling.ndjson").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.ndjson"))
        missing = {each["signal"]: each["reason"] for each in brief_of(tmp_path)["missing_signals"]}

    assert missing == {
        "pipe.ndjson": "is a named pipe, not a regular file; it was not opened",
        "folder.ndjson": "is a folder, not a file",
        "device.ndjson": "is a character device, not a regular file; it was not opened",
        "loop.ndjson": "cannot be read: Too many levels of symbolic links",
        "dangling.ndjson": "is gone: rotated or removed between listing and reading, or a link to nothing",
        "socket.ndjson": "is a socket, not a regular file; it was not opened",
    }


def test_a_file_rotated_away_after_the_listing_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="rotated or removed between listing and reading"):
        read(tmp_path / "was-here.ndjson")


@pytest.mark.process
def test_a_file_we_may_not_read_names_who_we_are(tmp_path: Path) -> None:
    """As nobody, because root may read everything."""
    secret = tmp_path / "a.ndjson"
    secret.write_text(LINE)
    secret.chmod(0)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from echopilot_jobs.signals.sources import Unreadable, _why\n"
        "try: os.getuid() == 0 and os.setuid(65534); open(sys.argv[1])\n"
        "except OSError as error: print(_why(error))"
    )

    done = subprocess.run([sys.executable, "-c", code, secret], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.startswith("may not be read by uid ")


def test_the_ledger_is_never_opened_by_name_or_by_another(tmp_path: Path) -> None:
    """A plain open and close of the ledger's file would drop the locks SQLite holds on it."""
    ledger = tmp_path / "ledger.sqlite3"
    ledger.write_text(LINE)
    (tmp_path / "alias.ndjson").symlink_to(ledger)

    with pytest.raises(Unreadable, match="belongs to the ledger"):
        read(tmp_path / "alias.ndjson", never=frozenset(filter(None, [identity(ledger)])))
    for signal in read_signals(["*"], tmp_path, NOW.timestamp(), ledger).signals:
        assert signal.files[0].state == "unreadable"


def test_links_that_point_upwards_do_not_multiply_files(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write(tmp_path / "deep" / "er" / "a.ndjson", [{"ok": True}])
    for i in range(4):
        (tmp_path / "deep" / f"up{i}").symlink_to("..")

    assert [path.name for path in find(["**/*.ndjson"], tmp_path).paths] == ["a.ndjson"]


def test_a_second_name_of_a_file_is_no_second_signal(tmp_path: Path) -> None:
    write(tmp_path / "a.ndjson", [{"ok": True}])
    (tmp_path / "b.ndjson").hardlink_to(tmp_path / "a.ndjson")

    assert len(read_signals(["a*", "*.ndjson"], tmp_path, NOW.timestamp()).signals) == 1


def test_more_files_than_are_read_are_counted(tmp_path: Path) -> None:
    for i in range(207):
        (tmp_path / f"f{i}x.ndjson").write_text(LINE)

    brief = brief_of(tmp_path)

    assert brief["kpis"]["files_read"] == 200
    assert brief["missing_signals"] == [
        {"signal": "files", "reason": "7 more files match and were not read; at most 200 are"}
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.ndjson").write_bytes((LINE * 3).encode(encoding))

    assert brief_of(tmp_path)["sources"][0]["records"] == 3


def test_a_hole_of_zeros_before_the_records_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_bytes(b"\0" * 70_000 + LINE.encode() * 2)

    (source,) = brief_of(tmp_path)["sources"]

    assert source["records"] == 2
    assert "70,000 zero bytes" in source["files"][0]["notes"][0]


def test_a_big_file_is_read_from_its_end_and_the_brief_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ndjson", ({"ts": stamp(m), "n": i} for i, m in enumerate(minutes(NOW, 3000))))

    window = read(path, 10_000)

    assert window.partial
    assert window.notes == ("read from the end: the last 10 KiB of 122 KiB",)
    assert json.loads(window.text.splitlines()[-1])["n"] == 2999
    assert window.text.startswith("{")  # the torn first line is no corruption


BIG = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from echopilot_jobs.signals.brief import as_json, make
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = as_json(make(["*.ndjson"], Path(sys.argv[1]), datetime(2026, 3, 2, 8, tzinfo=UTC), None, {}), [])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
print(data["sources"][0]["records"], data["sources"][0]["files"][0]["notes"])
"""


@pytest.mark.process
def test_a_gigabyte_costs_tens_of_megabytes(tmp_path: Path) -> None:
    with (tmp_path / "a.ndjson").open("wb") as file:
        file.truncate(GIB)
        file.seek(GIB)
        file.write(LINE.encode() * 60_000)

    done = subprocess.run(
        [sys.executable, "-c", BIG, tmp_path], capture_output=True, text=True, timeout=240, check=True
    )
    grown, said = done.stdout.splitlines()

    assert int(grown) < 120  # the window once as bytes and once as text, and the columns
    assert said.startswith("60000 [")
    assert "read from the end: the last 16.0 MiB of 1.0 GiB" in said


def test_a_rotated_gzip_belongs_to_its_live_file(tmp_path: Path) -> None:
    start = minutes(NOW, 1)[0]
    old = "".join(json.dumps({"ts": stamp(m), "ok": True}) + "\n" for m in minutes(start, 50))
    (tmp_path / "up.ndjson.1.gz").write_bytes(gzip.compress(old.encode()))
    write(tmp_path / "up.ndjson", ({"ts": stamp(m), "ok": True} for m in minutes(start, 100)[50:]))

    (source,) = brief_of(tmp_path)["sources"]

    assert (source["signal"], source["records"], source["outages"]) == ("up.ndjson", 100, 0)
    assert len(source["files"]) == 2


def test_a_damaged_gzip_gives_what_could_be_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress((LINE * 1000).encode())
    (tmp_path / "a.gz").write_bytes(packed[:-6])

    (source,) = brief_of(tmp_path)["sources"]

    assert source["records"] == 1000
    assert "the gzip data are damaged" in source["files"][0]["notes"][0]


def test_a_gzip_bomb_is_unpacked_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * (80 * 1024 * 1024), 9))

    window = read(tmp_path / "bomb.gz", 1024 * 1024)

    assert "only the first 64 MiB were unpacked" in window.notes
    assert len(window.text) <= 1024 * 1024


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("up.ndjson", "up.ndjson"), ("up.ndjson.1", "up.ndjson"), ("up.ndjson.12.gz", "up.ndjson"),
        ("up.2026-03-01.ndjson", "up.ndjson"), ("up.2026-03-01_08-00-00_123456.ndjson.gz", "up.ndjson"),
        ("report_20260301.json", "report.json"), ("v1.2.json", "v1.2.json"), ("20260301.json", "20260301.json"),
    ],
)  # fmt: skip
def test_marks_of_rotation_are_known(name: str, head: str) -> None:
    assert family(Path(name)) == head


def test_our_own_briefs_are_not_read_back(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(brief_of(tmp_path)))

    (source,) = brief_of(tmp_path)["sources"]

    assert source["records"] == 0
    assert source["files"][0]["notes"] == ["written by the brief itself; not read back"]
