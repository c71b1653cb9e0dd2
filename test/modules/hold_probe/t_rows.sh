# What is captured.
sql -c 'CREATE TABLE t (id int PRIMARY KEY, v text)' >/dev/null
sql -c "INSERT INTO t VALUES (1, 'a')" >/dev/null
check 'insert' 'I public.t row (b:00000001, b:61)' "$(last)"
sql -c "UPDATE t SET v = NULL" >/dev/null
check 'update' 'U public.t row (b:00000001, n)' "$(last)"
sql -c "UPDATE t SET id = 2" >/dev/null
check 're-key' 'U public.t key (b:00000001, n) row (b:00000002, n)' "$(last)"
sql -c "DELETE FROM t" >/dev/null
check 'delete' 'D public.t key (b:00000002, n)' "$(last)"
before=$(sql -c 'SELECT probe_count()')
sql -c 'BEGIN; INSERT INTO t VALUES (9); ROLLBACK' -c 'SELECT * FROM t' -c 'CREATE TEMP TABLE x (a int); INSERT INTO x VALUES (1)' \
  -c 'SELECT pg_current_xact_id()' >/dev/null
check 'rolled back, read-only and temporary work sends nothing' "$before" "$(sql -c 'SELECT probe_count()')"

sql -c "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2); SAVEPOINT b; INSERT INTO t VALUES (3);
        ROLLBACK TO b; INSERT INTO t VALUES (4); RELEASE a; SAVEPOINT c; DELETE FROM t; ROLLBACK TO c; COMMIT" >/dev/null
check 'savepoints' 'I public.t row (b:00000001, n)
I public.t row (b:00000002, n)
I public.t row (b:00000004, n)' "$(last)"
check 'what is left' '1 2 4' "$(sql -c "SELECT string_agg(id::text, ' ' ORDER BY id) FROM t")"

sql -c "BEGIN; CREATE TABLE n (id int PRIMARY KEY); INSERT INTO n VALUES (1); ALTER TABLE n ADD w text DEFAULT 'd';
        INSERT INTO n VALUES (2, 'e'); ALTER TABLE n ALTER id TYPE bigint; INSERT INTO n VALUES (3, 'f');
        ALTER TABLE n DROP w; INSERT INTO n VALUES (4); COMMIT" >/dev/null
check 'a table made and altered in the same transaction' 'I public.n row (b:00000001)
I public.n row (b:00000002, b:65)
I public.n row (b:0000000000000003, b:66)
I public.n row (b:0000000000000004)' "$(last)"

sql -c 'BEGIN; CREATE TABLE g (id int PRIMARY KEY); INSERT INTO g VALUES (1); DROP TABLE g; INSERT INTO t VALUES (10); COMMIT' >/dev/null
check 'a table made and dropped' 'I public.t row (b:0000000a, n)' "$(last)"

sql -c 'INSERT INTO t SELECT g, repeat(chr(65), 20) FROM generate_series(1000, 110999) g' >/dev/null
check 'a big transaction' 'kind 1 flags 0 changes 110000 user postgres' "$(header)"
sql -c 'CREATE TABLE many (id int PRIMARY KEY, v text)' -c "DO 'BEGIN FOR i IN 1..300 LOOP BEGIN INSERT INTO many VALUES (i);
        IF i % 3 = 0 THEN RAISE EXCEPTION ''no''; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END'" >/dev/null
check 'more subtransactions than fit' 'kind 1 flags 0 changes 200 user postgres' "$(header)"
sql -c "ALTER SYSTEM SET logical_decoding_work_mem = '64kB'" -c 'SELECT pg_reload_conf()' -c 'SELECT pg_sleep(0.5)' >/dev/null
sql -c "DO 'BEGIN FOR i IN 1001..1300 LOOP BEGIN INSERT INTO many SELECT i * 100 + g, repeat(md5(g::text), 300) FROM generate_series(1, 20) g;
        UPDATE many SET v = ''x'' WHERE id = i * 100 + 1; IF i % 3 = 0 THEN RAISE EXCEPTION ''no''; END IF;
        EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END'" >/dev/null
check 'spilled to disk, in subtransactions, with TOAST' 'kind 1 flags 0 changes 4200 user postgres' "$(header)"
sql -c 'ALTER SYSTEM RESET logical_decoding_work_mem' -c 'SELECT pg_reload_conf()' >/dev/null

sql -c 'BEGIN; TRUNCATE t; INSERT INTO t VALUES (1); TRUNCATE t, n; INSERT INTO t VALUES (2); COMMIT' >/dev/null
check 'truncate' 'T public.t
I public.t row (b:00000001, n)
T public.t public.n
I public.t row (b:00000002, n)' "$(last)"

sql -c 'DELETE FROM t' -c 'INSERT INTO t VALUES (2)' >/dev/null  # the probe has not truncated it

sql -c "CREATE TABLE toasted (id int PRIMARY KEY, a text, b text)" \
  -c "ALTER TABLE toasted ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL" \
  -c "INSERT INTO toasted VALUES (1, repeat('x', 100000), repeat('y', 100000))" >/dev/null
check 'TOAST, new' 'I public.toasted row (b:00000001, b:100000 bytes, b:100000 bytes)' "$(last)"
sql -c "UPDATE toasted SET a = 'short'" >/dev/null
check 'TOAST, unchanged' 'U public.toasted row (b:00000001, b:73686f7274, u)' "$(last)"

sql -c 'CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE)' \
  -c 'INSERT INTO child VALUES (1, 2), (2, 2)' -c 'UPDATE t SET id = 3' >/dev/null
