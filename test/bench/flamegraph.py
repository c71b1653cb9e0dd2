"""A flame graph (SVG) of sampled stacks: `perf script` is folded here, nothing else is needed.

    perf record -F 199 -g -e cpu-clock -o perf.data ...
    perf script -F comm,pid,ip,sym -i perf.data | python3 flamegraph.py --title T --names names.json > flame.svg
    ... | python3 flamegraph.py --folded        one line per stack: frames joined by ";", count
    ... | python3 flamegraph.py --top 30        self time by name and function

names.json maps process ids to names ({"4711": "m1 apply"}): the lowest frames. Without it, the command's name.
"""
import argparse
import collections
import html
import json
import re
import sys

WIDTH, ROW, MIN_WIDTH = 1200, 16, 1.2  # pixels
SAMPLE = re.compile(r"^(\S.*?)\s+(\d+)(?:/\d+)?\s*$")


def shorten(symbol):
    """C++ names without arguments, template arguments and the namespaces that all share."""
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol)
    symbol = symbol.replace("(anonymous namespace)::", "").replace("operator()", "lambda")
    for _ in range(8):
        shorter = re.sub(r"<[^<>]*>", "", symbol)
        if shorter == symbol:
            break
        symbol = shorter
    symbol = re.sub(r"\(.*", "", symbol)
    return re.sub(r"^dadbs::", "", symbol).replace(";", ":") or "[unknown]"


def fold(lines, names):
    """{(name, outermost frame, ..., innermost frame): samples}."""
    stacks = collections.Counter()
    name, frames = None, []

    def take():
        if name is not None and frames:
            stacks[(name, *reversed(frames))] += 1
    for line in lines:
        line = line.rstrip("\n")
        if not line.strip():
            take()
            name, frames = None, []
        elif line[0] not in " \t":
            head = SAMPLE.match(line)
            name = names.get(head.group(2), head.group(1)) if head else "?"
        else:
            parts = line.split(None, 1)
            frames.append(shorten(parts[1]) if len(parts) == 2 else "[unknown]")
    take()
    return stacks


def without_unknown(stacks):
    """Runs of frames without a name become one."""
    out = collections.Counter()
    for stack, count in stacks.items():
        kept = [f for i, f in enumerate(stack) if f != "[unknown]" or i == 0 or stack[i - 1] != "[unknown]"]
        out[tuple(kept)] += count
    return out


def tree_of(stacks):
    root = {"count": 0, "children": {}}
    for stack, count in stacks.items():
        node = root
        node["count"] += count
        for frame in stack:
            node = node["children"].setdefault(frame, {"count": 0, "children": {}})
            node["count"] += count
    return root


def depth_of(node, scale):
    if node["count"] * scale < MIN_WIDTH:
        return 0
    return 1 + max((depth_of(c, scale) for c in node["children"].values()), default=0)


def colour(name, depth):
    if depth == 1:
        return "#c9d7e8"
    seed = sum(map(ord, name))
    if re.search(r"core::|pg::|net::|storage::", name):  # ours
        return f"rgb({70 + seed % 40},{150 + seed % 50},{150 + seed % 30})"
    return f"rgb({225 + seed % 30},{120 + seed % 90},{60 + seed % 40})"


def draw(node, total, scale, x, depth, height, out):
    for name, child in sorted(node["children"].items()):
        width = child["count"] * scale
        if width >= MIN_WIDTH:
            y = height - (depth + 1) * ROW
            share = 100.0 * child["count"] / total
            fits = int((width - 4) / 6.2)
            label = name if len(name) <= fits else name[:max(0, fits - 1)] + "…" if fits > 3 else ""
            out.append(f'<g><title>{html.escape(name)}: {share:.2f} % ({child["count"]})</title><rect x="{x:.1f}" y="{y}" '
                       f'width="{width:.1f}" height="{ROW - 1}" fill="{colour(name, depth)}"/>'
                       + (f'<text x="{x + 2:.1f}" y="{y + 11}">{html.escape(label)}</text>' if label else "") + "</g>")
            draw(child, total, scale, x, depth + 1, height, out)
        x += width


def svg(stacks, title):
    root = tree_of(stacks)
    scale = WIDTH / max(1, root["count"])
    height = (depth_of(root, scale) + 3) * ROW
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" font-family="monospace" font-size="10">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           f'<text x="4" y="13" font-size="12">{html.escape(title)} ({root["count"]} samples)</text>']
    draw(root, max(1, root["count"]), scale, 0.0, 1, height, out)
    return "\n".join([*out, "</svg>"])


def top(stacks, n):
    selves, totals = collections.Counter(), collections.Counter()
    for stack, count in stacks.items():
        selves[(stack[0], stack[-1])] += count
        totals[stack[0]] += count
    every = sum(stacks.values())
    for name, count in totals.most_common(n):
        yield f"{100 * count / every:6.2f} %  {name}"
        inside = ((f, c) for (who, f), c in selves.most_common() if who == name)
        for frame, own in list(inside)[:n]:
            yield f"          {100 * own / every:6.2f} %  {frame}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--title", default="CPU time")
    p.add_argument("--names")
    p.add_argument("--folded", action="store_true")
    p.add_argument("--top", type=int)
    o = p.parse_args()
    names = {}
    if o.names:
        with open(o.names, encoding="utf-8") as f:
            names = json.load(f)
    stacks = without_unknown(fold(sys.stdin, names))
    if o.folded:
        for stack, count in sorted(stacks.items()):
            print(";".join(stack), count)
    elif o.top:
        print("\n".join(top(stacks, o.top)))
    else:
        print(svg(stacks, o.title))


if __name__ == "__main__":
    main()
