"""The plugin's parts, without supervisord around them."""

from __future__ import annotations

import os
import select
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from supervisor import events, loggers

from echopilot_jobs.stack import guardedlog, plugin
from echopilot_jobs.stack.console import MIRROR_BYTES_PER_SECOND, Console, Mirror
from echopilot_jobs.stack.guardedlog import GuardedLog


@pytest.fixture
def pipe() -> Any:
    """Both ends of a pipe: what a console is when a platform runs the stack."""
    read, write = os.pipe()
    with os.fdopen(write, "wb") as stream:
        yield read, stream
    os.close(read)


def event(name: str, data: bytes = b"") -> Any:
    return SimpleNamespace(process=SimpleNamespace(config=SimpleNamespace(name=name)), data=data)


def drain(read: int) -> bytes:
    taken = b""
    while select.select([read], [], [], 0)[0] and (more := os.read(read, 1 << 20)):
        taken += more
    return taken


class TestConsole:
    def test_lines_carry_the_name_of_their_program(self, pipe: Any) -> None:
        read, stream = pipe
        mirror = Mirror(Console(stream))

        mirror.wrote(event("web", b"one\ntwo\nthr"))
        mirror.wrote(event("scheduler", b"tick\n"))
        mirror.wrote(event("web", b"ee\n"))

        assert drain(read) == b"[web] one\n[web] two\n[scheduler] tick\n[web] three\n"

    def test_last_words_without_a_line_end_are_shown_when_the_program_ends(self, pipe: Any) -> None:
        read, stream = pipe
        mirror = Mirror(Console(stream))

        mirror.wrote(event("web", b"Killed"))
        assert drain(read) == b""
        mirror.changed(event("web"))

        assert drain(read) == b"[web] Killed\n"

    def test_bytes_that_are_no_text_are_shown_as_what_they_are(self, pipe: Any) -> None:
        read, stream = pipe

        Mirror(Console(stream)).wrote(event("web", b"\xff\xfe\n"))

        assert drain(read) == b"[web] \\xff\\xfe\n"

    def test_a_line_without_an_end_is_shown_in_pieces_and_not_kept_for_ever(self, pipe: Any) -> None:
        """I14."""
        read, stream = pipe

        Mirror(Console(stream)).wrote(event("web", b"x" * 10_000))

        assert len(drain(read)) > 10_000

    def test_a_full_pipe_blocks_nobody_and_the_loss_is_told(self, pipe: Any) -> None:
        read, stream = pipe
        console = Console(stream)

        for _ in range(100):
            console.write("y" * 9_999 + "\n")
        drain(read)
        console.write("again\n")

        assert b"bytes dropped while nobody read\nagain\n" in drain(read)

    def test_a_flood_is_cut_to_its_budget(self, pipe: Any) -> None:
        read, stream = pipe
        mirror = Mirror(Console(stream))
        shown = b""

        for _ in range(200):
            mirror.wrote(event("job", b"z" * 999 + b"\n"))
            shown += drain(read)

        assert len(shown) < 2 * (MIRROR_BYTES_PER_SECOND + 4096)
        assert b"its log file has the rest" in shown

    def test_a_reader_that_left_and_a_closed_stream_are_survived(self) -> None:
        read, write = os.pipe()
        os.close(read)

        with os.fdopen(write, "wb") as stream:
            assert Console(stream).write("nobody hears this\n") == Console(None).write("nor this\n")


