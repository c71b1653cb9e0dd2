"""The conflict matrix's material: kinds of tables, operations on them, what an operation does to which key.

A kind is a family of related tables; its operations all aim at the same few rows, so most pairs of them meet. Rows belong to a
case by the column `c`; keys and values are made of the case's number, so that cases in the same tables never meet. {s} is the
suffix of the tables' names (empty where the tables are those of all cases), {c} the number, {k0} to {k9} ten keys of the case.

What an operation does is written down by hand, in the terms of docs/limitations.md, and is what outcomes are judged by. It is
on purpose no call of the certifier: "E:key" existence (inserted, deleted, re-keyed), "C:key" content, "R:key" refers to it,
"S:value" takes a value of a constraint that has no keys (partial, expression, exclusion, deferrable), "K:key" locks a key without
changing what it is equal to, "P:def" refers to a parent's definition, "L:def" is a definition alone in its transaction. The relation and its definition are added from the
tables that an operation writes.
"""
from dataclasses import dataclass, field


@dataclass
class Op:
    name: str
    sql: list
    effects: set
    lone: bool = False      # a definition that takes its turn first
    own_tables: bool = False  # concerns whole tables: no other case may use them
    deferred: bool = False  # locks a parent only at its COMMIT, when its deferred check runs


@dataclass
class Kind:
    name: str
    create: list
    tables: list            # parents first
    setup: list
    parents: dict = field(default_factory=dict)  # table -> tables that its foreign keys refer to
    ops: list = field(default_factory=list)

    @property
    def drops(self):
        """What to drop so that all of create is gone."""
        types = [s.split()[2] for s in self.create if s.startswith("CREATE TYPE")]
        return [f"{table}{{s}}" for table in self.tables] + types

    def op(self, name, sql, effects, writes=None, deferred=False):
        """writes: the tables that get row changes, by default the first."""
        effects = set(effects.split())
        for table in (writes or self.tables[0]).split():
            effects |= {f"R:rel.{table}", f"R:def.{table}"} | {f"P:def.{p}" for p in self.parents.get(table, ())}
        self.ops.append(Op(name, [sql] if isinstance(sql, str) else sql, effects, deferred=deferred))

    def truncate(self, name, sql, tables):
        effects = {f"E:rel.{t}" for t in tables.split()} | {f"R:def.{t}" for t in tables.split()}
        self.ops.append(Op(name, [sql], effects, own_tables=True))

    def ddl(self, name, sql, table):
        """The same definition alone, and in a block beside nothing else."""
        self.ops.append(Op(f"{name} alone", [sql], {f"L:def.{table}"}, lone=True, own_tables=True))
        self.ops.append(Op(f"{name} in a block", ["SELECT 1", sql], {f"E:def.{table}"}, own_tables=True))


def composite():
    k = Kind("composite", ["CREATE TABLE composite{s} (c int, a int, b text, v int DEFAULT 0, PRIMARY KEY (a, b))"], ["composite"],
             ["INSERT INTO composite{s} VALUES ({c}, {k1}, 'x'), ({c}, {k1}, 'y')"])
    k.op("insert", "INSERT INTO composite{s} VALUES ({c}, {k1}, 'z', 1)", "E:z")
    k.op("insert another", "INSERT INTO composite{s} VALUES ({c}, {k2}, 'x', 1)", "E:2x")
    k.op("update key", "UPDATE composite{s} SET b = 'z' WHERE a = {k1} AND b = 'x'", "E:x E:z")
    k.op("update other", "UPDATE composite{s} SET v = v + 10 WHERE a = {k1} AND b = 'x'", "C:x")
    k.op("update both rows", "UPDATE composite{s} SET v = v + 100 WHERE a = {k1} AND b IN ('x', 'y')", "C:x C:y")
    k.op("delete", "DELETE FROM composite{s} WHERE a = {k1} AND b = 'x'", "E:x")
    k.op("upsert new", "INSERT INTO composite{s} VALUES ({c}, {k1}, 'z', 2) ON CONFLICT (a, b) DO UPDATE SET v = composite{s}.v + 1000", "E:z")
    k.op("upsert old", "INSERT INTO composite{s} VALUES ({c}, {k1}, 'x', 2) ON CONFLICT (a, b) DO UPDATE SET v = composite{s}.v + 1000", "C:x")
    k.truncate("truncate", "TRUNCATE composite{s}", "composite")
    k.ddl("add column", "ALTER TABLE composite{s} ADD COLUMN w int DEFAULT 7", "composite")
    k.ddl("create index", "CREATE INDEX composite_v{s} ON composite{s} (v)", "composite")
    return k


