"""Prints which case passed with which client."""
import collections
import re

from driving import DRIVERS

SIGNS = {"passed": "ok", "failed": "FAIL", "error": "FAIL", "skipped": "-"}


def pytest_terminal_summary(terminalreporter):
    cases = collections.defaultdict(dict)
    for outcome in SIGNS:
        for report in terminalreporter.stats.get(outcome, []):
            found = re.search(r"test_conformance\.py::test_(\w+)\[(.*)\]$", getattr(report, "nodeid", ""))
            language = found and next((p for p in sorted(DRIVERS, key=len, reverse=True) if re.search(rf"(^|-){re.escape(p)}(-|$)", found.group(2))), None)
            if language and cases[found.group(1)].get(language) != "FAIL":
                cases[found.group(1)][language] = SIGNS[outcome]
    if not cases:
        return
    terminalreporter.section("clients: case by language")
    terminalreporter.write_line(f"{'':<52}" + "".join(f"{name:>{len(name) + 2}}" for name in DRIVERS))
    for case in cases:
        terminalreporter.write_line(f"{case.replace('_', ' '):<52}" + "".join(f"{cases[case].get(name, 'HOLE'):>{len(name) + 2}}" for name in DRIVERS))
