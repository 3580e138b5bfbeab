-- What a run says while it goes on, and the files it leaves.

-- The newest word of a run about how far it is. Whole numbers stay whole.
create table progress (
    run_id integer primary key references runs on delete cascade,
    at     integer not null,
    done   any not null,
    total  any,
    note   text not null
) strict;

-- A row stays when its run is pruned: it is what tells that the file is still to be removed.
create table artefacts (
    run_id integer not null,
    name   text not null,
    path   text not null,                        -- relative to the project's folder
    bytes  integer not null,
    sha256 text not null,
    primary key (run_id, name)
) strict, without rowid;
