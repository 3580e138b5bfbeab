-- Every statement on the ledger, by name. Parameters are named; moments are epoch milliseconds, slots epoch seconds.
-- `every()` stands for the values that `Sql.together` is given: rows of one column, `value`.

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

-- name: run_by_request
select id from runs where request_key = :request_key

-- name: running_of
select runs.id from runs join stints on stints.id = runs.stint_id
where runs.state = 'running' and stints.owner = :owner

-- name: running_owners
select distinct stints.owner, stints.ended_how from runs join stints on stints.id = runs.stint_id where runs.state = 'running'

-- name: events_of
select at, state, attempt, note from events where run_id = :run_id order by seq

-- name: put_output
insert into outputs (run_id, head, tail, dropped_bytes) values (:run_id, :head, :tail, :dropped_bytes)
on conflict (run_id) do update set head = excluded.head, tail = excluded.tail, dropped_bytes = excluded.dropped_bytes

-- name: put_output_so_far
insert into outputs (run_id, head, tail, dropped_bytes)
select :run_id, :head, :tail, :dropped_bytes where exists (select 1 from runs where id = :run_id and state = 'running')
on conflict (run_id) do update set head = excluded.head, tail = excluded.tail, dropped_bytes = excluded.dropped_bytes

-- name: forget_output
delete from outputs where run_id = :run_id

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

-- name: count_queued
select count(*) from runs where state = 'queued' and (:job_name is null or job_id = (select id from jobs where name = :job_name))

-- name: runs_between
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from runs join jobs on jobs.id = runs.job_id left join stints on stints.id = runs.stint_id
where coalesce(slot_at * 1000, claimed_at) >= :start and coalesce(slot_at * 1000, claimed_at) < :end
order by coalesce(slot_at * 1000, claimed_at), runs.id

-- name: bad_ends_between
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from runs join jobs on jobs.id = runs.job_id left join stints on stints.id = runs.stint_id
where (state = 'failed' or state = 'timed_out' or state = 'abandoned') and finished_at >= :start and finished_at < :end
order by finished_at, runs.id

-- name: stints_between
select * from stints where max(beat_at, coalesce(ended_at, 0)) >= :start and started_at < :end order by id

-- name: delete_run
delete from runs where id = :run_id

-- name: record_prune
insert into prunes (at, count, older_than) values (:now, :count, :older_than)

-- The lease and the scheduler's own life

-- name: newest_lease
select stints.* from lease join stints on stints.id = lease.stint_id

-- name: put_lease
insert into lease (id, stint_id, term) values (1, :stint_id, :term)
on conflict (id) do update set stint_id = excluded.stint_id, term = excluded.term

-- name: holds_lease
select 1 from lease join stints on stints.id = lease.stint_id where lease.term = :term and stints.ended_at is null

-- name: renew
update stints set beat_at = :now where id = :stint_id and ended_at is null

-- name: put_last_pass
insert into last_pass (id, stint_id, wall_at, boottime_ms, monotonic_ms)
values (1, :stint_id, :now, :boottime_ms, :monotonic_ms)
on conflict (id) do update set stint_id = excluded.stint_id, wall_at = excluded.wall_at, boottime_ms = excluded.boottime_ms,
                               monotonic_ms = excluded.monotonic_ms

-- name: last_pass
select last_pass.wall_at, last_pass.boottime_ms, last_pass.monotonic_ms, stints.*
from last_pass join stints on stints.id = last_pass.stint_id

-- Clock generations

-- name: generation
select number, began_at, step_ms, held,
       (select cast(value as integer) from meta where key = 'clock step ' || number) as own_step_ms
from generations order by number desc limit 1

-- name: shift_waiting_runs
update runs set not_before = not_before + :step_ms
where state in ('queued', 'retry_wait') and not_before is not null

-- name: end_past_pauses
update pauses set until_at = :now, since_at = min(since_at, :now)
where until_at is not null and until_at <= :now - :step_ms and until_at > :now

