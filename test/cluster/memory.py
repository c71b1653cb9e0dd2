"""What the processes of a member take: memory of their own, open files, memory contexts. For tests that look for leaks.

A process's own memory is what Linux calls Anonymous in /proc/PID/smaps_rollup: heap, stack, private data. Not RSS, nor
Private_Dirty: both grow for as long as a process touches pages of the shared buffers that no other has mapped yet.
"""
import os
import re
import subprocess
from collections import namedtuple

Process = namedtuple("Process", "pid own_kb pss_kb files")


def rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+):\s+(\d+) kB", f.read(), re.M)}


def measure(pid):
    fields = rollup(pid)
    return Process(pid, fields["Anonymous"], fields["Pss"], len(os.listdir(f"/proc/{pid}/fd")))


def processes(c, member):
    """{'dadbs apply': pid, 'client backend PID': pid, ...}: what the member's postmaster has started."""
    with open(os.path.join(c.dir, f"m{member}", "postmaster.pid")) as f:
        postmaster = f.readline().strip()
    found = {}
    for pid in subprocess.run(["pgrep", "-P", postmaster], capture_output=True, text=True, check=False).stdout.split():
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                title = f.read().replace("\0", " ").strip()
        except OSError:
            continue
        if not title:  # it is ending: a client that has just disconnected
            continue
        name = re.sub(r"^postgres: (m\d+: )?", "", title)
        found[name if name.startswith("dadbs") else f"{name.split()[0]} {pid}"] = int(pid)
    return found


def workers(c, member):
    """What the extension's own processes take: {'dadbs apply': Process, ...}."""
    return {name: measure(pid) for name, pid in processes(c, member).items() if name.startswith("dadbs")}
