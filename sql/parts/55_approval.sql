-- ---- approval of what could switch off contracts (src/pg/contract/approval.cpp) -------------------------------------------

-- Insert-only: what was proposed, who has voted, how it ended.
CREATE TABLE dadbs_internal.proposal (
    id              bigint PRIMARY KEY,
    statement       text NOT NULL,
    comment         text NOT NULL,
    role            text NOT NULL,       -- under which it is executed: a role of the group; empty: dadbs_owner
    search_path     text NOT NULL,
    needed          integer NOT NULL,
    expires_height  bigint,              -- from here on: null inside the proposer's transaction
    sql_user        text,                -- of the session, as its origin claims
    origin          smallint,
    height          bigint,
    index           integer,
    proposed_at     timestamptz          -- the block's time
);
CREATE TABLE dadbs_internal.proposal_vote (
    id        bigint NOT NULL,
    origin    smallint NOT NULL,         -- the member, as certified
    approves  boolean NOT NULL,
    reason    text,
    sql_user  text NOT NULL,
    height    bigint NOT NULL,
    index     integer NOT NULL,
    voted_at  timestamptz NOT NULL,
    PRIMARY KEY (id, origin)
);
CREATE TABLE dadbs_internal.proposal_end (
    id        bigint PRIMARY KEY,
    state     text NOT NULL,             -- executed, failed, rejected, withdrawn
    sqlstate  text,
    message   text,
    height    bigint NOT NULL,
    index     integer NOT NULL,
    ended_at  timestamptz NOT NULL
);
-- Insert-only: how many statements contracts may execute from that position on; no row: a million.
CREATE TABLE dadbs_internal.contract_limit (
    number      bigint PRIMARY KEY,
    statements  bigint NOT NULL,
    height      bigint NOT NULL,
    index       integer NOT NULL
);
CREATE FUNCTION dadbs.contract_statement_limit() RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dadbs_contract_statement_limit';
COMMENT ON FUNCTION dadbs.contract_statement_limit() IS 'how many statements the contracts of one transaction may execute, on all members';
CREATE FUNCTION dadbs.set_contract_statement_limit(statements bigint) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_set_contract_statement_limit';
COMMENT ON FUNCTION dadbs.set_contract_statement_limit(bigint) IS 'in a proposal: changes the limit of statements from its position on';

CREATE FUNCTION dadbs.propose(statement text, comment text DEFAULT '', lifetime bigint DEFAULT 10000000) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_propose';
COMMENT ON FUNCTION dadbs.propose(text, text, bigint) IS
    'proposes statements that need the approval of other members; returns the proposal''s id. It lives for so many blocks';

CREATE FUNCTION dadbs.approve_proposal(id bigint) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_approve_proposal';
COMMENT ON FUNCTION dadbs.approve_proposal(bigint) IS
    'approves a proposal in the name of this member; the last approval that it needs executes it, on all members';

CREATE FUNCTION dadbs.reject_proposal(id bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_reject_proposal';
COMMENT ON FUNCTION dadbs.reject_proposal(bigint, text) IS
    'votes against a proposal in the name of this member; on the member that proposed it: withdraws it';

CREATE FUNCTION dadbs.protect_table(relation regclass, contracts name[] DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_protect_table';
COMMENT ON FUNCTION dadbs.protect_table(regclass, name[]) IS
    'from now on only these contracts write this table; without contracts: those whose text names it';
CREATE FUNCTION dadbs.protected_table() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_protected_table';
COMMENT ON FUNCTION dadbs.protected_table() IS 'function of the triggers of protect_table(): their arguments are the contracts that may write';

CREATE VIEW dadbs.proposal_votes AS
SELECT v.id, m.name AS member, v.approves, v.reason, v.sql_user, v.height, v.index AS position, v.voted_at
FROM dadbs_internal.proposal_vote v LEFT JOIN dadbs_internal.members() m ON m.id = v.origin;
COMMENT ON VIEW dadbs.proposal_votes IS 'who has approved and rejected which proposal';

CREATE VIEW dadbs.proposals AS
SELECT p.id, p.statement, p.comment, m.name AS proposed_by, p.sql_user, coalesce(nullif(p.role, ''), 'dadbs_owner') AS role, p.search_path,
       p.height, p.index AS position, p.proposed_at,
       coalesce(e.state, CASE WHEN p.expires_height < dadbs.applied_height() THEN 'expired' ELSE 'open' END) AS state,
       p.needed, (SELECT coalesce(array_agg(v.member ORDER BY v.height, v.position) FILTER (WHERE v.approves), '{}')
                  FROM dadbs.proposal_votes v WHERE v.id = p.id) AS approved_by,
       (SELECT coalesce(array_agg(v.member ORDER BY v.height, v.position) FILTER (WHERE NOT v.approves), '{}')
        FROM dadbs.proposal_votes v WHERE v.id = p.id) AS rejected_by,
       p.expires_height, e.sqlstate, e.message, e.height AS ended_height, e.index AS ended_position, e.ended_at
FROM dadbs_internal.proposal p
LEFT JOIN dadbs_internal.proposal_end e ON e.id = p.id
LEFT JOIN dadbs_internal.members() m ON m.id = p.origin;
COMMENT ON VIEW dadbs.proposals IS 'what was proposed, by whom, who has approved and rejected it, and what has become of it';
