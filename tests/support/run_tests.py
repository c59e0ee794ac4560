"""Builds every configuration and runs every group of tests on it; counts, and prints one line each.

A group without a test fails, and so do a skip, a crash, a time-out and an executable that runs nothing.
The last line is `N passed, N failed`.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = SOURCE / "build"
GROUPS = ["unit", "property", "fuzz", "integration", "clients", "faults"]
# what belongs to one subject, on the release build: --only changes
TOPICS = {
    "changes": {"integration": ["test_changes.py", "test_merchants.py", "test_mail.py", "test_staff.py", "test_apps.py",
                                "test_onboard.py", "test_readme.py"],
                "faults": ["test_change_crashes.py"]},
    "keyrings": {"integration": ["test_keyring_rules.py", "test_keyrings.py", "test_tpm.py", "test_tpm_faults.py",
                                 "test_keyring_pin.py", "test_seals.py"],
                 "faults": ["test_generate_crashes.py"]},
    "rotation": {"integration": ["test_rotation.py", "test_switch.py", "test_readme.py"],
                 "faults": ["test_rotation_crashes.py"]},
}
JOBS = os.cpu_count() or 2  # of tests that wait for agents one more
ONCE = ["test_change_crashes.py", "test_generate_crashes.py", "test_rotation_crashes.py", "test_quickstart.py",
        "test_style.py", "test_processes.py", "test_hardened.py", "test_steady.py", "test_bench.py"]  # they do not depend on the build
# where one thing is done after the other: nothing for a race to be found in
SEQUENTIAL = ["test_apps.py", "test_audit.py", "test_cli.py", "test_explain.py", "test_home.py", "test_import.py",
              "test_keys.py", "test_library.py", "test_onboard.py", "test_readme.py", "test_vectors.py"]


MAX_FAILURES = 25  # of a group; with more, what is broken is known, and the rest would wait for it in vain


class Budget:
    """Seconds that a whole run may take; what does not fit any more counts as failed."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def of(self, seconds):
        return max(1, min(seconds, self.end - time.monotonic()))

    def spent(self):
        return time.monotonic() >= self.end


BUDGET = Budget(82 * 60)


class Config:
    def __init__(self, name, compiler, cache, groups, slow=1.0, defines=(), without=()):
        self.name, self.compiler, self.cache, self.groups = name, compiler, cache, groups
        self.slow, self.defines, self.without = slow, defines, without
        self.folder = BUILD / name

    def env(self):
        env = dict(os.environ, ANTAG_BIN=str(self.folder / "bin"), ANTAG_SLOW=str(self.slow),
                   ANTAG_SOURCE=str(SOURCE))
        env["ASAN_OPTIONS"] = "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1"
        env["UBSAN_OPTIONS"] = "print_stacktrace=1"
        env["TSAN_OPTIONS"] = "halt_on_error=1:second_deadlock_stack=1"
        return env


def configs(full):
    """What is built, and which groups run on it. --full runs every group and file everywhere."""
    every = [g for g in GROUPS if full or g != "clients"]
    one_by_one = [] if full else SEQUENTIAL
    return [
        Config("gcc-release", "gcc", "release", GROUPS),
        Config("clang-asan", "clang", "asan", every, slow=4),
        Config("gcc-asan", "gcc", "asan", every if full else ["unit", "property", "fuzz"], slow=4),
        Config("gcc-tsan", "gcc", "tsan", every if full else ["unit", "integration", "faults"], slow=6,
               without=one_by_one),
        Config("clang-tsan", "clang", "tsan", every if full else ["unit"], slow=6),
        Config("clang-release", "clang", "release", every if full else ["unit", "property"]),
    ]


class Name(str):
    """The line that names a failure; the lines of its log follow it and are not repeated at the end."""


class Tally:
    def __init__(self):
        self.passed = self.failed = 0
        self.failures = []

    def add(self, config, group, passed, failed, seconds, what=()):
        if passed + failed == 0:
            failed, what = 1, [Name("no test ran")]
        self.passed += passed
        self.failed += failed
        print(f"{config:<14} {group:<12} {passed:>5} passed {failed:>3} failed  {seconds:6.1f} s", flush=True)
        for line in what:
            print(f"    {line}", flush=True)
        self.failures += [f"{config} {group}: {line.splitlines()[0]}" for line in what
                          if isinstance(line, Name)]


