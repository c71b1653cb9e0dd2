-- ---- contracts (src/pg/contract) ---------------------------------------------------------------------------------------

-- The functions of contracts: nobody calls them but the apply worker.
CREATE SCHEMA dadbs_contract AUTHORIZATION dadbs_owner;
COMMENT ON SCHEMA dadbs_contract IS 'the functions of contracts (dadbs); nothing here is for users';
-- Shared: CREATE on it decides, on all members alike, who may deploy contracts.
CREATE SCHEMA contracts AUTHORIZATION dadbs_owner;
COMMENT ON SCHEMA contracts IS 'contracts of the group (dadbs): CREATE on it allows to deploy them';

-- Insert-only: each version of a contract, and its end.
CREATE TABLE dadbs_internal.contract_version (
    name          name NOT NULL,
    version       integer NOT NULL,
    dropped       boolean NOT NULL,
    language      text,
    arguments     text,
    returns       text,
    body          text,
    options       text,
    role          text NOT NULL,       -- who owns it, or dropped it: a role of the group
    search_path   text NOT NULL,
    hash          bytea NOT NULL,
    sql_user      text,                -- of the session, as its origin claims
    origin        smallint,            -- the position: null inside the author's transaction
    height        bigint,
    index         integer,
    deployed_at   timestamptz,         -- the block's time
    PRIMARY KEY (name, version)
);

CREATE FUNCTION dadbs.deploy_contract(name text, body text, language text DEFAULT 'plpgsql', arguments text DEFAULT NULL,
    returns text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS integer
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_deploy_contract';
COMMENT ON FUNCTION dadbs.deploy_contract(text, text, text, text, text, jsonb) IS
    'deploys a contract, or a new version of it, on all members; returns the version';

CREATE FUNCTION dadbs.drop_contract(name text) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_drop_contract';
COMMENT ON FUNCTION dadbs.drop_contract(text) IS 'ends a contract on all members; its versions stay in dadbs.contract_versions';

-- The function of marker triggers: CREATE TRIGGER ... AFTER ... FOR EACH ROW EXECUTE FUNCTION dadbs.contract('name', ...).
CREATE FUNCTION dadbs.contract() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_contract';
COMMENT ON FUNCTION dadbs.contract() IS
    'function of triggers that run a contract, named by their first argument; nothing happens before the position';
CREATE FUNCTION dadbs_internal.note_effect() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_note_effect';

-- What contracts have written.
CREATE TABLE dadbs_internal.contract_effect (
    height    bigint NOT NULL,
    index     integer NOT NULL,
    ordinal   integer NOT NULL,
    contract  name NOT NULL,
    change    bytea NOT NULL,       -- canonical bytes of a row change
    PRIMARY KEY (height, index, ordinal)
);

CREATE FUNCTION dadbs_internal.decode_effect(change bytea, height bigint, index integer)
RETURNS TABLE (ordinal integer, schema_name text, relation_name text, operation text, key jsonb, new_row jsonb,
    statement text, leaf_hash bytea)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_decode_effect';

CREATE VIEW dadbs.contract_changes AS
SELECT e.height, e.index AS position, e.ordinal, t.origin || '.' || t.incarnation || '.' || t.number AS transaction_id, e.contract,
       format('%I.%I', c.schema_name, c.relation_name) AS relation, c.operation, c.key, c.new_row
FROM dadbs_internal.contract_effect e
JOIN dadbs_internal.transaction t ON t.height = e.height AND t.index = e.index
CROSS JOIN LATERAL dadbs_internal.decode_effect(e.change, e.height, e.index) c;
COMMENT ON VIEW dadbs.contract_changes IS 'rows that contracts have written, as effects of the transactions for which they ran';

-- For contracts: the transaction for which they run.
CREATE FUNCTION dadbs.block_time() RETURNS timestamptz
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_block_time';
COMMENT ON FUNCTION dadbs.block_time() IS 'in a contract: the time of the block';
CREATE FUNCTION dadbs.block_height() RETURNS bigint
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_block_height';
COMMENT ON FUNCTION dadbs.block_height() IS 'in a contract: the height of the block';
CREATE FUNCTION dadbs.transaction_id() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_contract_transaction_id';
COMMENT ON FUNCTION dadbs.transaction_id() IS 'in a contract: the id of the transaction for which it runs';
CREATE FUNCTION dadbs.origin_node() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_origin_node';
COMMENT ON FUNCTION dadbs.origin_node() IS 'in a contract: the member that the transaction comes from, which has signed it';
CREATE FUNCTION dadbs.session_user_name() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_session_user_name';
COMMENT ON FUNCTION dadbs.session_user_name() IS 'in a contract: the user of the session, as its member claims';

CREATE VIEW dadbs.contract_versions AS
SELECT v.name, v.version, v.dropped, v.language, v.arguments, v.returns, v.role AS owner, v.sql_user, m.name AS origin, v.height,
       v.index AS position, v.deployed_at, v.hash
FROM dadbs_internal.contract_version v LEFT JOIN dadbs_internal.members() m ON m.id = v.origin;
COMMENT ON VIEW dadbs.contract_versions IS 'every version of every contract, and the ends of those that were dropped';

CREATE VIEW dadbs.contracts AS
SELECT v.name, v.version, CASE WHEN lower(v.returns) = 'trigger' THEN 'trigger' ELSE 'call' END AS kind, v.language, v.arguments,
       v.returns, v.owner, v.sql_user, v.origin, v.height, v.deployed_at, v.hash
FROM dadbs.contract_versions v
WHERE NOT v.dropped AND NOT EXISTS (SELECT FROM dadbs_internal.contract_version later
                                    WHERE later.name = v.name AND later.version > v.version);
COMMENT ON VIEW dadbs.contracts IS 'the contracts that are in force, by their last version';

CREATE FUNCTION dadbs.contract_source(name text, version integer DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT v.body FROM dadbs_internal.contract_version v
  WHERE v.name = $1::name AND NOT v.dropped AND v.version = coalesce($2, v.version) ORDER BY v.version DESC LIMIT 1
$$;
COMMENT ON FUNCTION dadbs.contract_source(text, integer) IS 'the text of a contract: of this version, or of the last one';
