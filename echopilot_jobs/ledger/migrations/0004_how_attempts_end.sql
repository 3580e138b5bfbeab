-- How the last attempt of a run ended that waits for another: should there be none, the run ends so.
alter table runs add column attempt_end text;

-- Mostly an upgrade comes with a stop, which cuts runs off: those are known by their words. Of others nobody kept it.
update runs set attempt_end = 'abandoned'
where state = 'retry_wait' and state in ('queued', 'retry_wait') and error = 'cut off: the scheduler was stopped while it ran';
