"""One member of four under valgrind (memcheck), with clients on all of them: no invalid access, no use of what was never set, no leak in our code.

Its server runs a thirtieth as fast, so it is behind most of the time and catches up. An error counts if one of our functions is on its stack;
what Postgres does with our own frames below is in valgrind.supp, with the reason. Leaks count where memory was taken in our code.
"""
import os
import re
import subprocess

from harness import ROOT, Suite, check, equal, eventually
from load import Load, prepare

suite = Suite("valgrind", port=8040)
MEMBER = 4
COMMITS = int(os.environ.get("DADBS_COMMITS", 200))
OURS = re.compile(rf"\({re.escape(ROOT)}/|/dadbs\.so\)|dadbs::(core|net|storage|pg)::")
LEAK = re.compile(r" are (definitely|indirectly) lost in loss record ")


def server_under_valgrind(c):
    config = os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config")
    postgres = os.path.join(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip(), "postgres")
    suppressions = os.path.join(ROOT, "test", "cluster", "valgrind.supp")
    return ("#!/bin/sh\nexec valgrind --trace-children=yes --leak-check=full --show-leak-kinds=definite,indirect --num-callers=60 --error-limit=no "
            f"--fullpath-after= --suppressions='{suppressions}' --log-file='{c.dir}/m{MEMBER}.valgrind.%p' '{postgres}' \"$@\"\n")


def errors(text):
    """Of one process: its errors, without the prefix of each line."""
    lines = [re.sub(r"^==\d+== ?", "", line) for line in text.splitlines() if line.startswith("==")]
    return [e for e in "\n".join(lines).split("\n\n") if re.search(r"^\s+(at|by) 0x", e, re.M)]


def of_all(c):
    found, processes = [], 0
    for name in sorted(os.listdir(c.dir)):
        if name.startswith(f"m{MEMBER}.valgrind."):
            processes += 1
            with open(os.path.join(c.dir, name), errors="replace") as f:
                found += errors(f.read())
    return found, processes


@suite.test
def one_member_under_valgrind(c):
    prepare(c)
    os.environ["DADBS_CTL_TIMEOUT"] = "600"
    c.stop_member(MEMBER)
    c.beside(MEMBER, "server", server_under_valgrind(c), 0o755)
    c.command("start-member", MEMBER, timeout=700)
    c.command("wait-ready", 600, timeout=700)
    load = Load(c, c.members(), per_member=1)
    own = f"{MEMBER}-"
    eventually(lambda: load.workers.errors or (len(load.acknowledged) >= COMMITS and sum(n.startswith(own) for n in list(load.acknowledged)) >= 10), 900,
               f"{COMMITS} commits, some of them under valgrind")
    load.workers.join(300)
    c.command("wait-ready", 600, timeout=700)
    c.settle(600)
    load.finish()
    c.command("stop-member", MEMBER, timeout=700)
    found, processes = of_all(c)
    c.beside(MEMBER, "server", None)
    c.start_member(MEMBER)
    c.wait_ready()
    ours = [e for e in found if OURS.search(e)]
    leaks = [e for e in ours if LEAK.search(e)]
    print(f"# {len(load.acknowledged)} commits; {processes} processes under valgrind; {len(ours) - len(leaks)} errors and {len(leaks)} leaks with our "
          f"functions on the stack, {len(found) - len(ours)} of others", flush=True)
    check(processes >= 8, "its processes did not run under valgrind")
    if ours:
        print("\n".join("#   " + line for e in ours[:8] for line in [*e.splitlines()[:30], ""]), flush=True)
    equal(len(ours), 0, "errors and leaks of our code")


if __name__ == "__main__":
    suite.main()
