"""`bin/soak`: a storm of real kills over a real stack, and whether anything was lost, doubled or left behind."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import SystemRandom
from typing import NoReturn

from echopilot_jobs.simulator.options import Parser, minutes, whole, workplace
from tests.soak.report import tell
from tests.soak.soak import Soak, control, soak

CONTROL_SECONDS = 15.0


def main(arguments: list[str]) -> int:
    """Soak, judge, print. 0 green, 1 red (or the control was not found out), 130 interrupted."""
    options = _options(arguments)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    signal.signal(signal.SIGTERM, _leave)
    folder = Path(tempfile.mkdtemp(prefix="echopilot-soak-", dir=options.folder))
    (folder / "main").mkdir()
    (folder / "control").mkdir()
    seconds = options.minutes * 60
    try:
        with ThreadPoolExecutor(1) as side:
            found_out = side.submit(control, folder / "control", min(CONTROL_SECONDS, seconds), options.seed)
            done = soak(folder / "main", seconds, options.seed, lambda gone, blows: _progress(gone, seconds, blows))
    except KeyboardInterrupt:
        _progress_over()
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    except BaseException:
        print(f"soak: broke off; everything is kept in '{folder}'", file=sys.stderr)
        raise
    _progress_over()
    tell(done)
    return _conclude(done, found_out, folder, keep=options.keep)


def _conclude(done: Soak, found_out: Future[Soak], folder: Path, *, keep: bool) -> int:
    """The verdict lines, the exit code, and what becomes of the folder."""
    wrong = found_out.result().kinds
    proof = wrong["doubled"] + wrong["unclaimed"]
    print(f"control (effect before claim): {wrong['doubled']} doubled, {wrong['unclaimed']} without a claim", end="")
    print(": found out" if proof else ": NOT found out, so this verdict proves nothing")
    red = bool(done.findings) or not proof
    if red or keep:
        print(f"verdict: {'red' if red else 'green'}; everything is kept in '{folder}'")
    else:
        shutil.rmtree(folder)
        print("verdict: green")
    return int(red)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = Parser("bin/soak", __doc__)
    seed = whole("a whole number from 0", 0)
    parser.add_argument("--minutes", type=minutes, default=1.0, help="how long the storm lasts (1)")
    parser.add_argument("--seed", type=seed, default=None, help="which storm (a new one every time)")
    parser.add_argument("--folder", type=workplace, default=None, help="where to work (the system's temporary folder)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a green soak, too")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = SystemRandom().randrange(10_000)
    return options


def _progress(gone: float, seconds: float, blows: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{gone:5.0f} s of {seconds:.0f} s, {blows} blows ", end="", file=sys.stderr, flush=True)


def _progress_over() -> None:
    if sys.stderr.isatty():
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr, flush=True)


def _leave(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
