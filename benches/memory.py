#!/usr/bin/env python3
"""How much memory jarvis takes while eight cameras watch a print for an hour.

    python3 benches/memory.py --jarvis target/debug/jarvis --octoprint VENV [--cameras 8] [--minutes 60]

Starts what `print_watch.py` starts: OctoPrint with its virtual printer and a print that goes on, an RTSP server of H.264,
the shipped pipeline with a data folder. Prints the resident memory every few minutes, with what is on the disk; at the end
the mean of each sixth of the time, and the slope over the second half in MiB an hour, which is what does not stay flat.
"""

import argparse
import pathlib
import subprocess
import tempfile
import time

from print_watch import HERE, Cameras, OctoPrint, draw, free_port, set_up, wait

EVERY_S = 5


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def on_disk(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    sizes = []
    for path in files:
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:  # The ring drops pictures while we look.
            pass
    return sum(sizes) / 2**20


def slope(samples):
    """Least squares, MiB an hour."""
    hours = [at / 3600 for at, _ in samples]
    mean_at, mean = sum(hours) / len(hours), sum(size for _, size in samples) / len(samples)
    over = sum((at - mean_at) ** 2 for at in hours)
    return sum((at - mean_at) * (size - mean) for at, (_, size) in zip(hours, samples)) / over


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jarvis", required=True, type=pathlib.Path)
    arguments.add_argument("--octoprint", required=True, type=pathlib.Path)
    arguments.add_argument("--cameras", type=int, default=8)
    arguments.add_argument("--minutes", type=float, default=60)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        try:
            run(given, pathlib.Path(folder), processes)
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def run(given, folder, processes):
    jarvis = str(given.jarvis.resolve())
    draw(folder / "good", False, 60)
    draw(folder / "bad", True)
    octoprint = OctoPrint(given.octoprint, folder / "octoprint")
    processes.append(octoprint.process)
    octoprint.upload("long.gcode", "G28\n" + "G4 P1000\nG1 X10 Y10 F3000\nG1 X20 Y20\n" * int(given.minutes * 90))
    cameras = Cameras()
    processes.append(cameras.process)
    environment = set_up(jarvis, folder, octoprint, cameras, [f"c{number}" for number in range(given.cameras)])
    data = folder / "data"
    command = [jarvis, "run", str(HERE.parent / "pipelines/print_watch.yaml"), "--data", str(data)]
    listening = [f"--embedded-broker=127.0.0.1:{free_port()}", "--listen", f"127.0.0.1:{free_port()}"]
    log = open(folder / "jarvis.log", "w")
    running = subprocess.Popen([*command, *listening], env=environment, stderr=log, stdout=log)
    processes.append(running)
    wait("frames", lambda: running.poll() is not None or list(data.rglob("*.jpg")), 60, 0.5)
    octoprint.print("long.gcode")
    begun, samples, next_told = time.time(), [], 0.0
    while (now := time.time() - begun) < given.minutes * 60:
        if running.poll() is not None:
            raise SystemExit(f"jarvis has ended:\n{(folder / 'jarvis.log').read_text()[-2000:]}")
        samples.append((now, resident(running.pid)))
        if now >= next_told:
            print(f"{now / 60:5.1f} min  {samples[-1][1]:7.1f} MiB resident  {on_disk(data):8.1f} MiB on disk", flush=True)
            next_told += 300
        time.sleep(EVERY_S)
    sixth = len(samples) // 6
    parts = [samples[n * sixth : (n + 1) * sixth] for n in range(6)]
    print("means:", "  ".join(f"{sum(size for _, size in part) / len(part):.1f}" for part in parts), "MiB")
    print(f"slope of the second half: {slope(samples[len(samples) // 2 :]):+.1f} MiB an hour; printing: {octoprint.flag('printing')}")


if __name__ == "__main__":
    main()
