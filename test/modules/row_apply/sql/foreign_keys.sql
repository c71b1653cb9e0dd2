-- Foreign keys of every kind, from both sides.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE TABLE parent (id int PRIMARY KEY, code text UNIQUE, note text);
CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent, code text REFERENCES parent (code), note text);
INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
SELECT rt.try(rt.ins(ROW(1, 1, 'b', NULL)::child)), rt.try(rt.ins(ROW(2, 9, 'b', NULL)::child)),
       rt.try(rt.ins(ROW(2, 1, 'z', NULL)::child)), rt.try(rt.ins(ROW(2, NULL, NULL, NULL)::child));
SELECT rt.try(rt.upd(ROW(1, 1, 'b', NULL)::child, ROW(1, 2, 'b', 'n')::child)),
       rt.try(rt.upd(ROW(1, 2, 'b', NULL)::child, ROW(1, 7, 'b', 'n')::child));
SELECT rt.try(rt.del(p)) FROM parent p WHERE id = 2;
SELECT rt.try(rt.upd(p, ROW(20, 'b', NULL)::parent)), rt.try(rt.upd(p, ROW(2, 'bb', NULL)::parent)),
       rt.try(rt.upd(p, ROW(2, 'b', 'content only')::parent)) FROM parent p WHERE id = 2;
SELECT rt.try(rt.del(p)) FROM parent p WHERE id = 3;
-- in any order within a write set: parent after child, cascades by themselves, a key that moves
SELECT rt.try(rt.ins(ROW(5, 50, 'x', NULL)::child), rt.ins(ROW(50, 'x', NULL)::parent)),
       rt.try(rt.ins(ROW(6, 60, 'x', NULL)::child), rt.del(ROW(6, 60, 'x', NULL)::child)),
       rt.try(rt.ins(ROW(6, 60, 'x', NULL)::child), rt.upd(ROW(6, 60, 'x', NULL)::child, ROW(6, 50, 'x', NULL)::child)),
       rt.try(rt.ins(ROW(7, 70, 'x', NULL)::child), rt.upd(ROW(7, 70, 'x', NULL)::child, ROW(7, 70, 'x', 'n')::child));
SELECT rt.try(rt.del(ROW(50, 'x', NULL)::parent), rt.del(ROW(5, 50, 'x', NULL)::child),
              rt.upd(ROW(6, 50, 'x', NULL)::child, ROW(6, NULL, NULL, NULL)::child)),
       rt.try(rt.del(ROW(2, 'b', NULL)::parent), rt.ins(ROW(2, 'b', 'again')::parent)),
       rt.try(rt.upd(ROW(2, 'b', NULL)::parent, ROW(22, 'b', NULL)::parent), rt.ins(ROW(2, 'other', NULL)::parent));
TABLE parent ORDER BY id;
TABLE child ORDER BY id;
-- referring to itself
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree);
SELECT rt.try(rt.ins(ROW(1, 2)::tree), rt.ins(ROW(2, 3)::tree), rt.ins(ROW(3, 3)::tree)),
       rt.try(rt.ins(ROW(4, 4)::tree)), rt.try(rt.ins(ROW(5, 6)::tree)), rt.try(rt.del(ROW(2, 3)::tree)),
       rt.try(rt.del(ROW(4, 4)::tree)), rt.try(rt.del(ROW(3, 3)::tree), rt.del(ROW(2, 3)::tree), rt.del(ROW(1, 2)::tree));
TABLE tree;
-- several columns, MATCH FULL and SIMPLE, columns in another order
CREATE TABLE pair (a int, b text, UNIQUE (b, a), k int PRIMARY KEY);
CREATE TABLE pair_full (id int PRIMARY KEY, x int, y text, FOREIGN KEY (x, y) REFERENCES pair (a, b) MATCH FULL);
CREATE TABLE pair_simple (id int PRIMARY KEY, y text, x int, FOREIGN KEY (x, y) REFERENCES pair (a, b));
CREATE INDEX ON pair_simple (y, x);
INSERT INTO pair VALUES (1, 'one', 1), (2, 'two', 2);
SELECT rt.try(rt.ins(ROW(1, 1, 'one')::pair_full)), rt.try(rt.ins(ROW(2, 1, 'two')::pair_full)),
       rt.try(rt.ins(ROW(3, 1, NULL)::pair_full)), rt.try(rt.ins(ROW(4, NULL, NULL)::pair_full));
SELECT rt.try(rt.ins(ROW(1, 'two', 2)::pair_simple)), rt.try(rt.ins(ROW(2, 'two', 1)::pair_simple)),
       rt.try(rt.ins(ROW(3, 'zero', NULL)::pair_simple));
SELECT rt.try(rt.del(p)) FROM pair p ORDER BY k;
-- types that differ
CREATE TABLE wide (id bigint PRIMARY KEY, n numeric UNIQUE, t text UNIQUE, ts timestamp UNIQUE, v varchar(9) UNIQUE);
CREATE TABLE narrow (id int PRIMARY KEY, s smallint REFERENCES wide (id), n int REFERENCES wide (n), t bpchar(5) REFERENCES wide (t),
    d date REFERENCES wide (ts), nm name REFERENCES wide (t), v text REFERENCES wide (v));
