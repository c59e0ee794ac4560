"""Makes what drivers, examples and tests of the clients need, into the folder `clients` of a build: Node's one dependency, Go's
programs, Java's classes. tests/clients/make_clients.py BUILD"""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENT, HERE = ROOT / "client", ROOT / "tests/clients"
MSGPACK_JAVA, JUNIT = "/usr/share/java/msgpack-core.jar", "/usr/share/java/junit4.jar"


def run(*command, cwd=None, **env):
    subprocess.run([str(c) for c in command], cwd=cwd, check=True, env={**os.environ, **{k: str(v) for k, v in env.items()}})


def node(to):
    """From the npm registry, once: what the client needs, and what compiles its types."""
    if (to / "node_modules/typescript/package.json").exists() and (to / "node_modules/@msgpack/msgpack/package.json").exists():
        return
    to.mkdir(parents=True, exist_ok=True)
    shutil.copy(CLIENT / "node/package.json", to)
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent", "typescript@5", cwd=to)


def go_env(to):
    """Debian's packages of Go libraries are for GOPATH; the client stands beside them as `antomagent`."""
    return {"GO111MODULE": "off", "GOPATH": f"{to}/path:/usr/share/gocode", "GOCACHE": f"{to}/cache", "GOFLAGS": ""}


def go(to):
    source = to / "path/src/antomagent"
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_symlink():
        source.symlink_to(CLIENT / "go")
    programs = {"driver": HERE / "drivers/go_driver", "pay": CLIENT / "go/examples/pay", "receiver": CLIENT / "go/examples/receiver",
                "bench": ROOT / "tests/bench/clients/go_bench"}
    for name, folder in programs.items():
        if folder.exists():
            run("go", "build", "-o", to / name, ".", cwd=folder, **go_env(to))


def java(to):
    """The client, its examples, its tests and the driver, in one folder of classes."""
    sources = [p for d in ("src/main/java", "src/test/java", "examples") for p in sorted((CLIENT / "java" / d).rglob("*.java"))]
    to.mkdir(parents=True, exist_ok=True)
    run("javac", "--release", "17", "-Xlint:all,-serial,-processing", "-Werror", "-proc:none", "-d", to, "-cp",
        f"{MSGPACK_JAVA}:{JUNIT}", *sources, HERE / "drivers/JavaDriver.java", ROOT / "tests/bench/clients/Bench.java")


def main():
    made = pathlib.Path(sys.argv[1]).resolve() / "clients"
    wanted = sys.argv[2:] or ["node", "go", "java"]
    for name in wanted:
        globals()[name](made / name)


if __name__ == "__main__":
    main()
