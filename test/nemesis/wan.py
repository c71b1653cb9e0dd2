"""A network between network namespaces that delays, loses, repeats and reorders packets: what tc netem does where the kernel has it.

    python3 wan.py SEED NAMESPACE...      (as root)

Each namespace gets a TUN device, 10.77.0.1, 10.77.0.2, ... in their order; every IP packet between them goes through this process, which
reads profiles from its standard input, one JSON object a line, and answers each with what it has counted since the last one. A profile:
delay_ms, jitter_ms (uniform, to both sides: packets overtake each other), loss, duplicate (shares), cut (a list of [from, to], places from 1).
TCP above it is the kernel's: it retransmits, backs off and gives up as on a real link. `Wan` is the tests' side.
"""
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time

ADDRESS = "10.77.0.{}"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
QUEUED_MAX = 20_000
PERFECT = {"delay_ms": 0, "jitter_ms": 0, "loss": 0, "duplicate": 0, "cut": []}


def open_tun(namespace):
    """A TUN device in the namespace, as a file of this process, which moves there and stays."""
    with open(f"/var/run/netns/{namespace}") as f:
        if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"wan0", IFF_TUN | IFF_NO_PI))
    return fd


class Network:
    def __init__(self, seed, namespaces):
        self.rng = random.Random(seed)
        self.tuns = [open_tun(n) for n in namespaces]
        self.profile, self.cut = dict(PERFECT), set()
        self.queue, self.order = [], 0
        self.counts = {}

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def accept(self, source, packet, now):
        if len(packet) < 20 or packet[0] >> 4 != 4 or packet[16:19] != bytes((10, 77, 0)):
            return
        to = packet[19]
        p = self.profile
        if not 1 <= to <= len(self.tuns) or (source, to) in self.cut or self.rng.random() < p["loss"] or len(self.queue) >= QUEUED_MAX:
            return self.count("lost")
        for _ in range(2 if self.rng.random() < p["duplicate"] else 1):
            self.order += 1
            due = now + max(0.0, p["delay_ms"] + self.rng.uniform(-p["jitter_ms"], p["jitter_ms"])) / 1000
            heapq.heappush(self.queue, (due, self.order, to, packet))

    def deliver(self, now):
        newest = 0
        while self.queue and self.queue[0][0] <= now:
            _, order, to, packet = heapq.heappop(self.queue)
            if order < newest:
                self.count("overtaken")
            newest = max(newest, order)
            try:
                os.write(self.tuns[to - 1], packet)
                self.count("passed")
            except OSError:  # its queue is full
                self.count("lost")

    def obey(self, line):
        self.profile = {**PERFECT, **json.loads(line)}
        self.cut = {tuple(c) for c in self.profile["cut"]}
        print(json.dumps(self.counts), flush=True)
        self.counts = {}

    def run(self):
        print("ready", flush=True)
        while True:
            now = time.monotonic()
            wait = max(0.0, self.queue[0][0] - now) if self.queue else None
            ready, _, _ = select.select([sys.stdin, *self.tuns], [], [], wait)
            now = time.monotonic()
            for place, tun in enumerate(self.tuns, 1):
                if tun in ready:
                    try:
                        for _ in range(64):
                            self.accept(place, os.read(tun, 65536), now)
                    except BlockingIOError:
                        pass
            self.deliver(now)
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                self.obey(line)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Wan:
    """Namespaces for the members of a cluster that has not been started yet, and the network between them."""

    def __init__(self, c, seed):
        self.names = [f"dadbs-{os.getpid()}-m{i}" for i in c.members()]
        self.process = None
        c.surroundings.append(self)
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        # Lines are few and short: none is left in a buffer of this side.
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(seed), *self.names], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        if self.process.stdout.readline().strip() != "ready":
            raise OSError("the network between the namespaces cannot be made (TUN devices, as root)")
        for i, name in zip(c.members(), self.names):
            ip("-n", name, "addr", "add", ADDRESS.format(i) + "/24", "dev", "wan0")
            ip("-n", name, "link", "set", "wan0", "up")
            c.beside(i, "netns", name)
            c.beside(i, "host", ADDRESS.format(i))
        c.host = c.dir  # clients come by Unix sockets, which know no namespaces

    def set(self, **profile):
        """What the network does from now on; the answer is what it has counted since the last call."""
        self.process.stdin.write(json.dumps(profile) + "\n")
        return json.loads(self.process.stdout.readline())

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait(10)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


if __name__ == "__main__":
    Network(sys.argv[1], sys.argv[2:]).run()
