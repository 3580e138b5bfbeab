"""What the container or the system grants us: memory, CPU, processes, open files, and who collects the dead."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

from echopilot_jobs.doctor.findings import OK, WARN, Finding, Place
from echopilot_jobs.processes import command_line
from echopilot_jobs.signals.own import cgroup_memory, cpu_count

MEBIBYTE = 1024 * 1024
LEAST_MEMORY = 384 * MEBIBYTE  # web, scheduler and supervisord at rest, and room for a run or two
LEAST_CPUS = 0.2
LEAST_PROCESSES = 100
LEAST_FILES = 512
ZOMBIES_MOST = 10


def limits(_place: Place) -> Iterator[Finding]:
    """What is granted, and a warning for each thing that is too little for jobs to run beside the stack."""
    inside, machine = cgroup_memory(), psutil.virtual_memory().total
    memory = min(machine, inside[1]) if inside else machine
    yield from judged(memory, cpu_count(), _processes(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield from _uncollected()


def judged(memory: int, cpus: float, processes: int | None, files: int) -> Iterator[Finding]:
    """What such limits mean; *processes* is None without a limit."""
    short = [*_short(memory, cpus, processes, files)]
    yield from short
    if not short:
        tasks = f"up to {processes:,} processes" if processes is not None else "no limit of processes"
        opened = "any number of" if files == resource.RLIM_INFINITY else f"{files:,}"
        yield Finding(OK, f"{memory // MEBIBYTE:,} MiB of memory, {cpus:g} CPUs, {tasks}, {opened} open files")


def _short(memory: int, cpus: float, processes: int | None, files: int) -> Iterator[Finding]:
    if memory < LEAST_MEMORY:
        yield Finding(
            WARN,
            f"{memory // MEBIBYTE:,} MiB of memory: the kernel may end a run, or the stack, when it needs more",
            f"give the container or the machine {LEAST_MEMORY // MEBIBYTE} MiB or more",
        )
    if cpus < LEAST_CPUS:
        yield Finding(WARN, f"{cpus:g} of a CPU: beats and timeouts may come late", "give the container more CPU")
    if processes is not None and processes < LEAST_PROCESSES:
        yield Finding(
            WARN,
            f"only {processes} processes and threads are allowed: runs may fail to start",
            f"raise the limit of processes (`ulimit -u`, or the container's) to {LEAST_PROCESSES} or more",
        )
    if 0 <= files < LEAST_FILES:
        yield Finding(
            WARN,
            f"only {files} open files are allowed: connections and runs may be refused",
            f"raise `ulimit -n` to {LEAST_FILES} or more",
        )


def _processes() -> int | None:
    """How many processes there may be at once: the container's limit or the account's, which does not bind root."""
    account = resource.getrlimit(resource.RLIMIT_NPROC)[0] if os.geteuid() else resource.RLIM_INFINITY
    found = [] if account == resource.RLIM_INFINITY else [account]
    for folder in ("/sys/fs/cgroup", "/sys/fs/cgroup/pids"):
        try:
            text = Path(folder, "pids.max").read_text(encoding="ascii").strip()
        except OSError:
            continue
        found += [int(text)] if text.isdigit() else []
    return min(found, default=None)


def _uncollected() -> Iterator[Finding]:
    """Processes whose parent is gone come to PID 1, and one that is no init never collects them when they end."""
    seen = [each.info for each in psutil.process_iter(["status", "ppid"])]
    dead = sum(one["ppid"] == 1 and one["status"] == psutil.STATUS_ZOMBIE for one in seen)
    if dead > ZOMBIES_MOST:
        first = command_line(1)[:60] or "a process we cannot see"
        yield Finding(
            WARN,
            f"{dead} dead processes are collected by nobody: PID 1 is '{first}'",
            "start the container with an init (`docker run --init`, or `init: true`)",
        )