def uniques():
    k = Kind("uniques", [
        "CREATE TABLE uniques{s} (c int, id int PRIMARY KEY, u text UNIQUE, n int UNIQUE, live boolean, p int, e text, "
        "d int UNIQUE DEFERRABLE INITIALLY DEFERRED, v int DEFAULT 0)",
        "CREATE UNIQUE INDEX uniques_p{s} ON uniques{s} (p) WHERE live", "CREATE UNIQUE INDEX uniques_e{s} ON uniques{s} (lower(e))"],
        ["uniques"],
        ["INSERT INTO uniques{s} VALUES ({c}, {k1}, 'u{k1}', NULL, true, {k1}, 'E{k1}', {k1}), "
         "({c}, {k2}, 'u{k2}', NULL, false, {k1}, 'E{k2}', {k2})"])

    def insert(name, key, columns, values, effects):
        k.op(name, f"INSERT INTO uniques{{s}} (c, id{columns}) VALUES ({{c}}, {{k{key}}}{values})", f"E:{key} {effects}")
    insert("insert key", 3, "", "", "")
    insert("insert unique", 4, ", u", ", 'new{c}'", "E:u.new")
    insert("insert unique again", 5, ", u", ", 'new{c}'", "E:u.new")
    insert("insert null", 6, ", n", ", NULL", "")
    insert("insert number", 7, ", n", ", {k7}", "E:n.7")
    insert("insert partial", 4, ", live, p", ", true, {k9}", "S:p9")
    insert("insert partial again", 5, ", live, p", ", true, {k9}", "S:p9")
    insert("insert dead partial", 6, ", live, p", ", false, {k9}", "")
    insert("insert expression", 4, ", e", ", 'New{c}'", "S:e.new")
    insert("insert expression again", 5, ", e", ", 'nEW{c}'", "S:e.new")
    insert("insert deferred", 4, ", d", ", {k9}", "S:d9")
    insert("insert deferred again", 5, ", d", ", {k9}", "S:d9")
    k.op("update key", "UPDATE uniques{s} SET id = {k9} WHERE id = {k1}", "E:1 E:9")
    k.op("update unique", "UPDATE uniques{s} SET u = 'new{c}' WHERE id = {k1}", "C:1 E:u.1 E:u.new")
    k.op("update to null", "UPDATE uniques{s} SET u = NULL WHERE id = {k1}", "C:1 E:u.1")
    k.op("update null to number", "UPDATE uniques{s} SET n = {k7} WHERE id = {k2}", "C:2 E:n.7")
    k.op("update into partial", "UPDATE uniques{s} SET live = true, p = {k9} WHERE id = {k2}", "C:2 S:p9")
    k.op("update other", "UPDATE uniques{s} SET v = v + 10 WHERE id = {k1}", "C:1")
    k.op("swap deferred", "UPDATE uniques{s} SET d = CASE id WHEN {k1} THEN {k2} ELSE {k1} END WHERE id IN ({k1}, {k2})", "C:1 C:2")
    k.op("delete", "DELETE FROM uniques{s} WHERE id = {k1}", "E:1 E:u.1")
    k.op("upsert new", "INSERT INTO uniques{s} (c, id, u) VALUES ({c}, {k4}, 'new{c}') ON CONFLICT (u) DO UPDATE SET v = uniques{s}.v + 100", "E:4 E:u.new")
    k.op("upsert old", "INSERT INTO uniques{s} (c, id, u) VALUES ({c}, {k4}, 'u{k1}') ON CONFLICT (u) DO UPDATE SET v = uniques{s}.v + 100", "C:1")
    k.op("reuse value", ["DELETE FROM uniques{s} WHERE id = {k1}", "INSERT INTO uniques{s} (c, id, u) VALUES ({c}, {k8}, 'u{k1}')"], "E:1 E:u.1 E:8")
    k.truncate("truncate", "TRUNCATE uniques{s}", "uniques")
    k.ddl("add check", "ALTER TABLE uniques{s} ADD CHECK (v >= 0)", "uniques")
    return k


