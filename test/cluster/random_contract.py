"""Sound contracts made by dice: they validate, read, loop, write and cascade, always in an order that is unique.

Tables t0, t1, ... stand in a row: the contract of one writes only those behind it, so cascades end. Whatever such a contract comes to, also an
overflow, a division by zero, a constraint that its own write breaks, json that is nested too deeply, all members must come to it alike.
"""

COLUMNS = "id int PRIMARY KEY, g int NOT NULL DEFAULT 0, n int NOT NULL DEFAULT 0, a numeric(12, 2), v text, j jsonb, at timestamptz"
KEYS = 30


class Body:
    """Statements of one contract. `row` is what its input is called: NEW or OLD in a trigger, None in a call, which has arguments."""

    def __init__(self, rng, tables, row):
        self.rng, self.tables, self.row = rng, tables, row

    def number(self):
        row = self.row
        own = ("p_a", "p_b") if row is None else (f"{row}.n", f"{row}.id", f"{row}.g", f"length(coalesce({row}.v, ''))")
        return self.rng.choice([*own, *own, "x", "y", str(self.rng.randrange(-3, 40)), "dadbs.block_height()::int % 7"])

    def expression(self, depth=2):
        if depth == 0:
            return self.number()
        left, right = self.expression(depth - 1), self.expression(self.rng.randrange(depth))
        return self.rng.choice([f"({left} + {right})", f"({left} - {right})", f"({left} * {right})", f"greatest({left}, {right})", f"coalesce(nullif({left}, {right}), 1)",
                                f"({left} / nullif({right}, 0))", f"({left} % coalesce(nullif({right}, 0), 3))", f"abs({left})", left, left])

    def key(self):
        return f"(abs(coalesce({self.expression(1)}, 5)) % {KEYS})"

    def text(self):
        return self.rng.choice([f"'k' || {self.number()}", "dadbs.origin_node()", "dadbs.transaction_id()::text", "left(upper(coalesce(s, 'none')), 200)", "to_char(dadbs.block_time(), 'YYYY-MM')",
                                f"md5(({self.expression(1)})::text)", f"left(format('%s/%s', {self.number()}, s), 200)", "left(coalesce(s, ''), 20)"])

    def condition(self):
        return self.rng.choice([f"{self.expression(1)} > {self.expression(1)}", f"{self.number()} BETWEEN 0 AND {self.rng.randrange(10, 60)}", f"{self.expression(1)} % 3 = 1",
                                "s IS NULL", "s LIKE '%a%'", f"s LIKE repeat('%a', greatest(least({self.expression(1)}, 1500), 0)::int)", "d ? 'a'", "jsonb_array_length(jsonb_build_array(d, x)) > 1", "dadbs.origin_node() <> 'm1'", "x IS NOT NULL AND y > x"])

    def values(self):
        return (f"{self.expression(1)}, {self.expression()}, round(({self.expression(1)})::numeric / 3, 2), {self.text()}, "
                f"{self.document()}, dadbs.block_time()")

    def document(self):
        """What contracts do with json is counted: how deeply it is nested, wherever it comes from."""
        return self.rng.choice([f"jsonb_build_object('a', {self.number()}, 's', s)", f"jsonb_build_array(d, {self.number()})", f"format('{{\"a\": %s}}', {self.number()})::jsonb",
                                f"coalesce(d, '{{}}') || jsonb_build_object('k', {self.number()})", "to_jsonb(s)", "s::jsonb", "jsonb_strip_nulls(d)"])

    def statement(self, depth=2):
        t, rng = self.rng.choice(self.tables) if self.tables else None, self.rng
        plain = [f"x := coalesce({self.expression()}, 0);", f"y := coalesce({self.expression(1)}, 1);", f"s := {self.text()};", f"d := {self.document()};",
                 f"IF {self.condition()} AND {self.number()} > {rng.randrange(20, 60)} THEN RAISE EXCEPTION 'refused: % %', x, s USING ERRCODE = '{rng.choice(('P0001', '23514', '22003'))}', "
                 f"DETAIL = 'y is ' || y; END IF;"]
        if t is None:
            return rng.choice(plain)
        reads = [f"SELECT coalesce(sum(n), 0), count(*) INTO STRICT x, y FROM {t} WHERE g = {self.number()};",
                 f"SELECT left(string_agg(v, ',' ORDER BY id), 200), coalesce(max(n), 0) INTO STRICT s, x FROM {t} WHERE id < {self.key()};",
                 f"SELECT coalesce(sum(a), 0)::int INTO STRICT x FROM {t};",
                 f"SELECT coalesce(sum(l.n * o.g), 0) INTO STRICT x FROM {t} l JOIN {rng.choice(self.tables)} o ON o.id = l.g WHERE l.n < {rng.randrange(50)};",
                 f"SELECT jsonb_agg(id ORDER BY id)::text INTO STRICT s FROM (SELECT id FROM {t} WHERE n >= {self.number()} ORDER BY n, id LIMIT {rng.randrange(1, 6)}) q;",
                 f"SELECT coalesce(max(place), 0) INTO STRICT x FROM (SELECT rank() OVER (PARTITION BY g ORDER BY n, id) AS place FROM {t}) q;",
                 f"SELECT j INTO d FROM {t} WHERE id = {self.key()}; IF NOT FOUND THEN d := '[]'; END IF;",
                 f"SELECT coalesce(sum((j ->> 'a')::numeric), 0)::bigint INTO STRICT x FROM {t} WHERE jsonb_typeof(j -> 'a') = 'number';",
                 f"SELECT n INTO x FROM {t} WHERE id = {self.key()}; IF NOT FOUND THEN x := 0; END IF;"]
        writes = [f"INSERT INTO {t} VALUES ({self.key()}, {self.values()}) ON CONFLICT (id) DO UPDATE SET n = {t}.n + 1, v = excluded.v, at = excluded.at;",
                  f"INSERT INTO {t} VALUES ({self.key()}, {self.values()}) ON CONFLICT DO NOTHING;",
                  f"INSERT INTO {t} (id, n) SELECT coalesce(max(id), 0) + 1, {self.expression(1)} FROM {t};",
                  f"UPDATE {t} SET n = n + {self.number()}, j = coalesce(j, '{{}}') || jsonb_build_object('u', x) WHERE id = {self.key()};",
                  f"UPDATE {t} SET j = jsonb_set(coalesce(j, '{{}}'), '{{b}}', coalesce(d, '1')) WHERE id = {self.key()};",
                  f"UPDATE {t} SET a = coalesce(a, 0) * 1.01 WHERE id = {self.key()} RETURNING n INTO x;",
                  f"DELETE FROM {t} WHERE id = {self.key()};",
                  f"MERGE INTO {t} USING (SELECT {self.key()} AS k) q ON {t}.id = q.k WHEN MATCHED THEN UPDATE SET g = {t}.g + 1 "
                  f"WHEN NOT MATCHED THEN INSERT (id, v) VALUES (q.k, {self.text()});"]
        nested = [] if depth == 0 else [
            f"IF {self.condition()} THEN {self.block(depth - 1)} ELSE {self.block(depth - 1)} END IF;",
            f"CASE WHEN {self.condition()} THEN {self.block(depth - 1)} WHEN {self.condition()} THEN {self.block(depth - 1)} ELSE {self.block(depth - 1)} END CASE;",
            f"FOR i IN 1..{rng.randrange(1, 4)} LOOP x := x + i; {self.block(depth - 1)} END LOOP;",
            f"FOR i IN 1..least(40 * {self.number()}, 1500) LOOP d := jsonb_build_array(d); END LOOP;",
            f"FOR r IN SELECT id, n FROM {t} WHERE g = {self.number()} ORDER BY {rng.choice(('id', 'n, id', 'id DESC'))} LOOP x := r.n; {self.block(0)} EXIT WHEN r.id > {rng.randrange(5, 40)}; END LOOP;"]
        return rng.choice(rng.choice([plain, reads, reads, writes, writes, nested or writes]))

    def block(self, depth):
        return " ".join(self.statement(depth) for _ in range(self.rng.randrange(1, 3)))

    def text_of(self):
        statements = " ".join(self.statement() for _ in range(self.rng.randrange(2, 6)))
        declared = "DECLARE x bigint := 0; y bigint := 1; s text; d jsonb := '{}'; r record; BEGIN "
        if self.row is None:
            return f"{declared}s := p_s; {statements} RETURN format('%s %s %s', x, y, left(s, 100)); END"
        return f"{declared}{statements} RETURN NULL; END"


