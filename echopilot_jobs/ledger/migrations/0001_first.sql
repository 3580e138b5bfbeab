-- Slots and runs. Moments are UTC: slot_at in epoch seconds (a slot's identity), everything else in epoch milliseconds.

create table meta (
    key   text primary key,
    value text not null
) strict, without rowid;

-- Which ledger this is, for ever: two files with one id are copies of each other.
insert into meta (key, value) values ('ledger_id', lower(hex(randomblob(16))));

create table jobs (
    id              integer primary key,
    name            text not null unique,
    definition      text not null,               -- JSON, for people
    revision        text not null,
    first_seen      integer not null,
    planned_through integer not null,            -- every slot up to here has its row
    is_defined      integer not null default 1   -- 0: its definition is gone, its history stays
) strict;

-- One life of a scheduler process. Its id stands for owner, host and revision in every run it starts.
create table stints (
    id            integer primary key,
    owner         text not null,                 -- boot id, pid and process start time
    host          text not null,
    code_revision text not null,
    term          integer not null unique,
    started_at    integer not null,
    beat_at       integer not null,
    ended_at      integer,
    ended_how     text
) strict;

create table runs (
    id          integer primary key autoincrement,   -- never reused
    job_id      integer not null references jobs,
    -- Compared one by one: a list of words SQLite turns into an index, and in a check it does so anew for every row.
    origin      text not null check (origin = 'schedule' or origin = 'catch_up' or origin = 'backfill' or origin = 'manual'
                                     or origin = 'startup' or origin = 'retry'),
    state       text not null check (state = 'queued' or state = 'running' or state = 'retry_wait' or state = 'succeeded'
                                     or state = 'failed' or state = 'timed_out' or state = 'cancelled' or state = 'abandoned'),
    slot_at     integer,
    generation  integer,
    attempt     integer not null default 0,
    claimed_at  integer not null,
    planned_at  integer,
    not_before  integer,
    started_at  integer,
    finished_at integer,
    duration_ms integer,
    stint_id    integer references stints,
    request_key text,
    actor       text,
    params      text,
    error       text,
    result      text,
    exit_status integer,
    http_status integer,
    check ((slot_at is null) = (generation is null))
) strict;

-- These indexes decide the races: one run a slot, one run a request.
create unique index runs_by_slot on runs (job_id, slot_at, generation) where slot_at is not null and origin <> 'retry';
create unique index runs_by_request on runs (request_key) where request_key is not null;
create index runs_open on runs (state, id) where state in ('queued', 'running', 'retry_wait');
create index runs_by_time on runs (coalesce(slot_at * 1000, claimed_at));
create index runs_by_job on runs (job_id, id);

create table skips (
    job_id     integer not null references jobs,
    slot_at    integer not null,
    generation integer not null,
    reason     text not null,
    decided_at integer not null,
    primary key (job_id, slot_at, generation)
) strict, without rowid;

create index skips_by_time on skips (slot_at);

create table gaps (
    id         integer primary key,
    job_id     integer not null references jobs,
    first_at   integer not null,
    last_at    integer not null,
    count      integer not null check (count > 0),
    reason     text not null,
    cause      text not null,
    decided_at integer not null
) strict;

create index gaps_by_time on gaps (last_at);

-- What a run printed, only where it printed something.
create table outputs (
    run_id        integer primary key references runs on delete cascade,
    head          text not null,
    tail          text not null,
    dropped_bytes integer not null
) strict;

-- Every move of every run, written in the transaction that makes it.
create table events (
    run_id  integer not null references runs on delete cascade,
    seq     integer not null,
    at      integer not null,
    state   text not null,
    attempt integer not null,
    note    text,
    primary key (run_id, seq)
) strict, without rowid;

-- What retention removed, so that history never shrinks without a word.
create table prunes (
    at    integer not null,
    count integer not null,
    older_than integer not null
) strict;
