"""Judges what clients were told, and what they read, by the chain that all members agree on in the end.

A history is a list of Write, Read, Awaited and Answer; `began` and `ended` are ticks of one counter, so that of two events it is known
whether one had ended before the other began. The chain is a list of (position, effect) in its order, position being (height, index)
and the effect what one committed transaction did by its own record of itself, in the table `op`:

    Effect(id, payer, payee, amount, lists)     moves money between two accounts, and appends its id to each of some lists

All that is checked follows from one promise: the database is, in every snapshot on every member, what the transactions of a prefix of the
chain make of it one after the other; whoever was told that a transaction was committed finds it there, once, and whoever was told that
nothing was changed does not. check() returns Anomaly(kind, text) for each breach; nothing of it knows Postgres.
"""
import bisect
import collections
import dataclasses

UNKNOWN = "unknown"      # 40003, or the session was lost in COMMIT
OK, FAILED = "ok", "failed"

Effect = collections.namedtuple("Effect", "id payer payee amount lists")
Anomaly = collections.namedtuple("Anomaly", "kind text")


@dataclasses.dataclass
class Write:
    id: int
    member: int
    began: int
    ended: int
    outcome: str
    sqlstate: str = None


@dataclasses.dataclass
class Read:
    """One snapshot: the last position that was applied in it, balances by account, the elements of some lists."""
    member: int
    began: int
    ended: int
    position: tuple
    balances: list
    lists: dict


@dataclasses.dataclass
class Awaited:
    """`found`: whether the row of transaction `id` was read on `member` after dadbs.wait_for() had said that it is there."""
    id: int
    member: int
    found: bool


@dataclasses.dataclass
class Answer:
    """dadbs.transaction_status() of an outcome that was open: committed or not."""
    id: int
    status: str
    began: int
    ended: int


class History:
    def __init__(self):
        self.writes, self.reads, self.awaited, self.answers = [], [], [], []


class Model:
    """What a plain database holds after the effects so far."""

    def __init__(self, accounts, balance):
        self.balances = [balance] * accounts
        self.lists = collections.defaultdict(list)

    def apply(self, effect):
        self.balances[effect.payer] -= effect.amount
        self.balances[effect.payee] += effect.amount
        for name in effect.lists:
            self.lists[name].append(effect.id)


def check(history, chain, accounts, balance, final=()):
    """`final`: Reads of each member after everything had settled. Returns (anomalies, C)."""
    anomalies = []
    anomalies += duplicates(chain)
    positions = {effect.id: position for position, effect in chain}
    committed = known_committed(history)
    anomalies += lost_and_invented(history, positions, committed)
    anomalies += reordered(history, positions)
    anomalies += answers(history, positions)
    anomalies += stale_after_wait(history)
    anomalies += backwards(history)
    reads = history.reads + list(final)
    anomalies += dirty_reads(reads, positions)
    anomalies += cycles(reads)
    wrong = against_the_chain(reads, chain, accounts, balance)
    anomalies += wrong
    last = chain[-1][0] if chain else None
    anomalies += [Anomaly("final", f"member {r.member} ends at {r.position}, before {last}") for r in final if last and r.position < last]
    consistency = 1 - len(wrong) / len(reads) if reads else 1.0
    return anomalies, consistency


def duplicates(chain):
    seen, found = {}, []
    for position, effect in chain:
        if effect.id in seen:
            found.append(Anomaly("duplicate", f"transaction {effect.id} is on the chain at {seen[effect.id]} and {position}"))
        seen[effect.id] = position
    return found


def known_committed(history):
    """id -> the tick from which on its client knew it."""
    known = {w.id: w.ended for w in history.writes if w.outcome == OK}
    for a in history.answers:
        if a.status == "committed":
            known[a.id] = min(a.ended, known.get(a.id, a.ended))
    return known


def lost_and_invented(history, positions, committed):
    found = [Anomaly("lost", f"transaction {i} was acknowledged and is not on the chain") for i in committed if i not in positions]
    tried = set()
    for w in history.writes:
        tried.add(w.id)
        if w.outcome == FAILED and w.id in positions:
            found.append(Anomaly("refused but there", f"transaction {w.id} was refused with {w.sqlstate} and is on the chain at {positions[w.id]}"))
    found += [Anomaly("invented", f"transaction {i} is on the chain, and no client made it") for i in positions if i not in tried]
    return found


