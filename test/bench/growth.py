"""(n): how deciding grows with the number of members: the real replica in virtual time (test/growth). Aims, and a growth law."""
import csv
import math
import os
import subprocess

from machine import ROOT, BenchError, say

MEMBERS = (4, 10, 25, 50, 100, 200, 500)
# Seconds, by (members, megabytes, latency in ms): what a published design of this kind takes. The aim is a tenth of it.
PUBLISHED = {(100, 1, 50): 3.5, (100, 5, 50): 7.8, (100, 1, 200): 5.2, (500, 1, 50): 4.7, (500, 5, 50): 10.1, (500, 1, 200): 7.5}
LAWS = (("median_ms - light_ms", "time beyond the light's"), ("messages_per_block", "messages per block"), ("bytes_per_block", "bytes per block"),
        ("bytes_per_member_and_block", "bytes per block, each member"), ("cpu_ms", "processor time per block, each member"))


def measure(options):
    program = os.path.join(ROOT, "build", "dadbs_growth")
    build = ["cmake", "--build", os.path.join(ROOT, "build"), "--target", "dadbs_growth"]
    subprocess.run(["cmake", "-S", ROOT, "-B", os.path.join(ROOT, "build"), "-G", "Ninja", "-DDADBS_TESTS=ON"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    members = MEMBERS[:3] if options.quick else MEMBERS
    rows = []
    for n in members:
        done = subprocess.run([program, "--members", str(n), "--rounds", "1" if options.quick else "5"], capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchError(f"dadbs_growth with {n} members: {done.stderr.strip()}")
        if n == members[0]:
            say(f"    {done.stderr.strip()}")
        for row in csv.DictReader(done.stdout.splitlines()):
            rows.append({k: float(v) for k, v in row.items()})
            say(f"    (n) {describe(rows[-1])}")
    for line in laws(rows):
        say(f"    (n) {line}")
    return rows


def aim_of(row):
    """(the published figure, a tenth of it but not less than the light needs), in ms, where there is one."""
    published = PUBLISHED.get((row["members"], row["megabytes"], row["latency_ms"]))
    return (None, None) if published is None else (1000 * published, max(100 * published, row["light_ms"]))


def describe(row):
    published, aim = aim_of(row)
    text = (f"{row['members']:3.0f} members, {row['megabytes']:.0f} MB, {row['latency_ms']:3.0f} ms: {row['median_ms']:6.0f} ms (light {row['light_ms']:.0f}), "
            f"{row['messages_per_block']:8.0f} messages and {row['bytes_per_block'] / 1e6:6.1f} MB per block")
    return text if published is None else f"{text}; published {published:.0f}, aim {aim:.0f}: {'reached' if row['median_ms'] <= aim else 'short'}"


def value(row, what):
    return row["median_ms"] - row["light_ms"] if what == "median_ms - light_ms" else row[what]


def exponent(points):
    """Of y = a n^k, by least squares of the logarithms."""
    logs = [(math.log(n), math.log(y)) for n, y in points if y > 0]
    if len(logs) < 2:
        return None
    mean_x, mean_y = (sum(v) / len(logs) for v in zip(*logs))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def laws(rows):
    """One line for each figure: its exponent in the number of members, for 1 MB and 50 ms, over all sizes and over the largest three."""
    points = [r for r in rows if r["megabytes"] == 1 and r["latency_ms"] == 50]
    lines = []
    for what, title in LAWS:
        series = [(r["members"], value(r, what)) for r in points]
        found = [exponent(series), exponent(series[-3:])]
        if None not in found:
            lines.append(f"{title}: n^{found[0]:.2f}; of the largest three n^{found[1]:.2f}")
    return lines
