"""`bin/simulate`: play histories, print the red ones and what was exercised. Exit code 1 when anything is red."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.simulator import coverage
from echopilot_jobs.simulator.campaign import PLANT_CAP, Tally, first_red, run
from echopilot_jobs.simulator.options import Parser, seeds_of, whole
from echopilot_jobs.simulator.plants import EQUIVALENT, PLANTS
from echopilot_jobs.simulator.play import judge
from echopilot_jobs.simulator.report import trace
from echopilot_jobs.simulator.steps import every_step

SHOWN_MOST = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command line."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    options = _parser().parse_args(arguments)
    if options.every_step:
        return _every_step(options.processes, whole=options.whole)
    if options.plants:
        return _plants()
    if options.trace is not None:
        _say(trace(judge(options.trace), most=5000))
        return 0
    return _histories(options)


def _parser() -> argparse.ArgumentParser:
    parser = Parser("bin/simulate", __doc__)
    many, seed = whole("a whole number from 1", 1), whole("a whole number from 0", 0)
    parser.add_argument("--histories", type=many, default=500, metavar="N", help="how many histories (default 500)")
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="the first one's seed (default 0)")
    parser.add_argument(
        "--seeds-file", type=seeds_of, metavar="FILE", help="play these instead: a seed a line, # comments"
    )
    parser.add_argument("--plant", choices=sorted(PLANTS), metavar="NAME", help="with this bug planted")
    parser.add_argument("--plants", action="store_true", help="each planted bug until its first red history")
    parser.add_argument("--trace", type=seed, metavar="SEED", help="print one history in full, whatever comes of it")
    parser.add_argument("--every-step", action="store_true", help="die and fail at every step of every kind of run")
    parser.add_argument(
        "--whole", action="store_true", help="with --every-step: all pairs of blows, a million cases (hours)"
    )
    parser.add_argument("--processes", type=many, default=os.cpu_count() or 1, metavar="P", help="how many at once")
    return parser


def _histories(options: argparse.Namespace) -> int:
    seeds = range(options.seed, options.seed + options.histories)
    clock = SystemClock()
    began = clock.monotonic()
    chosen = options.seeds_file or list(seeds)
    tally = run(chosen, plant=options.plant, processes=options.processes, tell=_progress)
    for outcome in tally.red[:SHOWN_MOST]:
        _say(f"\n{outcome.trace}")
    _say("\n".join(["", *coverage.table(tally.counts, tally.histories)]))
    missing = [] if options.seeds_file else coverage.missing(tally.counts, tally.histories)
    if missing:
        _say("\n".join(["", "too seldom met:", *missing]))
    reds = ", ".join(str(outcome.seed) for outcome in tally.red)
    took = clock.monotonic() - began
    _say(f"\n{tally.histories} histories in {took:.0f} s, {len(tally.red)} red{': ' + reds if reds else ''}")
    return 1 if tally.red or missing else 0


def _plants() -> int:
    survivors = []
    for name, planted in PLANTS.items():
        outcome = first_red(name)
        if outcome is None:
            survivors.append(name)
        end = f"seed {outcome.seed}: {_short(outcome.broken[0])}" if outcome else f"SURVIVED: {planted.words}"
        _say(f"{name:32} {end}")
    for name, why in EQUIVALENT.items():
        _say(f"equivalent: {name}: {why}")
    _say(f"\n{len(PLANTS)} planted, {len(survivors)} survived {PLANT_CAP} histories")
    return 1 if survivors else 0


def _every_step(processes: int, *, whole: bool) -> int:
    red = 0
    for case, broken in every_step(whole=whole, processes=processes, tell=_say):
        red += 1
        _say(f"{case}: {'; '.join(broken[:2])}")
    _say(f"\n{red} red")
    return 1 if red else 0


def _short(words: str) -> str:
    return words.strip().splitlines()[-1][:120]


def _progress(tally: Tally) -> None:
    sys.stderr.write(f"\r{tally.histories} histories, {len(tally.red)} red")
    sys.stderr.flush()


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nsimulate: interrupted; what it found until then is said above")
