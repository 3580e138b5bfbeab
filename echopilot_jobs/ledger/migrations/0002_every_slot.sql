-- What every slot's account rests on: definitions and clock generations over time, outages, pauses, holds, a lease row.

-- The lease: one row, whose term every claim and finish names.
create table lease (
    id       integer primary key check (id = 1),
    stint_id integer not null references stints,
    term     integer not null
) strict;

-- All clocks at the last pass that planned, and whose it was: the next scheduler tells a step of the wall clock from time
-- that passed by them. A scheduler that died before it planned leaves them as they were.
create table last_pass (
    id           integer primary key check (id = 1),
    stint_id     integer not null references stints,
    wall_at      integer not null,
    boottime_ms  integer not null,
    monotonic_ms integer not null
) strict;

insert into lease (id, stint_id, term) select 1, id, term from stints order by id desc limit 1;

-- One run of the wall clock, from a step to the next. held 1: calendar jobs wait; 2: somebody said to trust it.
create table generations (
    number   integer primary key,
    began_at integer not null,
    step_ms  integer not null,
    held     integer not null check (held in (0, 1, 2))
) strict;

insert into generations (number, began_at, step_ms, held) values (0, 0, 0, 0);

-- Stretches in which nobody planned, with their cause.
create table outages (
    id       integer primary key,
    since_at integer not null,
    until_at integer not null,
    cause    text not null,
    detail   text not null
) strict;

-- Every definition a job ever had.
create table definitions (
    id         integer primary key,
    job_id     integer not null references jobs,
    revision   text not null,
    definition text not null,                    -- JSON, for people and for the audit
    since      integer not null
) strict;

insert into definitions (job_id, revision, definition, since)
select id, revision, definition, planned_through from jobs;

-- From when until when a job owed its slots under a definition, in a clock generation. No end: up to planned_through.
create table obligations (
    id            integer primary key,
    job_id        integer not null references jobs,
    definition_id integer not null references definitions,
    generation    integer not null,
    from_at       integer not null,
    until_at      integer
) strict;

create index obligations_by_job on obligations (job_id, until_at);

insert into obligations (job_id, definition_id, generation, from_at)
select jobs.id, definitions.id, 0, jobs.planned_through
from jobs join definitions on definitions.job_id = jobs.id where is_defined = 1;

alter table jobs drop column definition;
-- The newest run of a job, its newest success and its newest bad end: no page has to look through history for them.
alter table jobs add column last_run_id integer;
alter table jobs add column last_success_id integer;
alter table jobs add column last_failure_id integer;

update jobs set
    last_run_id = (select max(id) from runs where job_id = jobs.id),
    last_success_id = (select max(id) from runs where job_id = jobs.id and state = 'succeeded'),
    last_failure_id = (select max(id) from runs where job_id = jobs.id and state in ('failed', 'timed_out', 'abandoned'));

create table pauses (
    id       integer primary key,
    job_id   integer not null references jobs,
    since_at integer not null,
    until_at integer,                            -- null: until somebody resumes
    actor    text not null,
    note     text not null,
    ended_by text                                -- null: it ran out, or still holds
) strict;

-- A backlog that waits for a person.
create table holds (
    id          integer primary key,
    decided_at  integer not null,
    expires_at  integer not null,
    count       integer not null,
    answered_at integer,
    answer      text check (answer in ('latest', 'all', 'drop')),
    actor       text
) strict;

alter table gaps add column generation integer not null default 0;
alter table gaps add column outage_id integer references outages;
alter table gaps drop column cause;
alter table skips add column outage_id integer references outages;

alter table runs add column rank integer not null default 0;    -- 0 now, 1 caught up, 2 backfilled: who starts first
alter table runs add column outage_id integer references outages;
alter table runs add column hold_id integer references holds;
alter table runs add column cancel_wanted text;                  -- who asked a running run to stop

update runs set rank = 1 where origin = 'catch_up' and state in ('queued', 'retry_wait');

drop index runs_open;
create index runs_running on runs (job_id) where state = 'running';
create index runs_waiting on runs (job_id, state, rank) where state in ('queued', 'retry_wait');
create index runs_ready on runs (rank, id) where state in ('queued', 'retry_wait');
create index runs_later on runs (not_before) where state in ('queued', 'retry_wait') and not_before is not null;
create index runs_to_cancel on runs (id) where state = 'running' and cancel_wanted is not null;
create index runs_held on runs (hold_id) where hold_id is not null;

-- A run's own row tells of its first attempt and of its end; events are kept for what lies between.
delete from events where not (state = 'retry_wait' or (state = 'running' and attempt > 1));
