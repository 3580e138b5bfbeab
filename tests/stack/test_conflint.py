"""The mistakes in supervisord.conf that supervisord itself passes over."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from echopilot_jobs.stack import conflint

SHIPPED = Path(__file__).parents[2] / "supervisord.conf"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with what the shipped file expects around it."""
    (tmp_path / "var").mkdir()
    (tmp_path / "logs").mkdir()
    return tmp_path


def lint(home: Path, text: str) -> list[str]:
    path = home / "supervisord.conf"
    path.write_text(text)
    return conflint.problems(path)


def with_program(lines: str) -> str:
    return f"[supervisord]\nnodaemon=true\n[program:x]\ncommand=true\n{lines}\n"


def test_what_we_ship_has_no_problem(home: Path) -> None:
    assert lint(home, SHIPPED.read_text()) == []


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("autorestrat=true", "line 5: unknown key 'autorestrat' in [program:x]"),
        ("autorestrat=true", "did you mean 'autorestart'?"),
        ("startsecs=5\nstartsecs=6", "line 6: 'startsecs' of [program:x] again, first on line 5"),
        ("[program:x]\ncommand=false", "line 5: [program:x] again, first on line 3"),
        ("startsecs=soon", "line 5: 'startsecs' came 'soon'"),
        ("autostart=perhaps", "line 5: 'autostart' came 'perhaps'"),
        ("stopsignal=SIGNAL9", "line 5: 'stopsignal' came 'SIGNAL9'"),
        ("umask=999", "line 5: 'umask' came '999'"),
        ("stdout_logfile_maxbytes=5 apples", "line 5: 'stdout_logfile_maxbytes' came '5 apples'"),
        ('environment=A="1', "line 5: 'environment'"),
        ("directory=%(ENV_NOWHERE)s", "line 5: 'directory' needs the environment variable NOWHERE"),
        ("directory=%(nowhere)s", "line 5: 'directory' uses the unknown name 'nowhere'"),
        ("directory=50%", "line 5: 'directory' came '50%'"),
        ("[progam:y]\ncommand=true", "line 5: unknown section [progam:y]"),
        ("[inet_http_server]\nprot=9001", "line 6: unknown key 'prot'"),
        ("stopasgroup=true\nkillasgroup=false", "stopasgroup=true and killasgroup=false"),
        ("stdout_logfile=%(here)s/nowhere/x.log", "does not exist"),
        ("[rpcinterface:y]\nsupervisor.rpcinterface_factory=no.such:thing", "cannot be resolved"),
        ("[eventlistener:y]\ncommand=true", 'requires an "events" line'),
    ],
)
def test_every_mistake_is_found_with_its_line(home: Path, lines: str, wanted: str) -> None:
    assert wanted in "\n".join(lint(home, with_program(lines)))


def test_all_mistakes_are_told_at_once(home: Path) -> None:
    found = lint(home, with_program("startsecs=soon\nautorestrat=true\nuser_name=me"))

    assert len(found) == 3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("command=true\n", "line 1: text before the first [section]"),
        ("[supervisord]\nnodaemon\n", "line 2: neither [section] nor key=value"),
        ("[program:x]\ncommand=true\n", "does not include supervisord section"),
        ("", "does not include supervisord section"),
    ],
)
def test_what_is_no_configuration_is_said(home: Path, text: str, wanted: str) -> None:
    assert wanted in "\n".join(lint(home, text))


def test_bytes_that_are_no_text_are_a_sentence_too(home: Path) -> None:
    path = home / "supervisord.conf"
    path.write_bytes(b"\xff\xfe\x00[supervisord]")

    assert "cannot be read" in conflint.problems(path)[0]


def test_a_set_variable_comments_and_continuation_lines_are_fine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/")
    lines = (
        "directory=%(ENV_PLACE)s ; where\n# a remark = with an equals sign\n"
        'environment=A="1",\n    B="2"\n[eventlistener:watchdog]\ncommand=true\nevents=TICK_5\n'
    )

    assert lint(home, with_program(lines)) == []


class TestTheShippedPolicy:
    """The rules of supervision that a later edit must not lose."""

    @pytest.fixture
    def parser(self) -> configparser.RawConfigParser:
        """The shipped file as supervisord reads it."""
        parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
        parser.read(SHIPPED)
        return parser

    def test_programs_come_back_whatever_their_exit_code(self, parser: configparser.RawConfigParser) -> None:
        for name in ("scheduler", "web"):
            section = parser[f"program:{name}"]
            assert section["autorestart"] == "true"
            assert section.getint("startsecs") >= 3
            assert section["killasgroup"] == "true"
            assert section["redirect_stderr"] == "true"

    def test_programs_are_given_longer_than_their_own_grace(self, parser: configparser.RawConfigParser) -> None:
        from echopilot_jobs.scheduler import stopwish
        from echopilot_jobs.stack import gunicorn_conf

        own = stopwish.DRAIN_SECONDS + stopwish.LAST_WORDS_SECONDS
        assert parser["program:scheduler"].getint("stopwaitsecs") > own
        assert parser["program:web"].getint("stopwaitsecs") > gunicorn_conf.graceful_timeout

    def test_no_port_no_account_no_secret_no_automatic_log(self, parser: configparser.RawConfigParser) -> None:
        assert not [section for section in parser.sections() if section.startswith("inet_http_server")]
        assert parser["unix_http_server"]["chmod"] == "0700"
        values = [value for section in parser.sections() for value in parser[section].values()]
        assert not [value for value in values if "%(ENV_" in value or "PASSWORD" in value.upper()]
        for section in parser.sections():
            assert "user" not in parser[section]
            if section.startswith("program:"):
                assert parser[section]["stdout_logfile"].startswith("%(here)s/logs/")

    def test_no_log_of_supervisord_falls_under_the_schedulers_retention(
        self, parser: configparser.RawConfigParser
    ) -> None:
        """loguru removes what begins with `scheduler.`: one writer per file, one retention per name."""
        names = [Path(value).name for s in parser.sections() for key, value in parser[s].items() if "logfile" in key]

        assert not [name for name in names if name.startswith("scheduler.")]
        assert len({name for name in names if name.endswith(".log")}) == 3


def test_what_supervisord_would_notice_only_when_it_starts_a_program_is_found_before(tmp_path: Path) -> None:
    path = tmp_path / "supervisord.conf"
    path.write_text('[supervisord]\n[program:schedulr]\ncommand="open\n[program:web]\ncommand=true\nstopwaitsecs=-5\n')

    assert conflint.program_mistakes(path) == [
        "supervisord.conf: no [program:scheduler]; the stack needs it by this name",
        "supervisord.conf: [program:schedulr] command cannot be split into words: no closing quotation",
        "supervisord.conf: [program:web] stopwaitsecs is negative; wanted: seconds, more than the program's own grace",
    ]