def selfref():
    k = Kind("selfref", ["CREATE TABLE selfref{s} (c int, id int PRIMARY KEY, up int REFERENCES selfref{s} ON DELETE CASCADE ON UPDATE CASCADE, v int DEFAULT 0)",
                         "CREATE INDEX selfref_up{s} ON selfref{s} (up)"], ["selfref"],
             ["INSERT INTO selfref{s} VALUES ({c}, {k1}, NULL), ({c}, {k2}, {k1}), ({c}, {k3}, {k2})"])
    k.op("insert root", "INSERT INTO selfref{s} VALUES ({c}, {k5}, NULL)", "E:5")
    k.op("insert child", "INSERT INTO selfref{s} VALUES ({c}, {k5}, {k1})", "E:5 R:1")
    k.op("insert grandchild", "INSERT INTO selfref{s} VALUES ({c}, {k6}, {k2})", "E:6 R:2")
    k.op("insert chain", "INSERT INTO selfref{s} VALUES ({c}, {k6}, {k7}), ({c}, {k7}, {k3})", "E:6 E:7 R:3")
    k.op("update root", "UPDATE selfref{s} SET v = v + 10 WHERE id = {k1}", "C:1")
    k.op("update middle", "UPDATE selfref{s} SET v = v + 10 WHERE id = {k2}", "C:2 R:1")
    k.op("update key", "UPDATE selfref{s} SET id = {k7} WHERE id = {k3}", "E:3 E:7 R:2")
    k.op("move", "UPDATE selfref{s} SET up = {k1} WHERE id = {k3}", "C:3 R:1")
    k.op("close cycle", "UPDATE selfref{s} SET up = {k3} WHERE id = {k1}", "C:1 R:3")
    k.op("delete leaf", "DELETE FROM selfref{s} WHERE id = {k3}", "E:3")
    k.op("cascade delete", "DELETE FROM selfref{s} WHERE id = {k1}", "E:1 E:2 E:3")
    k.op("cascade update", "UPDATE selfref{s} SET id = {k8} WHERE id = {k1}", "E:1 E:8 C:2")
    k.op("cascade update middle", "UPDATE selfref{s} SET id = {k8} WHERE id = {k2}", "E:2 E:8 R:1 C:3")
    k.op("upsert", "INSERT INTO selfref{s} VALUES ({c}, {k5}, {k2}) ON CONFLICT (id) DO UPDATE SET up = excluded.up, v = 5", "E:5 R:2")
    k.truncate("truncate", "TRUNCATE selfref{s}", "selfref")
    k.ddl("add column", "ALTER TABLE selfref{s} ADD COLUMN w text DEFAULT 'w'", "selfref")
    return k


