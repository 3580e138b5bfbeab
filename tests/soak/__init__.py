"""A real kill soak: real schedulers, a real stack, real signals at random moments, and a verdict on what is left.

`bin/soak` runs it. The folder of a soak holds a copy of the project (`project/`), what the jobs did (`effects.ndjson`, kept
apart from the ledger) and what was done to the processes (`storm.ndjson`); the verdict compares the three.
"""
