-- ---- contracts (src/pg/contract) ---------------------------------------------------------------------------------------

-- The functions of contracts: nobody calls them but the apply worker.
CREATE SCHEMA dadbs_contract AUTHORIZATION dadbs_owner;
COMMENT ON SCHEMA dadbs_contract IS 'the functions of contracts (dadbs); nothing here is for users';
-- Shared: CREATE on it decides, on all members alike, who may deploy contracts.
CREATE SCHEMA contracts AUTHORIZATION dadbs_owner;
COMMENT ON SCHEMA contracts IS 'contracts of the group (dadbs): CREATE on it allows to deploy them; procedures that call them';
GRANT USAGE ON SCHEMA contracts TO PUBLIC;

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
-- Put around arguments in the queries of contracts (nesting.cpp): they return what they get. Not immutable, so that neither they
-- nor what is around them is evaluated while a query is planned.
CREATE FUNCTION dadbs_internal.check_nesting(anyelement) RETURNS anyelement
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dadbs_check_nesting';
CREATE FUNCTION dadbs_internal.check_pattern(anyelement) RETURNS anyelement
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dadbs_check_pattern';

-- What contracts have written.
CREATE TABLE dadbs_internal.contract_effect (
    height    bigint NOT NULL,
    index     integer NOT NULL,
    ordinal   integer NOT NULL,
    contract  name NOT NULL,
    change    bytea NOT NULL,       -- canonical bytes of a row change
    PRIMARY KEY (height, index, ordinal)
);

-- What ran: a row per call, and one for all runs of a contract that the transaction's rows have fired. Refused ones too.
CREATE TABLE dadbs_internal.contract_run (
    height      bigint NOT NULL,
    index       integer NOT NULL,
    ordinal     integer NOT NULL,
    contract    name NOT NULL,
    called      boolean NOT NULL,
    runs        bigint NOT NULL,
    statements  bigint NOT NULL,
    result      text,               -- of a call
    PRIMARY KEY (height, index, ordinal)
);
CREATE INDEX contract_run_contract ON dadbs_internal.contract_run (contract, height, index);

-- Of signed calls that were committed: no key uses a nonce twice.
CREATE TABLE dadbs_internal.call_nonce (
    key     bytea NOT NULL,
    nonce   bytea NOT NULL,
    height  bigint NOT NULL,
    index   integer NOT NULL,
    PRIMARY KEY (key, nonce)
);

-- Calls: ordered first, then executed by every member. The procedures contracts.NAME do the same.
CREATE FUNCTION dadbs.call_contract(name text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_call_contract';
CREATE FUNCTION dadbs.call_contract(name text, VARIADIC arguments "any") RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_call_contract';
COMMENT ON FUNCTION dadbs.call_contract(text) IS 'calls a contract, on all members; returns its result as text';
COMMENT ON FUNCTION dadbs.call_contract(text, VARIADIC "any") IS 'calls a contract, on all members; returns its result as text';
CREATE FUNCTION dadbs.call_contracts(calls jsonb) RETURNS text[]
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_call_contracts';
COMMENT ON FUNCTION dadbs.call_contracts(jsonb) IS
    'calls several contracts in one transaction, on all members: [["name", argument, ...], ...]; returns their results';
CREATE FUNCTION dadbs.call_contract_signed(name text, key bytea, nonce text, signature bytea) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_call_contract_signed';
CREATE FUNCTION dadbs.call_contract_signed(name text, key bytea, nonce text, signature bytea, VARIADIC arguments "any") RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_call_contract_signed';
COMMENT ON FUNCTION dadbs.call_contract_signed(text, bytea, text, bytea) IS
    'calls a contract with an Ed25519 signature over dadbs.call_message(name, nonce), which every member checks';
COMMENT ON FUNCTION dadbs.call_contract_signed(text, bytea, text, bytea, VARIADIC "any") IS
    'calls a contract with an Ed25519 signature over dadbs.call_message(name, nonce, arguments), which every member checks';
CREATE FUNCTION dadbs.call_message(name text, nonce text) RETURNS bytea
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_call_message';
CREATE FUNCTION dadbs.call_message(name text, nonce text, VARIADIC arguments "any") RETURNS bytea
LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_call_message';
COMMENT ON FUNCTION dadbs.call_message(text, text) IS 'the bytes that the signature of a signed call is over';
COMMENT ON FUNCTION dadbs.call_message(text, text, VARIADIC "any") IS 'the bytes that the signature of a signed call is over';

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

CREATE FUNCTION dadbs.caller_key() RETURNS bytea
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dadbs_caller_key';
COMMENT ON FUNCTION dadbs.caller_key() IS 'in a contract: the Ed25519 key that has signed the call; null: it was not signed';

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

CREATE FUNCTION dadbs.contract_history(name text)
RETURNS TABLE (height bigint, "position" integer, transaction_id text, origin text, sql_user text, version integer, called boolean,
    runs bigint, statements bigint, verdict text, sqlstate text, message text, result text)
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
  SELECT r.height, r.index, t.id, t.origin, t.sql_user,
         (SELECT max(v.version) FROM dadbs_internal.contract_version v
          WHERE v.name = r.contract AND (v.height, v.index) < (r.height, r.index)),
         r.called, r.runs, r.statements, t.verdict, t.sqlstate, t.message, r.result
  FROM dadbs_internal.contract_run r JOIN dadbs.transactions t ON t.height = r.height AND t.position = r.index
  WHERE r.contract = $1::name
  ORDER BY r.height, r.index, r.ordinal
$$;
COMMENT ON FUNCTION dadbs.contract_history(text) IS
    'the transactions for which a contract ran, with its statements and their verdict; of one that raised, up to there';