def chained():
    k = Kind("chained", [
        "CREATE TABLE top{s} (c int, id int PRIMARY KEY, v int DEFAULT 0)",
        "CREATE TABLE middle{s} (c int, id int PRIMARY KEY, t int REFERENCES top{s} ON DELETE CASCADE ON UPDATE CASCADE, v int DEFAULT 0)",
        "CREATE TABLE leaf{s} (c int, id int PRIMARY KEY, m int REFERENCES middle{s} ON DELETE SET NULL ON UPDATE CASCADE, v int DEFAULT 0)",
        "CREATE TABLE late{s} (c int, id int PRIMARY KEY, t int REFERENCES top{s} DEFERRABLE INITIALLY DEFERRED)",
        "CREATE INDEX middle_t{s} ON middle{s} (t)", "CREATE INDEX leaf_m{s} ON leaf{s} (m)", "CREATE INDEX late_t{s} ON late{s} (t)"],
        ["top", "middle", "leaf", "late"],
        ["INSERT INTO top{s} VALUES ({c}, {k1}), ({c}, {k2})", "INSERT INTO middle{s} VALUES ({c}, {k1}, {k1})",
         "INSERT INTO leaf{s} VALUES ({c}, {k1}, {k1}), ({c}, {k2}, {k1})"],
        {"middle": ["top"], "leaf": ["middle"], "late": ["top"]})
    k.op("insert middle", "INSERT INTO middle{s} VALUES ({c}, {k5}, {k1})", "E:m5 R:t1", "middle")
    k.op("insert leaf", "INSERT INTO leaf{s} VALUES ({c}, {k5}, {k1})", "E:l5 R:m1", "leaf")
    k.op("insert late", "INSERT INTO late{s} VALUES ({c}, {k5}, {k1})", "E:a5 R:t1", "late", deferred=True)
    k.op("insert child before parent", ["INSERT INTO late{s} VALUES ({c}, {k6}, {k6})", "INSERT INTO top{s} VALUES ({c}, {k6})"], "E:a6 R:t6 E:t6", "late top")
    k.op("insert family", ["INSERT INTO top{s} VALUES ({c}, {k6})", "INSERT INTO middle{s} VALUES ({c}, {k6}, {k6})", "INSERT INTO leaf{s} VALUES ({c}, {k6}, {k6})"],
         "E:t6 E:m6 E:l6", "top middle leaf")
    k.op("update top", "UPDATE top{s} SET v = v + 10 WHERE id = {k1}", "C:t1")
    k.op("update middle", "UPDATE middle{s} SET v = v + 10 WHERE id = {k1}", "C:m1 R:t1", "middle")
    k.op("update leaf", "UPDATE leaf{s} SET v = v + 10 WHERE id = {k1}", "C:l1 R:m1", "leaf")
    k.op("move middle", "UPDATE middle{s} SET t = {k2} WHERE id = {k1}", "C:m1 R:t2", "middle")
    k.op("move leaf away", "UPDATE leaf{s} SET m = NULL WHERE id = {k1}", "C:l1", "leaf")
    k.op("delete leaf", "DELETE FROM leaf{s} WHERE id = {k1}", "E:l1", "leaf")
    k.op("delete childless", "DELETE FROM top{s} WHERE id = {k2}", "E:t2")
    k.op("set null", "DELETE FROM middle{s} WHERE id = {k1}", "E:m1 C:l1 C:l2", "middle leaf")
    k.op("cascade delete", "DELETE FROM top{s} WHERE id = {k1}", "E:t1 E:m1 C:l1 C:l2", "top middle leaf")
    k.op("cascade update", "UPDATE top{s} SET id = {k7} WHERE id = {k1}", "E:t1 E:t7 C:m1", "top middle")
    k.op("cascade update middle", "UPDATE middle{s} SET id = {k7} WHERE id = {k1}", "E:m1 E:m7 R:t1 C:l1 C:l2", "middle leaf")
    k.op("upsert", "INSERT INTO leaf{s} VALUES ({c}, {k1}, {k1}) ON CONFLICT (id) DO UPDATE SET v = leaf{s}.v + 100", "C:l1 R:m1", "leaf")
    k.truncate("truncate all", "TRUNCATE top{s} CASCADE", "top middle leaf late")
    k.truncate("truncate leaf", "TRUNCATE leaf{s}", "leaf")
    k.ddl("add column", "ALTER TABLE middle{s} ADD COLUMN w int DEFAULT 7", "middle")
    return k


