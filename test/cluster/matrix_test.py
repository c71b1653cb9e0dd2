"""The conflict matrix: every operation against every other, on two members at the same moment, in three timings.

Kinds of tables (matrix_cases.py): composite keys; many unique indexes, with NULLs, partial, over an expression, deferrable;
self-referencing and chained foreign keys; partitions; an exclusion constraint; enums; a nondeterministic collation; references
across types. Operations: insert, update of a key, update of another column, delete, upsert, cascade delete, cascade update,
set null, TRUNCATE, definitions alone and in a block.

What two operations have in common decides what is promised:

                     held                        executing, idle                waiting
    no key           both commit                 both commit                    both commit
    no key, but      both commit                 b commits; a commits or gets   as executing
      locks                                        40001
    a key            one commits, the other      b commits, a gets 40001        b commits; a gets 40001, or what it
                       gets 40001                                                 would get if it began after b
    one defines a    one commits, the other      b commits; a commits or gets   as executing
      parent of the    gets 40001                  40001
      other's table
    a constraint     one commits, the other      b commits, a gets 40001        as above
      without keys     gets 40001 or the
                       constraint's SQLSTATE
    a definition     it commits; the other       b commits, a gets 40001        as above
      alone            commits or gets 40001

held       both have executed, on two members, and both commits are handed over before either is ordered: the primary's consensus
           worker is stopped (SIGSTOP) until then. Either may win.
executing  a has executed on its member and its session is busy with something else when b executes, commits on another member
           and is applied where a is. In some cases a is idle in its transaction instead: who loses so loses the session.
waiting    a waits on its member for the lock of a neighbour that has executed the same and has not ended; b as above. The
           neighbour gives up. Operations that do not lock each other out have not waited: they are judged as executing.

A deferred foreign key that comes second is judged at its COMMIT, after b: it gets 40001, or what it would get if it began after b.
A definition alone that comes second, and would fail after the other, gets the error that it gets after the other.
"Key" means: both wrote the same row or value, or one removed or re-keyed what the other refers to, or TRUNCATE or a definition
concerns a table that the other wrote. Every SQLSTATE that is not named is a failure, and so is a wait of more than two seconds
(and four times as long as the machine itself has stood still meanwhile: an answer takes a few syncs).

The rows of each case, on all members, must be those that a plain PostgreSQL database has after the committed ones, in one of their
orders (b first where it came first). scripts/check takes one in fourteen of the pairs, chosen by DADBS_SEED; the long form takes all, or
those of DADBS_MATRIX_PART=I/N.
"""
import os
import random
import time

from clients import Machine
from harness import CONFLICT, HELD, LONG, Failure, Suite, check, worker_pid
from matrix_cases import KINDS, TIMINGS, generate, meets
from matrix_run import COLLATION, WAIT_SECONDS, Plain, Pool, Wave, rows_of

suite = Suite("matrix", port=7940, confs=HELD)
SEED = int(os.environ.get("DADBS_SEED", time.time_ns() % 1_000_000))
PART, PARTS = map(int, os.environ.get("DADBS_MATRIX_PART", "1/1").split("/"))
SHARE = 1.0 if LONG else 0.07
WAVE_CASES = 24
CONSTRAINT = {"23505", "23P01"}


def prepare(c, pool, cases, statements):
    """One transaction with the tables that these cases need, one with their rows."""
    for batch in (statements, [case.text(s) for case in cases for s in case.kind.setup]):
        if batch:
            c.run(1, "BEGIN", *batch, "COMMIT")
    pool.settle()


