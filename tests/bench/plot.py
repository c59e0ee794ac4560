"""Lines over concurrency as an SVG: throughput, p50, and CPU of the client. No library: three panels, logarithmic axes."""
WIDE, HIGH, LEFT, TOP, GAP = 330, 260, 64, 40, 84
COLOURS = ["#1b5fa8", "#c4571b", "#3d8f3d", "#7a4ea3", "#777777"]


def _log(v, low, high, length):
    import math
    return (math.log10(v) - math.log10(low)) / (math.log10(high) - math.log10(low)) * length


def _decades(values):
    import math
    return 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))


def _panel(x, title, series, key, counts):
    """series: {name: {concurrency: figures}}"""
    low, high = _decades([f[key] for line in series.values() for f in line.values() if f[key] > 0])
    out = [f'<text x="{x}" y="{TOP - 14}" class="title">{title}</text>']
    for n in counts:
        at = x + _log(n, counts[0], counts[-1], WIDE)
        out.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{TOP + HIGH}" class="grid"/>'
                   f'<text x="{at:.1f}" y="{TOP + HIGH + 16}" class="tick" text-anchor="middle">{n}</text>')
    tick = low
    while tick <= high:
        y = TOP + HIGH - _log(tick, low, high, HIGH)
        out.append(f'<line x1="{x}" y1="{y:.1f}" x2="{x + WIDE}" y2="{y:.1f}" class="grid"/>'
                   f'<text x="{x - 6}" y="{y + 4:.1f}" class="tick" text-anchor="end">{tick:,.0f}</text>')
        tick *= 10
    for (name, line), colour in zip(series.items(), COLOURS):
        points = [(x + _log(n, counts[0], counts[-1], WIDE), TOP + HIGH - _log(f[key], low, high, HIGH)) for n, f in sorted(line.items())]
        out.append(f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{colour}"/>' for a, b in points]
    return out


def svg(series, counts, note):
    panels = (("signatures a second", "rate"), ("p50, us", "p50_us"), ("CPU of the client a signature, us", "client_us"))
    total = LEFT + len(panels) * (WIDE + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {TOP + HIGH + 76}" font-family="sans-serif">',
           "<style>.title{font-size:14px;font-weight:bold}.tick{font-size:11px;fill:#444}.grid{stroke:#ddd}.note{font-size:12px;fill:#444}</style>",
           f'<rect width="{total}" height="{TOP + HIGH + 76}" fill="white"/>']
    for i, (title, key) in enumerate(panels):
        out += _panel(LEFT + i * (WIDE + GAP), title, series, key, counts)
    for i, (name, colour) in enumerate(zip(series, COLOURS)):
        x = LEFT + i * 150
        out.append(f'<rect x="{x}" y="{TOP + HIGH + 34}" width="14" height="4" fill="{colour}"/><text x="{x + 20}" y="{TOP + HIGH + 40}" class="note">{name}</text>')
    out.append(f'<text x="{LEFT}" y="{TOP + HIGH + 62}" class="note">{note}</text></svg>')
    return "\n".join(out) + "\n"
