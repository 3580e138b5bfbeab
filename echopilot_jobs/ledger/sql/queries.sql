-- Every statement on the ledger, by name. Parameters are named; moments are epoch milliseconds, slots epoch seconds.

-- name: newest_stint
select * from stints order by id desc limit 1

-- name: open_stint
insert into stints (owner, host, code_revision, term, started_at, beat_at)
values (:owner, :host, :code_revision, (select coalesce(max(term), 0) + 1 from stints), :now, :now)
returning id, owner, term

-- name: close_open_stints
update stints set ended_at = beat_at, ended_how = :how where ended_at is null

-- name: end_stint
update stints set ended_at = :now, beat_at = max(beat_at, :now), ended_how = :how where id = :stint_id and ended_at is null

-- name: renew
update stints set beat_at = :now where id = :stint_id and ended_at is null

-- name: job_by_name
select * from jobs where name = :name

-- name: register_job
insert into jobs (name, definition, revision, first_seen, planned_through)
values (:name, :definition, :revision, :now, :now)
returning *

-- name: redefine_job
update jobs set definition = :definition, revision = :revision, planned_through = max(planned_through, :owes_nothing_before), is_defined = 1
where name = :name
returning *

-- name: defined_names
select name from jobs where is_defined = 1 order by name

-- name: advance
update jobs set planned_through = :planned_through where id = :job_id and planned_through < :planned_through

-- name: is_busy
select 1 from runs where job_id = :job_id and (state = 'running' or (state = 'queued' and origin <> 'catch_up')) limit 1

-- name: claim
insert into runs (job_id, origin, state, slot_at, generation, claimed_at, planned_at, not_before)
values (:job_id, :origin, 'queued', :slot_at, :generation, :now, :planned_at, :not_before)
on conflict do nothing
returning id

-- name: skip
insert into skips (job_id, slot_at, generation, reason, decided_at)
select :job_id, :slot_at, :generation, :reason, :now
where not exists (select 1 from runs where job_id = :job_id and slot_at = :slot_at and generation = :generation)
on conflict do nothing

-- name: gap
insert into gaps (job_id, first_at, last_at, count, reason, cause, decided_at)
values (:job_id, :first_at, :last_at, :count, :reason, :cause, :now)

-- name: request
insert into runs (job_id, origin, state, slot_at, generation, claimed_at, request_key, actor, params)
values (:job_id, :origin, 'queued', :slot_at, :generation, :now, :request_key, :actor, :params)
on conflict do nothing
returning id

-- name: run_by_request
select id from runs where request_key = :request_key

-- name: waiting_request
select id from runs where job_id = :job_id and state = 'queued' and origin = 'manual' limit 1

-- name: ready
select runs.id, jobs.name from runs join jobs on jobs.id = runs.job_id
where state in ('queued', 'retry_wait') and coalesce(not_before, 0) <= :now
  and not exists (select 1 from runs as other where other.job_id = runs.job_id and other.state = 'running')
order by (origin = 'catch_up'), runs.id

-- name: next_ready_at
select min(not_before) as at from runs where state in ('queued', 'retry_wait') and not_before > :now

-- name: start
update runs set state = 'running', attempt = attempt + 1, started_at = coalesce(started_at, :now), not_before = null,
                stint_id = :stint_id
where id = :run_id and state in ('queued', 'retry_wait')

-- name: finish
update runs set state = :state, finished_at = :finished_at, not_before = :not_before, duration_ms = :duration_ms, error = :error,
                result = :result, exit_status = :exit_status, http_status = :http_status
where id = :run_id and state = 'running' and stint_id = :stint_id and attempt = :attempt

-- name: abandon
update runs set state = 'abandoned', finished_at = :now, error = :note where id = :run_id and state = 'running'

-- name: give_up_retries
update runs set state = 'failed', finished_at = :now, not_before = null,
                error = coalesce(error, '') || ' (no more retries: the next slot came due)'
where job_id = :job_id and state = 'retry_wait'
returning id

-- name: running_of
select runs.id from runs join stints on stints.id = runs.stint_id
where runs.state = 'running' and stints.owner = :owner

-- name: running_owners
select distinct stints.owner from runs join stints on stints.id = runs.stint_id where runs.state = 'running'

-- name: event
insert into events (run_id, seq, at, state, attempt, note)
select id, (select coalesce(max(seq), 0) + 1 from events where run_id = :run_id), :now, state, attempt, :note
from runs where id = :run_id

-- name: events_of
select at, state, attempt, note from events where run_id = :run_id order by seq

-- name: put_output
insert into outputs (run_id, head, tail, dropped_bytes) values (:run_id, :head, :tail, :dropped_bytes)
on conflict (run_id) do update set head = excluded.head, tail = excluded.tail, dropped_bytes = excluded.dropped_bytes

-- name: output_of
select head, tail, dropped_bytes from outputs where run_id = :run_id

-- name: run_by_id
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from runs join jobs on jobs.id = runs.job_id left join stints on stints.id = runs.stint_id
where runs.id = :run_id

-- name: runs_page
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from runs join jobs on jobs.id = runs.job_id left join stints on stints.id = runs.stint_id
where (:states is null or instr(:states, ',' || runs.state || ',') > 0)
  and runs.id < :before_id
order by runs.id desc limit :limit

-- name: runs_page_of_job
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from runs join jobs on jobs.id = runs.job_id left join stints on stints.id = runs.stint_id
where runs.job_id = (select id from jobs where name = :job_name)
  and (:states is null or instr(:states, ',' || runs.state || ',') > 0)
  and runs.id < :before_id
order by runs.id desc limit :limit

-- name: runs_between
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from runs join jobs on jobs.id = runs.job_id left join stints on stints.id = runs.stint_id
where coalesce(slot_at * 1000, claimed_at) >= :start and coalesce(slot_at * 1000, claimed_at) < :end
order by coalesce(slot_at * 1000, claimed_at), runs.id

-- name: last_runs
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from jobs join runs on runs.id = (select max(id) from runs where job_id = jobs.id)
left join stints on stints.id = runs.stint_id

-- name: skips_between
select jobs.name as job_name, slot_at, generation, reason, decided_at
from skips join jobs on jobs.id = skips.job_id
where slot_at >= (:start + 999) / 1000 and slot_at < (:end + 999) / 1000
order by slot_at, jobs.name

-- name: gaps_between
select jobs.name as job_name, first_at, last_at, count, reason, cause, decided_at
from gaps join jobs on jobs.id = gaps.job_id
where last_at >= (:start + 999) / 1000 and first_at < (:end + 999) / 1000
order by first_at, jobs.name

-- name: stints_between
select * from stints where max(beat_at, coalesce(ended_at, 0)) >= :start and started_at < :end order by id

-- name: prunable
select runs.id from runs
where finished_at < :older_than and state not in ('queued', 'running', 'retry_wait')
  and id < coalesce((select id from runs as newer where newer.job_id = runs.job_id
                     order by newer.id desc limit 1 offset :keep_per_job - 1), 0)
limit :limit

-- name: delete_run
delete from runs where id = :run_id

-- name: record_prune
insert into prunes (at, count, older_than) values (:now, :count, :older_than)

-- name: first_seen
select name, first_seen from jobs

-- name: cancel
update runs set state = 'cancelled', finished_at = :now, not_before = null, error = :note
where id = :run_id and state in ('queued', 'retry_wait')

-- name: set_defined
update jobs set is_defined = instr(:names, ',' || name || ',') > 0