def run(command, log, timeout, env=None):
    """Exit status; output goes to the file `log`. A time-out ends all its processes and is status 124."""
    with open(log, "wb") as out:
        with subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=SOURCE,
                              stdin=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                return process.wait(BUDGET.of(timeout))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return 124


def build(config):
    started = time.monotonic()
    config.folder.mkdir(parents=True, exist_ok=True)
    log = config.folder / "build.log"
    command = ["cmake", "-G", "Ninja", f"-DCMAKE_C_COMPILER={config.compiler}", *config.defines, "-C",
               f"packaging/cmake/{config.cache}.cmake", "-S", ".", "-B", str(config.folder)]
    status = run(command, log, timeout=600)
    if status == 0:
        status = run(["ninja", "-C", str(config.folder)], log, timeout=1800)
    seconds = time.monotonic() - started
    if status != 0:
        print(pathlib.Path(log).read_text(errors="replace")[-6000:])
        return False
    print(f"{config.name:<14} built in {seconds:.1f} s with {version_of(config.compiler)}", flush=True)
    return True


def make_clients(config, tally):
    """Programs, classes and modules of the clients of other languages."""
    started = time.monotonic()
    log = config.folder / "clients.log"
    if run(["/usr/bin/python3", "tests/clients/make_clients.py", str(config.folder)], log, timeout=600) == 0:
        return True
    tally.add(config.name, "clients", 0, 1, time.monotonic() - started, [Name("the clients are not made"), *tail(log)])
    return False


def version_of(compiler):
    return subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.splitlines()[0]


def tail(path, lines=25):
    return pathlib.Path(path).read_text(errors="replace").splitlines()[-lines:]


def cunit_or_fuzz(config, group, name, command, logs):
    """(passed, failed, lines) of one executable."""
    log = logs / f"{name}.log"
    status = run(command, log, env=config.env(), timeout=120 * config.slow)
    text = log.read_text(errors="replace")
    if group == "fuzz":
        ok = status == 0 and re.search(r"^[1-9]\d* inputs replayed$", text, re.M)
        return (1, 0, []) if ok else (0, 1, [Name(f"{name}: exit {status}"), *tail(log)])
    found = re.search(r"^\s+tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", text, re.M)
    if not found:
        return 0, 1, [Name(f"{name}: no summary, exit {status}"), *tail(log)]
    total, _, passed, failed, inactive = map(int, found.groups())
    failed = total - passed
    if failed == 0 and (status != 0 or total == 0):
        failed = 1
    return passed, failed, [Name(f"{name}: exit {status}"), *tail(log, 40)] if failed else []


def run_ctest_group(config, group, tally):
    started = time.monotonic()
    shown = subprocess.run(["ctest", "--test-dir", str(config.folder), "-L", f"^{group}$",
                            "--show-only=json-v1"], capture_output=True, text=True, check=True)
    tests = json.loads(shown.stdout)["tests"]
    logs = config.folder / "logs"
    logs.mkdir(exist_ok=True)
    passed = failed = 0
    what = []
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        jobs = [pool.submit(cunit_or_fuzz, config, group, t["name"], t["command"], logs) for t in tests]
        for job in jobs:
            p, f, lines = job.result()
            passed, failed = passed + p, failed + f
            what += lines
    tally.add(config.name, group, passed, failed, time.monotonic() - started, what)


def run_pytest_group(config, group, tally, extra, files=None):
    started = time.monotonic()
    logs = config.folder / "logs"
    logs.mkdir(exist_ok=True)
    report, log = logs / f"{group}.xml", logs / f"{group}.log"
    report.unlink(missing_ok=True)
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider",
               "-n", str(JOBS + 1), f"--maxfail={MAX_FAILURES}", f"--junitxml={report}",
               *([f"tests/{group}/{f}" for f in files] if files else [f"tests/{group}"]), *extra]
    left_out = [*(ONCE if config.name != "gcc-release" else []), *config.without]
    command += [f"--ignore=tests/{group}/{name}" for name in left_out]
    status = run(command, log, env=config.env(), timeout=2700)
    seconds = time.monotonic() - started
    if not report.exists():
        tally.add(config.name, group, 0, 1, seconds, [Name(f"pytest exit {status}"), *tail(log)])
        return
    passed = failed = 0
    what = []
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        passed, failed = passed + (not bad), failed + bool(bad)
        what += [Name(f"{case.get('classname')}.{case.get('name')}: {b.tag}: {(b.get('message') or '')[:300]}")
                 for b in bad]
    if status != 0 and failed == 0:
        failed, what = failed + 1, [Name(f"pytest exit {status}"), *tail(log)]
    if failed:
        what += tail(log, 60)
    tally.add(config.name, group, passed, failed, seconds, what)
    if group == "clients":
        matrix = re.search(r"^=+ clients: case by language =+\n((?:.* (?:ok|FAIL|HOLE|php)\n)+)", log.read_text(errors="replace"), re.M)
        print(f"\n{matrix.group(1) if matrix else 'the matrix of the clients was not printed'}", flush=True)


