-- Static analysis of contracts: each rule, what it refuses and what it lets pass. A finding is shown as rule@line, with a "?" if it
-- is a warning; "-" means nothing was found.
CREATE TABLE ca_account (id text PRIMARY KEY, owner text NOT NULL, balance numeric(14,2) NOT NULL, rate float8, parts integer,
                         share integer CHECK (share > 0));
CREATE TABLE ca_order (id bigint PRIMARY KEY, account text NOT NULL REFERENCES ca_account, amount numeric(12,2) NOT NULL,
                       units integer NOT NULL, placed date, note text, UNIQUE (account, placed));
CREATE TABLE ca_serial (id bigserial PRIMARY KEY, note text);
CREATE TABLE ca_identity (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
CREATE VIEW ca_view AS SELECT id, amount, units FROM ca_order;
CREATE FUNCTION ca_twice(numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
CREATE FUNCTION ca_liar(numeric) RETURNS numeric IMMUTABLE LANGUAGE plpgsql AS 'BEGIN
  RETURN $1 * random(); END';
CREATE FUNCTION ca_volatile(numeric) RETURNS numeric LANGUAGE sql AS 'SELECT $1';

CREATE FUNCTION pg_temp.body(body text, arguments text DEFAULT '', returns text DEFAULT 'void', language text DEFAULT 'plpgsql')
RETURNS text LANGUAGE sql AS $f$
  SELECT coalesce(string_agg(rule || CASE severity WHEN 'warning' THEN '?' ELSE '' END || '@' || line, ' '
                             ORDER BY line, rule COLLATE "C"), '-')
  FROM dadbs.analyze_contract(body, language, arguments, returns)
$f$;
-- One statement of a PL/pgSQL contract that has variables; line 1.
CREATE FUNCTION pg_temp.st(statement text) RETURNS text LANGUAGE sql AS $f$
  SELECT pg_temp.body('DECLARE r record; n numeric; i integer; t text; b boolean; ts timestamptz; a numeric[]; row ca_order; cur refcursor; BEGIN '
                      || statement || ' END', 'who text, k integer, big bigint, amt numeric')
$f$;
-- One statement of a trigger on ca_order.
CREATE FUNCTION pg_temp.tr(statement text) RETURNS text LANGUAGE sql AS $f$
  SELECT pg_temp.body('DECLARE r record; n numeric; i integer; t text; BEGIN ' || statement || ' RETURN NULL; END', '', 'trigger')
$f$;

-- what comes back
SELECT * FROM dadbs.analyze_contract(E'BEGIN\n  IF NEW.amount > random() THEN\n    RAISE EXCEPTION ''no'';\n  END IF;\n  RETURN NULL;\nEND');
SELECT * FROM dadbs.analyze_contract(E'\nBEGIN\n  IF NEW.amount > THEN\n    RETURN NULL;\n  END IF;\nEND');
SELECT * FROM dadbs.analyze_contract('BEGIN RETURN NEW.nothing; END', on_table => 'ca_order');
SELECT * FROM dadbs.analyze_contract('BEGIN END', language => 'plpython3u', returns => 'void');
SELECT * FROM dadbs.analyze_contract('BEGIN END', arguments => 'a int) RETURNS int LANGUAGE sql AS ''''; DROP TABLE ca_order; --', returns => 'void');
SELECT * FROM dadbs.analyze_contract('', returns => 'void');
SELECT * FROM dadbs.analyze_contract(NULL);

-- functions
SELECT s, pg_temp.st('n := ' || s || ';') FROM unnest(ARRAY['random()', 'extract(epoch FROM clock_timestamp())', 'extract(epoch FROM now())',
  'extract(epoch FROM current_timestamp)', 'txid_current()', 'pg_backend_pid()', 'nextval(''ca_serial_id_seq'')', 'hashtext(gen_random_uuid()::text)',
  'pg_database_size(''x'')', 'current_setting(''port'')::int', 'length(current_user)', 'length(session_user)', 'length(version())', 'ca_volatile(amt)',
  'ca_liar(amt)', 'length(pg_read_file(''x''))', 'array_length(xpath(''/'', query_to_xml(''x'', true, true, '''')), 1)', 'pg_trigger_depth()',
  'ca_twice(amt)', 'round(amt, 2)', 'length(upper(who) || md5(who))', 'extract(year FROM to_date(who, ''YYYY''))', 'length(to_char(amt, ''999''))',
  'length(format(''%s'', who))']) WITH ORDINALITY u(s, i) ORDER BY i;
SELECT s, pg_temp.st('ts := ' || s || ';') FROM unnest(ARRAY['''now''', '''today''::timestamptz', 'timestamp ''yesterday''', '''2020-01-01''',
  'date ''2020-01-01'' + interval ''1 day''', 'localtimestamp', 'statement_timestamp()', 'to_timestamp(0)']) WITH ORDINALITY u(s, i) ORDER BY i;
SELECT pg_temp.st('PERFORM pg_advisory_xact_lock(1);'), pg_temp.st('PERFORM pg_notify(who, who);'), pg_temp.st('PERFORM set_config(who, who, true);');
SELECT pg_temp.tr('t := TG_RELID::text;'), pg_temp.tr('t := TG_TABLE_NAME || TG_OP;'), pg_temp.tr('GET DIAGNOSTICS t = PG_CONTEXT;'),
       pg_temp.tr('GET DIAGNOSTICS i = ROW_COUNT;');

-- commands
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['SET work_mem = 1;', 'COMMIT;', 'ROLLBACK;', 'SAVEPOINT x;', 'NOTIFY x;', 'LISTEN x;', 'COPY ca_order TO ''/tmp/x'';',
  'DO ''BEGIN END'';', 'LOCK TABLE ca_order;', 'CREATE TABLE x (i int);', 'CREATE TEMP TABLE x (i int);', 'CREATE TABLE pg_temp.x (i int);',
  'CREATE TEMP TABLE x AS SELECT 1;', 'TRUNCATE ca_order;', 'DROP TABLE ca_order;', 'GRANT SELECT ON ca_order TO PUBLIC;', 'PREPARE x AS SELECT 1;',
  'EXECUTE ''SELECT 1'';', 'EXECUTE ''SELECT '' || who;', 'EXECUTE format(''SELECT %L'', who);', 'EXECUTE ''SELECT $1'' USING who;',
  'FOR r IN EXECUTE ''SELECT '' || who LOOP NULL; END LOOP;', 'OPEN cur FOR EXECUTE who;', 'ASSERT k > 0;',
  'BEGIN n := 1; EXCEPTION WHEN others THEN NULL; END;', 'ALTER SYSTEM SET port = 1;', 'SET CONSTRAINTS ALL DEFERRED;', 'NULL;'])
  WITH ORDINALITY u(s, i) ORDER BY i;

