"""A file as a whole: what is no jobs file is refused in a line, and nothing else ever comes of any bytes (I28)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobsfilekit import BUILT_IN, composed, composes, is_one_line, is_read, only, refused

from echopilot_jobs.jobsfile import Document, modules_of

GOOD = """\
modules = ["myapp.jobs"]
groups = { database = 1 }

[jobs.nightly_export]
description = "Exports, the day's orders."
cron = "15 2 * * 1-5"
timezone = "Europe/Riga"
run = "myapp.exports:nightly"
timeout = "20m"
env = { LEVEL = "2" }
params.day = { type = "date", default = 2026-03-01 }

[jobs."ping"]
every = ["monday", "friday"]
at = 08:00:00
http = { url = "https://example.com/x", headers = { X-A = 'b' } }
"""

FILES: dict[str, tuple[bytes, str, str]] = {
    "a byte order mark": (b"\xef\xbb\xbf[jobs]\n", "jobs.toml:1:1: ", "UTF-8 with a byte order mark; wanted: plain UTF-8"),
    "UTF-16 little": ("[jobs]\n".encode("utf-16"), "jobs.toml:1:1: ", "came UTF-16; wanted: plain UTF-8"),
    "UTF-16 big": (b"\xfe\xff\x00[\x00j", "jobs.toml:1:1: ", "came UTF-16"),
    "UTF-16 without a mark": ("[jobs]\n".encode("utf-16-le"), "jobs.toml:1:2: ", "came a NUL byte"),
    "NUL": (b"[jobs]\n# \0\n", "jobs.toml:2:3: ", "came a NUL byte; wanted: plain UTF-8 text"),
    "latin-1": ("[jobs]\n# \u00e4\n".encode("latin-1"), "jobs.toml:2:3: ", "came the byte 0xE4, which is not UTF-8"),
    "a lone surrogate": (b"[jobs]\n# \xed\xa0\x80\n", "jobs.toml:2:3: ", "not UTF-8"),
    "an overlong slash": (b"\xc0\xaf", "jobs.toml:1:1: ", "not UTF-8"),
    "1 MiB and a byte": (b"#" * (1024 * 1024 + 1), "jobs.toml: ", "came 1,048,577 bytes; wanted: at most 1,048,576"),
    "50 MB": (b"#" * 50_000_000, "jobs.toml: ", "came 50,000,000 bytes"),
    "1,001 jobs": (
        "".join(f'[jobs.j{n}]\nevery = "6h"\nrun = "a:b"\n' for n in range(1_001)).encode(),
        "jobs.toml:1:1: ",
        "came 1,001 jobs; wanted: at most 1,000",
    ),
    "10,000 jobs": ("".join(f"[jobs.j{n}]\n" for n in range(10_000)).encode(), "jobs.toml:1:1: ", "came 10,000 jobs"),
    "lists 5,000 deep": (b"a = " + b"[" * 5_000, "jobs.toml:1:", "nested deeper than 32"),
    "tables 5,000 deep": (b"a = " + b"{ a = " * 5_000, "jobs.toml:1:", "nested deeper than 32"),
    "a dotted key 5,000 deep": (b".".join([b"a"] * 5_000) + b" = 1", "jobs.toml:1:1: ", "nested deeper than 32"),
    "a header 5,000 deep": (b"[" + b".".join([b"a"] * 5_000) + b"]", "jobs.toml:1:2: ", "nested deeper than 32"),
    "33 deep": (b"\na = " + b"[" * 33 + b"]" * 33, "jobs.toml:2:", "nested deeper than 32"),
    "half a megabyte of dots": (b"a." * 500_000 + b"a = 1", "jobs.toml:1:1: ", "nested deeper than 32"),
    "half a megabyte of brackets": (b"[" * 500_000, "jobs.toml:1:", "not TOML"),
    "half a million items": (b"a = [" + b"1," * 500_000 + b"]", "jobs.toml:1:", "more than 60,000 keys and items"),
    "a quarter of a million headers": (b"[x]\n" * 250_000, "jobs.toml:", "more than 60,000 keys and items"),
    "an open quote": (b'[jobs.j]\nrun = "a:b\n', "jobs.toml:2:", "not TOML"),
    "an open long text": (b'[jobs.j]\nrun = """a:b\n', "jobs.toml:2:", "something that was opened is not closed"),
    "an open list": (b'[jobs.j]\ntags = ["a",\n', "jobs.toml:2:", "something that was opened is not closed"),
    "an open header": (b"[jobs.j\nrun = 1\n", "jobs.toml:1:", "not TOML"),
    "YAML": (b"jobs:\n  j:\n    every: 6h\n", "jobs.toml:1:", "'=' between a key and its value, not ':'"),
    "JSON": (b'{"jobs": {}}', "jobs.toml:1:", "one key = value on a line"),
    "two documents": (b"---\njobs: {}\n---\n", "jobs.toml:1:", "not TOML"),
    "an alias bomb": (b"a: &a [x]\nb: [*a, *a]\n", "jobs.toml:1:", "not ':'"),
    "a bare word": (b"[jobs.j]\nevery = 6h\n", "jobs.toml:2:", "texts and times in quotes"),
    "a bare time": (b"[jobs.j]\nat = 08:00\n", "jobs.toml:2:", "not TOML"),
    "a bare zone": (b"[jobs.j]\ntimezone = Europe/Riga\n", "jobs.toml:2:", "texts and times in quotes"),
    "a number of 5,000 digits": (
        b"[jobs.j]\npriority = " + b"9" * 5_000 + b"\n",
        "jobs.toml:2:12: ",
        "came a number of 5,000 digits; wanted: numbers of a few digits",
    ),
    "a python word": (b"[jobs.j]\nenabled = True\n", "jobs.toml:2:", "not TOML"),
    "no value": (b"[jobs.j]\nevery =\n", "jobs.toml:2:", "not TOML"),
    "no key": (b"[jobs.j]\n= 5\n", "jobs.toml:2:1: ", "not TOML"),
    "two on a line": (b"[jobs.j]\na = 1 b = 2\n", "jobs.toml:2:", "one key = value on a line"),
    "a control character": (b'[jobs.j]\nrun = "a\x1b[31m"\n', "jobs.toml:2:", "not TOML"),
    "a lone carriage return": (b"[jobs.j]\rrun = 1\r", "jobs.toml:1:", "not TOML"),
    "a lone surrogate escaped": (b'a = "\\ud800"\n', "jobs.toml:1:", "not TOML"),
    "31 February": (b"a = 2026-02-31\n", "jobs.toml:1:", "not TOML"),
    "a time 24:00:00": (b"a = 24:00:00\n", "jobs.toml:1:", "not TOML"),
    "a key twice": (
        b'[jobs.j]\nevery = "6h"\nrun = "a:b"\nevery = "7h"\n',
        "jobs.toml:4:1: job 'j': every: ",
        "it is given twice, first on line 2; wanted: once",
    ),
    "a quoted key twice": (
        b'[jobs.j]\nevery = "6h"\n"every" = "7h"\n',
        "jobs.toml:3:1: job 'j': every: ",
        "first on line 2",
    ),
    "a job twice": (b"[jobs.j]\n[jobs.k]\n[jobs.j]\n", "jobs.toml:3:1: job 'j': ", "defined twice, first on line 1"),
    "a key twice in a table on one line": (
        b'[jobs.j]\nhttp = { url = "/a", url = "/b" }\n',
        "jobs.toml:2:22: job 'j': http.url: ",
        "first on line 2",
    ),
    "modules twice": (b"modules = []\nmodules = []\n", "jobs.toml:2:1: 'modules': ", "first on line 1"),
    "jobs as a list": (b"jobs = []\n", "jobs.toml:1:1: jobs: ", "came an empty list; wanted: a table"),
    "jobs as a list of tables": (b"[[jobs]]\nname = 'a'\n", "jobs.toml:1:1: jobs: ", "came a list; wanted: a table"),
    "jobs as a text": (b"jobs = 'x'\n", "jobs.toml:1:1: jobs: ", "came 'x'; wanted: a table"),
    "a job as a text": (b"[jobs]\nj = 'x'\n", "jobs.toml:2:1: job 'j': ", "came 'x'; wanted: a table: [jobs.j]"),
    "a job as a list": (b"[[jobs.j]]\nrun = 'a:b'\n", "jobs.toml:1:1: job 'j': ", "came a list; wanted: a table"),
    "job for jobs": (b"[job.j]\n", "jobs.toml:1:1: job: ", "did you mean 'jobs'?"),
    "a job at the top": (b"[nightly]\nrun = 'a:b'\n", "jobs.toml:1:1: nightly: ", "did you mean [jobs.nightly]?"),
    "a stray key": (b"timezone = 'UTC'\n", "jobs.toml:1:1: timezone: ", "known: jobs, groups, modules"),
    "groups as a list": (b"groups = [1]\n", "jobs.toml:1:1: groups: ", "came a list; wanted: a table"),
    "a group of none": (b"[groups]\nd = 0\n", "jobs.toml:2:1: groups.d: ", "from 1 to 1000"),
    "a group of text": (b"[groups]\nd = '3'\n", "jobs.toml:2:1: groups.d: ", "came '3'"),
    "a group of a name": (b"[groups]\n'D B' = 3\n", "jobs.toml:2:1: groups.D B: ", "a name of a-z"),
    "modules as a text": (b"modules = 'a'\n", "jobs.toml:1:1: modules: ", "a list of at most 100 modules"),
    "a module with a slash": (b"modules = [\n 'a',\n 'b/c.py']\n", "jobs.toml:3:2: modules.1: ", "came 'b/c.py'"),
    "a module of a number": (b"modules = [5]\n", "jobs.toml:1:12: modules.0: ", "came 5; wanted: a module"),
    "a relative module": (b"modules = ['.a']\n", "jobs.toml:1:12: modules.0: ", "came '.a'"),
    "101 modules": (b"modules = [" + b"'a'," * 101 + b"]", "jobs.toml:1:1: modules: ", "at most 100 modules"),
    "nothing in a job": (b"[jobs.j]\n", "jobs.toml:1:1: job 'j': ", "no schedule; wanted: one of every"),
    "an empty table of a job": (b"jobs.j = {}\n", "jobs.toml:1:1: job 'j': ", "nothing to do; wanted: one of run"),
}  # fmt: skip