class TestGuardedLog:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A log file in a folder that is not there yet."""
        return tmp_path / "logs" / "web.log"

    @pytest.fixture
    def log(self, path: Path) -> Any:
        """A handler on *path* that rotates at 1 KB and looks after its file at every line."""
        handler = GuardedLog(str(path), maxBytes=1000, backupCount=2)
        yield handler
        handler.close()

    @pytest.fixture(autouse=True)
    def _always_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guardedlog, "LOOK_SECONDS", -1.0)

    @staticmethod
    def say(log: GuardedLog, text: bytes = b"line\n") -> None:
        log.emit(loggers.LogRecord(loggers.LevelsByName.INFO, text))

    def test_a_missing_folder_is_made(self, log: GuardedLog, path: Path) -> None:
        self.say(log)

        assert path.read_bytes() == b"line\n"

    def test_a_deleted_file_or_folder_comes_back(self, log: GuardedLog, path: Path) -> None:
        """F30."""
        self.say(log, b"lost\n")
        path.unlink()
        self.say(log, b"file\n")
        assert path.read_bytes() == b"file\n"

        shutil.rmtree(path.parent)
        self.say(log, b"folder\n")
        assert path.read_bytes() == b"folder\n"

    def test_a_pipe_in_its_place_is_not_waited_for(
        self, log: GuardedLog, path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """F31: supervisord itself would stand still."""
        path.unlink()
        os.mkfifo(path)
        self.say(log, b"lost\n")

        path.unlink()
        self.say(log, b"file\n")

        assert path.read_bytes() == b"file\n"
        assert f"cannot write '{path}'" in capfd.readouterr().err

    def test_a_rollover_into_a_deleted_folder_is_survived(
        self, log: GuardedLog, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Stock raises here, out of supervisord's main loop."""
        monkeypatch.setattr(guardedlog, "LOOK_SECONDS", 1e9)
        self.say(log, b"x" * 900)
        shutil.rmtree(path.parent)

        self.say(log, b"y" * 200)
        self.say(log, b"after\n")

        assert path.read_bytes() == b"after\n"

    def test_rotation_itself_still_works(self, log: GuardedLog, path: Path) -> None:
        for _ in range(50):
            self.say(log, b"z" * 99 + b"\n")

        assert sorted(entry.name for entry in path.parent.iterdir()) == ["web.log", "web.log.1", "web.log.2"]
        assert all(entry.stat().st_size <= 1100 for entry in path.parent.iterdir())

    def test_a_file_that_cannot_be_written_warns_once_and_recovers(
        self, path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """F29: one line a minute, not one per write."""
        path.parent.mkdir()
        path.mkdir()  # a folder in the way: not even root opens it for writing
        log = GuardedLog(str(path), maxBytes=1000, backupCount=2)

        for _ in range(100):
            self.say(log)
        path.rmdir()
        self.say(log, b"back\n")

        assert capfd.readouterr().err.count("cannot write") == 1
        assert path.read_bytes() == b"back\n"
        log.close()

    def test_a_full_disk_warns_once_and_ends_nothing(self, log: GuardedLog, capfd: pytest.CaptureFixture[str]) -> None:
        """F29 with the device that is always full."""
        self.say(log)
        log.stream.close()
        log.baseFilename = "/dev/full"
        log.reopen()

        for _ in range(100):
            self.say(log)

        assert capfd.readouterr().err.count("No space left on device") == 1
        log.baseFilename = os.devnull
        log.reopen()


class TestWakeup:
    @pytest.fixture
    def options(self) -> Any:
        """As much of supervisord's options as the pipe needs."""
        sockets: dict[int, Any] = {}
        return SimpleNamespace(get_socket_map=lambda: sockets, cleanup=lambda: sockets.update({-1: "cleaned"}))

    @staticmethod
    def rounds(options: Any) -> int:
        """How often supervisord's loop goes round before it sleeps again."""
        ((descriptor, wakeup),) = options.get_socket_map().items()
        count = 0
        while select.select([descriptor], [], [], 0)[0]:
            wakeup.handle_read_event()
            count += 1
        return count

    def test_every_signal_gets_a_round_to_reap_and_a_round_to_start(self, options: Any) -> None:
        """With one round, one kill in twenty was answered only a second later."""
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        plugin.Wakeup(options)
        try:
            assert self.rounds(options) == 0
            for burst in (1, 1, 3):
                for _ in range(burst):
                    os.kill(os.getpid(), signal.SIGUSR1)
                assert self.rounds(options) == 2 * burst
        finally:
            options.cleanup()
            signal.signal(signal.SIGUSR1, before)

    def test_cleaning_up_takes_it_out_before_descriptors_are_closed_by_number(self, options: Any) -> None:
        plugin.Wakeup(options)

        options.cleanup()

        assert options.get_socket_map() == {-1: "cleaned"}
        assert signal.set_wakeup_fd(-1) == -1


class TestUnknownSupervisor:
    @pytest.fixture
    def supervisord(self) -> Any:
        """As much of a Supervisor object as the self-test looks at, and its log."""
        lines: list[str] = []
        logger = SimpleNamespace(handlers=[], critical=lines.append, warn=lines.append, lines=lines)
        options = SimpleNamespace(get_socket_map=dict, cleanup=lambda: None, logger=logger, mood=1)
        return SimpleNamespace(process_groups={}, options=options)

    def test_the_version_we_lock_is_one_the_plugin_knows(self, supervisord: Any) -> None:
        assert plugin._missing(supervisord) == ""

    def test_another_version_switches_it_off_with_one_warning(
        self, supervisord: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plugin, "VERSION", "4.4.0")

        plugin.make_plugin(supervisord)

        assert supervisord.options.logger.lines == ["plugin off: supervisor 4.4.0 is not one it knows (wanted 4.3.x)"]
        assert events.callbacks == []

    def test_a_missing_private_name_switches_it_off_and_is_named(self, supervisord: Any) -> None:
        del supervisord.options.get_socket_map

        plugin.make_plugin(supervisord)

        (line,) = supervisord.options.logger.lines
        assert "no 'get_socket_map'" in line

    def test_it_offers_nothing_to_call(self, supervisord: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plugin, "VERSION", "0")

        assert not [name for name in dir(plugin.make_plugin(supervisord)) if not name.startswith("_")]
