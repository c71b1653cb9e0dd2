-- ---- becoming a member -----------------------------------------------------------------------------------------------

-- A server that cannot run a member says so now, with the lines for postgresql.conf.
CREATE FUNCTION dadbs_internal.check_server() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_check_server';
COMMENT ON FUNCTION dadbs_internal.check_server() IS 'an error that names each setting that dadbs needs and this server lacks';
SELECT dadbs_internal.check_server();

CREATE FUNCTION dadbs.node_key() RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_node_key';
COMMENT ON FUNCTION dadbs.node_key() IS 'public key of this node; the key pair is made on first use';

CREATE FUNCTION dadbs.describe_node(name text, address text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_describe_node';
COMMENT ON FUNCTION dadbs.describe_node(text, text) IS
    'one line that describes this node to the others: name@host:port/ed25519:KEY; the port is for its peers, not for clients';

CREATE FUNCTION dadbs.create_cluster(node text DEFAULT NULL, members text[] DEFAULT '{}', schemas text[] DEFAULT NULL,
    cluster_name text DEFAULT NULL, approvals integer DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_create_cluster';
COMMENT ON FUNCTION dadbs.create_cluster(text, text[], text[], text, integer) IS
    'shares this database with the members described, as node; without arguments: a cluster of one';

CREATE FUNCTION dadbs.join_cluster(node text, founder text, approvals integer DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_join_cluster';
COMMENT ON FUNCTION dadbs.join_cluster(text, text, integer) IS
    'makes this database the one of a member, as node, of the cluster that the founder has created or is going to create';

CREATE FUNCTION dadbs.wait_for_ready(timeout interval DEFAULT '60 s') RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_wait_for_ready';
COMMENT ON FUNCTION dadbs.wait_for_ready(interval) IS
    'returns when this member accepts writes; NOTICEs say what it waits for, and for whom';

CREATE FUNCTION dadbs_internal.set_isolated(isolated boolean) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_set_isolated';
COMMENT ON FUNCTION dadbs_internal.set_isolated(boolean) IS 'cuts, or heals, the links to all other members until the server restarts';

CREATE FUNCTION dadbs_internal.set_deaf(members integer[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_set_deaf';
COMMENT ON FUNCTION dadbs_internal.set_deaf(integer[]) IS
    'loses what these members (by their numbers), and no others, send to this one, until the server restarts: for tests of one-way cuts';

-- ---- how it is ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION dadbs_internal.member_status()
RETURNS TABLE (state text, can_write boolean, "primary" text, view bigint, members integer, quorum integer,
    connected integer, height bigint, applied_height bigint, network_height bigint, lag_blocks bigint, waiting_for text,
    node text, reason text, cluster_name text, chain_id bytea, incarnation bigint, journal_bytes bigint,
    journal_syncs bigint, refused_peers bigint)
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 1 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dadbs_member_status';

CREATE FUNCTION dadbs_internal.node_status()
RETURNS TABLE (id smallint, name text, address text, state text, is_primary boolean, is_self boolean,
    committed_height bigint, applied_height bigint, lag_blocks bigint, last_seen_at timestamptz,
    connected_since timestamptz, reason text, bytes_sent bigint, bytes_received bigint, queued_bytes bigint, key bytea)
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 10 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dadbs_node_status';

CREATE FUNCTION dadbs_internal.catch_up_status()
RETURNS TABLE (state text, applied_height bigint, fetched_height bigint, target_height bigint, blocks_behind bigint,
    blocks_per_second bigint, time_left interval, since timestamptz, asked text, left_alone text, wrong_answers bigint,
    missed_answers bigint, served_blocks bigint, served_bytes bigint)
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 1 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dadbs_catch_up_status';

CREATE FUNCTION dadbs_internal.state_digests() RETURNS TABLE (node text, height bigint, digest bytea)
LANGUAGE c VOLATILE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dadbs_state_digests';
CREATE VIEW dadbs.state_digests AS
SELECT d.node, d.height, d.digest, own.digest = d.digest AS equal
FROM dadbs_internal.state_digests() d LEFT JOIN dadbs_internal.state_digest own ON own.height = d.height;
COMMENT ON VIEW dadbs.state_digests IS
    'what each member has signed last of what it has come to; equal: whether it is what this member has come to there, null where it has no digest of that height';
CREATE VIEW dadbs.catch_up AS SELECT * FROM dadbs_internal.catch_up_status();
COMMENT ON VIEW dadbs.catch_up IS 'one row: how far this member is behind, how fast it catches up and from whom; what it has served to others';

CREATE VIEW dadbs.status AS SELECT * FROM dadbs_internal.member_status();
COMMENT ON VIEW dadbs.status IS 'one row: is this member well, can it write, who is primary, what does it wait for';

CREATE VIEW dadbs.nodes AS SELECT * FROM dadbs_internal.node_status();
COMMENT ON VIEW dadbs.nodes IS 'the members as this one sees them; heights of others are what they last said';

GRANT EXECUTE ON FUNCTION dadbs_internal.member_status(), dadbs_internal.node_status(), dadbs_internal.catch_up_status(),
    dadbs_internal.state_digests() TO pg_monitor;