NAMES = {
    "": "''",
    " ": "' '",
    "../x": "'../x'",
    "a/b": "'a/b'",
    ".": "'.'",
    "a.b": "'a.b'",
    "x" * 65: "xxx'; wanted",
    "x" * 300: "(+220)",
    "\U0001f680": "'\U0001f680'",
    "\u200fa": "'U+200Fa'",
    "\u0430dmin": "'\u0430dmin'",
    "CON": "did you mean 'con'?",
    "Nightly": "did you mean 'nightly'?",
    "\uff41": "did you mean 'a'?",
    "-a": "'-a'",
    "_a": "'_a'",
    "a b": "'a b'",
    "a\nb": "'aU+000Ab'",
    "a\u0000b": "'aU+0000b'",
    "a\x1b[31m": "'aU+001B[31m'",
    "\u00e4": "'\u00e4'",
    "</script>": "'</script>'",
    "{0}": "'{0}'",
    "=cmd()": "'=cmd()'",
    "%s": "'%s'",
}


@pytest.mark.parametrize(("content", "begin", "said"), FILES.values(), ids=FILES)
def test_what_is_no_jobs_file_is_refused_with_line_and_column_I28_F65(content: bytes, begin: str, said: str) -> None:
    lines = [str(problem) for problem in refused(content)]

    (line,) = [line for line in lines if said in line]
    assert line.startswith(begin)
    assert is_one_line(line)
    assert len(line) < 500


