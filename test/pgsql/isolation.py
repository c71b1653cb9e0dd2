"""PostgreSQL's isolation specs (src/test/isolation/specs), each session on another member.

A spec has SQL for before and after, sessions with steps, and permutations: orders in which the steps are given. A step that does not answer at once
waits for a lock, and the next one is given meanwhile. What steps answer is not compared: between members much of it is told at COMMIT.
"""
import os
import queue
import re
import threading

import psycopg2

from source import with_keys

TOKEN = re.compile(r'\{[^}]*\}|"(?:[^"]|"")*"|\([^)]*\)|[\w*,-]+')
QUOTE = re.compile(r"(\$\w*\$|;|')")
STEP_SECONDS = 0.15    # a step that takes longer is taken to wait
BUSY_SECONDS = 4       # for a session that is to take its next step, and at the end
OPTIONS = "-c dadbs.run_shared_code=on"


def statements(sql):
    """One by one: several at once would be one transaction."""
    found, quote = [""], None
    for part in QUOTE.split(sql):
        if quote:
            quote = None if part == quote else quote
        elif part == "'" or (part.startswith("$") and len(part) > 1):
            quote = part
        elif part == ";":
            found.append("")
            continue
        found[-1] += part
    return [s.strip() for s in found if s.strip()]


class Spec:
    def __init__(self, path):
        with open(path, encoding="latin-1") as f:
            tokens = TOKEN.findall(re.sub(r"(?m)#.*$", "", f.read()))
        self.setup, self.teardown, self.sessions, self.permutations, self.steps = [], [], {}, [], {}
        session = permutation = None
        while tokens:
            token = tokens.pop(0)
            if token == "session":
                session, permutation = tokens.pop(0).strip('"'), None
                self.sessions[session] = {"setup": [], "teardown": []}
            elif token in ("setup", "teardown"):
                body = statements(with_keys(tokens.pop(0)[1:-1]))
                (self.sessions[session][token] if session else getattr(self, token)).extend(body)
            elif token == "step":
                name = tokens.pop(0).strip('"')
                self.steps[name] = (session, statements(tokens.pop(0)[1:-1]))
            elif token == "permutation":
                permutation = []
                self.permutations.append(permutation)
            elif permutation is not None and token[0] not in "({":
                permutation.append(token.strip('"'))

    def orders(self, dice, limit):
        """Permutations; without any, shuffles of the sessions' steps."""
        if self.permutations:
            return self.permutations if len(self.permutations) <= limit else dice.sample(self.permutations, limit)
        return [self.shuffle(dice) for _ in range(limit)]

    def shuffle(self, dice):
        turns = [session for session, _ in self.steps.values()]
        dice.shuffle(turns)
        left = {name: [step for step, (session, _) in self.steps.items() if session == name] for name in self.sessions}
        return [left[name].pop(0) for name in turns]


class Client:
    """A session that may wait: its statements are executed by a thread."""

    def __init__(self, c, i):
        self.member, self.connection, self.orders, self.said = i, c.connect(i, options=OPTIONS), queue.Queue(), []
        self.idle = threading.Event()
        self.idle.set()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        for statement in iter(self.orders.get, None):
            try:
                with self.connection.cursor() as cursor:
                    cursor.execute(statement)
                self.said.append((statement[:60], "ok"))
            except psycopg2.Error as e:
                self.said.append((statement[:60], e.pgcode or "connection lost"))
            self.idle.set()
        self.connection.close()

    def give(self, given, seconds):
        for statement in given:
            if not self.idle.wait(BUSY_SECONDS):
                self.said.append((statement[:60], "not given"))
                continue
            self.idle.clear()
            self.orders.put(statement)
            self.idle.wait(seconds)

    def finish(self):
        """Whether it came to an end by itself; else its statement is cancelled."""
        if self.idle.wait(BUSY_SECONDS):
            return True
        try:
            self.connection.cancel()
        except psycopg2.Error:
            pass
        return False


def alone(c, given):
    """Setup and teardown, by a session of their own on member 1."""
    connection = c.connect(1, options=OPTIONS)
    try:
        for statement in given:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
            except psycopg2.Error:
                pass  # what dadbs refuses; the rest may still be of use
    finally:
        connection.close()


def run(c, spec, order, first):
    """One permutation, its sessions on members first, first + 1, ...; what each session was told, and which did not end by themselves."""
    alone(c, spec.setup)
    c.settle()
    clients = {name: Client(c, (first + k) % c.n + 1) for k, name in enumerate(spec.sessions)}
    try:
        for name, client in clients.items():
            client.give(spec.sessions[name]["setup"], BUSY_SECONDS)
        for step in order:
            session, given = spec.steps[step]
            clients[session].give(given, STEP_SECONDS)
        waiting = [name for name, client in clients.items() if not client.finish()]
        for name, client in clients.items():
            client.give(spec.sessions[name]["teardown"], BUSY_SECONDS)
    finally:
        for client in clients.values():
            client.orders.put(None)
    alone(c, spec.teardown)
    return {f"{name} on m{client.member}": client.said for name, client in clients.items()}, waiting


def specs(source):
    return sorted(name[:-5] for name in os.listdir(os.path.join(source, "src/test/isolation/specs")) if name.endswith(".spec"))
