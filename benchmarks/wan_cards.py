"""Sets of ``wanstage bench`` jobs, each a process of its own with a time limit, one JSON file each.

python benchmarks/wan_cards.py smoke|caps|large|plans|s2v [--out DIR] [--only NAME,NAME]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ANIMATE = "--model wan2.2-animate-14b --size 832x480 --steps 3"
TI2V = "--model wan2.2-ti2v-5b --size 1280x704 --steps 3"
S2V = "--model wan2.2-s2v-14b --steps 2"
SETS: dict[str, dict[str, str]] = {
    "smoke": {
        "animate_480": f"{ANIMATE} --runs 2",
        "ti2v_704": f"{TI2V} --runs 2",
        "i2v_480": "--model wan2.2-i2v-a14b --size 832x480 --steps 3",
        "replace_480": f"{ANIMATE} --task replace",
        "t2v_480": "--model wan2.2-t2v-a14b --size 832x480 --steps 3",
        "animate2_distilled": "--model wan2.2-animate-2-14b-distilled --size 800x640 --steps 2",
    },
    "caps": {
        "animate_480_24gb": f"{ANIMATE} --card-memory 24",
        "animate_480_12gb": f"{ANIMATE} --card-memory 12",
        "animate_480_8gb": f"{ANIMATE} --card-memory 8",
        "ti2v_704_24gb": f"{TI2V} --card-memory 24",
        "ti2v_704_12gb": f"{TI2V} --card-memory 12",
        "ti2v_704_8gb": f"{TI2V} --card-memory 8",
        "animate_480_24gb_host32": f"{ANIMATE} --card-memory 24 --host-memory 32",
    },
    "large": {
        "animate_720": "--model wan2.2-animate-14b --size 1280x720 --steps 2",
        "i2v_720": "--model wan2.2-i2v-a14b --size 1280x720 --steps 2",
        "t2v_720": "--model wan2.2-t2v-a14b --size 1280x720 --steps 2",
        "animate2_720": "--model wan2.2-animate-2-14b-distilled --size 1280x720 --steps 2",
    },
    "plans": {
        "animate_480_swap": f"{ANIMATE} --plan swap",
        "animate_480_resident_fp8": f"{ANIMATE} --plan resident-fp8",
        "i2v_480_24gb": "--model wan2.2-i2v-a14b --size 832x480 --steps 3 --card-memory 24",
        "animate_720_24gb": "--model wan2.2-animate-14b --size 1280x720 --steps 2 --card-memory 24",
    },
    "s2v": {
        "s2v": f"{S2V} --size 832x448,1280x704",
        "s2v_448_24gb": f"{S2V} --size 832x448 --card-memory 24",
        "s2v_448_12gb": f"{S2V} --size 832x448 --card-memory 12",
        "s2v_448_pose": f"{S2V} --size 832x448 --pose",
    },
}


def main() -> None:
    """Run a set; a line for each job."""
    parser = argparse.ArgumentParser(description="sets of video model benchmarks")
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--only", default="")
    parser.add_argument("--limit", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--direct", action="store_true")
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    chosen = [name for name in told.only.split(",") if name]
    for name, arguments in SETS[told.set].items():
        if chosen and name not in chosen:
            continue
        file = told.out / f"wan_{name}.json"
        command = [sys.executable, "-m", "backend.cli", "bench", "--random-weights", *arguments.split()]
        command += ["--out", str(file), *(["--direct"] if told.direct else [])]
        began = time.perf_counter()
        if not _ran(command, told.out / f"wan_{name}.log", told.limit):
            print(f"{name}: gave up after {told.limit:.0f} s", flush=True)
            continue
        print(f"{name}: {time.perf_counter() - began:.0f} s, {_summary(file)}", flush=True)


def _ran(command: list[str], log: Path, limit: float) -> bool:
    """Whether it ended in time; if not, it and its backend and worker are ended."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=output, start_new_session=True)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
    return True


def _summary(file: Path) -> str:
    if not file.exists():
        said = file.with_suffix(".log").read_text(errors="replace").strip().splitlines()
        return f"no result: {said[-1] if said else 'it said nothing'}"
    content = json.loads(file.read_text())
    last, memory = content["runs"][-1], content["last_run_memory"]
    if "error" in last:
        return f"FAILED: {last['error']}"
    peak = max((each["peak_allocated"] for each in memory.get("parts", {}).values()), default=0) / 2**30
    plan = memory.get("plan", {})
    stages = {stage["name"]: stage["seconds"] for stage in last["stages"]}
    return (
        f"plan {plan.get('name')} {plan.get('resident_blocks')} {plan.get('vae')} {plan.get('vae_tile')}, "
        f"peak {peak:.2f} GiB, {stages}, steps {last['seconds_a_step']}, finite {memory.get('finite')}, "
        f"in order {last['frames_in_order']}, first share {last.get('first_frame_share_of_decode')}"
    )


if __name__ == "__main__":
    main()
