# What is refused before the hand-over, and that nothing of it stays.
sql -c 'CREATE TABLE t (id int PRIMARY KEY, v text)' -c 'CREATE TABLE nokey (a int)' \
  -c "INSERT INTO dadbs_internal.local_relation VALUES ('public', 'loc')" -c 'CREATE TABLE loc (a int)' >/dev/null
before=$(sql -c 'SELECT probe_count()')
check 'SERIALIZABLE' 'ERROR:  0A000' "$(state 'BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO t VALUES (1); COMMIT')"
check 'no key' 'ERROR:  55000' "$(sql -c 'INSERT INTO nokey VALUES (1)' >/dev/null; state 'DELETE FROM nokey')"
check 'track_counts off' 'ERROR:  55000' "$(state 'SET track_counts = off; INSERT INTO t VALUES (1)')"
check 'track_counts off for a while' 'ERROR:  55000' "$(state 'BEGIN; SET track_counts = off; INSERT INTO t VALUES (1); SET track_counts = on; COMMIT')"
check 'local and shared' 'ERROR:  0A000' "$(state 'BEGIN; INSERT INTO t VALUES (1); INSERT INTO loc VALUES (1); COMMIT')"
check 'large objects' 'ERROR:  0A000' "$(state "BEGIN; INSERT INTO t VALUES (1); DO 'BEGIN PERFORM lo_from_bytea(0, ''x''); END'; COMMIT")"
check 'a locked catalog' 'ERROR:  0A000' "$(state 'BEGIN; LOCK pg_class; INSERT INTO t VALUES (1); COMMIT')"
check 'temporary tables and a replay' 'ERROR:  0A000' "$(state "BEGIN; CREATE TEMP TABLE x (a int); INSERT INTO x VALUES (1); TRUNCATE t; COMMIT")"
check 'pg_notify() and a replay' 'ERROR:  0A000' "$(state "BEGIN; SELECT pg_notify('n', 'p'); TRUNCATE t; COMMIT" | tail -1)"
check 'nothing was left' '0' "$(sql -c 'SELECT count(*) FROM t')"
check 'nothing but the one insert was sent' "$((before + 1))" "$(sql -c 'SELECT probe_count()')"
check 'local alone' 'INSERT 0 1' "$(tag 'INSERT INTO loc VALUES (1)')"
check 'accepted snapshot isolation' '' "$(state "SET dadbs.accept_snapshot_isolation = on; BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO t VALUES (1); COMMIT")"
check 'mixed writes allowed' '' "$(state "SET dadbs.allow_mixed_writes = on; BEGIN; INSERT INTO t VALUES (2); INSERT INTO loc VALUES (1); COMMIT")"
check 'temporary tables on the fast path' '1' "$(state "BEGIN; CREATE TEMP TABLE x (a int); INSERT INTO x VALUES (1); INSERT INTO t VALUES (3); COMMIT; SELECT count(*) FROM x")"
sql -c "ALTER SYSTEM SET dadbs.max_write_set_size = '1MB'" -c 'SELECT pg_reload_conf()' >/dev/null
await "SELECT current_setting('dadbs.max_write_set_size') = '1MB'"
sleep 0.5
check 'too large' 'ERROR:  54000' "$(state "INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(100, 5000) g")"
sql -c 'ALTER SYSTEM RESET dadbs.max_write_set_size' -c 'SELECT pg_reload_conf()' >/dev/null
check 'a replica role is replayed' 'kind 1 flags 4 changes 1 user postgres' "$(sql -c "SET session_replication_role = replica; INSERT INTO t VALUES (70)" >/dev/null; header)"
check 'also when it was set only for a while' 'kind 1 flags 4 changes 1 user postgres' "$(sql -c "BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO t VALUES (71); SET LOCAL session_replication_role = origin; COMMIT" >/dev/null; header)"
check 'forged messages are ignored' 't' "$(sql -c "SELECT pg_logical_emit_message(false, 'dadbs', 'Rxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') IS NOT NULL")"
sql -c "BEGIN; SELECT pg_logical_emit_message(true, 'dadbs', 'Cxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'); INSERT INTO t VALUES (80); COMMIT" >/dev/null
check 'forged changes too' 'I public.t row (b:00000050, n)' "$(last)"
sql -c "DELETE FROM dadbs_internal.local_relation" >/dev/null
if sql -c 'CREATE EXTENSION postgres_fdw' >/dev/null; then
  sql -c "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$dir', port '$port', dbname 'template1')" \
    -c "CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'postgres', password_required 'false')" \
    -c "CREATE FOREIGN TABLE far_table (a int) SERVER far" >/dev/null
  "${psql[@]}" -d template1 -c 'CREATE TABLE IF NOT EXISTS far_table (a int)'
  check 'shared, then foreign' 'ERROR:  0A000' "$(state "BEGIN; INSERT INTO t VALUES (90); SAVEPOINT s; INSERT INTO far_table VALUES (1); COMMIT" | tail -1)"
  check 'foreign, then shared' 'ERROR:  0A000' "$(state "BEGIN; INSERT INTO far_table VALUES (1); INSERT INTO t VALUES (91); COMMIT" | tail -1)"
  check 'foreign alone' 'INSERT 0 1' "$(tag 'INSERT INTO far_table VALUES (1)')"
  sql -c 'DROP EXTENSION postgres_fdw CASCADE' >/dev/null
fi
