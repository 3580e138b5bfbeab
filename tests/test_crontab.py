"""A crontab becomes a jobs file that means the same moments and the same programs; what cannot be said stays as a comment."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slotkit import cron, scan

from echopilot_jobs import builtin
from echopilot_jobs.crontab import Translated, translate
from echopilot_jobs.crontab.commands import name_for, words_of
from echopilot_jobs.jobs import Command, Job
from echopilot_jobs.jobsfile import compose, read
from echopilot_jobs.settings import Settings

# Entries as they stand on machines in the world: the line, and the name the job gets.
REAL = """\
*/15 * * * * /usr/bin/php /var/www/html/artisan schedule:run >> /dev/null 2>&1 -> artisan_schedule_run
17 * * * * cd / && run-parts --report /etc/cron.hourly -> run-parts
25 6 * * * test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily ) -> run-parts_2
47 6 * * 7 test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.weekly ) -> run-parts_3
52 6 1 * * run-parts --report /etc/cron.monthly -> run-parts_4
0 */12 * * * test -x /usr/bin/certbot && perl -e 'sleep rand(43200)' && certbot -q renew -> certbot
0 3 * * 0 certbot renew --quiet -> certbot_renew
09,39 * * * * [ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean -> sessionclean
5-55/10 * * * * command -v debian-sa1 > /dev/null && debian-sa1 1 1 -> debian-sa1
59 23 * * * command -v debian-sa1 > /dev/null && debian-sa1 60 2 -> debian-sa1_2
30 7-23/2 * * * [ -d "/run/systemd/system" ] || /usr/lib/mdadm/checkarray --cron --all -> checkarray
57 0 1-7 * 0 root-check --idle --quiet -> root-check
24 3 * * 0-7 /usr/libexec/e2scrub_all_cron -> e2scrub_all_cron
@daily /usr/local/bin/backup.sh -> backup
@hourly /usr/local/bin/sync-mail >/dev/null -> sync-mail
@weekly /usr/sbin/logrotate -f /etc/logrotate.conf -> logrotate
@monthly find /var/log/app -name '*.gz' -mtime +90 -delete -> find
@yearly echo "happy new year" | wall -> wall
@annually /opt/licence/renew -> renew
@midnight mysqldump --single-transaction shop | gzip > /backup/shop-$(date +\\%F).sql.gz -> mysqldump
0 2 * * * pg_dump -Fc app > /backup/app_`date +\\%u`.dump -> pg_dump
30 2 * * * rsync -a --delete /srv/data/ backup@nas:/volume1/data/ -> rsync
30 3 * * sun /usr/bin/flock -n /tmp/reindex.lock nice -n 10 /opt/search/reindex --full -> reindex
15 14 1 * * python3 -m billing.invoices --month last -> billing_invoices
0 22 * * 1-5 /usr/bin/python3 /srv/me/report.py --mail -> report
23 0-23/2 * * * curl -fsS --retry 3 https://hc.example.com/ping/abc -o /dev/null -> curl
5 4 * * sun sudo -u www-data php /var/www/nextcloud/cron.php -> cron
0 0,12 1 */2 * /opt/bin/rotate-keys -> rotate-keys
0 4 8-14 * * /opt/bin/second-week -> second-week
0 0 1,15 * 3 /usr/bin/wp --path=/var/www cron event run --due-now -> wp
*/5 9-17 * * mon-fri /opt/desk/poll.sh -> poll
0-59/3 * * * * /bin/true -> true
* * * * * cd /srv/app && .venv/bin/python manage.py send_queued_mail >> log/mail.log 2>&1 -> manage_send_queued_mail
*/20 6-22 * jan-mar,oct-dec * /opt/heating/adjust -> adjust
45 23 28-31 * * [ "$(date -d tomorrow +\\%d)" = "01" ] && /opt/bin/month-end -> month-end
0 6 * 1,4,7,10 1 /opt/bin/quarter --report 'Q end' -> quarter
10 1 */3 * * docker system prune -f -> docker_system
0 5 * * 6,0 cd /opt/site; git pull -q && make deploy -> git_pull
20 4 * * * env LC_ALL=C.UTF-8 /usr/bin/goaccess /var/log/nginx/access.log -o /srv/www/stats.html -> goaccess
0 9 13 * 5 /opt/bin/friday-or-thirteenth -> friday-or-thirteenth
0 9 */2 * 1 /opt/bin/odd-mondays -> odd-mondays
7 7 7 7 * /opt/bin/lucky -> lucky
0 0 29 2 * /opt/bin/leap -> leap
*/7 * * * * timeout 300 /usr/local/bin/fetch-feeds -q -> fetch-feeds
30 1-3 * * * bash -c 'source /etc/profile; /opt/etl/load.sh all' -> load_all
0 0-23 * * * /usr/sbin/ntpdate -s pool.ntp.org -> ntpdate
2,32 2,3 * * 0 /opt/bin/around-the-gap -> around-the-gap
*/30 3 * * * MAILADDR=ops@example.com /opt/bin/warn -> warn
0 8 * 12 sat,sun ruby /srv/advent/door.rb -> door
0 18 * * 4-6/2 ~/bin/weekend-mode on -> weekend-mode_on"""
ENTRIES = [tuple(line.rsplit(" -> ", 1)) for line in REAL.splitlines()]
ZONES = ("Europe/Riga", "America/New_York")
MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
SPANS = [  # a leap day and the jumps of both zones' clocks in spring, those in autumn, a new year
    (datetime(2028, 2, 28, tzinfo=UTC), datetime(2028, 3, 28, tzinfo=UTC)),
    (datetime(2028, 10, 27, tzinfo=UTC), datetime(2028, 11, 7, tzinfo=UTC)),
    (datetime(2028, 12, 28, tzinfo=UTC), datetime(2029, 1, 3, tzinfo=UTC)),
]


def jobs_of(done: Translated) -> dict[str, Job]:
    """What the scheduler would make of the text."""
    user = read(done.text.encode(), "jobs.toml")
    return dict(compose(read(b"", "built-in"), user, environ={}).registry)


def schedule_of(line: str) -> str:
    return line.split(maxsplit=1)[0] if line.startswith("@") else " ".join(line.split()[:5])


def test_fifty_entries_of_the_world_get_names_one_understands() -> None:
    done = translate("\n".join(line for line, _ in ENTRIES))

    named = dict(zip(done.names, (name for _, name in ENTRIES), strict=True))
    assert len(ENTRIES) == 50
    assert list(jobs_of(done)) == list(done.names)
    assert done.left_out == 0
    assert {got: wanted for got, wanted in named.items() if got != wanted.replace("-", "_")} == {}


@pytest.mark.parametrize("zone", ZONES)
def test_fifty_entries_of_the_world_are_due_when_a_scan_of_every_minute_says_F38_I3(zone: str) -> None:
    jobs = jobs_of(translate(f"CRON_TZ={zone}\n" + "\n".join(line for line, _ in ENTRIES)))

    wrong, found = [], 0
    for (line, _), job in zip(ENTRIES, jobs.values(), strict=True):
        rule = cron(MACROS.get(schedule_of(line), schedule_of(line)))
        for start, end in SPANS:
            expected = scan(rule, zone, start, end)
            found += len(expected)
            if list(takewhile(lambda due: due <= end, job.trigger.after(start))) != expected:  # noqa: B023
                wrong.append((line, start))
    assert not wrong
    assert found > 100_000, found


@pytest.mark.parametrize(("line", "_name"), ENTRIES, ids=[name for _, name in ENTRIES])
def test_a_program_starts_with_the_arguments_a_shell_would_have_given_it(line: str, _name: str) -> None:
    command = line[len(schedule_of(line)) :].strip().replace(r"\%", "%")
    (job,) = jobs_of(translate(line)).values()

    assert isinstance(job.action, Command)
    if job.action.shell:
        assert job.action.argv == (command,)
    else:
        assert list(job.action.argv) == split_by_sh(command)


def split_by_sh(command: str) -> list[str]:
    """The words that /bin/sh makes of *command*."""
    answer = subprocess.run(["/bin/sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, cwd="/")
    return answer.stdout.decode().split("\0")[:-1]


ANY_COMMAND = st.text("ab /.-_=,:%+'\"\\$*?#~;|&<>(){}[]!`\t^@é", min_size=1, max_size=24) | st.text(
    "ab '\"#~=/^", min_size=1, max_size=12
)


@given(ANY_COMMAND)
def test_whatever_is_run_without_a_shell_is_what_a_shell_would_have_run(command: str) -> None:
    words = words_of(command)

    if words is not None:
        assert words == split_by_sh(command)


@given(ANY_COMMAND)
def test_every_command_has_a_name_that_may_be_a_jobs_and_is_free(command: str) -> None:
    first = name_for(command, set())
    second = name_for(command, {first})

    assert first != second


@given(st.text(max_size=200), st.booleans())
def test_any_text_becomes_a_file_that_composes_or_comments_I28(text: str, with_user: bool) -> None:
    done = translate(text.replace("\0", ""), with_user=with_user)

    assert list(jobs_of(done)) == list(done.names)


@given(
    st.lists(
        st.sampled_from(["0 5 * * * ", "@daily ", "A=", "MAILTO=", "x \x7f\u202e", "\\%", "%", "root ", "\n", "$"])
    )
)
def test_any_order_of_the_pieces_of_a_crontab_composes_I28(pieces: list[str]) -> None:
    done = translate("".join(pieces))

    assert list(jobs_of(done)) == list(done.names)


def job(text: str, **said: Any) -> dict[str, Job]:
    return jobs_of(translate(text, **said))


def test_settings_hold_for_the_entries_below_them() -> None:
    first, second, third = job(
        '1 * * * * a\nPATH = "/opt/bin:/bin"\nSHELL=/bin/bash\n2 * * * * b\nLANG=C\nHOME=/srv\n3 * * * * c && d\n'
    ).values()

    assert (first.env, first.cwd) == ({}, None)
    assert (second.env, second.action) == ({"PATH": "/opt/bin:/bin"}, Command(("b",)))
    assert (third.env["LANG"], third.cwd) == ("C", "/srv")
    assert third.action == Command(("/bin/bash", "-c", "c && d"))


def test_the_zone_is_the_one_asked_for_until_the_crontab_names_another() -> None:
    done = translate(
        "0 8 * * * a\nCRON_TZ=Asia/Tokyo\n0 8 * * * b\nTZ=America/New_York\n0 8 * * * c\n", zone="Europe/Riga"
    )

    jobs = jobs_of(done)
    zones = {name: each.trigger.as_dict()["zone"] for name, each in jobs.items()}
    assert zones == {"a": "Europe/Riga", "b": "Asia/Tokyo", "c": "Asia/Tokyo"}
    assert jobs["c"].env == {"TZ": "America/New_York"}
    assert done.notes == ("line 4: TZ is the commands' own zone, as in Debian's cron; for the schedule's say timezone",)


def test_a_start_of_the_machine_becomes_a_start_of_the_scheduler() -> None:
    done = translate("@reboot /opt/warm-cache")

    (warm,) = jobs_of(done).values()
    assert (warm.on_startup, str(warm.trigger)) == (True, "on request")
    assert "a program that is to stay up belongs into supervisord.conf" in done.notes[0]


def test_a_systems_crontab_names_users_and_a_persons_does_not() -> None:
    text = "17 * * * * root /opt/sweep\n"

    done = translate(text, with_user=True)
    mistaken = translate(text)

    assert (done.names, done.notes) == (
        ("sweep",),
        ("line 1: sweep: cron ran it as 'root'; here everything runs as the user of the stack",),
    )
    assert "then add --system" in mistaken.notes[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 5 * * * mail -s hi ops%Hello%World", "what stands after '%' is the command's input, and jobs have none"),
        ("61 * * * * a", "bad minute"),
        ("0 0 31 2 * a", "can never fire"),
        ("0 0 * * fri-mon a", "bad day-of-week"),
        ("@every_minute a", "wanted: @yearly, @annually"),
        ("H 3 * * * a", "bad minute"),
        ("*/5 * * *", "wanted: five fields or @daily and the like, then a command"),
        ("0 5 * * *", "wanted: five fields or @daily and the like, then a command"),
    ],
)
def test_an_entry_that_cannot_be_said_stays_as_a_comment_with_the_reason_I28(line: str, reason: str) -> None:
    done = translate(f"1 * * * * before\n{line}\n2 * * * * after\n")

    assert done.names == ("before", "after")
    assert f"# not translated: {line}\n#   " in done.text
    assert done.left_out == 1
    assert reason in done.notes[0]
    assert done.notes[0].startswith("line 2: not translated: ")


def test_entries_below_an_unknown_zone_are_not_guessed_at() -> None:
    done = translate("CRON_TZ=EST\n0 8 * * * a\nCRON_TZ=UTC\n0 8 * * * b\n")

    assert done.names == ("b",)
    assert "zone 'EST'; wanted: 'UTC' or an IANA name" in done.notes[0]
    assert "CRON_TZ above, is unknown" in done.notes[1]


def test_an_escaped_percent_sign_is_one() -> None:
    (only,) = job(r"0 5 * * * date +\%F-\%H").values()

    assert only.action == Command(("date", "+%F-%H"))


def test_what_looks_like_a_key_is_not_repeated_and_a_variable_is_filled_from_outside_I29() -> None:
    secret = "a9f8e7d6c5b4a3f2e1d0"
    done = translate(
        f"# Authorization: Bearer {secret}\nAPI_TOKEN={secret}\n0 4 * * * curl -H 'Authorization: Bearer {secret}' https://x.example\n"
        f"0 4 * * * curl -H 'Authorization: Bearer {secret}' -d @- https://x.example%body\n5 4 * * * pull\n"
    )

    assert secret not in done.text + "".join(done.notes)
    assert jobs_of(done)["pull"].env == {"API_TOKEN": "${API_TOKEN}"}
    assert done.left_out == 2


def test_mail_is_told_of_once_and_comments_stay() -> None:
    done = translate("# the night\nMAILTO=ops@example.com\n\n# sweeps\n0 5 * * * sweep\n")

    assert "# the night\n# MAILTO: nobody is mailed; output is kept" in done.text
    assert "# sweeps\n[jobs.sweep]\n" in done.text


def test_names_that_are_taken_are_left_alone(settings: Settings) -> None:
    done = translate("0 5 * * * /opt/heartbeat\n0 6 * * * /opt/heartbeat\n", taken=set(builtin.jobs(settings)))

    assert done.names == ("heartbeat_2", "heartbeat_3")


def test_the_shell_really_does_what_a_translated_line_says(tmp_path: Path) -> None:
    line = r"""* * * * * echo "it's \%s" | tr a-z A-Z > out && printf '\%s\n' "$((6*7))" >> out"""
    (only,) = job(line).values()

    assert isinstance(only.action, Command)
    subprocess.run(["/bin/sh", "-c", *only.action.argv], cwd=tmp_path, check=True, env={"PATH": os.defpath})
    assert (tmp_path / "out").read_text() == "IT'S %S\n42\n"
