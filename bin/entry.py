"""Imported first by every script of bin/: ends it with one line where the code of the project is closed to this account.

Python itself would say that there is no such module. Nothing of the project may be needed here, and, for the sake of
bin/stack, nothing that an older Python 3 does not understand.
"""

# ruff: noqa: PTH116, PTH118, PTH119, PTH120, UP031  # words of older Pythons, and no import that every command waits for

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def obstacle(folder):
    """What keeps this account from importing what lies in *folder*, and what to do; None when nothing does."""
    if os.access(folder, os.R_OK | os.X_OK):
        return None
    try:
        found = os.stat(folder)
    except OSError as error:
        return "cannot enter '%s': %s; the checkout is incomplete" % (folder, error.strerror)
    words = "cannot enter '%s' as uid %d (mode %04o" % (folder, os.geteuid(), found.st_mode & 0o7777)
    if found.st_uid == os.geteuid():
        return "%s); run `chmod u+rwx '%s'`" % (words, folder)
    return "%s, it belongs to uid %d); use the account that runs the stack" % (words, found.st_uid)


for package in ("echopilot_jobs", os.path.join("echopilot_jobs", "stack")):
    problem = obstacle(os.path.join(ROOT, package))
    if problem:
        sys.exit("%s: %s" % (os.path.basename(sys.argv[0]), problem))