def partitions():
    k = Kind("partitions", [
        "CREATE TABLE years{s} (c int, y int, id int, v int DEFAULT 0, PRIMARY KEY (y, id)) PARTITION BY RANGE (y)",
        "CREATE TABLE years_old{s} PARTITION OF years{s} FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE years_new{s} PARTITION OF years{s} FOR VALUES FROM (100) TO (1000)",
        "CREATE TABLE of_years{s} (c int, id int PRIMARY KEY, y int, x int, v int DEFAULT 0, FOREIGN KEY (y, x) REFERENCES years{s} ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE INDEX of_years_x{s} ON of_years{s} (y, x)"], ["years", "of_years"],
        ["INSERT INTO years{s} VALUES ({c}, 1, {k1}), ({c}, 1, {k2})", "INSERT INTO of_years{s} VALUES ({c}, {k1}, 1, {k1})"],
        {"of_years": ["years", "years_old", "years_new"], "years_old": ["years"], "years_new": ["years"]})
    old, new = "years_old", "years_new"
    k.op("insert", "INSERT INTO years{s} VALUES ({c}, 1, {k5})", "E:1.5", old)
    k.op("insert into partition", "INSERT INTO years_old{s} VALUES ({c}, 1, {k5})", "E:1.5", old)
    k.op("insert elsewhere", "INSERT INTO years{s} VALUES ({c}, 200, {k5})", "E:200.5", new)
    k.op("insert child", "INSERT INTO of_years{s} VALUES ({c}, {k5}, 1, {k2})", "E:c5 R:1.2", "of_years")
    k.op("update other", "UPDATE years{s} SET v = v + 10 WHERE y = 1 AND id = {k1}", "C:1.1", old)
    k.op("update other of second", "UPDATE years_old{s} SET v = v + 10 WHERE id = {k2}", "C:1.2", old)
    k.op("update key", "UPDATE years{s} SET id = {k5} WHERE y = 1 AND id = {k2}", "E:1.2 E:1.5", old)
    k.op("change partition", "UPDATE years{s} SET y = 200 WHERE y = 1 AND id = {k2}", "E:1.2 E:200.2", f"{old} {new}")
    k.op("cascade update", "UPDATE years{s} SET id = {k6} WHERE y = 1 AND id = {k1}", "E:1.1 E:1.6 C:c1", f"{old} of_years")
    k.op("change partition of parent", "UPDATE years{s} SET y = 200 WHERE y = 1 AND id = {k1}", "E:1.1 E:200.1 C:c1", f"{old} {new} of_years")
    k.op("delete", "DELETE FROM years{s} WHERE y = 1 AND id = {k2}", "E:1.2", old)
    k.op("cascade delete", "DELETE FROM years{s} WHERE id = {k1}", "E:1.1 E:c1", f"{old} of_years")
    k.op("update child", "UPDATE of_years{s} SET v = v + 10 WHERE id = {k1}", "C:c1 R:1.1", "of_years")
    k.op("move child", "UPDATE of_years{s} SET x = {k2} WHERE id = {k1}", "C:c1 R:1.2", "of_years")
    k.op("upsert new", "INSERT INTO years{s} VALUES ({c}, 1, {k5}) ON CONFLICT (y, id) DO UPDATE SET v = years{s}.v + 100", "E:1.5", old)
    k.op("upsert old", "INSERT INTO years{s} VALUES ({c}, 1, {k1}) ON CONFLICT (y, id) DO UPDATE SET v = years{s}.v + 100", "C:1.1", old)
    k.truncate("truncate all", "TRUNCATE years{s} CASCADE", "years years_old years_new of_years")
    k.truncate("truncate children", "TRUNCATE of_years{s}", "of_years")
    k.ddl("add column", "ALTER TABLE of_years{s} ADD COLUMN w int DEFAULT 7", "of_years")
    return k