@pytest.mark.parametrize(("name", "said"), NAMES.items(), ids=[ascii(name)[:20] for name in NAMES])
def test_a_bad_name_of_a_job_is_refused_I28(name: str, said: str) -> None:
    quoted = "".join(letter if letter.isalnum() else f"\\u{ord(letter):04x}" for letter in name if ord(letter) < 65536)
    quoted = quoted if all(ord(letter) < 65536 for letter in name) else name

    (problem,) = refused(f'\n[jobs."{quoted}"]\nevery = "6h"\nrun = "a:b"\n')

    assert (problem.line, problem.column) == (2, 1)
    assert "the name came as" in str(problem)
    assert "wanted: a-z, 0-9, '-' and '_', at most 64" in str(problem)
    assert said in str(problem)
    assert is_one_line(str(problem))


@pytest.mark.parametrize("twin", ["Nightly", "NIGHTLY", "n\uff49ghtly", " nightly"])
def test_one_name_in_two_spellings_is_said_to_be_one(twin: str) -> None:
    text = f'[jobs.nightly]\nevery = "6h"\nrun = "a:b"\n[jobs."{twin}"]\nevery = "6h"\nrun = "a:b"\n'

    (problem,) = refused(text)

    assert problem.line == 4
    assert "'nightly' is the same name in another spelling" in str(problem)


def test_every_mistake_in_a_file_is_told_in_one_pass_in_the_order_of_the_file_I28() -> None:
    text = """\
[groups]
d = 0
[jobs.a]
every = "0s"
at = "25:00"
timout = "5m"
run = "x"
timeout = 5
http = { url = "ftp://x", method = "get", headers = { "X Y" = "1" } }
[jobs.b]
cron = "61 * * * *"
command = "a b"
params = { day = { type = "dat" } }
[jobs.C]
"""

    found = refused(text)

    assert [(problem.line, problem.job, problem.field) for problem in found] == [
        (2, None, "groups.d"),
        (4, "a", "every"),
        (5, "a", "at"),
        (6, "a", "timout"),
        (7, "a", "run"),
        (8, "a", "timeout"),
        (9, "a", "http"),
        (11, "b", "cron"),
        (12, "b", "command"),
        (13, "b", "params.day.type"),
        (14, "C", None),
    ]


