"""Programs for which modes count: root may do anything whatever they say, and CI may be root."""

from __future__ import annotations

import os

OVERRIDES = "-dac_override,-dac_read_search"
# In front of a command line: root without the right to pass over modes, anybody else as he is.
BOUND_BY_MODES = () if os.geteuid() else ("setpriv", f"--inh-caps={OVERRIDES}", f"--bounding-set={OVERRIDES}", "--")