def run_libfuzzer(tally, seconds_each):
    """A short search with libFuzzer on every target; new inputs stay in the build folder."""
    config = Config("clang-fuzz", "clang", "asan", ["fuzz"], defines=("-DANTAG_LIBFUZZER=ON",))
    started = time.monotonic()
    if not build(config):
        tally.add(config.name, "fuzz", 0, 1, time.monotonic() - started, [Name("does not build")])
        return
    passed = failed = 0
    what = []
    for target in sorted((config.folder / "bin").glob("fuzz_*")):
        name = target.name.removeprefix("fuzz_")
        found = config.folder / "found" / name
        found.mkdir(parents=True, exist_ok=True)
        log = config.folder / f"{target.name}.log"
        command = [str(target), f"-max_total_time={seconds_each}", "-timeout=10", "-rss_limit_mb=2048",
                   f"-artifact_prefix={found}/crash-", str(found), str(SOURCE / "tests/corpus" / name)]
        status = run(command, log, env=config.env(), timeout=seconds_each + 120)
        passed, failed = passed + (status == 0), failed + (status != 0)
        if status != 0:
            what += [Name(f"{name}: exit {status}"), *tail(log)]
    tally.add(config.name, "fuzz", passed, failed, time.monotonic() - started, what)


def run_topics(topics, tally, extra):
    config = configs(False)[0]
    if not build(config):
        tally.add(config.name, "build", 0, 1, 0, [Name("does not build")])
        return
    for topic in topics:
        for group, files in TOPICS[topic].items():
            run_pytest_group(config, group, tally, extra, files)


def main():
    parser = argparse.ArgumentParser(prog="packaging/run-tests", description=__doc__)
    parser.add_argument("--only", metavar="GROUP", action="append", choices=GROUPS + list(TOPICS),
                        help="run this group alone (may be given again): " + ", ".join(GROUPS + list(TOPICS)))
    parser.add_argument("--full", action="store_true", help="every group on every build, longer searches")
    parser.add_argument("--config", action="append", help="only this build, for instance gcc-release")
    parser.add_argument("--clean", action="store_true", help="build from nothing")
    args, extra = parser.parse_known_args()
    if args.clean:
        shutil.rmtree(BUILD, ignore_errors=True)
    if args.full:
        BUDGET.end += 6 * 3600
    os.environ["ANTAG_FULL"] = "1" if args.full else "0"
    groups = [g for g in args.only or GROUPS if g in GROUPS]
    topics = [t for t in args.only or [] if t in TOPICS]
    tally = Tally()
    started = time.monotonic()
    if topics:
        run_topics(topics, tally, extra)
    for config in configs(args.full):
        wanted = [g for g in config.groups if g in groups]
        if (args.config and config.name not in args.config) or not wanted:
            continue
        if BUDGET.spent():
            tally.add(config.name, "all", 0, 1, 0, [Name("the time of the run was spent before this build")])
            continue
        if not build(config):
            tally.add(config.name, "build", 0, 1, 0, [Name("does not build")])
            continue
        for group in wanted:
            if group == "clients" and not make_clients(config, tally):
                continue
            if group in ("integration", "clients", "faults"):
                run_pytest_group(config, group, tally, extra)
            else:
                run_ctest_group(config, group, tally)
    if "fuzz" in groups and not args.config:
        run_libfuzzer(tally, 120 if args.full else 8)
    print(f"\n{time.monotonic() - started:.0f} s in all")
    for line in tally.failures:
        print(f"FAILED {line}")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