def allowed(case, out, plain):
    """The pairs of outcomes that are promised."""
    kind = meets(case.a, case.b)
    if case.timing == "held":
        if kind in ("none", "lock"):
            return {(None, None)}
        if kind == "lone":
            pairs = set()
            if case.a.lone:
                pairs |= {(None, plain["ab"][0][1] if case.b.lone else CONFLICT), (plain["ba"][0][1], None)}
            if case.b.lone:
                pairs |= {(plain["ba"][0][1] if case.a.lone else CONFLICT, None), (None, plain["ab"][0][1])}
            return pairs
        losing = {CONFLICT} | (CONSTRAINT if kind == "soft" else set())
        return {(None, x) for x in losing} | {(x, None) for x in losing}
    late = case.a.deferred or (case.timing == "waiting" and out.blocked)
    after = {plain["ba"][0][1]} if late and plain["ba"][0][0] is None else set()
    after |= {"23505"} if "42P07" in after else set()   # PostgreSQL's answer where the name was taken while one waited for it
    return {(x, None) for x in {"none": {None}, "lock": {None, CONFLICT}, "definition": {None, CONFLICT}}.get(kind, {CONFLICT} | after)}


def judge(case, out, plain, rows, stall):
    got = (out.a, out.b)
    check(got in allowed(case, out, plain), f"outcomes {got}, promised {sorted(allowed(case, out, plain), key=str)}: {out.messages}")
    check(out.waited < WAIT_SECONDS + 4 * stall, f"{out.waited:.1f} s of waiting; the machine stood still for {stall:.2f} s")
    committed = "".join(side for side, state in zip("ab", got) if state is None)
    orders = {"ab": ["ba"] if case.timing != "held" else ["ab", "ba"]}.get(committed, [committed])
    right = [plain[order][1] for order in orders if not any(plain[order][0])]
    check(right, f"{committed} have committed, but no order of them is possible: {plain}")
    for member, seen in rows.items():
        check(seen in right, f"{got}: rows on member {member} are {seen}, expected {' or '.join(map(str, right))}")


def read_rows(pool, case):
    return {i: [[r[0] for r in pool.ask(i, case.text(rows_of(table)))] for table in case.kind.tables] for i in pool.monitors}


def run_wave(c, pool, plain, cases, failures):
    own = [case.text(s) for case in cases if case.own_tables for s in case.kind.create]
    prepare(c, pool, cases, own)
    machine = Machine(c)
    outcomes = Wave(c, pool, worker_pid(c, 1, "consensus"), cases).run()
    stall = machine.finish()
    pool.settle()
    for case in cases:
        try:
            judge(case, outcomes[case.number], plain.results(case), read_rows(pool, case), stall)
        except Failure as e:
            failures.append(f"{case.title}: {e}")
            print(f"#   {failures[-1]}", flush=True)
    gone = [case.text(f"DROP {'TYPE' if what.startswith('mood') else 'TABLE'} {what} CASCADE") for case in cases if case.own_tables for what in case.kind.drops]
    if gone:
        c.run(1, "BEGIN", *gone, "COMMIT")
    return outcomes


@suite.test
def every_pair(c):
    for i in c.members():
        c.run(i, "SET allow_system_table_mods = on", COLLATION)
    c.run(1, "BEGIN", *[s.format(s="") for kind in KINDS for s in kind.create], "COMMIT")
    plain, pool = Plain(c, KINDS), Pool(c)
    cases = generate(random.Random(SEED), SHARE)[PART - 1::PARTS]
    failures, longest, started = [], 0.0, time.monotonic()
    for timing in TIMINGS:
        of_timing = [case for case in cases if case.timing == timing]
        for at in range(0, len(of_timing), WAVE_CASES):
            outcomes = run_wave(c, pool, plain, of_timing[at:at + WAVE_CASES], failures)
            longest = max([longest, *(out.waited for out in outcomes.values())])
    pool.close()
    print(f"# seed {SEED}: {len(cases)} cases in {time.monotonic() - started:.0f} s, longest wait {longest:.2f} s", flush=True)
    check(not failures, f"seed {SEED}: {len(failures)} of {len(cases)} cases: " + "; ".join(failures[:5]))


if __name__ == "__main__":
    suite.main()