-- name: keep_pauses
update pauses set since_at = min(since_at, :now)
where since_at <= :now - :step_ms and (until_at is null or until_at > :now - :step_ms)

-- name: shift_holds
update holds set expires_at = expires_at + :step_ms where answered_at is null

-- name: begin_generation
insert into generations (number, began_at, step_ms, held)
select max(number) + 1, :now, :step_ms, :held from generations

-- name: note_step
-- Of a clock on hold `step_ms` of a generation is the sum of the steps since it was believed: this is the last one alone.
insert into meta (key, value) select 'clock step ' || max(number), cast(:step_ms as text) from generations

-- name: trust_generation
update generations set held = 2 where held = 1

-- name: settle_generations
update generations set held = 0 where held <> 0

-- name: rewind
update jobs set planned_through = :planned_through where id = :job_id

-- Definitions and what they owe

-- name: job_by_name
select * from jobs where name = :name

-- name: jobs_by_names
select id, name, revision, planned_through, is_defined,
       (select count(*) from runs where runs.job_id = jobs.id and runs.state = 'running') as running,
       (select count(*) from runs where runs.job_id = jobs.id and runs.state = 'queued'
                                    and runs.state in ('queued', 'retry_wait') and runs.rank = 0
                                    and runs.slot_at is not null) as waiting,
       exists (select 1 from runs where runs.job_id = jobs.id and runs.state in ('queued', 'retry_wait')) as has_older
from jobs where name in every()

-- name: defined_names
select name from jobs where is_defined = 1 order by name

-- name: register_job
insert into jobs (name, revision, first_seen, planned_through) values (:name, :revision, :now, :now)
returning *

-- name: redefine_job
update jobs set revision = :revision, planned_through = max(planned_through, :owes_nothing_before), is_defined = 1
where id = :job_id

-- name: put_definition
insert into definitions (job_id, revision, definition, since) values (:job_id, :revision, :definition, :now)
returning id

-- name: newest_definition
select * from definitions where job_id = :job_id order by id desc limit 1

-- name: open_obligation
insert into obligations (job_id, definition_id, generation, from_at)
select :job_id, :definition_id, max(number), :from_at from generations

-- name: close_obligation
update obligations set until_at = (select planned_through from jobs where jobs.id = :job_id)
where job_id = :job_id and until_at is null

-- name: obligations
select obligations.generation, obligations.from_at, coalesce(obligations.until_at, jobs.planned_through) as until_at,
       definitions.definition
from obligations join jobs on jobs.id = obligations.job_id join definitions on definitions.id = obligations.definition_id
where jobs.name = :job_name
order by obligations.id

-- name: definitions_of
select definitions.definition, definitions.revision, definitions.since
from definitions join jobs on jobs.id = definitions.job_id where jobs.name = :job_name order by definitions.id

-- name: defined_job_ids
select id, name from jobs where is_defined = 1

-- name: undefine_job
update jobs set is_defined = 0 where id = :job_id

-- name: undefined_that_owe
select jobs.id, jobs.name, jobs.planned_through, obligations.generation
from jobs join obligations on obligations.job_id = jobs.id and until_at is null where is_defined = 0

-- name: cancel_undefined
update runs set state = 'cancelled', finished_at = :now, not_before = null, attempt_end = null, error = :note
where state in ('queued', 'retry_wait') and job_id in (select id from jobs where is_defined = 0)
returning id

-- name: first_seen
select name, first_seen from jobs

-- name: planned_through
select name, planned_through from jobs

-- One pass

-- name: advance
update jobs set planned_through = max(planned_through, :planned_through),
                last_run_id = coalesce((select max(id) from runs where job_id = jobs.id), last_run_id)
where id in every()

-- name: record_outage
insert into outages (since_at, until_at, cause, detail) values (:since, :until, :cause, :detail) returning id

