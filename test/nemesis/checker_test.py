"""The checker finds each anomaly in a history that is made to contain it, and nothing in one that is sound."""
import copy
import random
import sys
import traceback

from checker import FAILED, OK, UNKNOWN, Answer, Awaited, Effect, History, Model, Read, Write, check

ACCOUNTS, BALANCE = 6, 100


def sound(seed=1, writes=300):
    """A history of a database that keeps its promises, made by dice: concurrent writes, refusals, open outcomes, old snapshots."""
    rng = random.Random(seed)
    history, chain, model = History(), [], Model(ACCOUNTS, BALANCE)
    snapshots = [((0, 0), list(model.balances), {})]
    tick, seen = 0, {}
    for i in range(1, writes + 1):
        began, tick = tick, tick + rng.randrange(1, 3)
        outcome = rng.choice([OK] * 6 + [FAILED, UNKNOWN])
        there = outcome == OK or outcome == UNKNOWN and rng.random() < 0.5
        if there:
            payer, payee = rng.sample(range(ACCOUNTS), 2)
            effect = Effect(i, payer, payee, rng.randrange(1, 9), [f"l{i // 40}", f"k{i // 60}"])
            position = (len(chain) // 3 + 1, len(chain) % 3)
            chain.append((position, effect))
            model.apply(effect)
            snapshots.append((position, list(model.balances), copy.deepcopy(dict(model.lists))))
        tick += 1
        history.writes.append(Write(i, 1 + i % 4, began, tick, outcome, "40001" if outcome == FAILED else None))
        if outcome == UNKNOWN:
            history.answers.append(Answer(i, "committed" if there else rng.choice(["conflict", "aborted"]), tick + 1, tick + 2))
            tick += 2
        if outcome == OK and i % 5 == 0:
            history.awaited.append(Awaited(i, 2, True))
        member = rng.randrange(1, 5)
        seen[member] = max(seen.get(member, 0), len(snapshots) - rng.randrange(1, 4))
        position, balances, lists = snapshots[max(0, seen[member])]
        history.reads.append(Read(member, tick, tick + 1, position, list(balances), copy.deepcopy(lists)))
        tick += 1
    position, balances, lists = snapshots[-1]
    final = [Read(m, tick + 1, tick + 2, position, list(balances), copy.deepcopy(lists)) for m in range(1, 5)]
    return history, chain, final


def kinds(history, chain, final):
    anomalies, consistency = check(history, chain, ACCOUNTS, BALANCE, final)
    return {a.kind for a in anomalies}, consistency


def must_find(kind, change, consistent=None):
    """change(history, chain, final) breaks a sound history."""
    for seed in range(1, 6):
        history, chain, final = sound(seed)
        change(history, chain, final)
        found, consistency = kinds(history, chain, final)
        assert kind in found, f"seed {seed}: {kind} is not among {found}"
        if consistent is not None:
            assert (consistency == 1) == consistent, f"seed {seed}: C = {consistency}"


def nth(history, outcome, n):
    return [w for w in history.writes if w.outcome == outcome][n]


def drop(chain, i):
    chain[:] = [(p, e) for p, e in chain if e.id != i]


def full(history):
    """A read with lists, in the middle."""
    return [r for r in history.reads if any(len(x) > 3 for x in r.lists.values())][100]


def test_a_sound_history():
    for seed in range(1, 30):
        found, consistency = kinds(*sound(seed))
        assert not found, f"seed {seed}: {found}"
        assert consistency == 1


def test_lost():
    must_find("lost", lambda h, c, f: drop(c, nth(h, OK, 20).id))


def test_lost_although_status_said_committed():
    def change(h, c, f):
        drop(c, next(a.id for a in h.answers if a.status == "committed"))
    must_find("lost", change)
    must_find("untrue status", change)


def test_status_said_aborted_and_it_is_there():
    def change(h, c, f):
        next(a for a in h.answers if a.status == "committed").status = "aborted"
    must_find("untrue status", change)


def test_duplicate_on_the_chain():
    must_find("duplicate", lambda h, c, f: c.append(((999, 0), c[5][1])))


def test_duplicate_element():
    def change(h, c, f):
        name = next(n for n, x in f[0].lists.items() if x)
        f[0].lists[name].append(f[0].lists[name][0])
    must_find("duplicate", change, consistent=False)


def test_refused_but_there():
    def change(h, c, f):
        w = nth(h, OK, 7)
        w.outcome, w.sqlstate = FAILED, "DA001"
    must_find("refused but there", change)


def test_invented():
    must_find("invented", lambda h, c, f: c.append(((999, 0), Effect(10_000, 0, 1, 1, []))))


def test_reordered():
    def change(h, c, f):
        a, b = [k for k, (_, e) in enumerate(c) if next(w for w in h.writes if w.id == e.id).outcome == OK][10:12]
        c[a], c[b] = (c[a][0], c[b][1]), (c[b][0], c[a][1])
    must_find("reordered", change)


def test_reordered_behind_an_answer():
    """The order follows from transaction_status() too."""
    def change(h, c, f):
        a = next(a for a in h.answers if a.status == "committed" and a.id < 200)
        at = next(k for k, (_, e) in enumerate(c) if e.id == a.id)
        later = next(k for k, (_, e) in enumerate(c) if next(w for w in h.writes if w.id == e.id).began > a.ended)
        c[at], c[later] = (c[at][0], c[later][1]), (c[later][0], c[at][1])
    must_find("reordered", change)


def test_concurrent_writes_have_no_order():
    history, chain, final = sound()
    for w in history.writes:
        w.began = 0
    assert not kinds(history, chain, final)[0]


def test_dirty_read():
    def change(h, c, f):
        r = full(h)
        next(x for x in r.lists.values() if len(x) > 3).append(nth(h, FAILED, 3).id)
    must_find("dirty read", change, consistent=False)


def test_stale_after_wait():
    def change(h, c, f):
        h.awaited[3].found = False
    must_find("stale", change)


def test_a_member_goes_back():
    def change(h, c, f):
        r = h.reads[0]
        h.reads.append(Read(f[2].member, h.writes[-1].ended + 5, h.writes[-1].ended + 6, r.position, r.balances, r.lists))
    must_find("backwards", change, consistent=True)


def test_lost_update():
    def change(h, c, f):
        r = full(h)
        name = next(n for n, x in r.lists.items() if len(x) > 3)
        del r.lists[name][1]
    must_find("not the chain", change, consistent=False)
    must_find("fork", change)


def test_lost_update_of_a_balance():
    def change(h, c, f):
        r = full(h)
        r.balances[2] += 1
        r.balances[3] -= 1  # the sum is right
    must_find("not the chain", change, consistent=False)


def test_wrong_sum():
    def change(h, c, f):
        full(h).balances[0] += 5
    must_find("not the chain", change, consistent=False)


def test_half_of_a_transaction():
    def change(h, c, f):
        r = full(h)
        a = [n for n, x in r.lists.items() if x and n.startswith("l")][-1]
        r.lists[a].pop()
    must_find("not the chain", change, consistent=False)


def test_snapshot_of_another_position():
    """A read that is sound in itself, and not what was committed up to the position that it names."""
    def change(h, c, f):
        r, later = full(h), f[0]
        r.balances, r.lists = list(later.balances), copy.deepcopy(later.lists)
    must_find("not the chain", change, consistent=False)


def test_long_fork():
    def change(h, c, f):
        name = next(n for n, x in f[0].lists.items() if len(x) > 3)
        f[0].lists[name][-2:] = reversed(f[0].lists[name][-2:])
    must_find("fork", change, consistent=False)


def test_write_cycle():
    """Two lists that show two transactions in opposite orders: each of them is without a contradiction."""
    def change(h, c, f):
        a, b = f[0].lists["l3"][2:4]
        for r in h.reads + f:
            for name, x in r.lists.items():
                if name.startswith("k") and a in x and b in x:
                    i, k = x.index(a), x.index(b)
                    x[i], x[k] = b, a
                elif name.startswith("k") and a in x:
                    x[x.index(a)] = b
    must_find("write cycle", change, consistent=False)


def test_a_member_that_did_not_catch_up():
    def change(h, c, f):
        r = h.reads[-40]
        f[1] = Read(2, f[1].began, f[1].ended, r.position, r.balances, r.lists)
    must_find("final", change)


def main():
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        try:
            test()
            passed += 1
            print(f"ok - {name}")
        except Exception:  # noqa: BLE001 - counted and shown
            failed += 1
            print(f"not ok - {name}\n#   " + traceback.format_exc().replace("\n", "\n#   "))
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
