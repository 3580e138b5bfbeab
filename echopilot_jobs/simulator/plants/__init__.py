"""Planted bugs: each a small wrong change of the product, which the judge must find within 2,000 histories.

A checker that has never been seen to fail proves nothing. `bin/simulate --plant NAME` shows one at work.
"""

from echopilot_jobs.simulator.plants import runs, slots, surroundings
from echopilot_jobs.simulator.plants.planting import PLANTS, Plant, planted

# What looks like a bug and cannot be seen from outside, with the reason.
EQUIVALENT = {
    "unique index on slots dropped": "claims and marker are one transaction of one leader: without a second fault nobody "
    "tries a slot twice; `slots_claimed_again` drops the index together with the marker",
    "claim not conditional on the term": "`leading` proves the term at the beginning of the same transaction, and the write "
    "lock keeps it true until the end; `term_not_proved` drops both",
    "`start` not conditional on its state": "the ids come from `ready` inside the same transaction",
    "`abandon` not conditional on its state": "the ids come from `running_of` inside the same transaction",
}

__all__ = ["EQUIVALENT", "PLANTS", "Plant", "planted", "runs", "slots", "surroundings"]