-- name: claim
insert into runs (job_id, origin, state, rank, slot_at, generation, claimed_at, planned_at, not_before, hold_id, outage_id,
                  attempt, started_at, stint_id)
select wanted.value, :origin, :state, :rank, :slot_at, :generation, :now, :planned_at, :not_before, :hold_id, :outage_id,
       :attempt, :started_at, :stint_id
from every() as wanted
where exists (select 1 from lease where term = :term)
  and not (:once and exists (select 1 from runs where job_id = wanted.value and slot_at = :slot_at and origin <> 'retry'))
on conflict do nothing
returning id, job_id

-- name: note_last_run
update jobs set last_run_id = :run_id where id = :job_id

-- name: note_successes
update jobs set last_success_id = ended.value from json_each(:run_ids) as ended where jobs.name = ended.key

-- name: note_failure
update jobs set last_failure_id = :run_id where id = (select job_id from runs where id = :run_id)

-- name: skip
insert into skips (job_id, slot_at, generation, reason, decided_at, outage_id)
select :job_id, :slot_at, :generation, :reason, :now, :outage_id
where exists (select 1 from lease where term = :term)
  and not exists (select 1 from runs where job_id = :job_id and slot_at = :slot_at and origin <> 'retry'
                                     and (generation = :generation or :once))
on conflict do nothing

-- name: gap
insert into gaps (job_id, first_at, last_at, count, reason, decided_at, generation, outage_id)
select :job_id, :first_at, :last_at, :count, :reason, :now, :generation, :outage_id
where exists (select 1 from lease where term = :term)

-- name: request
insert into runs (job_id, origin, state, rank, slot_at, generation, claimed_at, not_before, request_key, actor, params)
values (:job_id, :origin, 'queued', :rank, :slot_at, :generation, :now, :not_before, :request_key, :actor, :params)
on conflict do nothing
returning id

-- name: waiting_request
select id from runs where job_id = :job_id and state = 'queued' and state in ('queued', 'retry_wait') and rank = 0 and origin = 'manual' limit 1

-- name: ready
select runs.id, runs.rank, runs.origin, jobs.name as job_name
from runs join jobs on jobs.id = runs.job_id
where runs.state in ('queued', 'retry_wait') and (not_before is null or not_before <= :now)
order by runs.rank, runs.id

-- name: first_ready
select 1 from runs where state in ('queued', 'retry_wait') and (not_before is null or not_before <= :now) limit 1

-- name: running_by_job
select jobs.name, count(*) as running from runs join jobs on jobs.id = runs.job_id
where runs.state = 'running' group by runs.job_id

-- name: next_ready_at
select min(not_before) as at from runs
where state in ('queued', 'retry_wait') and not_before is not null and not_before > :now

-- name: start
update runs set state = 'running', attempt = attempt + 1, started_at = coalesce(started_at, :now), not_before = null,
                stint_id = :stint_id, duration_ms = null, exit_status = null, http_status = null, attempt_end = null
where id in every() and state in ('queued', 'retry_wait')
  and exists (select 1 from lease where term = :term)

-- name: finish
update runs set state = :state, finished_at = :finished_at, not_before = :not_before, duration_ms = :duration_ms, error = :error,
                result = :result, exit_status = :exit_status, http_status = :http_status, attempt_end = :attempt_end
where id in every() and state = 'running' and stint_id = :stint_id and attempt = :attempt
  and exists (select 1 from lease where term = :term)
returning id

-- name: abandon
update runs set state = 'abandoned', finished_at = :now, error = :note where id = :run_id and state = 'running'

-- name: give_up_retries
update runs set state = coalesce(attempt_end, 'failed'), finished_at = :now, not_before = null, attempt_end = null,
                error = coalesce(error, '') || ' (no more retries: the next slot came due)'
where job_id = :job_id and state = 'retry_wait' and state in ('queued', 'retry_wait') and slot_at is not null and rank < 2
returning id

