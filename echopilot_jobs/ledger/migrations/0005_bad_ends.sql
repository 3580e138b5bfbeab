-- What ended badly in a stretch of time, whenever its slot was: a backfill's may lie weeks back. Nothing else is looked up by its end.
create index runs_ended_badly on runs (finished_at) where state in ('failed', 'timed_out', 'abandoned');