INSERT INTO wide VALUES (1, 1.00, 'one', '2020-01-01', 'v1');
SELECT rt.try(rt.ins(ROW(1, 1, 1, 'one', '2020-01-01', 'one', 'v1')::narrow)),
       rt.try(rt.ins(ROW(2, 2, NULL, NULL, NULL, NULL, NULL)::narrow)), rt.try(rt.ins(ROW(2, NULL, 2, NULL, NULL, NULL, NULL)::narrow)),
       rt.try(rt.ins(ROW(2, NULL, NULL, 'two', NULL, NULL, NULL)::narrow)),
       rt.try(rt.ins(ROW(2, NULL, NULL, NULL, '2020-01-02', NULL, NULL)::narrow)),
       rt.try(rt.ins(ROW(2, NULL, NULL, NULL, NULL, NULL, 'v2')::narrow));
SELECT rt.try(rt.del(w)), rt.try(rt.upd(w, ROW(1, 1.0, 'one', '2020-01-01', 'v1')::wide)),
       rt.try(rt.upd(w, ROW(1, 1.1, 'one', '2020-01-01', 'v1')::wide)) FROM wide w;
UPDATE narrow SET s = NULL, n = NULL, d = NULL, nm = NULL, v = NULL;
SELECT rt.try(rt.del(w)) FROM wide w;
UPDATE narrow SET t = NULL;
SELECT rt.try(rt.del(w)) FROM wide w;
-- partitioned on both sides, also below the root
CREATE TABLE years (y int, id int, PRIMARY KEY (y, id)) PARTITION BY RANGE (y);
CREATE TABLE years_old PARTITION OF years FOR VALUES FROM (0) TO (2000);
CREATE TABLE years_new (id int NOT NULL, y int NOT NULL);
ALTER TABLE years ATTACH PARTITION years_new FOR VALUES FROM (2000) TO (3000);
CREATE TABLE refs (id int, y int, x int, PRIMARY KEY (id), FOREIGN KEY (y, x) REFERENCES years (y, id)) PARTITION BY HASH (id);
CREATE TABLE refs_0 PARTITION OF refs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE refs_1 (x int, id int NOT NULL, y int);
ALTER TABLE refs ATTACH PARTITION refs_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO years VALUES (1999, 1), (2001, 1), (1500, 5);
SELECT satisfies_hash_partition('refs'::regclass, 2, 0, 1) AS one_in_0, satisfies_hash_partition('refs'::regclass, 2, 0, 3) AS three_in_0;
SELECT rt.try(rt.ins(ROW(1, 1999, 1)::refs_0)), rt.try(rt.ins(ROW(1, 3, 2001)::refs_1)), rt.try(rt.ins(ROW(1, 3, 2002)::refs_1)),
       rt.try(rt.ins(ROW(12, 1998, 1)::refs_0));
SELECT rt.try(rt.del(ROW(1999, 1)::years_old)), rt.try(rt.del(ROW(1, 2001)::years_new)), rt.try(rt.del(ROW(1500, 5)::years_old));
-- the parent row moves to another partition and keeps its key for a moment only
SELECT rt.try(rt.del(ROW(1999, 1)::years_old), rt.ins(ROW(1, 2999)::years_new)),
       rt.try(rt.del(ROW(1999, 1)::years_old), rt.ins(ROW(1999, 1)::years_old));
TABLE years ORDER BY 1;
-- NOT VALID: an orphan stays as long as its key is left alone
CREATE TABLE orphan (id int PRIMARY KEY, parent_id int, n numeric, note text);
CREATE TABLE numbers (n numeric PRIMARY KEY);
INSERT INTO orphan VALUES (1, 999, 5.0, NULL);
ALTER TABLE orphan ADD FOREIGN KEY (parent_id) REFERENCES parent NOT VALID, ADD FOREIGN KEY (n) REFERENCES numbers NOT VALID;
SELECT rt.try(rt.upd(o, ROW(1, 999, 5.0, 'note')::orphan)), rt.try(rt.upd(o, ROW(1, 999, 5.000, 'note')::orphan)),
       rt.try(rt.upd(o, ROW(1, 998, 5.0, 'note')::orphan)), rt.try(rt.upd(o, ROW(1, 999, 6.0, 'note')::orphan)) FROM orphan o;
-- disabled by the chain: not checked; enabled again: checked
ALTER TABLE child DISABLE TRIGGER ALL;
SELECT rt.try(rt.ins(ROW(80, 80, 'nobody', NULL)::child));
ALTER TABLE child ENABLE TRIGGER ALL;
SELECT rt.try(rt.ins(ROW(81, 81, 'nobody', NULL)::child));
ALTER TABLE parent DISABLE TRIGGER ALL;
SELECT rt.try(rt.del(p)) FROM parent p WHERE id = 1;
ALTER TABLE parent ENABLE TRIGGER ALL;
-- row security does not hide the parent
CREATE ROLE rt_fk;
ALTER TABLE parent OWNER TO rt_fk;
ALTER TABLE child OWNER TO rt_fk;
ALTER TABLE parent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT rt.try(rt.ins(ROW(90, 22, 'b', NULL)::child)), rt.try(rt.ins(ROW(91, 91, 'b', NULL)::child));
-- the parent is locked: a session that deletes it would wait. (The lock is seen in its row.)
BEGIN;
SELECT rt.try(rt.ins(ROW(92, 22, 'b', NULL)::child));
SELECT id, xmax <> 0 AS locked FROM parent WHERE id = 22;
ROLLBACK;
DROP TABLE child, orphan, numbers, parent, tree, pair_full, pair_simple, pair, narrow, wide, refs, years;
DROP ROLE rt_fk;