def exclusion():
    k = Kind("exclusion", ["CREATE TABLE booking{s} (c int, id int PRIMARY KEY, r int4range, v int DEFAULT 0, EXCLUDE USING gist (r WITH &&))"], ["booking"],
             ["INSERT INTO booking{s} VALUES ({c}, {k1}, int4range({c} * 100, {c} * 100 + 10))"])

    def insert(name, key, low, high, effects):
        k.op(name, f"INSERT INTO booking{{s}} VALUES ({{c}}, {{k{key}}}, int4range({{c}} * 100 + {low}, {{c}} * 100 + {high}))", f"E:{key} {effects}")
    insert("insert", 5, 20, 30, "S:r")
    insert("insert overlapping", 6, 25, 35, "S:r")
    insert("insert apart", 7, 50, 60, "")
    k.op("update range", "UPDATE booking{s} SET r = int4range({c} * 100 + 28, {c} * 100 + 40) WHERE id = {k1}", "C:1 S:r")
    k.op("update other", "UPDATE booking{s} SET v = v + 10 WHERE id = {k1}", "C:1")
    k.op("update key", "UPDATE booking{s} SET id = {k8} WHERE id = {k1}", "E:1 E:8")
    k.op("delete", "DELETE FROM booking{s} WHERE id = {k1}", "E:1")
    k.op("upsert", "INSERT INTO booking{s} VALUES ({c}, {k1}, 'empty') ON CONFLICT (id) DO UPDATE SET v = booking{s}.v + 100", "C:1")
    k.truncate("truncate", "TRUNCATE booking{s}", "booking")
    k.ddl("add column", "ALTER TABLE booking{s} ADD COLUMN w int DEFAULT 7", "booking")
    return k


def enums():
    k = Kind("enums", [
        "CREATE TYPE mood{s} AS ENUM ('sad', 'ok', 'happy')",
        "CREATE TABLE person{s} (c int, id int, m mood{s}, v int DEFAULT 0, PRIMARY KEY (id, m))",
        "CREATE TABLE note{s} (c int, id int PRIMARY KEY, p int, m mood{s}, FOREIGN KEY (p, m) REFERENCES person{s} ON UPDATE CASCADE ON DELETE SET NULL)",
        "CREATE INDEX note_p{s} ON note{s} (p, m)"], ["person", "note"],
        ["INSERT INTO person{s} VALUES ({c}, {k1}, 'sad'), ({c}, {k1}, 'ok')", "INSERT INTO note{s} VALUES ({c}, {k1}, {k1}, 'sad')"],
        {"note": ["person"]})
    k.op("insert", "INSERT INTO person{s} VALUES ({c}, {k1}, 'happy')", "E:happy")
    k.op("insert note", "INSERT INTO note{s} VALUES ({c}, {k2}, {k1}, 'ok')", "E:n2 R:ok", "note")
    k.op("update key", "UPDATE person{s} SET m = 'happy' WHERE id = {k1} AND m = 'ok'", "E:ok E:happy")
    k.op("cascade update", "UPDATE person{s} SET m = 'happy' WHERE id = {k1} AND m = 'sad'", "E:sad E:happy C:n1", "person note")
    k.op("update other", "UPDATE person{s} SET v = v + 10 WHERE id = {k1} AND m = 'sad'", "C:sad")
    k.op("delete", "DELETE FROM person{s} WHERE id = {k1} AND m = 'ok'", "E:ok")
    k.op("set null", "DELETE FROM person{s} WHERE id = {k1} AND m = 'sad'", "E:sad C:n1", "person note")
    k.op("move note", "UPDATE note{s} SET m = 'ok' WHERE id = {k1}", "C:n1 R:ok", "note")
    k.op("upsert", "INSERT INTO person{s} VALUES ({c}, {k1}, 'happy') ON CONFLICT (id, m) DO UPDATE SET v = person{s}.v + 100", "E:happy")
    k.truncate("truncate", "TRUNCATE person{s} CASCADE", "person note")
    k.ddl("add column", "ALTER TABLE person{s} ADD COLUMN w mood{s} DEFAULT 'ok'", "person")
    return k


