"""Schemas and statements made by dice: types, keys, unique indexes, foreign keys, partitions; rows from few values, so that they meet."""

KEY_TYPES = ("int", "bigint", "text", "numeric", "date")
VALUE_TYPES = KEY_TYPES + ("boolean", "jsonb", "int[]", "bytea", "timestamptz", "uuid", "varchar(40)", "float8")
ACTIONS = ("NO ACTION", "CASCADE", "SET NULL", "RESTRICT")
VALUES = 40


def value(rng, kind):
    """As SQL; of keys one of VALUES."""
    k = rng.randrange(VALUES)
    return {
        "int": f"{k}", "bigint": f"{k}", "numeric": f"{k}.{'0' * rng.randrange(1, 4)}", "text": f"'k{k}'", "varchar(40)": f"'v{k}'",
        "date": f"date '2024-01-01' + {k}", "boolean": rng.choice(("true", "false")), "jsonb": f"""'{{"k": {k}, "l": [1, null]}}'""",
        "int[]": f"ARRAY[{k}, NULL, {k + 1}]", "bytea": f"decode(repeat('{k:02x}', {rng.choice((1, 50, 3000))}), 'hex')",
        "timestamptz": f"timestamptz '2024-01-01 00:00+00' + {k} * interval '1 hour'", "uuid": f"md5('{k}')::uuid", "float8": f"{k} / 7.0",
    }[kind]


class Table:
    def __init__(self, rng, name, earlier):
        self.name = name
        self.keys = [(f"k{i}", rng.choice(KEY_TYPES)) for i in range(rng.choice((1, 1, 2)))]
        self.values = [(f"v{i}", rng.choice(VALUE_TYPES)) for i in range(rng.randrange(1, 5))]
        self.partitions = rng.choice((0, 0, 0, 2, 3))
        self.uniques, self.references, self.extra = [], [], []
        for i in range(0 if self.partitions else rng.randrange(3)):
            self.uniques.append((f"u{i}", rng.choice(KEY_TYPES), rng.choice(("", "", " DEFERRABLE INITIALLY DEFERRED", "partial", "expression"))))
        for i in range(rng.randrange(3) if earlier else 0):
            parent = rng.choice(earlier + ([] if self.partitions else [self]))
            columns = [(f"r{i}{key}", kind) for key, kind in parent.keys]
            late = rng.choice(("", " DEFERRABLE INITIALLY DEFERRED"))
            self.references.append((columns, parent, f"ON DELETE {rng.choice(ACTIONS)} ON UPDATE {rng.choice(ACTIONS)}{late}"))
        if rng.random() < 0.3:
            self.extra.append("g int GENERATED ALWAYS AS (n * 2) STORED")
        if rng.random() < 0.3:
            self.extra.append("CHECK (n < 1000)")

    @property
    def columns(self):
        return self.keys + self.values + [(u, kind) for u, kind, _ in self.uniques] + [c for columns, _, _ in self.references for c in columns]

    def definitions(self):
        parts = [f"{name} {kind}" for name, kind in self.columns] + ["n int DEFAULT 0", *self.extra]
        parts.append(f"PRIMARY KEY ({', '.join(k for k, _ in self.keys)})")
        parts += [f"UNIQUE ({u}){how}" for u, _, how in self.uniques if how not in ("partial", "expression")]
        for columns, parent, actions in self.references:
            names = ", ".join(c for c, _ in columns)
            parts.append(f"FOREIGN KEY ({names}) REFERENCES {parent.name} ({', '.join(k for k, _ in parent.keys)}) {actions}")
        yield f"CREATE TABLE {self.name} ({', '.join(parts)})" + (f" PARTITION BY HASH ({self.keys[0][0]})" if self.partitions else "")
        for i in range(self.partitions):
            yield f"CREATE TABLE {self.name}_{i} PARTITION OF {self.name} FOR VALUES WITH (MODULUS {self.partitions}, REMAINDER {i})"
        for u, _, how in self.uniques:
            if how == "partial":
                yield f"CREATE UNIQUE INDEX {self.name}_{u} ON {self.name} ({u}) WHERE n % 2 = 0"
            if how == "expression":
                yield f"CREATE UNIQUE INDEX {self.name}_{u} ON {self.name} (coalesce({u}, {u}))"
        for i, (columns, _, _) in enumerate(self.references):
            yield f"CREATE INDEX {self.name}_r{i} ON {self.name} ({', '.join(c for c, _ in columns)})"

    def invariants(self):
        """No row of any of these may exist."""
        for u, _, how in self.uniques:
            where = "WHERE n % 2 = 0 AND" if how == "partial" else "WHERE"
            yield f"SELECT {u} FROM {self.name} {where} {u} IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
        for columns, parent, _ in self.references:
            pairs = [(c, key) for (c, _), (key, _) in zip(columns, parent.keys)]
            yield (f"SELECT 1 FROM {self.name} c WHERE {' AND '.join(f'c.{c} IS NOT NULL' for c, _ in pairs)} AND NOT EXISTS "
                   f"(SELECT FROM {parent.name} p WHERE {' AND '.join(f'p.{key} = c.{c}' for c, key in pairs)})")
        if "g int GENERATED ALWAYS AS (n * 2) STORED" in self.extra:
            yield f"SELECT 1 FROM {self.name} WHERE g IS DISTINCT FROM n * 2"

    def some(self, rng, kind, nulls):
        return "NULL" if nulls and rng.random() < 0.4 else value(rng, kind)

    def where(self, rng):
        return " AND ".join(f"{k} = {value(rng, kind)}" for k, kind in self.keys[:rng.randrange(1, len(self.keys) + 1)])

    def insert(self, rng):
        names = [c for c, _ in self.columns]
        keys = {k for k, _ in self.keys}
        row = ", ".join(self.some(rng, kind, c not in keys) for c, kind in self.columns)
        conflict = rng.choice(("", "", " ON CONFLICT DO NOTHING", f" ON CONFLICT ({', '.join(k for k, _ in self.keys)}) DO UPDATE SET n = {self.name}.n + 1"))
        if any(how.startswith(" DEFERRABLE") for _, _, how in self.uniques) and conflict == " ON CONFLICT DO NOTHING":
            conflict = ""
        return f"INSERT INTO {self.name} ({', '.join(names)}) VALUES ({row}){conflict}"

    def update(self, rng):
        column, kind = rng.choice(self.columns)
        if rng.random() < 0.4:
            return f"UPDATE {self.name} SET n = n + 1 WHERE {self.where(rng)}"
        return f"UPDATE {self.name} SET {column} = {self.some(rng, kind, column not in {k for k, _ in self.keys})} WHERE {self.where(rng)}"

    def statement(self, rng):
        dice = rng.random()
        if dice < 0.5:
            return self.insert(rng)
        if dice < 0.85:
            return self.update(rng)
        if dice < 0.99:
            return f"DELETE FROM {self.name} WHERE {self.where(rng)}"
        return f"TRUNCATE {self.name} CASCADE"


def make_schema(rng, prefix, count):
    tables = []
    for i in range(count):
        tables.append(Table(rng, f"{prefix}{i}", tables))
    return tables
