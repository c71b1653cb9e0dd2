"""The table, results.csv and samples.csv."""
import csv
import os

from machine import say

GROWTH = ("members", "quorum", "megabytes", "latency_ms", "light_ms", "median_ms", "last_ms", "blocks", "messages_per_block", "bytes_per_block",
          "bytes_per_member_and_block", "cpu_ms", "cpu_max_ms", "verifications", "own_ms", "view", "memory_mb")


def row_of(c):
    """(dadbs, peer, figure that is judged, interval)."""
    if not c.is_ratio:
        value = max(c.ours)
        return value, None, value, f"{min(c.ours):.0f} to {max(c.ours):.0f}"
    r = c.ratio()
    return r.ours, r.theirs, r.value, f"{r.low:.3f} to {r.high:.3f} ({r.interval_name} of {r.pairs})"


def verdict(c, value):
    if not c.reaches(value, c.target):
        return "short"
    return "pass, aim" if c.reaches(value, c.aim) else "pass"


def limit(c, value):
    return f"{'<=' if c.lower_is_better else '>='} {value:g}{'x' if c.is_ratio else ' ' + c.unit}"


def table(results):
    head = f"{'':<68} {'dadbs':>9} {'peer':>9} {'':<4} {'ratio':>8}  {'interval':<31} {'target':>9} {'aim':>9}  result"
    lines = [head, "-" * len(head)]
    for c in results.values():
        if not c.measured():
            continue
        ours, theirs, value, interval = row_of(c)
        shown = f"{value:7.3f}x" if c.is_ratio else f"{'':8}"
        lines.append(f"({c.key}) {c.title:<64} {ours:9.2f} {'' if theirs is None else format(theirs, '.2f'):>9} {c.unit:<4} {shown}"
                     f"  {interval:<31} {limit(c, c.target):>9} {limit(c, c.aim):>9}  {verdict(c, value)}")
        lines += [f"      {note}" for note in c.notes]
    return lines


CURVES = {"growth": GROWTH,
          "members": ("members", "tps", "mean_ms", "conflicts"),
          "contracts": ("what", "value", "unit", "target", "aim", "note"),
          "clients": ("clients", "tps", "p50_ms", "p99_ms", "blocks", "transactions_per_block", "bytes_per_block", "conflicts")}


def write(folder, results, samples, curves, description):
    lines = table(results)
    for name, rows in curves.items():
        rows = [[row[k] for k in CURVES[name]] if isinstance(row, dict) else row for row in rows]
        with open(os.path.join(folder, f"{name}.csv"), "w", newline="", encoding="utf-8") as f:
            out = csv.writer(f)
            out.writerow(CURVES[name])
            out.writerows([[f"{v:.2f}" if isinstance(v, float) else v for v in row] for row in rows])
    with open(os.path.join(folder, "table.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join([*lines, "", *description]) + "\n")
    with open(os.path.join(folder, "samples.csv"), "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(("comparison", "system", "round", "value", "unit", "note"))
        out.writerows(samples)
    with open(os.path.join(folder, "results.csv"), "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(("comparison", "title", "unit", "dadbs", "peer", "figure", "interval", "target", "aim", "result"))
        for c in results.values():
            if c.measured():
                ours, theirs, value, interval = row_of(c)
                out.writerow((c.key, c.title, c.unit, f"{ours:.4f}", "" if theirs is None else f"{theirs:.4f}", f"{value:.4f}",
                              interval, c.target, c.aim, verdict(c, value)))
    say()
    for line in lines:
        say(line)