def nocase():
    k = Kind("nocase", [
        "CREATE TABLE account{s} (c int, id int PRIMARY KEY, name text COLLATE nocase UNIQUE, v int DEFAULT 0)",
        "CREATE TABLE login{s} (c int, id int PRIMARY KEY, name text COLLATE nocase REFERENCES account{s} (name) ON UPDATE CASCADE ON DELETE CASCADE)",
        "CREATE INDEX login_name{s} ON login{s} (name)"], ["account", "login"],
        ["INSERT INTO account{s} VALUES ({c}, {k1}, 'Anna{c}'), ({c}, {k2}, 'Bert{c}')", "INSERT INTO login{s} VALUES ({c}, {k1}, 'ANNA{c}')"],
        {"login": ["account"]})
    k.op("insert", "INSERT INTO account{s} VALUES ({c}, {k5}, 'Eva{c}')", "E:5 E:eva")
    k.op("insert in capitals", "INSERT INTO account{s} VALUES ({c}, {k6}, 'EVA{c}')", "E:6 E:eva")
    k.op("insert login", "INSERT INTO login{s} VALUES ({c}, {k5}, 'bERT{c}')", "E:l5 R:bert", "login")
    k.op("update key", "UPDATE account{s} SET name = 'eVA{c}' WHERE id = {k2}", "C:2 E:bert E:eva")
    k.op("cascade update", "UPDATE account{s} SET name = 'eva{c}' WHERE id = {k1}", "C:1 E:anna E:eva C:l1", "account login")
    k.op("change case", "UPDATE account{s} SET name = 'bert{c}' WHERE id = {k2}", "C:2 K:bert")
    k.op("change case of parent", "UPDATE account{s} SET name = 'anna{c}' WHERE id = {k1}", "C:1 C:l1 R:anna K:anna", "account login")
    k.op("update other", "UPDATE account{s} SET v = v + 10 WHERE name = 'BERT{c}'", "C:2")
    k.op("delete", "DELETE FROM account{s} WHERE name = 'BERT{c}'", "E:2 E:bert")
    k.op("cascade delete", "DELETE FROM account{s} WHERE name = 'aNNA{c}'", "E:1 E:anna E:l1", "account login")
    k.op("upsert", "INSERT INTO account{s} VALUES ({c}, {k5}, 'eVa{c}') ON CONFLICT (name) DO UPDATE SET v = account{s}.v + 100", "E:5 E:eva")
    k.truncate("truncate", "TRUNCATE account{s} CASCADE", "account login")
    k.ddl("add column", "ALTER TABLE login{s} ADD COLUMN w int DEFAULT 7", "login")
    return k


def mixed_types():
    k = Kind("mixed_types", [
        "CREATE TABLE wide{s} (c int, id numeric PRIMARY KEY, t text UNIQUE, v int DEFAULT 0)",
        "CREATE TABLE narrow{s} (c int, id int PRIMARY KEY, w int REFERENCES wide{s} ON DELETE SET NULL, t char(12) REFERENCES wide{s} (t), v int DEFAULT 0)",
        "CREATE INDEX narrow_w{s} ON narrow{s} (w)", "CREATE INDEX narrow_t{s} ON narrow{s} (t)"], ["wide", "narrow"],
        ["INSERT INTO wide{s} VALUES ({c}, {k1}.00, 't{k1}'), ({c}, {k2}, 't{k2}')", "INSERT INTO narrow{s} VALUES ({c}, {k1}, {k1}, NULL)"], {"narrow": ["wide"]})
    k.op("insert", "INSERT INTO wide{s} VALUES ({c}, {k5}.0)", "E:5")
    k.op("insert scaled", "INSERT INTO wide{s} VALUES ({c}, {k5}.000)", "E:5")
    k.op("insert child", "INSERT INTO narrow{s} VALUES ({c}, {k5}, {k2}, NULL)", "E:n5 R:2", "narrow")
    k.op("insert child by text", "INSERT INTO narrow{s} VALUES ({c}, {k6}, NULL, 't{k2}')", "E:n6 R:t2", "narrow")
    k.op("update key", "UPDATE wide{s} SET id = {k5} WHERE id = {k2}", "E:2 E:5 K:t2")
    k.op("change scale", "UPDATE wide{s} SET id = {k2}.000 WHERE id = {k2}", "C:2 K:2 K:t2")
    k.op("update text", "UPDATE wide{s} SET t = 'new{c}' WHERE id = {k2}", "C:2 E:t2 E:t.new K:2")
    k.op("update other", "UPDATE wide{s} SET v = v + 10 WHERE id = {k2}", "C:2")
    k.op("delete", "DELETE FROM wide{s} WHERE id = {k2}", "E:2 E:t2")
    k.op("set null", "DELETE FROM wide{s} WHERE id = {k1}", "E:1 E:t1 C:n1", "wide narrow")
    k.op("update child", "UPDATE narrow{s} SET v = v + 10 WHERE id = {k1}", "C:n1 R:1", "narrow")
    k.op("upsert", "INSERT INTO wide{s} VALUES ({c}, {k5}) ON CONFLICT (id) DO UPDATE SET v = wide{s}.v + 100", "E:5")
    k.truncate("truncate", "TRUNCATE wide{s} CASCADE", "wide narrow")
    k.ddl("add column", "ALTER TABLE wide{s} ADD COLUMN w int DEFAULT 7", "wide")
    return k