-- name: give_way
update runs set state = 'cancelled', finished_at = :now, not_before = null, error = 'gave way to the next slot'
where job_id = :job_id and state = 'queued' and state in ('queued', 'retry_wait') and slot_at is not null and rank < 2
returning id

-- name: running_of_stint
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from runs join jobs on jobs.id = runs.job_id join stints on stints.id = runs.stint_id
where runs.state = 'running' and runs.stint_id = :stint_id

-- name: running_ids_of_job
select id from runs where job_id = :job_id and state = 'running'

-- name: event
insert into events (run_id, seq, at, state, attempt, note)
select :run_id, coalesce(max(seq), 0) + 1, :now, :state, :attempt, :note from events where run_id = :run_id

-- Pausing, holding, cancelling, backfilling

-- name: pauses
select pauses.*, jobs.name as job_name from pauses join jobs on jobs.id = pauses.job_id
where (until_at is null or until_at > :after) and (:job_name is null or jobs.name = :job_name)
order by pauses.id

-- name: pause
insert into pauses (job_id, since_at, until_at, actor, note) values (:job_id, :now, :until, :actor, :note) returning id

-- name: resume
update pauses set until_at = :now, ended_by = :actor
where job_id = :job_id and since_at <= :now and (until_at is null or until_at > :now)

-- name: open_hold
insert into holds (decided_at, expires_at, count) values (:now, :expires_at, :count) returning id

-- name: waiting_hold
-- Its count is of what waits now: some of what was claimed into it may have been cancelled since.
select id, decided_at, expires_at, answered_at, answer, actor,
       (select count(*) from runs where runs.hold_id = holds.id and runs.state = 'queued') as count
from holds
where answered_at is null and exists (select 1 from runs where runs.hold_id = holds.id and runs.state = 'queued')
order by id limit 1

-- name: answer_hold
update holds set answered_at = :now, answer = :answer, actor = :actor where id = :hold_id and answered_at is null

-- name: held_runs
select id, job_id from runs where hold_id = :hold_id and state = 'queued' order by slot_at desc, id desc

-- name: let_go
update runs set not_before = :not_before where id = :run_id and state = 'queued'

-- name: cancel
update runs set state = 'cancelled', finished_at = :now, not_before = null, attempt_end = null, error = :note
where id = :run_id and state in ('queued', 'retry_wait')

-- name: cancel_waiting
update runs set state = 'cancelled', finished_at = :now, not_before = null, attempt_end = null, error = :note
where job_id = :job_id and state in ('queued', 'retry_wait')
returning id

-- name: want_cancelled
update runs set cancel_wanted = :actor where id = :run_id and state = 'running' and cancel_wanted is null

-- name: to_cancel
select id, cancel_wanted from runs where state = 'running' and cancel_wanted is not null

-- Reading

-- name: last_runs
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from jobs join runs on runs.id = jobs.last_run_id
left join stints on stints.id = runs.stint_id

-- name: open_runs
select runs.*, jobs.name as job_name, stints.owner, stints.host, stints.code_revision
from runs join jobs on jobs.id = runs.job_id left join stints on stints.id = runs.stint_id
where runs.state in ('queued', 'running', 'retry_wait')
order by case runs.state when 'running' then 0 when 'retry_wait' then 1 else 2 end,
         runs.hold_id is not null and runs.hold_id in (select id from holds where answered_at is null), runs.id
limit :limit

-- name: open_counts
select jobs.name as job_name, count(*) as count
from runs join jobs on jobs.id = runs.job_id
where runs.state in ('queued', 'running', 'retry_wait') and not (runs.state = 'queued' and runs.hold_id is :hold_id)
group by jobs.name

-- name: last_ends
select jobs.name as job_name, good.finished_at as succeeded_at, bad.finished_at as failed_at
from jobs left join runs as good on good.id = jobs.last_success_id
left join runs as bad on bad.id = jobs.last_failure_id

