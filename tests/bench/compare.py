"""What changed between two runs of `packaging/bench --json FILE`, beyond their noise.   compare.py OLD.json NEW.json

A figure has changed when its medians are more than 3 % apart and the middle halves of its rounds do not overlap. Ratios to raw and
latencies beside raw hold between machines; rates and CPU times are compared only where both runs were on the same kind."""
import json
import sys

LEAST = 0.03
RELATIVE = {"ratio": ("of raw", +1), "p50_added_us": ("p50 beside raw, us", -1)}
ABSOLUTE = {"rate": ("a second", +1), "p50_us": ("p50, us", -1), "p99_us": ("p99, us", -1)}


def rows(run):
    """(operation, shape) -> its figures"""
    return {(op, shape): row for op in ("sign", "verify") for shape, row in run.get(op, {}).items()}


def has_changed(old, new, name):
    low, high = f"{name}_spread", f"{name}_spread"
    if abs(new[name] - old[name]) <= LEAST * max(abs(old[name]), 1e-9):
        return False
    return new[low][0] > old[high][1] or new[high][1] < old[low][0]


def differences(old, new):
    """[(operation, shape, figure, was, is, better)] and how many figures were compared."""
    figures = dict(RELATIVE)
    if old.get("machine") == new.get("machine"):
        figures.update(ABSOLUTE)
    found, compared = [], 0
    before, after = rows(old), rows(new)
    for key in before:
        if key not in after:
            found.append((*key, "the row", "there", "gone", False))
            continue
        for name, (what, better) in figures.items():
            if name not in before[key] or name not in after[key]:
                continue
            compared += 1
            if has_changed(before[key], after[key], name):
                was, now = before[key][name], after[key][name]
                found.append((*key, what, was, now, (now - was) * better > 0))
    return found, compared


def number(v):
    return v if isinstance(v, str) else f"{v:.2f}" if abs(v) < 10 else f"{v:.0f}"


def main(old_path, new_path):
    with open(old_path) as f, open(new_path) as g:
        old, new = json.load(f), json.load(g)
    found, compared = differences(old, new)
    if old.get("machine") != new.get("machine"):
        print("the machines differ, so only figures beside raw are compared")
        print(f"  then: {old.get('machine', 'not told')}\n  now:  {new.get('machine', 'not told')}\n")
    for op, shape, what, was, now, better in found:
        print(f"{'better' if better else 'WORSE':<8}{op:<8}{shape:<10}{what:<22}{number(was):>10} -> {number(now)}")
    print(f"{compared} figures compared, {len(found)} changed beyond noise")
    return 0 if compared > 0 and all(f[-1] for f in found) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
