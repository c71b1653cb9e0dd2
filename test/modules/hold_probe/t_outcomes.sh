# How held sessions end: by turn, verdict, internal abort, cancel, terminate, timeout, doom.
sql -c 'CREATE TABLE t (id int PRIMARY KEY, v text)' >/dev/null
rows() { sql -c 'SELECT count(*) FROM t'; }
mode $refuse
check 'refused by the chain' 'ERROR:  23505' "$(state 'INSERT INTO t VALUES (1)')"
check 'rolled back' 0 "$(rows)"
mode $replay
check 'internal abort, committed' 'INSERT 0 1' "$(tag 'INSERT INTO t VALUES (1)')"
check 'the probe replays nothing' 0 "$(rows)"
check 'session state survives' 'b|c2|x|UTC|1' "$(sql -c "
  SET application_name = 'a'; SET work_mem = '1MB'; CREATE TEMP TABLE q (a int)" -c "BEGIN; SET application_name = 'b'; SET LOCAL work_mem = '2MB'; SET TimeZone = 'Asia/Tokyo';
  SAVEPOINT s; SET search_path = pg_catalog; ROLLBACK TO s; SET my.var = 'x'; RESET TimeZone; SET seq_page_cost = 1; SET cursor_tuple_fraction = 0.30000000000000004; LISTEN c2; LISTEN c3; UNLISTEN c3; SAVEPOINT s2; LISTEN c4; ROLLBACK TO s2; INSERT INTO t VALUES (1); COMMIT" \
  -c "SELECT current_setting('application_name'), string_agg(c, ','), current_setting('my.var'), CASE WHEN current_setting('TimeZone') <> 'Asia/Tokyo' THEN 'UTC' END, current_setting('seq_page_cost') FROM pg_listening_channels() c" | tail -1)"
check 'SET LOCAL ends' '1MB' "$(sql -c "SET work_mem = '1MB'" -c "BEGIN; SET LOCAL work_mem = '2MB'; INSERT INTO t VALUES (1); COMMIT" -c 'SHOW work_mem' | tail -1)"
check 'the role survives' 'pg_monitor' "$(sql -c 'GRANT ALL ON t TO pg_monitor' -c 'GRANT USAGE ON SCHEMA public TO pg_monitor' -c 'BEGIN; SET ROLE pg_monitor; INSERT INTO t VALUES (1); COMMIT' -c 'SELECT current_user' | tail -1)"
check 'NOTIFY survives' 'Asynchronous notification "n1" with payload "p" received from server process with PID' "$(sql -c 'LISTEN n1' -c "BEGIN; NOTIFY n1, 'p'; INSERT INTO t VALUES (1); COMMIT" -c 'SELECT 1' | grep -o 'Async.*PID' | head -1)"
check 'AND CHAIN' 'repeatable read' "$(sql -c 'BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO t VALUES (1); COMMIT AND CHAIN; SHOW transaction_isolation; COMMIT' | tail -1)"
check 'COMMIT in a loop of a procedure' 'CALL' "$(sql -c "CREATE PROCEDURE loops() LANGUAGE plpgsql AS 'BEGIN FOR i IN 1..5 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END'" >/dev/null; tag 'CALL loops()')"
check 'lost temporary rows are told' 'ERROR:  40003' "$(state 'BEGIN; CREATE TEMP TABLE x (a int); INSERT INTO x VALUES (1); INSERT INTO t VALUES (1); COMMIT')"
check 'a lost pg_notify() is told' 'ERROR:  40003' "$(state "BEGIN; SELECT pg_notify('n', 'p'); INSERT INTO t VALUES (1); COMMIT" | tail -1)"
check 'but not in the next transaction' '' "$(sql -c "SELECT pg_notify('n', 'p')" -c 'INSERT INTO t VALUES (1)')"
mode $replay_refuse
check 'internal abort, refused' 'ERROR:  23505' "$(state 'INSERT INTO t VALUES (1)')"
check 'the session goes on' '1' "$(sql -c 'INSERT INTO t VALUES (1)' -c 'SELECT 1' | tail -1)"
check 'pipelined statements' '0' "$(rows)"
mode $doom
check 'a turn taken back, or kept' 'INSERT 0 1' "$(tag 'INSERT INTO t VALUES (77)')"
sql -c "SELECT probe_mode($turn)" -c 'DELETE FROM t' >/dev/null

# before the hand-over: capture is stopped
capture=$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'dadbs_capture_main'")
kill -STOP "$capture"
background 1 'INSERT INTO t VALUES (1)'
await_held 1
sql -c "SELECT pg_cancel_backend($(pid_of 1))" >/dev/null
finish 1
check 'cancel before the hand-over' 'ERROR:  57014' "$out"
background 1 'INSERT INTO t VALUES (1)'
await_held 1
sql -c "SELECT pg_terminate_backend($(pid_of 1))" >/dev/null
finish 1
check 'terminate before the hand-over' 'FATAL:  57P01' "$(head -1 <<<"$out")"
background 1 "SET dadbs.commit_timeout = '200ms'; INSERT INTO t VALUES (1)"
finish 1
check 'timeout before the hand-over' 'ERROR:  57014' "$out"
background 1 'INSERT INTO t VALUES (1)'
await_held 1
sql -c "SELECT probe_doom($(pid_of 1))" >/dev/null
finish 1
check 'doomed before the hand-over' 'ERROR:  40001' "$out"
kill -CONT "$capture"
check 'nothing stayed' 0 "$(rows)"
check 'and capture goes on' 1 "$(sql -c 'INSERT INTO t VALUES (1)' -c 'SELECT count(*) FROM t')"

