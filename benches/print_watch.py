#!/usr/bin/env python3
"""How long it takes from a frame to a paused printer, and how many frames are judged next to a plain Python loop.

    python3 benches/print_watch.py --jarvis target/debug/jarvis --octoprint VENV [--rounds 10] [--cameras 3]

Starts OctoPrint with its virtual printer (from a virtual environment that has it), an RTSP server of H.264 (the tests'),
a broker inside jarvis, and the shipped pipeline. Each round starts a print, lets the pictures go bad, waits for the pause,
and cancels. Needs what `vision.py` needs, which draws the pictures. Prints medians and 95th percentiles, seconds:

* frame to score: from when the camera's frame was taken to when its score was recorded
* frame to pause: from the newest frame that the pause rests on to the printer seen paused
* bad to pause: from when the camera began to show bad pictures, with the evidence that had to gather first
"""

import argparse
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import numpy as np
from PIL import Image

import vision

HERE = pathlib.Path(__file__).resolve().parent
KEY = "0123456789abcdef0123456789abcdef"
SETTINGS = f"""api: {{key: {KEY}}}
server: {{firstRun: false, onlineCheck: {{enabled: false}}, pluginBlacklist: {{enabled: false}}}}
serial: {{autoconnect: true, port: VIRTUAL}}
plugins:
  virtual_printer: {{enabled: true}}
  _disabled: [softwareupdate, announcements, discovery, tracking, errortracking, achievements, pluginmanager, backup]
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait(what, look, patience=60.0, pause=0.02):
    begun = time.time()
    while True:
        found = look()
        if found:
            return found
        if time.time() - begun > patience:
            sys.exit(f"waited in vain: {what}")
        time.sleep(pause)


class OctoPrint:
    def __init__(self, venv, folder):
        self.port = free_port()
        folder.mkdir()
        (folder / "config.yaml").write_text(SETTINGS)
        command = [venv / "bin/octoprint", "serve", "--iknowwhatimdoing", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*map(str, command), "--basedir", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait("OctoPrint", lambda: self.flag("operational"), 120, 0.3)

    def ask(self, path, body=None, kind="application/json"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        request.add_header("X-Api-Key", KEY)
        if body is not None:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            error.msg = f"{path}: {error.read()[:300]}"
            raise

    def flag(self, name):
        try:
            return self.ask("/api/printer?exclude=temperature,sd")["state"]["flags"][name]
        except (OSError, http.client.HTTPException, KeyError, TypeError):
            return False

    def upload(self, name, gcode):
        border = "a-border-that-no-gcode-has"
        head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/plain\r\n\r\n'
        body = f"{head}{gcode}\r\n--{border}--\r\n"
        self.ask("/api/files/local", body.encode(), f"multipart/form-data; boundary={border}")

    def print(self, name):
        self.ask(f"/api/files/local/{name}", json.dumps({"command": "select", "print": True}).encode())

    def cancel(self):
        self.ask("/api/job", json.dumps({"command": "cancel"}).encode())


class Cameras:
    """The RTSP server of the tests: commands on its standard input, an answer to each."""

    def __init__(self):
        script = HERE.parent / "tests/common/rtsp_server.py"
        self.process = subprocess.Popen(
            ["/usr/bin/python3", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port = int(self.process.stdout.readline().split()[-1])

    def tell(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer.startswith("done"):
            sys.exit(f"{words}: {answer}")


def draw(folder, is_bad, count=12, seed=4):
    """Pictures of one print as its camera sees it: only noise differs, and the strands of a bad one."""
    folder.mkdir()
    noise = np.random.default_rng(seed + is_bad)
    for number in range(count):
        picture = np.asarray(vision.draw(np.random.default_rng(seed), is_bad).resize((640, 360))).astype(float)
        picture = np.clip(picture + noise.normal(0, 6, picture.shape), 0, 255).astype("uint8")
        Image.fromarray(picture).save(folder / f"{number:03}.jpg", quality=90)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def told(name, values):
    print(f"{name:16} n {len(values):5}  p50 {statistics.median(values):7.3f}  p95 {percentile(values, 0.95):7.3f}  max {max(values):7.3f}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jarvis", required=True, type=pathlib.Path)
    arguments.add_argument("--octoprint", required=True, type=pathlib.Path)
    arguments.add_argument("--rounds", type=int, default=10)
    arguments.add_argument("--cameras", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        processes = []
        try:
            run(given, folder, processes)
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def set_up(jarvis, folder, octoprint, cameras, names):
    """Cameras that show the folder `good`, the printer, and a judge of both folders; the environment for the pipeline."""
    good, bad = folder / "good", folder / "bad"
    written = ""
    for name in names:
        cameras.tell(f"show {name} {good}")
        written += f"{name}: {{ address: 'rtsp://127.0.0.1:{cameras.port}/{name}', printer: mini, rate: 1 }}\n"
    (folder / "cameras.yaml").write_text(written)
    (folder / "printers.yaml").write_text(f"mini: {{ octoprint: 'http://127.0.0.1:{octoprint.port}', key: '{KEY}' }}\n")
    learn = [jarvis, "vision", "learn", "--good", good, "--bad", bad, "--out", folder / "judge.json"]
    subprocess.run([*map(str, learn)], check=True)
    return os.environ | {
        "JARVIS_CAMERAS": str(folder / "cameras.yaml"),
        "JARVIS_PRINTERS": str(folder / "printers.yaml"),
        "JARVIS_JUDGE": str(folder / "judge.json"),
    }


def run(given, folder, processes):
    jarvis = str(given.jarvis.resolve())
    good, bad = folder / "good", folder / "bad"
    draw(good, False)
    draw(bad, True)
    octoprint = OctoPrint(given.octoprint, folder / "octoprint")
    processes.append(octoprint.process)
    octoprint.upload("cube.gcode", "G28\n" + "G4 P1000\nG1 X10 Y10 F3000\nG1 X20 Y20\n" * 600)
    cameras = Cameras()
    processes.append(cameras.process)
    names = [f"c{number}" for number in range(given.cameras)]
    environment = set_up(jarvis, folder, octoprint, cameras, names)
    pipeline = str(HERE.parent / "pipelines/print_watch.yaml")
    port = free_port()
    command = [jarvis, "run", pipeline, f"--embedded-broker=127.0.0.1:{free_port()}", "--listen", f"127.0.0.1:{port}"]
    log = open(folder / "jarvis.log", "w")
    running = subprocess.Popen([*command, "--data", str(folder / "data")], env=environment, stderr=log, stdout=log)
    processes.append(running)

    def sql(query):
        answer = subprocess.run(
            [jarvis, "sql", query, "--format", "json", "--at", f"127.0.0.1:{port}"], capture_output=True, text=True, check=False
        )
        return [json.loads(line) for line in answer.stdout.splitlines()]

    wait("scores", lambda: (sql("SELECT count(*) AS n FROM lineage.print_watch.scores") or [{"n": 0}])[0]["n"] > 5, 60, 0.5)
    bad_to_pause = []
    for number in range(given.rounds):
        octoprint.print("cube.gcode")
        wait("printing", lambda: octoprint.flag("printing"))
        time.sleep(10)
        for name in names:
            cameras.tell(f"show {name} {bad}")
        begun = time.time()
        wait("the pause", lambda: octoprint.flag("paused"))
        bad_to_pause.append(time.time() - begun)
        # Whoever has paused it reads that back before the print is cancelled.
        time.sleep(5)
        for name in names:
            cameras.tell(f"show {name} {good}")
        octoprint.cancel()
        wait("the end", lambda: octoprint.flag("ready") and not octoprint.flag("cancelling"))
        print(f"round {number + 1}: {bad_to_pause[-1]:.2f} s", file=sys.stderr)
        time.sleep(4)
    time.sleep(3)
    micros = "CAST(CAST(_time AS BIGINT) - CAST(at AS BIGINT) AS DOUBLE) / 1e6"
    scores = sql(f"SELECT {micros} AS s, CAST(at AS BIGINT) AS at, CAST(_time AS BIGINT) AS t FROM lineage.print_watch.scores")
    pauses = sql("SELECT outcome, took_s, CAST(_time AS BIGINT) AS t FROM lineage.print_watch.paused")
    frame_to_pause = []
    for pause in pauses:
        asked = pause["t"] - pause["took_s"] * 1e6
        before = [score["at"] for score in scores if score["t"] <= asked]
        if pause["outcome"] == "done" and before:
            frame_to_pause.append((pause["t"] - max(before)) / 1e6)
    told("frame to score", [score["s"] for score in scores])
    told("frame to pause", frame_to_pause)
    told("bad to pause", bad_to_pause)
    with open(f"/proc/{running.pid}/status", encoding="utf-8") as status:
        print(next(line for line in status if line.startswith("VmRSS")).strip())


if __name__ == "__main__":
    main()