KINDS = [make() for make in (composite, uniques, selfref, chained, partitions, exclusion, enums, nocase, mixed_types)]
TIMINGS = ("held", "executing", "waiting")


@dataclass
class Case:
    number: int
    kind: Kind
    a: Op
    b: Op
    timing: str
    idle: bool              # executing: the client of a, between two statements, does nothing
    members: tuple
    isolation: tuple

    @property
    def title(self):
        timing = "idle" if self.idle else self.timing
        return (f"case {self.number}: {self.kind.name}, {timing}: {self.a.name} (member {self.members[0]}, {self.isolation[0]}) "
                f"against {self.b.name} (member {self.members[1]}, {self.isolation[1]})")

    @property
    def own_tables(self):
        return self.a.own_tables or self.b.own_tables

    def text(self, sql):
        names = {f"k{i}": self.number * 10 + i for i in range(10)}
        return sql.format(s=f"_{self.number}" if self.own_tables else "", c=self.number, **names)


def meets(a, b):
    """What the keys say of two operations: 'hard' keys in conflict, 'soft' a constraint without keys, 'lone' definitions that take
    their turn first, 'definition' one in a block of a table that the other only refers to, 'lock' no key but locks (of whole tables, of key columns) that may be in each other's way, or 'none'."""
    kinds = set()
    for x in a.effects:
        for y in b.effects:
            if x[2:] != y[2:]:
                continue
            pair = {x[0], y[0]}
            if "L" in pair:
                kinds.add("lone")
            elif "S" in pair:
                kinds.add("soft")
            elif pair == {"C"} or ("E" in pair and "P" not in pair):
                kinds.add("hard")
            elif "P" in pair and "E" in pair:
                kinds.add("definition")
            elif "K" in pair:
                kinds.add("lock")
    for kind in ("lone", "hard", "soft", "definition", "lock"):
        if kind in kinds:
            return kind
    return "lock" if a.own_tables or b.own_tables else "none"


def pairs(kind):
    """Of two commits that are both held it does not matter which is named first; a lone definition cannot be open."""
    for i, a in enumerate(kind.ops):
        for j, b in enumerate(kind.ops):
            for timing in TIMINGS:
                if j >= i if timing == "held" else not a.lone:
                    yield a, b, timing


def generate(rng, share):
    """All pairs of all kinds in all timings, or a share of them, in random order."""
    levels = ("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ")
    cases = []
    for kind in KINDS:
        for a, b, timing in pairs(kind):
            if rng.random() < share:
                idle = timing == "executing" and rng.random() < 0.15
                cases.append(Case(0, kind, a, b, timing, idle, tuple(rng.sample((1, 2, 3, 4), 2)), (rng.choice(levels), rng.choice(levels))))
    rng.shuffle(cases)
    for number, case in enumerate(cases, 1):
        case.number = number
    return cases