# after it
mode $hold
handed() { n=$(sql -c 'SELECT probe_count()'); background 1 "$1"; await "SELECT probe_count() > $n" && await_held 1; }
handed 'INSERT INTO t VALUES (2)'
sql -c "SELECT pg_cancel_backend($(pid_of 1))" >/dev/null
finish 1
check 'cancel after the hand-over' 'ERROR:  40003' "$out"
handed 'INSERT INTO t VALUES (2)'
sql -c "SELECT pg_terminate_backend($(pid_of 1))" >/dev/null
finish 1
check 'terminate after the hand-over' 'FATAL:  40003' "$(head -1 <<<"$out")"
handed "SET dadbs.commit_timeout = '300ms'; INSERT INTO t VALUES (2)"
finish 1
check 'timeout after the hand-over' 'ERROR:  40003' "$out"
out=$(sql -c "SET dadbs.commit_timeout = '300ms'; INSERT INTO t VALUES (3)")
check 'text and hint' 1 "$(grep -c "transaction_status('1.1." <<<"$out")"
handed 'INSERT INTO t VALUES (2)'
sql -c "SELECT probe_doom($(pid_of 1))" >/dev/null
sleep 0.2
check 'doomed: its locks are gone' '' "$(sql -c "BEGIN; SET lock_timeout = '1s'; LOCK t; ROLLBACK")"
sql -c "SELECT pg_cancel_backend($(pid_of 1))" >/dev/null
finish 1
check 'cancel after an internal abort' 'ERROR:  40003' "$out"
handed 'INSERT INTO t VALUES (2)'
sql -c "SELECT probe_doom($(pid_of 1))" >/dev/null
sleep 0.2
sql -c "SELECT pg_terminate_backend($(pid_of 1))" >/dev/null
finish 1
check 'terminate after an internal abort' 'FATAL:  40003' "$(head -1 <<<"$out")"
handed 'CREATE SCHEMA lone'
sql -c "SELECT pg_cancel_backend($(pid_of 1))" >/dev/null
finish 1
check 'cancel of a lone statement' 'ERROR:  40003' "$out"
handed 'CREATE SCHEMA lone'
sql -c "SELECT pg_terminate_backend($(pid_of 1))" >/dev/null
finish 1
check 'terminate of a lone statement' 'FATAL:  40003' "$(head -1 <<<"$out")"
mode $turn
await 'SELECT true'

check 'a lone statement' 'CREATE SCHEMA' "$(tag 'CREATE SCHEMA lone')"
check 'as it was written' 'Q CREATE SCHEMA lone' "$(last)"
mode $refuse
check 'a lone statement, refused' 'ERROR:  23505' "$(state 'CREATE SCHEMA lone')"
check 'and the session goes on' '1' "$(sql -c 'CREATE SCHEMA lone' -c 'SELECT 1' | tail -1)"
mode $turn

# while executing
background 1 'BEGIN; INSERT INTO t VALUES (4); SELECT pg_sleep(10); COMMIT'
await "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'bg1' AND wait_event = 'PgSleep'"
sql -c "SELECT probe_doom($(pid_of 1)), pg_cancel_backend($(pid_of 1))" >/dev/null
finish 1
check 'doomed while executing' 'ERROR:  40001' "$(tail -1 <<<"$out")"
background 1 "BEGIN; INSERT INTO t VALUES (4); DO 'BEGIN PERFORM pg_sleep(1); EXCEPTION WHEN OTHERS THEN NULL; END'; COMMIT"
await "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'bg1' AND wait_event = 'PgSleep'"
sql -c "SELECT probe_doom($(pid_of 1))" >/dev/null
finish 1
check 'doomed without a signal' 'ERROR:  40001' "$(tail -1 <<<"$out")"
check 'an ordinary cancel stays one' 'ERROR:  57014' "$(state "SET statement_timeout = 100; SELECT pg_sleep(5)")"
check 'nothing stayed' '0' "$(sql -c 'SELECT count(*) FROM t WHERE id = 4')"
check 'last_transaction_id' 't' "$(sql -c 'SELECT probe_last_id() IS NULL' | tail -1)"
check 'last_transaction_id after a commit' 't' "$(sql -c 'INSERT INTO t VALUES (5)' -c 'SELECT probe_last_id() > 10' | tail -1)"
check 'synchronous_commit is given back' 'on' "$(sql -c 'INSERT INTO t VALUES (6)' -c 'SHOW synchronous_commit' | tail -1)"