-- relations
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['SELECT relname INTO STRICT t FROM pg_class WHERE oid = 1;', 'SELECT rolname INTO STRICT t FROM pg_authid WHERE oid = 1;',
  'SELECT ctid::text INTO STRICT t FROM ca_order WHERE id = k;', 'SELECT xmin::text INTO STRICT t FROM ca_order WHERE id = k;',
  'SELECT tableoid::text INTO STRICT t FROM ca_order WHERE id = k;', 'SELECT note INTO STRICT t FROM ca_order WHERE id = k;',
  'SELECT table_name INTO STRICT t FROM information_schema.tables WHERE table_name = who;', 'SELECT name INTO STRICT t FROM dadbs.nodes WHERE id = 1;',
  'SELECT role_name INTO STRICT t FROM dadbs_internal.role WHERE role_name = who;', 'SELECT amount INTO STRICT n FROM ca_view WHERE id = k;',
  'SELECT amount INTO STRICT n FROM ca_order TABLESAMPLE system (1) WHERE id = k;', 'SELECT ''ca_order''::regclass::text INTO STRICT t;',
  'SELECT nothing INTO STRICT t FROM ca_order WHERE id = k;', 'PERFORM 1 FROM nowhere;', 'SELECT id INTO STRICT i FROM ca_order WHERE id = k FOR UPDATE SKIP LOCKED;',
  'SELECT id INTO STRICT i FROM ca_order WHERE id = k FOR UPDATE NOWAIT;', 'SELECT id INTO STRICT i FROM ca_order WHERE id = k FOR UPDATE;'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT pg_temp.tr('INSERT INTO ca_serial (note) VALUES (NEW.note);') AS default_of_a_serial, pg_temp.tr('INSERT INTO ca_identity (note) VALUES (NEW.note);') AS identity,
       pg_temp.tr('INSERT INTO ca_serial VALUES (NEW.id, NEW.note);') AS given;
CREATE TEMP TABLE ca_temp (x int);
SELECT pg_temp.st('PERFORM 1 FROM ca_temp WHERE x = 1;');
CREATE ROLE ca_reader;
GRANT SELECT ON ca_account TO ca_reader;
SET ROLE ca_reader;
SELECT rule, message FROM dadbs.analyze_contract('BEGIN PERFORM 1 FROM ca_order WHERE id = 1; PERFORM 1 FROM ca_account WHERE id = ''a''; END', returns => 'void');
RESET ROLE;

-- order
SELECT s, pg_temp.st('FOR r IN ' || s || ' LOOP NULL; END LOOP;') FROM unnest(ARRAY['SELECT * FROM ca_order WHERE account = who',
  'SELECT * FROM ca_order WHERE account = who ORDER BY placed', 'SELECT * FROM ca_order WHERE account = who ORDER BY amount',
  'SELECT * FROM ca_order WHERE account = who ORDER BY amount, id', 'SELECT id AS x FROM ca_order WHERE account = who ORDER BY x DESC',
  'SELECT * FROM ca_order WHERE id = k', 'SELECT o.id FROM ca_order o JOIN ca_account c ON c.id = o.account WHERE o.units = k ORDER BY o.id',
  'SELECT o.id FROM ca_account c JOIN ca_order o ON c.id = o.account WHERE o.units = k ORDER BY c.id',
  'SELECT account, sum(amount) FROM ca_order WHERE units = k GROUP BY account ORDER BY account', 'SELECT account, sum(amount) FROM ca_order WHERE units = k GROUP BY account',
  'SELECT DISTINCT account FROM ca_order WHERE units = k ORDER BY account', 'SELECT DISTINCT ON (account) account, id FROM ca_order WHERE units = k ORDER BY account',
  'SELECT g FROM generate_series(1, 10) g', 'SELECT x FROM unnest(a) WITH ORDINALITY u(x, y) ORDER BY y', 'SELECT * FROM (VALUES (1), (2)) v(x)',
  'SELECT id FROM ca_order WHERE units = k UNION SELECT 1 ORDER BY id', 'SELECT id FROM ca_order WHERE units = k UNION ALL SELECT 1',
  'SELECT * FROM (SELECT * FROM ca_order WHERE units = k ORDER BY id) s', 'UPDATE ca_order SET note = who WHERE units = k RETURNING id',
  'DELETE FROM ca_order WHERE id = k RETURNING id', 'SELECT account FROM ca_order WHERE units = k ORDER BY account',
  'SELECT account, id FROM ca_order WHERE units = k ORDER BY account', 'WITH s AS (SELECT id FROM ca_order WHERE units = k) SELECT id FROM s ORDER BY id',
  'SELECT id, c.note FROM ca_order o LEFT JOIN ca_order c USING (id) WHERE o.units = k ORDER BY id',
  'SELECT o.id FROM ca_order o LEFT JOIN ca_account c ON c.id = o.account WHERE o.units = k ORDER BY o.id'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['SELECT id INTO i FROM ca_order WHERE account = who;', 'SELECT id INTO i FROM ca_order WHERE id = k;',
  'SELECT id INTO i FROM ca_order WHERE id = k; IF NOT FOUND THEN RAISE ''no''; END IF;', 'SELECT id INTO STRICT i FROM ca_order WHERE account = who;',
  'SELECT count(*) INTO i FROM ca_order WHERE account = who;', 'SELECT id INTO i FROM ca_order WHERE account = who LIMIT 1; IF NOT FOUND THEN RAISE ''no''; END IF;',
  'SELECT id INTO STRICT i FROM ca_order WHERE account = who ORDER BY amount LIMIT 1;', 'SELECT id INTO STRICT i FROM ca_order WHERE account = who ORDER BY amount, id LIMIT 1;',
  'n := (SELECT amount FROM ca_order WHERE account = who LIMIT 1);', 'b := EXISTS (SELECT FROM ca_order WHERE account = who LIMIT 1);',
  'PERFORM 1 FROM ca_order WHERE account = who ORDER BY amount FETCH FIRST 3 ROWS WITH TIES;', 'OPEN cur FOR SELECT id FROM ca_order WHERE account = who;',
  'OPEN cur FOR SELECT id FROM ca_order WHERE account = who ORDER BY id;', 'a := ARRAY(SELECT amount FROM ca_order WHERE account = who);',
  'a := ARRAY(SELECT amount FROM ca_order WHERE account = who ORDER BY id);']) WITH ORDINALITY u(s, i) ORDER BY i;
SELECT s, pg_temp.st('SELECT ' || s || ' INTO t FROM ca_order WHERE account = who;') FROM unnest(ARRAY['string_agg(note, '','')', 'string_agg(note, '','' ORDER BY note)',
  'string_agg(note, '','' ORDER BY amount)', 'string_agg(note, '','' ORDER BY amount, id)', 'array_agg(id)', 'array_agg(DISTINCT id)', 'jsonb_agg(amount ORDER BY id)',
  'jsonb_agg(amount)', 'jsonb_object_agg(id, amount)', 'sum(amount)', 'avg(units)', 'count(*)', 'max(placed)', 'sum(units::float8)', 'sum(units::float8 ORDER BY id)',
  'percentile_cont(0.5) WITHIN GROUP (ORDER BY units)']) WITH ORDINALITY u(s, i) ORDER BY i;
SELECT s, pg_temp.st('PERFORM ' || s || ' FROM ca_order WHERE account = who;') FROM unnest(ARRAY['row_number() OVER (ORDER BY amount)', 'row_number() OVER (ORDER BY id)',
  'rank() OVER (ORDER BY amount)', 'lag(id) OVER (PARTITION BY account ORDER BY placed)', 'sum(amount) OVER (ORDER BY placed)',
  'sum(amount) OVER (ORDER BY amount ROWS UNBOUNDED PRECEDING)', 'first_value(id) OVER (PARTITION BY units)']) WITH ORDINALITY u(s, i) ORDER BY i;
SELECT pg_temp.body('SELECT id FROM ca_order WHERE units = 1', '', 'SETOF bigint', 'sql'), pg_temp.body('SELECT id FROM ca_order WHERE units = 1 ORDER BY id', '', 'SETOF bigint', 'sql'),
       pg_temp.body(E'BEGIN\n RETURN QUERY SELECT id FROM ca_order WHERE units = 1; END', '', 'SETOF bigint');
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['UPDATE ca_account c SET balance = o.amount FROM ca_order o WHERE o.account = c.id AND c.owner = who;',
  'UPDATE ca_order o SET note = c.owner FROM ca_account c WHERE o.account = c.id AND c.owner = who;',
  'UPDATE ca_account c SET balance = s.x FROM (SELECT account, sum(amount) AS x FROM ca_order WHERE units = k GROUP BY account) s WHERE s.account = c.id;'])
  WITH ORDINALITY u(s, i) ORDER BY i;

-- arithmetic
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['n := 1 / k;', 'n := 1 / 0;', 'n := 10 % k;', 'n := mod(10, k);', 'n := 1 / 2;', 'n := 1 / nullif(k, 0);',
  'IF k <> 0 THEN n := 1 / k; END IF;', 'IF k = 0 THEN RAISE ''no''; END IF; n := 1 / k;', 'IF k < 0 THEN RAISE ''no''; END IF; n := 1 / k;',
  'IF k <= 0 THEN RAISE ''no''; END IF; n := 1 / k;', 'IF amt > 0 AND 1 / amt < 3 THEN NULL; END IF;', 'IF amt > 5 OR 1 / amt < 3 THEN NULL; END IF;',
  'n := CASE WHEN k > 3 THEN 1 / k ELSE 1 END;', 'n := CASE WHEN k > 3 THEN 1 ELSE 1 / k END;', 'n := 1 / greatest(k, 1);', 'n := 1 / (abs(k) + 1);',
  'IF k = 0 THEN RAISE NOTICE ''no''; END IF; n := 1 / k;', 'IF k <> 0 THEN k := 0 + i; n := 1 / k; END IF;', 'IF amt::int > 0 THEN n := 1 / amt; END IF;',
  'IF coalesce(k, 0) = 0 THEN RAISE ''no''; END IF; n := 1 / k;', 'i := 7; n := 1 / i;', 'SELECT sum(amount / units) INTO n FROM ca_order WHERE account = who;',
  'SELECT sum(amount / units) INTO n FROM ca_order WHERE account = who AND units > 0;', 'SELECT sum(1 / share) INTO n FROM ca_account WHERE owner = who;',
  'FOR i IN 0..3 LOOP n := 1 / i; END LOOP;', 'IF k = 0 OR amt IS NULL THEN RAISE ''no''; END IF; n := amt / k;'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['i := k * 3;', 'i := k + k;', 'i := k + 1;', 'n := amt * 3;', 'n := k::numeric * 3;', 'i := big::int;', 'big := big * big;', 'big := k * 3::bigint;',
  'IF k > 100 THEN RAISE ''no''; END IF; i := k * 3;', 'IF k BETWEEN 1 AND 5 THEN i := k * 3; END IF;', 'IF k IN (1, 2) THEN i := k * 3; END IF;',
  'IF k < 1 THEN RAISE ''no''; END IF; i := k * 3;', 'IF k < 9 OR amt > 0 THEN i := k * 3; END IF;', 'IF k < 9 OR k = 20 THEN i := k * 3; END IF;', 'i := k - i;', 'IF k > i THEN RAISE ''no''; END IF; i := i - k;', 'i := length(who) * 3;'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT pg_temp.tr('i := NEW.units * 1000;'), pg_temp.tr('i := OLD.units * 1000;'), pg_temp.tr('n := NEW.amount * 1000;');
SELECT pg_temp.body('DECLARE price float8; BEGIN price := 1; END'), pg_temp.body('BEGIN END', 'amount real'), pg_temp.body('DECLARE angle float8; BEGIN angle := 1; END'),
       pg_temp.st('n := amt * 0.5::float8;'), pg_temp.st('n := amt * 0.5;'), pg_temp.st('SELECT rate INTO STRICT n FROM ca_account WHERE id = who;');

-- loops and scans
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['LOOP i := 1; END LOOP;', 'LOOP i := i + 1; EXIT WHEN i > 5; END LOOP;', 'LOOP i := i + 1; EXIT WHEN k > 5; END LOOP;',
  'LOOP EXIT; END LOOP;', 'LOOP IF i > 3 THEN RETURN; END IF; i := i + 1; END LOOP;', 'LOOP LOOP EXIT; END LOOP; END LOOP;', '<<x>> LOOP LOOP EXIT x; END LOOP; END LOOP;',
  'WHILE true LOOP i := 1; END LOOP;', 'WHILE i < 5 LOOP n := 1; END LOOP;', 'WHILE i < 5 LOOP i := i + 1; END LOOP;', 'WHILE i < k LOOP i := i + 1; END LOOP;',
  'WHILE EXISTS (SELECT FROM ca_order WHERE id = i) LOOP i := i + 1; END LOOP;', 'FOR i IN 1..k LOOP NULL; END LOOP;', 'FOR i IN 1..10 LOOP NULL; END LOOP;',
  'IF k > 10 THEN RAISE ''no''; END IF; FOR i IN 1..k LOOP NULL; END LOOP;', 'FOR i IN 1..array_length(a, 1) LOOP NULL; END LOOP;', 'FOREACH n IN ARRAY a LOOP NULL; END LOOP;',
  'PERFORM count(*) FROM generate_series(1, k);',
  'PERFORM 1 FROM (WITH RECURSIVE x AS (SELECT 1 AS d UNION ALL SELECT d + 1 FROM x) SELECT * FROM x WHERE d < 3) s;',
  'PERFORM 1 FROM (WITH RECURSIVE x AS (SELECT 1 AS d UNION ALL SELECT d + 1 FROM x WHERE d < 9) SELECT * FROM x) s;'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT s, pg_temp.tr(s) FROM unnest(ARRAY['DELETE FROM ca_account;', 'DELETE FROM ca_account WHERE id = NEW.account;', 'SELECT count(*) INTO i FROM ca_account;',
  'SELECT max(id) INTO t FROM ca_account;', 'PERFORM 1 FROM ca_account LIMIT 1;', 'SELECT count(*) INTO i FROM ca_account a JOIN ca_order o ON o.account = a.id WHERE o.id = NEW.id;',
  'SELECT count(*) INTO i FROM ca_account a, ca_order o WHERE o.id = NEW.id AND o.amount = NEW.amount;', 'SELECT balance INTO STRICT n FROM ca_account;'])
  WITH ORDINALITY u(s, i) ORDER BY i;

-- triggers that fire themselves; a way to the end without RETURN
SELECT s, pg_temp.tr(s) FROM unnest(ARRAY['UPDATE ca_order SET note = ''x'' WHERE id = NEW.id AND units = NEW.units;',
  'IF NEW.note IS NULL THEN UPDATE ca_order SET note = ''x'' WHERE id = NEW.id AND units = NEW.units; END IF;'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT pg_temp.body('BEGIN IF k > 1 THEN RETURN 1; END IF; END', 'k integer', 'integer'), pg_temp.body('BEGIN IF k > 1 THEN RETURN 1; ELSE RAISE ''no''; END IF; END', 'k integer', 'integer'),
       pg_temp.body('BEGIN LOOP RETURN 1; END LOOP; END', '', 'integer'), pg_temp.body('BEGIN CASE k WHEN 1 THEN RETURN 1; WHEN 2 THEN RETURN 2; END CASE; END', 'k integer', 'integer');

-- whoever calls
SELECT pg_temp.st('UPDATE ca_account SET balance = amt WHERE id = who;'), pg_temp.tr('UPDATE ca_account SET balance = 1 WHERE id = NEW.account;'),
       pg_temp.body('UPDATE ca_account SET balance = 1 WHERE id = who', 'who text', 'void', 'sql');

-- what nobody counts the nesting of: told as the position refuses it; CONSTANT literals count as literals
SELECT rule, severity, line, message, hint FROM dadbs.analyze_contract(E'DECLARE j jsonb;\nBEGIN\n  SELECT who INTO j;\nEND', arguments => 'who text', returns => 'void');
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['b := who ~ t;', 'b := who ~ ''^a'';', 'b := who ~ (''^'' || ''a'');', 'b := who SIMILAR TO t;', 'b := who LIKE t;', 'b := who LIKE ANY (ARRAY[t]);',
  't := regexp_replace(who, t, '''');', 't := regexp_replace(who, ''a'', t);', 't := substring(who from t);', 'b := to_tsvector(''simple'', who) @@ to_tsquery(''simple'', t);',
  'b := to_tsvector(''simple'', who) @@ ''a & b'';', 'b := jsonb_path_exists(who::jsonb, t::jsonpath);', 'b := jsonb_path_exists(who::jsonb, ''$.a'');', 't := who::json ->> ''a'';',
  't := jsonb_in(textout(who))::text;', 't := who::jsonb[]::text;', 'PERFORM 1 FROM ca_order WHERE id = k AND note ~ who;', 'PERFORM 1 FROM ca_order WHERE id = k AND note ~ ''x'';'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT s, pg_temp.body('DECLARE j jsonb; r record; t text; k refcursor; BEGIN ' || s || ' END', 'who text') FROM unnest(ARRAY['j := who;', 'SELECT who INTO j;',
  'SELECT who::jsonb INTO j;', 'SELECT ''{}'' INTO j;', 'SELECT who INTO r.f;', 'FOREACH j IN ARRAY ARRAY[who] LOOP t := j; END LOOP;', 'DECLARE i jsonb := who; BEGIN t := i; END;',
  'DECLARE i jsonb := who::jsonb; BEGIN t := i; END;', 'OPEN k FOR SELECT who; FETCH k INTO j;', 'OPEN k FOR SELECT who; FETCH k INTO t;'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT pg_temp.body('BEGIN RETURN who; END', 'who text', 'jsonb') AS returned, pg_temp.body('BEGIN RETURN who || ''''; END', 'who text', 'jsonb') AS returned_too,
       pg_temp.body('BEGIN RETURN who::jsonb; END', 'who text', 'jsonb') AS cast_first, pg_temp.body('SELECT who ~ t', 'who text, t text', 'boolean', 'sql') AS in_sql,
       pg_temp.tr('IF NEW.note ~ NEW.account THEN RAISE ''no''; END IF;') AS of_new, pg_temp.tr('IF NEW.unknown ~ ''^a'' THEN RAISE ''no''; END IF;') AS of_no_table;
CREATE DOMAIN ca_json AS text CHECK (VALUE::json IS NOT NULL);
CREATE DOMAIN ca_shape AS text;
CREATE TABLE ca_checked (id bigint PRIMARY KEY, v text CHECK (v::jsonb IS NOT NULL), shape text, short varchar(9));
SELECT pg_temp.st('INSERT INTO ca_checked VALUES (k, who);') AS hidden_in_a_table, pg_temp.st('t := who::ca_json;') AS hidden_in_a_domain,
       pg_temp.body('DECLARE d ca_json := who; BEGIN PERFORM d; END', 'who text') AS hidden_in_a_variable;
SELECT d, pg_temp.body('DECLARE o text := who; ' || d || ' BEGIN PERFORM who ~ c; END', 'who text') FROM unnest(ARRAY['c CONSTANT text := ''^a'';', 'c CONSTANT text DEFAULT ''^a'';',
  'c CONSTANT text NOT NULL = E''^\\d'';', 'c CONSTANT text COLLATE "C" := ''^a'';', 'c CONSTANT ca_checked.shape%TYPE := ''^a'';', 'c text := ''^a'';', 'd CONSTANT text := ''^a''; c text := ''^a'';', 'c CONSTANT text;',
  'c CONSTANT text := NULL;', 'c CONSTANT text := ''^'' || ''a'';', 'c CONSTANT text := ''^a''::text;', 'c CONSTANT text := (SELECT ''^a'');', 'c CONSTANT text := ''^a'' FROM ca_account;',
  'c CONSTANT text := ''^a'' WHERE who <> '''';', 'c CONSTANT text := who;', 'c CONSTANT text := o;', 'd CONSTANT text := ''^a''; c CONSTANT text := d;', 'c CONSTANT varchar := ''^a'';',
  'c CONSTANT varchar(2) := ''^abc'';', 'c CONSTANT char(4) := ''^a'';', 'c CONSTANT ca_shape := ''^a'';', 'c CONSTANT ca_checked.short%TYPE := ''^a'';', 'd CONSTANT text := ''^a''; c ALIAS FOR d;',
  'c ALIAS FOR who;']) WITH ORDINALITY u(d, i) ORDER BY i;
SELECT d, pg_temp.body('DECLARE ' || d || ' END', 'who text') FROM unnest(ARRAY['c CONSTANT jsonpath := ''$.a''; BEGIN PERFORM jsonb_path_exists(''{}'', c);',
  'c CONSTANT tsquery := ''a & b''; BEGIN PERFORM to_tsvector(''simple'', who) @@ c;', 'c CONSTANT text := ''a & b''; BEGIN PERFORM to_tsvector(''simple'', who) @@ to_tsquery(''simple'', c);',
  'c CONSTANT text := ''^a''; BEGIN DECLARE c text := who; BEGIN PERFORM who ~ c; END;', 'c text := who; BEGIN DECLARE c CONSTANT text := ''^a''; BEGIN PERFORM who ~ c; END;',
  'c CONSTANT text := ''^a''; BEGIN DECLARE c text := who; BEGIN NULL; END; PERFORM who ~ c;', 'c CONSTANT text := ''^a''; BEGIN DECLARE b boolean := who ~ c; c text := who; BEGIN NULL; END;',
  'c CONSTANT text := ''^a''; BEGIN DECLARE c text := who; b boolean := who ~ c; BEGIN NULL; END;', 'who CONSTANT text := ''^a''; BEGIN PERFORM ''a'' ~ who;',
  'c CONSTANT text := ''^a''; BEGIN FOR c IN 1..2 LOOP PERFORM who ~ c::text; END LOOP;', 'c CONSTANT text := ''^a''; BEGIN FOR i IN 1..2 LOOP PERFORM who ~ c; END LOOP;',
  'a text[] := ARRAY[who]; c text; BEGIN FOREACH c IN ARRAY a LOOP PERFORM who ~ c; END LOOP;', 'c CONSTANT text := ''^a''; k CURSOR (c text) FOR SELECT who ~ c; BEGIN OPEN k(who);',
  'c CONSTANT text := ''^a''; k CURSOR (d text) FOR SELECT d ~ c; BEGIN OPEN k(who);', 'c CONSTANT jsonpath := ''$$$''; BEGIN PERFORM jsonb_path_exists(''{}'', c);',
  'c CONSTANT text := ''^a''; BEGIN c := who;', 'c CONSTANT text := ''^a''; BEGIN SELECT who INTO c;']) WITH ORDINALITY u(d, i) ORDER BY i;
DROP TABLE ca_checked;
DROP DOMAIN ca_json, ca_shape;

-- records take the shape of what is assigned to them; a table that is not known
SELECT s, pg_temp.st(s) FROM unnest(ARRAY['SELECT * INTO STRICT r FROM ca_order WHERE id = k; n := r.amount; t := r.nothing;', 'SELECT * INTO STRICT row FROM ca_order WHERE id = k; n := row.amount / row.units;',
  'FOR r IN SELECT id, 1 AS one FROM ca_order WHERE units = k ORDER BY id LOOP i := r.one; i := r.two; END LOOP;'])
  WITH ORDINALITY u(s, i) ORDER BY i;
SELECT pg_temp.tr('IF NEW.unknown_a > 5 AND NEW.unknown_b = ''x'' AND NEW.unknown_a + OLD.unknown_a > random() THEN RAISE ''no''; END IF;'),
       pg_temp.tr('n := NEW.unknown_a + NEW.unknown_b;');

-- nothing was run, nothing was left behind
SELECT count(*) FROM pg_proc WHERE proname IN ('contract', 'c') AND pronamespace <> 'dadbs'::regnamespace;
SELECT count(*) FROM ca_account;
BEGIN READ ONLY;
SELECT rule FROM dadbs.analyze_contract('BEGIN DELETE FROM ca_account; RETURN NULL; END');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_transaction_id, count(*) AS locks FROM pg_locks
  WHERE pid = pg_backend_pid() AND relation = 'ca_account'::regclass;
COMMIT;

-- a cancel is an error of this server, and leaves the session as any other
SET statement_timeout = '20ms';
SELECT count(*) FROM dadbs.analyze_contract('BEGIN ' || repeat('LOOP ', 3000) || 'EXIT; ' || repeat('END LOOP; ', 3000) || 'END', returns => 'void');
RESET statement_timeout;
SELECT rule, line FROM dadbs.analyze_contract('BEGIN PERFORM random(); END', returns => 'void');
BEGIN;
SAVEPOINT before;
SET LOCAL statement_timeout = '20ms';
SELECT count(*) FROM dadbs.analyze_contract('BEGIN ' || repeat('LOOP ', 3000) || 'EXIT; ' || repeat('END LOOP; ', 3000) || 'END', returns => 'void');
ROLLBACK TO before;
SELECT rule, line FROM dadbs.analyze_contract('BEGIN PERFORM random(); END', returns => 'void');
COMMIT;
-- from PL/pgSQL, whose compiler is used
DO $$ BEGIN
  PERFORM * FROM dadbs.analyze_contract('BEGIN x', returns => 'void');
  RAISE NOTICE 'goes on: %', (SELECT rule FROM dadbs.analyze_contract('DECLARE i int := 1; BEGIN i := i / 0; END', returns => 'void'));
END $$;
SELECT rule FROM dadbs.analyze_contract('BEGIN RAISE NOTICE ''%'', repeat(''x'', 2000000000); END', returns => 'void');

DROP VIEW ca_view;
DROP TABLE ca_order, ca_account, ca_serial, ca_identity;
DROP FUNCTION ca_twice, ca_liar, ca_volatile;
DROP ROLE ca_reader;