check 'cascaded update' 'U public.t key (b:00000002, n) row (b:00000003, n)
U public.child row (b:00000001, b:00000003)
U public.child row (b:00000002, b:00000003)' "$(last)"
sql -c 'DELETE FROM t' >/dev/null
check 'cascaded delete' 'D public.t key (b:00000003, n)
D public.child key (b:00000001, n)
D public.child key (b:00000002, n)' "$(last)"

printf '1\ta\n2\tb\n' | sql -c 'COPY t FROM stdin' >/dev/null
check 'COPY' 'I public.t row (b:00000001, b:61)
I public.t row (b:00000002, b:62)' "$(last)"
printf '1\n2\n' >"$dir/copy.txt"; chmod 644 "$dir/copy.txt"
sql -c "BEGIN; CREATE TABLE f (id int PRIMARY KEY); COPY f FROM '$dir/copy.txt' (FREEZE); COMMIT" >/dev/null
check 'COPY FREEZE' 'I public.f row (b:00000001)
I public.f row (b:00000002)' "$(last)"
sql -c "BEGIN; CREATE TABLE made AS SELECT * FROM f; COMMIT" >/dev/null
check 'CREATE TABLE AS' 'I public.made row (b:00000001)
I public.made row (b:00000002)' "$(last)"

sql -c "INSERT INTO t VALUES (1, 'c'), (3, 'd') ON CONFLICT (id) DO UPDATE SET v = excluded.v" >/dev/null
check 'ON CONFLICT' 'U public.t row (b:00000001, b:63)
I public.t row (b:00000003, b:64)' "$(last)"
sql -c 'CREATE TABLE race (id bigint PRIMARY KEY)' >/dev/null
echo "INSERT INTO race VALUES ((extract(epoch FROM clock_timestamp()) * 200)::bigint) ON CONFLICT DO NOTHING" >"$dir/race.sql"
check 'races of ON CONFLICT are lost without an error' 'number of failed transactions: 0 (0.000%)' "$("$bin/pgbench" -n -h "$dir" -p "$port" -U postgres -c 8 -T 2 -f "$dir/race.sql" postgres 2>&1 | grep -E 'failed|ERROR' | head -1)"
sql -c "CREATE TABLE p (id int, r int, PRIMARY KEY (id, r)) PARTITION BY RANGE (r)" \
  -c "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)" -c "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)" \
  -c 'INSERT INTO p VALUES (1, 5)' -c 'UPDATE p SET r = 15' >/dev/null
check 'a row moves between partitions' 'D public.p1 key (b:00000001, b:00000005)
I public.p2 row (b:00000001, b:0000000f)' "$(last)"
sql -c 'TRUNCATE p' >/dev/null
check 'truncated partitions' 'T public.p public.p1 public.p2' "$(last)"

sql -c "CREATE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO f VALUES (new.id + 100); RETURN new; END'" \
  -c 'CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION count_up()' -c "INSERT INTO t VALUES (50, 'x')" >/dev/null
check 'what triggers write' 'I public.f row (b:00000096)
I public.t row (b:00000032, b:78)' "$(last)"

sql -c "CREATE TYPE mood AS ENUM ('sad', 'ok')" -c "CREATE DOMAIN pos AS int" -c "CREATE TYPE pair AS (a int, b mood)" \
  -c "CREATE TABLE types (id int PRIMARY KEY, m mood, ms mood[], d pos, c pair, k regclass, j jsonb, i interval, f8 float8,
      f4 float4, b bool, u uuid, bt bytea, cash money, r int4range, nm name, arr text[])" \
  -c "SET timezone = 'Asia/Tokyo'; SET datestyle = german; SET extra_float_digits = 0; INSERT INTO types VALUES (1, 'ok', '{sad,ok}', 5, '(1,sad)', 'types', '{\"a\":1}', '1 day',
      0.1, 'NaN', true, '00000000-0000-0000-0000-000000000001', '\\x01ff', 1.5, '[1,5)', 'n', '{a,NULL}')" >/dev/null
check 'types' 'I public.types row (b:00000001, t:ok, t:{sad,ok}, b:00000005, t:(1,sad), t:public.types, b:017b2261223a20317d, b:00000000000000000000000100000000, b:3fb999999999999a, b:7fc00000, b:01, b:00000000000000000000000000000001, b:01ff, b:0000000000000096, b:17 bytes, b:6e, b:29 bytes)' \
  "$(last | sed -e 's/b:0200000004000000010000000400000005/b:17 bytes/' -e 's/b:000000010000000100000019000000020000000100000001 *61ffffffff/b:29 bytes/' -e 's/b:[0-9a-f]*61ffffffff/b:29 bytes/')"

check 'definitions inside a transaction' '' "$(sql -c "BEGIN; SELECT probe_emit('one'); SAVEPOINT a; SELECT probe_emit('two'); ROLLBACK TO a; INSERT INTO t VALUES (60, 'y'); SELECT probe_emit('three'); COMMIT" | tr -d '\n')"
check 'in order, and those rolled back are not there' 'Q one
I public.f row (b:000000a0)
I public.t row (b:0000003c, b:79)
Q three' "$(last)"
check 'they are replayed' 'kind 1 flags 1 changes 4 user postgres' "$(header)"
check 'and were not committed here' '0' "$(sql -c 'SELECT count(*) FROM t WHERE id = 60')"
check 'a definition alone' '' "$(sql -c "SELECT probe_emit('only')" )"
check 'alone' 'Q only' "$(last)"
