"""How fast everything is on this machine: `make bench`, about ten minutes on two idle cores.

    python -m tools.benchmarks.speed
    python -m tools.benchmarks.speed --parts start folder

leaves the figures in reports/bench.json, with the machine's name and versions, and writes the table between the marks
in docs/BENCHMARKS.md. Each part of `parts.py` runs in a process of its own. CPU time tells more than the clock where
other programs run beside it; the load of the machine is written down with each part.
"""

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from data.console import prepare_libraries, say
from data.files import read_text, write_text
from data.settings import field, path, run_module
from tools.benchmarks.parts import PARTS, ROOT, Figure

DOCUMENT, BEGIN, END = ROOT / "docs" / "BENCHMARKS.md", "<!-- make bench: begin -->", "<!-- make bench: end -->"
PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "openvino", "tensorflow", "keras", "dask")
# what decides which kernels are taken
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


@dataclass(frozen=True)
class Settings:
    parts: tuple[str, ...] = field((), nargs="+", metavar="PART", help="measure only these, and keep the other figures")
    out: str = field("reports/bench.json", type=path, metavar="FILE", help="where the figures go")
    document: str | None = field(
        None, type=path, metavar="FILE", help="Markdown with the marks for the table (default: docs/BENCHMARKS.md)"
    )
    one: str = field("", metavar="PART", help="print the figures of one part as JSON, and leave nothing")


def machine() -> dict:
    try:
        about = Path("/proc/cpuinfo").read_text()
    except OSError:
        about = ""
    names = [line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")]
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in about.split()],
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": versions,
        "code": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


def measure(part: str, folder: Path) -> tuple[list[Figure], str]:
    """In a process of its own: the figures, and why there are none or fewer."""
    command = [sys.executable, "-m", "tools.benchmarks.speed", "--one", part, "--out", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    figures = [Figure(*json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]
    return figures, "" if done.returncode == 0 else (done.stderr.strip() or "ended early").splitlines()[-1]


def share_of_batches(parts: dict) -> Iterator[Figure]:
    """Of the CPU time of stage one, if all cores do both."""
    known = {figure[0]: figure[1] for part in parts.values() for figure in part["figures"]}
    making = known.get("making a window of stage one")
    steps = [1000 / rate for name, rate in known.items() if name.startswith("training, pretrain, ")]
    if making and steps:
        share = making / (making + (os.cpu_count() or 1) * min(steps))
        yield Figure("batches' share of stage one", 100 * share, "%", "of the CPU time")


def table(report: dict) -> str:
    """Markdown."""
    about, parts = report["machine"], report["parts"]
    versions = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    rows = [
        f"{about['cpu']}, {about['cores']} cores ({', '.join(about['flags']) or 'no AVX2'}), {about['system']}, Python "
        f"{about['python']}, {versions}; code `{about['code']}`, {about['date']}.\n",
        "| what | | | load |\n| --- | ---: | --- | ---: |",
    ]
    for name, part in parts.items():
        load = f"{part['load']:.1f}"
        rows += [f"| {what} | {value:.3g} {unit} | {more} | {load} |" for what, value, unit, more in part["figures"]]
        if part["problem"]:
            rows.append(f"| {name} | – | {part['problem'].replace('|', '/')} | {load} |")
    rows += [f"| {what} | {value:.3g} {unit} | {more} | |" for what, value, unit, more in share_of_batches(parts)]
    return "\n".join(rows)


def write_table(document: Path, report: dict) -> None:
    """Between the marks. Raises ValueError where they are not there."""
    text = read_text(str(document))
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no lines {BEGIN} and {END}, between which the table goes")
    write_text(document, f"{head}{BEGIN}\n{table(report)}\n{END}{tail}")


def bench(settings: Settings) -> int:
    """Measure, write and print; the number of parts that failed. Parts that are not asked for keep their figures."""
    if unknown := sorted(set(settings.parts) - set(PARTS)):
        raise ValueError(f"--parts has no {', '.join(unknown)}; known are {', '.join(PARTS)}")
    out = Path(settings.out)
    report = json.loads(read_text(str(out))) if out.exists() and settings.parts else {"parts": {}}
    report["machine"] = machine()
    with tempfile.TemporaryDirectory() as folder:
        for part in settings.parts or PARTS:
            own = Path(folder, part)
            own.mkdir()
            load = os.getloadavg()[0]
            figures, problem = measure(part, own)
            report["parts"][part] = {"load": load, "figures": figures, "problem": problem}
            for what, value, unit, more in figures:
                print(f"{what}: {value:.3g} {unit}{f' ({more})' if more else ''}", flush=True)
            if problem:
                print(f"{part}: {problem}", file=sys.stderr, flush=True)
    report["parts"] = {name: report["parts"][name] for name in PARTS if name in report["parts"]}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_table(Path(settings.document or DOCUMENT), report)
    say(f"{settings.out}, and the table in {settings.document or DOCUMENT}")
    return sum(bool(part["problem"]) for part in report["parts"].values())


def run(settings: Settings) -> int:
    """All parts that are asked for, or one of them in this process. Raises ValueError or OSError."""
    prepare_libraries()
    if not settings.one:
        return int(bench(settings) > 0)
    for figure in PARTS[settings.one](Path(settings.out)):
        print(json.dumps(figure), flush=True)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.benchmarks.speed", run, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