def reordered(history, positions):
    """Who began when another was known to be committed comes later in the chain."""
    ended = sorted((tick, positions[i], i) for i, tick in known_committed(history).items() if i in positions)
    ticks, highest = [], []
    for tick, position, i in ended:
        ticks.append(tick)
        highest.append(max((position, i), highest[-1]) if highest else (position, i))
    found = []
    for w in history.writes:
        before = bisect.bisect_left(ticks, w.began)
        if w.id in positions and before > 0 and positions[w.id] < highest[before - 1][0]:
            position, other = highest[before - 1]
            found.append(Anomaly("reordered", f"transaction {w.id} at {positions[w.id]} began when {other} at {position} was acknowledged"))
    return found


def answers(history, positions):
    found = []
    for a in history.answers:
        if (a.status == "committed") != (a.id in positions):
            where = f"at {positions[a.id]}" if a.id in positions else "not on the chain"
            found.append(Anomaly("untrue status", f"transaction_status said {a.status} of transaction {a.id}, which is {where}"))
    return found


def stale_after_wait(history):
    return [Anomaly("stale", f"member {a.member} did not show transaction {a.id} after wait_for() had returned true")
            for a in history.awaited if not a.found]


def backwards(history):
    """On one member a snapshot that is taken after another was read holds at least as much."""
    found = []
    for member in {r.member for r in history.reads}:
        reads = [r for r in history.reads if r.member == member]
        by_end = sorted(reads, key=lambda r: r.ended)
        ticks, highest = [], []
        for r in by_end:
            ticks.append(r.ended)
            highest.append(max(r.position, highest[-1]) if highest else r.position)
        for r in reads:
            before = bisect.bisect_left(ticks, r.began)
            if before > 0 and r.position < highest[before - 1]:
                found.append(Anomaly("backwards", f"member {member} showed {highest[before - 1]}, and then {r.position}"))
    return found


def dirty_reads(reads, positions):
    found = []
    for r in reads:
        for name, elements in r.lists.items():
            dirty = [i for i in elements if i not in positions]
            if dirty:
                found.append(Anomaly("dirty read", f"member {r.member} showed {dirty[:3]} in list {name}, which never committed"))
            if len(set(elements)) != len(elements):
                found.append(Anomaly("duplicate", f"member {r.member} showed an element of list {name} twice"))
    return found


def cycles(reads):
    """Orders of appends, from what was read alone: all versions of a list are prefixes of one, and no two lists contradict each other."""
    longest, found = {}, []
    for r in reads:
        for name, elements in r.lists.items():
            other = longest.setdefault(name, elements)
            short, long = sorted((elements, other), key=len)
            if long[:len(short)] != short:
                found.append(Anomaly("fork", f"list {name} was read as {short[-3:]} and as {long[:len(short)][-3:]} at the same length"))
            longest[name] = long
    after = collections.defaultdict(set)
    for elements in longest.values():
        for first, second in zip(elements, elements[1:]):
            after[first].add(second)
    stuck = on_a_cycle(after)
    if stuck:
        found.append(Anomaly("write cycle", f"lists contradict each other on the order of {sorted(stuck)[:4]}"))
    return found


def on_a_cycle(after):
    """What is left when all that nothing comes before has been taken away again and again."""
    incoming = collections.Counter(second for seconds in after.values() for second in seconds)
    nodes = set(after) | set(incoming)
    free = [n for n in nodes if not incoming[n]]
    while free:
        node = free.pop()
        nodes.discard(node)
        for second in after.get(node, ()):
            incoming[second] -= 1
            if not incoming[second]:
                free.append(second)
    return nodes


def against_the_chain(reads, chain, accounts, balance):
    """Each snapshot is what the effects up to its position make. One anomaly for each read that differs."""
    model, at, found = Model(accounts, balance), 0, []
    for r in sorted(reads, key=lambda r: r.position):
        while at < len(chain) and chain[at][0] <= r.position:
            model.apply(chain[at][1])
            at += 1
        differs = difference(r, model, accounts * balance)
        if differs:
            found.append(Anomaly("not the chain", f"member {r.member} at {r.position}: {differs}"))
    return found


def difference(read, model, total):
    if sum(read.balances) != total:
        return f"the sum of balances is {sum(read.balances)}"
    if list(read.balances) != model.balances:
        wrong = [i for i, (seen, right) in enumerate(zip(read.balances, model.balances)) if seen != right]
        return f"balances of accounts {wrong[:5]} are not what the transfers make of them"
    for name, elements in read.lists.items():
        expected = model.lists.get(name, [])
        if elements != expected:
            missing, more = [i for i in expected if i not in elements], [i for i in elements if i not in expected]
            return f"list {name} lacks {missing[:3]}, has {more[:3]} more" if missing or more else f"list {name} is in another order"
    return None