def test_every_mistake_in_a_request_is_told_in_one_pass() -> None:
    http = (
        'url = "ftp://x"\nmethod = "get"\nredirects = 9\nheaders = { "X Y" = "1", Host = "h" }\nbody = 5\nexpect = 1\n'
    )

    found = refused(f'[jobs.a]\nevery = "6h"\n[jobs.a.http]\n{http}')

    fields = [
        "http.url",
        "http.method",
        "http.redirects",
        "http.headers.X Y",
        "http.headers.Host",
        "http.body",
        "http.expect",
    ]
    assert [problem.field for problem in found] == fields


def test_a_problem_is_plain_json_for_pages_and_the_api() -> None:
    (problem,) = refused('[jobs.a]\nevery = "0s"\nrun = "a:b"\n')

    facts = problem.as_dict()

    assert facts.pop("message") == str(problem).removeprefix("jobs.toml:2:1: ")
    assert facts == {"file": "jobs.toml", "line": 2, "column": 1, "job": "a", "field": "every"}


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing yet\n", "\r\n\r\n", "\t\n", "[jobs]\n", "jobs = {}\n", "modules = []\n"]
)
def test_a_file_without_jobs_leaves_the_built_in_ones(text: str) -> None:
    assert list(composed(text, over=BUILT_IN).registry) == ["heartbeat"]


def test_crlf_and_tabs_are_fine_and_places_stay_true_F65() -> None:
    text = '[jobs.a]\r\n\tevery\t=\t"6h"\r\n\trun = "a:b"\r\n\ttimeout = """\\\r\n 5m"""\r\n'

    assert only(text).definition() == only('[jobs.a]\nevery = "6h"\nrun = "a:b"\ntimeout = "5m"\n').definition()
    (problem,) = refused(text + "\tretries = -1\r\n")
    assert (problem.line, problem.column) == (6, 2)


def test_every_prefix_of_a_good_file_composes_or_is_refused_with_a_place_I28_F65() -> None:
    content = GOOD.encode()

    good = sum(is_read(content[:length]) for length in range(len(content) + 1))

    assert 10 < good < len(content) / 2
    assert len(composed(GOOD, over=BUILT_IN).registry) == 3


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_compose_or_are_refused_I28(content: bytes) -> None:
    is_read(content)


@settings(max_examples=200)
@given(data=st.data())
def test_a_good_file_with_pieces_moved_and_changed_composes_or_is_refused_I28(data: st.DataObject) -> None:
    content = bytearray(GOOD.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 30)))
        content[start:end] = data.draw(st.sampled_from(PIECES) | st.binary(max_size=3))

    is_read(bytes(content))


PIECES = [
    b'"', b"'", b'"""', b"[", b"]", b"[[", b"{", b"}", b"=", b".", b"#", b",", b"\n", b"\\", b"\\u0000", b"0", b"-1", b"inf",
    b"1e400", b"true", b"2026-03-01", b"08:00:00", b"1979-05-27T07:32:00-08:00", b"jobs", b"[jobs.ping]", b"every", b" = ",
    b'at = "08:00"', b'until = "2026-01-01"', b"http.json = [1, { a = 2 }]",
    "\U0001f680".encode(), b"\xff", b"params.day.type",
]  # fmt: skip

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["6h", "a:b", "/x", "${A}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(data=st.data())
def test_any_value_under_any_key_composes_or_is_refused_I28(data: st.DataObject) -> None:
    from echopilot_jobs.jobsfile.keys import keys_of
    from echopilot_jobs.jobsfile.tables import FileTable, HttpTable, JobTable, ParamTable

    def table(model: type) -> dict[str, object]:
        return data.draw(st.dictionaries(st.sampled_from(keys_of(model)), VALUES, max_size=5))

    job = table(JobTable)
    if data.draw(st.booleans()):
        job["http"] = table(HttpTable)
    if data.draw(st.booleans()):
        job["params"] = {"p": table(ParamTable)}
    tables = table(FileTable) | {"jobs": {data.draw(st.text(max_size=5) | st.just("j")): job}}

    for document in (Document("jobs.toml", tables), Document("myapp.jobs", tables)):
        composes(document)
        modules_of(document)