-- name: skips_between
select jobs.name as job_name, slot_at, generation, reason, decided_at, outages.since_at, outages.until_at, outages.cause,
       outages.detail
from skips join jobs on jobs.id = skips.job_id left join outages on outages.id = skips.outage_id
where slot_at >= (:start + 999) / 1000 and slot_at < (:end + 999) / 1000
order by slot_at, jobs.name

-- name: gaps_between
select jobs.name as job_name, first_at, last_at, count, reason, decided_at, generation, outages.since_at, outages.until_at,
       outages.cause, outages.detail
from gaps join jobs on jobs.id = gaps.job_id left join outages on outages.id = gaps.outage_id
where last_at >= (:start + 999) / 1000 and first_at < (:end + 999) / 1000
order by first_at, jobs.name

-- name: outages_between
select since_at, until_at, cause, detail from outages where until_at >= :start and since_at < :end order by id

-- name: slot_runs
select slot_at, generation, id, state, origin, started_at is not null as started from runs
where job_id = (select id from jobs where name = :job_name) and slot_at is not null and origin <> 'retry'
  and slot_at >= (:start + 999) / 1000 and slot_at < (:end + 999) / 1000
order by slot_at, generation

-- name: slot_skips
select slot_at, generation, reason from skips join jobs on jobs.id = skips.job_id
where jobs.name = :job_name and slot_at >= (:start + 999) / 1000 and slot_at < (:end + 999) / 1000
order by slot_at

-- name: slot_gaps
select first_at, last_at, count, generation, reason from gaps join jobs on jobs.id = gaps.job_id
where jobs.name = :job_name and last_at >= (:start + 999) / 1000 and first_at < (:end + 999) / 1000
order by first_at

-- name: outage_of_run
select outages.* from runs join outages on outages.id = runs.outage_id where runs.id = :run_id

-- name: oldest_runs
select id, job_id, state, claimed_at, finished_at from runs where id > :after order by id limit :limit

-- name: newest_kept
select id from runs where job_id = :job_id order by id desc limit 1 offset :keep - 1

-- name: newest_prune
select max(older_than) as older_than from prunes

-- name: prune_skips
delete from skips where (job_id, slot_at, generation) in
    (select job_id, slot_at, generation from skips where slot_at < :older_than / 1000 limit :limit)

-- name: prune_gaps
delete from gaps where id in (select id from gaps where last_at < :older_than / 1000 limit :limit)

-- name: count_old_slots
select (select count(*) from skips where slot_at < :older_than / 1000)
    + (select count(*) from gaps where last_at < :older_than / 1000) as count

-- name: meta
select value from meta where key = :key

-- name: restores
select value from meta where key like 'restored %' order by key

-- What runs say and leave

-- name: put_progress
insert into progress (run_id, at, done, total, note)
select :run_id, :at, :done, :total, :note where exists (select 1 from runs where id = :run_id and state = 'running')
on conflict (run_id) do update set at = excluded.at, done = excluded.done, total = excluded.total, note = excluded.note

-- name: forget_progress
delete from progress where run_id = :run_id

-- name: progress_of
select run_id, at, done, total, note from progress where run_id = :run_id

-- name: progress_of_running
select run_id, at, done, total, note from progress where run_id in (select id from runs where state = 'running')

-- name: put_artefact
insert into artefacts (run_id, name, path, bytes, sha256) values (:run_id, :name, :path, :bytes, :sha256)
on conflict (run_id, name) do update set path = excluded.path, bytes = excluded.bytes, sha256 = excluded.sha256

-- name: artefacts_of
select name, path, bytes, sha256 from artefacts where run_id = :run_id order by name

-- name: artefacts_adrift
select run_id, name, path, bytes, sha256 from artefacts
where not exists (select 1 from runs where runs.id = artefacts.run_id) order by run_id limit :limit

-- name: forget_artefacts
delete from artefacts where run_id = :run_id and not exists (select 1 from runs where id = :run_id)
