"""Runs one scanner on many files: a fork for each, so that its start is paid once.

Standard input has a JSON line {"id", "path"} for each case; standard output gets
{"id", "code", "seconds", "rss", "what"}, where what is "", "hung" or "crashed".
The seconds are a processor's, not a clock's, so that a busy machine does not count.
Arguments: the scanner, the seconds a case may take, btu-scan's path, and a folder
to work in.
"""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time
import traceback

CRASHED = 99
WAIT = 12  # times the limit on a clock


def files(path):
    p = pathlib.Path(path)
    return sorted(str(f) for f in p.rglob("*") if f.is_file()) if p.is_dir() else [path]


def called(main, argv):
    """The exit code of a command's main function, called with argv."""
    sys.argv = argv
    try:
        code = main()
    except SystemExit as e:
        code = e.code
    if code is None or isinstance(code, str):
        return 1 if code else 0
    return int(code)


def load(name, program):
    """A function from a path to an exit code, and the scanner's version."""
    if name == "btu-scan":
        return lambda path: btu_scan(program, path), ""
    version = importlib.metadata.version(name)
    if name == "picklescan":
        from picklescan.cli import main

        return lambda path: called(main, ["picklescan", "-p", path]), version
    if name == "modelscan":
        from modelscan.cli import main

        return lambda path: called(main, ["modelscan", "-p", path]), version
    if name == "fickling":  # which takes a file, not a folder
        from fickling.__main__ import main

        return lambda path: max(called(main, ["fickling", "--check-safety", "--json-output", "/dev/null", f]) for f in files(path)), version
    if name == "modelaudit":
        os.environ["PROMPTFOO_DISABLE_TELEMETRY"] = "1"
        from modelaudit.__main__ import _run

        def scan(path):
            return called(_run, ["modelaudit", "scan", "--format", "json", "--quiet", "--no-cache", path])

        # It imports its scanners when it first needs them: once here, not in each fork.
        with tempfile.NamedTemporaryFile(suffix=".pkl") as f:
            f.write(b"\x80\x02N.")
            f.flush()
            scan(f.name)
        return scan, version
    raise SystemExit(f"unknown scanner {name}")


def btu_scan(program, path):
    """Its exit code 3 says that there is no verdict on the weights, since no
    reference is given: what it says about the files decides."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)
        os.close(read)
        os.execv(program, [program, path, "--evidence", "weights", "--format", "json"])
    os.close(write)
    with os.fdopen(read) as f:
        text = f.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        os.kill(os.getpid(), signal.SIGKILL)  # it hung or crashed, so this does
    if code != 3:
        return code
    unsafe = json.loads(text)["unsafe"] or []
    if any(u["severity"] in ("high", "critical") for u in unsafe):
        return 1
    return 2 if any(u["severity"] == "warning" for u in unsafe) else 0


def child(scan, path, limit, work):
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    os.chdir(work)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    code = CRASHED
    with contextlib.suppress(BaseException):
        code = scan(path) & 0xFF
    os._exit(code)


def run(scan, case, limit, work):
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        child(scan, case["path"], int(limit), work)
    what, usage, status = "", None, None
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() - start > WAIT * limit:  # asleep, or on a very busy machine
            what = "hung"
            for group in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    group(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            break
        time.sleep(0.01)
    code = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    if code in (-signal.SIGXCPU, -signal.SIGKILL):  # the second of Go's programs, which pass over the first
        what = "hung"
    if not what and (code < 0 or code == CRASHED):
        what = "crashed"
    return {"id": case["id"], "code": code, "seconds": seconds, "rss": usage.ru_maxrss * 1024, "what": what}


def main():
    name, limit, program, work = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a scanner prints while it is loaded is no result
    try:
        scan, version = load(name, program)
    except Exception:
        traceback.print_exc()
        raise SystemExit(3)
    print(json.dumps({"version": version}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(run(scan, json.loads(line), limit, work)), file=out, flush=True)


main()