class Contracts:
    """The tables of one round, a contract with its trigger on each, and some that are called."""

    def __init__(self, rng, prefix, tables=5, called=3):
        self.rng, self.prefix = rng, prefix
        self.tables = [f"{prefix}t{i}" for i in range(tables)]
        self.called = [f"{prefix}c{i}" for i in range(called)]

    def deployments(self):
        for i, table in enumerate(self.tables[:-1]):
            for name, row in ("rules", "NEW"), ("gone", "OLD"):
                yield self.deployment(f"{table}_{name}", Body(self.rng, self.tables[i + 1:], row).text_of())
        for name in self.called:
            yield self.deployment(name, Body(self.rng, self.tables, None).text_of())

    @staticmethod
    def deployment(name, body):
        arguments = "" if body.endswith("RETURN NULL; END") else ", arguments => 'p_a int, p_b int, p_s text', returns => 'text'"
        return f"SELECT dadbs.deploy_contract('{name}', $contract${body}$contract${arguments})"

    def definitions(self):
        for table in self.tables:
            yield f"CREATE TABLE {table} ({COLUMNS}, CHECK (n < 1000000))"
            yield f"INSERT INTO {table} (id, g, n, v) SELECT k, k % 4, k % 11, 'row ' || k FROM generate_series(0, {KEYS - 1}, 2) k"

    def triggers(self):
        for table in self.tables[:-1]:
            when = self.rng.choice(("", "", "WHEN (NEW.n IS DISTINCT FROM 7)"))
            yield f"CREATE TRIGGER rules AFTER INSERT OR UPDATE ON {table} FOR EACH ROW {when} EXECUTE FUNCTION dadbs.contract('{table}_rules')"
            yield f"CREATE CONSTRAINT TRIGGER gone AFTER DELETE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dadbs.contract('{table}_gone')"

    def replacement(self):
        return self.rng.choice(list(self.deployments()))

    def write(self, rng):
        table, k, n = rng.choice(self.tables), rng.randrange(KEYS), rng.randrange(60)
        return rng.choice([f"INSERT INTO {table} (id, g, n, v) VALUES ({k}, {n % 4}, {n}, 'w{n}') ON CONFLICT (id) DO UPDATE SET n = excluded.n, g = excluded.g",
                           f"INSERT INTO {table} (id, n, a) VALUES ({rng.randrange(10 ** 6)}, {n}, {n}.25)", f"UPDATE {table} SET n = {n}, v = NULL WHERE id = {k}",
                           f"UPDATE {table} SET n = n + 1 WHERE g = {n % 4} AND id < 10", f"DELETE FROM {table} WHERE id = {k}",
                           f"UPDATE {table} SET id = {k}, n = {n} WHERE id = {rng.randrange(KEYS)}"])

    def call(self, rng):
        return f"SELECT dadbs.call_contract('{rng.choice(self.called)}', {rng.randrange(-2, 40)}, {rng.choice(('NULL', rng.randrange(40)))}, {rng.choice(('NULL', repr('s' + str(rng.randrange(9)))))})"
