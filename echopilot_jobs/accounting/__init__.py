"""The account of every slot: what was owed, what the ledger and the log say became of it, why, and what comes next."""
