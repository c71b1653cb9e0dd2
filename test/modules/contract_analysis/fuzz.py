"""Texts that are nearly contracts: the analysis answers with findings, never with an error, and leaves nothing behind.

  fuzz.py HOST PORT SEED COUNT

Each text is a contract of test/contracts with some changes: words deleted, doubled, exchanged, taken from another contract or from a
list of troublemakers, lines cut, brackets and blocks nested deeply. What must hold: the call returns, the session lives, no
transaction id was taken, no lock is left, memory does not grow. A text that fails is printed with its seed.
"""
import os
import random
import re
import sys

import psycopg2

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TROUBLE = ["NULL", "NEW", "OLD", "NEW.*", "OLD.id", "$1", "$99999", "x'", "$$", "$a$", "--", "/*", "*/", ";", "(", ")", "BEGIN", "END", "END IF;",
           "LOOP", "END LOOP;", "DECLARE", "EXCEPTION WHEN others THEN", "RETURN", "RETURN QUERY SELECT 1;", "RETURN NEXT 1;", "RAISE;", "EXIT x;",
           "<<x>>", "FOUND", "TG_ARGV[1]", "TG_ARGV", "INTO", "STRICT", "USING", "EXECUTE", "PERFORM", "CALL", "CALL nothing();", "WITH x AS (SELECT 1)",
           "WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 2 FROM x)", "MERGE INTO accounts USING tokens ON true WHEN MATCHED THEN DELETE;",
           "1/0", "1::int/0", "9223372036854775807 + 1", "repeat('x', 5)", "ARRAY[]::int[]", "'{1,2'::int[]", "ROW(1,2)", "(accounts).*",
           "accounts%ROWTYPE", "accounts.id%TYPE", "nothing%TYPE", "record", "refcursor", "CURSOR FOR SELECT 1;", "CONSTANT", "NOT NULL",
           "#variable_conflict use_column", "#print_strict_params on", "ALIAS FOR $1;", "GROUPING SETS ((id), ())", "OVER (PARTITION BY id)", "LATERAL (SELECT 1) l",
           "TABLESAMPLE system (1)", "FOR UPDATE SKIP LOCKED", "ON CONFLICT DO NOTHING", "RETURNING *", "DISTINCT ON (1)", "LIMIT NULL", "LIMIT -1", "OFFSET 1",
           "WINDOW w AS (ORDER BY 1)", "CASE", "WHEN 1 THEN", "ELSE", "ELSIF true THEN", "WHILE true LOOP", "FOREACH x SLICE 1 IN ARRAY a LOOP", "GET DIAGNOSTICS x = ROW_COUNT;",
           "xmlelement(name x)", "random()", "generate_series(1, NULL)", "NEW.id := 1;", "NEW := OLD;", "a[1].b := 2;", "\u00e4\u00f6\u20ac", "\U0001f600", "E'\\x00'",
           "U&'\\0041'", "\t", "\r\n", "\x01", "json_populate_record(NULL::accounts, '{}')", "pg_sleep(10)", "information_schema.tables", "current_user", "COMMIT;"]


def corpus():
    texts = []
    for where, _, files in sorted(os.walk(os.path.join(ROOT, "test/contracts"))):
        for name in sorted(files):
            if name.endswith(".sql") and name != "schema.sql":
                with open(os.path.join(where, name), encoding="utf-8") as file:
                    lines = file.read().split("\n")
                head = dict(l[3:].split(": ", 1) for l in lines if l.startswith("-- ") and ": " in l)
                texts.append((head, "\n".join(l for l in lines if not l.startswith("-- "))))
    return texts


def words(text):
    return re.findall(r"\s+|\w+|'[^']*'|.", text, re.S)


def nest(dice, text):
    depth = dice.choice([10, 200, 3000, 20000])
    kind = dice.randrange(6)
    if kind == 0:
        return "BEGIN RETURN " + "(" * depth + "1" + ")" * depth + "; END"
    if kind == 1:
        return "BEGIN " * depth + "NULL; " + "END; " * (depth - 1) + "END"
    if kind == 2:
        return "BEGIN " + "IF true THEN " * depth + "NULL; " + "END IF; " * depth + "END"
    if kind == 3:
        return "BEGIN RETURN 1" + " + 1" * depth + "; END"
    if kind == 4:
        return "BEGIN RETURN " + "NOT " * depth + "true; END"
    return "BEGIN PERFORM " + "(SELECT " * min(depth, 3000) + "1" + ")" * min(depth, 3000) + "; " + text + " END"


def mutate(dice, texts):
    head, text = dice.choice(texts)
    if dice.random() < 0.03:
        return head, nest(dice, text)
    parts = words(text)
    for _ in range(dice.choice([1, 1, 2, 3, 8])):
        i = dice.randrange(len(parts)) if parts else 0
        kind = dice.randrange(7)
        if not parts or kind == 0:
            parts.insert(i, " " + dice.choice(TROUBLE) + " ")
        elif kind == 1:
            del parts[i]
        elif kind == 2:
            parts.insert(i, parts[i])
        elif kind == 3:
            j = dice.randrange(len(parts))
            parts[i], parts[j] = parts[j], parts[i]
        elif kind == 4:
            parts[i] = dice.choice(TROUBLE)
        elif kind == 5:
            other = words(dice.choice(texts)[1])
            j = dice.randrange(len(other))
            parts[i:i] = other[j:j + dice.randrange(1, 12)]
        elif dice.random() < 0.2:
            parts = parts[:i]
    return head, "".join(parts)


def memory(cursor):
    cursor.execute("SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name NOT IN ('CacheMemoryContext', 'index info', 'relation rules')")
    return cursor.fetchone()[0]


def main():
    host, port, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    dice = random.Random(seed)
    texts = corpus()
    connection = psycopg2.connect(host=host, port=port, dbname="shared", user="postgres")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET statement_timeout = '60s'")
    failed, found, before = 0, 0, None
    for i in range(count):
        head, text = mutate(dice, texts)
        text = text.replace("\x00", "")
        cursor.execute("BEGIN")
        try:
            cursor.execute("SELECT count(*) FROM dadbs.analyze_contract(%s, %s, %s, %s, %s::regclass)",
                           (text, head.get("language", "plpgsql"), head.get("arguments", ""), head.get("returns", "trigger"), head.get("table")))
            found += cursor.fetchone()[0] > 0
            cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NULL,"
                           " count(*) FILTER (WHERE relation >= 16384) FROM pg_locks WHERE pid = pg_backend_pid()")
            clean = cursor.fetchone()
            if clean != (True, 0):
                failed += 1
                print(f"not ok: text {i} of seed {seed} left {clean}:\n{text[:2000]}")
        except psycopg2.Error as error:
            failed += 1
            print(f"not ok: text {i} of seed {seed}: {error}\n{text[:2000]}")
            if connection.closed:
                break
        cursor.execute("ROLLBACK")
        if i == count // 3:
            before = memory(cursor)
    if not connection.closed and before is not None:
        growth = int(memory(cursor) - before)
        print(f"{count} texts of seed {seed}: {found} with findings, memory grew by {growth} bytes")
        if growth > 1000000:
            failed += 1
            print("not ok: memory grows")
    print(f"{max(count - failed, 0)} passed, {failed} failed")
    sys.exit(failed > 0)


main()
