"""What the benchmarks need of the machine: commands that are ended with the run, users to drop to, memory of processes."""
import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PEERS = os.path.join(ROOT, "scripts", "peers")
PG_CONFIG = os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config")


class BenchError(Exception):
    pass


def say(text=""):
    print(text, flush=True)


_groups = set()  # process groups that this run has started and not yet seen end


def spawn(argv, user=None, **more):
    """A command in a process group of its own, so that what it starts ends with it."""
    if user:
        argv = ["runuser", "-u", user, "--", *argv]
    process = subprocess.Popen(list(map(str, argv)), start_new_session=True, text=True, **more)
    _groups.add(process.pid)
    return process


def finish(process, timeout):
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end_group(process)
        raise BenchError(f"{process.args[0]}: no end within {timeout} s") from None
    _groups.discard(process.pid)
    if process.returncode != 0:
        raise BenchError(f"{' '.join(process.args)[:200]}: exit {process.returncode}\n{(out or '')[-1000:]}{(err or '')[-1000:]}")
    return out


def end_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _groups.discard(process.pid)


def end_all():
    for group in list(_groups):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    _groups.clear()


def run(*argv, user=None, timeout=300, **more):
    return finish(spawn(argv, user, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", **more), timeout)


def together(commands, timeout, user=None):
    """Runs commands at the same time; their outputs, in order."""
    running = [spawn(c, user, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/") for c in commands]
    return [finish(p, timeout) for p in running]


def bindir():
    return subprocess.run([PG_CONFIG, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()


class Folder:
    """A folder of this run that the servers' users can enter; removed at the end."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="dadbs-bench-")
        os.chmod(self.path, 0o1777)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def on_signals_exit():
    """SIGTERM, SIGINT and SIGHUP unwind the stack, so that each `with` stops what it started."""
    def leave(number, _frame):
        for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)


def flush_disks():
    """What an earlier measurement left to be written must not be paid for by the next one."""
    os.sync()


def pss_kb(pid):
    """Proportional set size of a process: (all, of which shared memory)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        text = f.read()
    return tuple(int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) for name in ("Pss", "Pss_Shmem"))


def children(pid):
    """{pid: title} of the processes that this one has started."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            if parent == pid:
                with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as f:
                    title = f.read().rstrip("\0 ")
                if title:  # one that is ending has none any more
                    found[int(name)] = title
    return found


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def describe():
    """Lines about the machine, for the record."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = re.search(r"^model name\s*:\s*(.*)$", f.read(), re.M)
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(re.search(r"^MemTotal:\s+(\d+)", f.read()).group(1)) // 1024
    versions = [subprocess.run(c, capture_output=True, text=True, check=False).stdout.strip()
                for c in (["sysbench", "--version"], [os.path.join(bindir(), "postgres"), "--version"], ["mariadbd", "--version"])]
    commit = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%h %cs"], capture_output=True, text=True, check=False)
    return [f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, {memory} MB, Linux {platform.release()}",
            *filter(None, versions), f"dadbs at {commit.stdout.strip() or 'an unknown commit'}",
            time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())]
