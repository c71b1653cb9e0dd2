-- The history of this member: insert-only, written by the apply worker and by local backends at their turn, in position
-- order; its highest position is what is applied. Never shared, never captured.
CREATE TABLE dadbs_internal.block (
    height       bigint PRIMARY KEY,
    hash         bytea NOT NULL,
    body         bytea NOT NULL,      -- Block::Encode: header and items
    certificate  bytea NOT NULL,      -- Certificate::Encode, this member's
    received_at  timestamptz NOT NULL
);
CREATE TABLE dadbs_internal.batch (
    height             bigint NOT NULL,
    item               integer NOT NULL,
    first_index        integer NOT NULL,   -- index in the block of its first transaction
    origin             smallint NOT NULL,
    incarnation        bigint NOT NULL,
    first_number       bigint NOT NULL,
    transaction_count  integer NOT NULL,
    body               bytea NOT NULL,     -- u32 count, count x blob write set
    PRIMARY KEY (height, item)
);
CREATE INDEX batch_origin_number ON dadbs_internal.batch (origin, incarnation, first_number);
-- A load of rows is full of what is alike from row to row; lz4 takes that out for less than it costs to write, pglz does not.
ALTER TABLE dadbs_internal.batch ALTER COLUMN body SET STORAGE EXTERNAL;
DO $$
BEGIN
    ALTER TABLE dadbs_internal.batch ALTER COLUMN body SET COMPRESSION lz4, ALTER COLUMN body SET STORAGE EXTENDED;
EXCEPTION
    WHEN feature_not_supported THEN NULL;  -- a server built without lz4
END
$$;
CREATE TABLE dadbs_internal.transaction (
    height        bigint NOT NULL,
    index         integer NOT NULL,
    origin        smallint NOT NULL,
    incarnation   bigint NOT NULL,
    number        bigint NOT NULL,
    origin_xid    bigint NOT NULL,     -- 0: lone DDL
    verdict       smallint NOT NULL,   -- core::Verdict
    sqlstate      text,                -- refused
    message       text,
    keys          bytea,               -- EncodeKeys of what it wrote, committed only
    applied_at    timestamptz NOT NULL,
    PRIMARY KEY (height, index)
);
ALTER TABLE dadbs_internal.transaction ALTER COLUMN keys SET STORAGE EXTERNAL;  -- hashes: nothing to compress
CREATE INDEX transaction_origin_xid ON dadbs_internal.transaction (origin, origin_xid);
-- What this member has come to after a block: verdicts, keys and contract effects from the first block on (EffectsDigest).
-- Durable before it is signed.
CREATE TABLE dadbs_internal.state_digest (
    height   bigint PRIMARY KEY,
    digest   bytea NOT NULL,
    made_at  timestamptz NOT NULL
);
-- That this member's digest differs from a quorum's, or that none can reach one: found at this height.
CREATE TABLE dadbs_internal.divergence (
    height     bigint PRIMARY KEY,
    agreed     bigint NOT NULL,        -- here it still had the same as a quorum
    no_quorum  boolean NOT NULL,
    found_at   timestamptz NOT NULL,
    -- The first position that differs, once it is known.
    first_height  bigint,
    first_index   integer,
    what          text,                -- verdict, keys, effects
    verdict_here  smallint,            -- 0: there is no row
    verdict_there smallint,
    relation      text,
    key           jsonb
);
-- That a member has contradicted itself: proof by its own signatures (core::Evidence). What does not belong to a kind is 0.
CREATE TABLE dadbs_internal.evidence (
    node         smallint NOT NULL,    -- whose guilt
    kind         smallint NOT NULL,    -- core::EvidenceKind
    incarnation  bigint NOT NULL,
    phase        smallint NOT NULL,    -- core::Phase
    view         bigint NOT NULL,
    voted_height bigint NOT NULL,
    number       bigint NOT NULL,      -- of a transaction that is in two batches
    height       bigint NOT NULL,      -- where it stands on the chain
    index        integer NOT NULL,
    reported_by  smallint NOT NULL,
    evidence     bytea NOT NULL,
    PRIMARY KEY (node, kind, incarnation, phase, view, voted_height, number)
);
-- The definition of each shared relation from a position on: names the columns of older changes.
CREATE TABLE dadbs_internal.relation_version (
    schema_name   text NOT NULL,
    relation_name text NOT NULL,
    height        bigint NOT NULL,
    index         integer NOT NULL,
    columns       text[] NOT NULL,     -- live columns in attnum order
    types         text[] NOT NULL,     -- format_type
    key_columns   text[] NOT NULL,     -- replica identity
    PRIMARY KEY (schema_name, relation_name, height, index)
);
-- Tables that this member keeps for itself.
CREATE TABLE dadbs_internal.local_relation (
    schema_name   text NOT NULL,
    relation_name text NOT NULL,
    PRIMARY KEY (schema_name, relation_name)
) WITH (user_catalog_table = true);  -- capture reads it as of the past
-- Roles made through the chain.
CREATE TABLE dadbs_internal.role (
    role_name   text PRIMARY KEY,
    local_name  text NOT NULL,        -- the role that stands for it here: itself, but where the name was taken
    adopted     boolean NOT NULL,     -- it was here before
    may_create_schemas boolean NOT NULL
);
