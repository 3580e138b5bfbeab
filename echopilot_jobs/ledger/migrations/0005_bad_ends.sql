-- What ended badly in a stretch of time, whenever its slot was: a backfill's may lie weeks back. Nothing else is looked up by its
-- end. No list of states: SQLite would build an index of a list of three anew for every row that is written.
create index runs_ended_badly on runs (finished_at) where state = 'failed' or state = 'timed_out' or state = 'abandoned';
