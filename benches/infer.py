#!/usr/bin/env python3
"""Frames judged per second of one core: a pipeline's `infer` next to a plain Python loop with the same network.

    python3 benches/infer.py --jarvis target/debug/jarvis [--seconds 30] [--cameras 3]

Both are given the same JPEG files, 1280 × 720 as cameras send them, and do the same with each: decode, make smaller, run
EfficientNet-lite0 on the picture and its mirror image on one thread, score. The loop is Pillow, numpy and onnxruntime. The
pipeline has its cameras besides: each decodes the file as it would a stream, encodes it for the ring, and its row goes through
the log. They run one after the other, each for the same time; what is compared is frames per second of processor time, all
threads of the process together. Needs what `vision.py` needs.
"""

import argparse
import io
import os
import pathlib
import resource
import subprocess
import tempfile
import time
import urllib.request

import numpy as np
import onnxruntime
from PIL import Image

import vision
from print_watch import free_port, wait

PIPELINE = """pipeline: judged
sources:
  frames: {{ camera: {{ cameras: {{ {cameras} }} }}, retain: 10s }}
operators:
  scores: {{ from: frames, infer: {{ judge: judge.json }}, retain: 10s }}
"""


def draw(folder, is_bad, count, seed=4):
    folder.mkdir()
    noise = np.random.default_rng(seed + is_bad)
    for number in range(count):
        picture = np.asarray(vision.draw(np.random.default_rng(seed), is_bad).resize((1280, 720))).astype(float)
        picture = np.clip(picture + noise.normal(0, 6, picture.shape), 0, 255).astype("uint8")
        Image.fromarray(picture).save(folder / f"{number:03}.jpg", quality=85)


def loop(folder, seconds):
    """Frames a second, and per second of processor time."""
    network = pathlib.Path(os.environ.get("JARVIS_MODELS", pathlib.Path.home() / ".cache/jarvis/models"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(network / "efficientnet-lite0/efficientnet-lite0.onnx"), options)
    weights = np.random.default_rng(1).normal(size=1280).astype("float32")
    files = sorted(folder.iterdir())

    def judge(file):
        picture = Image.open(io.BytesIO(file.read_bytes())).convert("RGB")
        picture = picture.resize((224, 224), Image.BILINEAR)
        values = ((np.asarray(picture, "float32") - 127) / 128).transpose(2, 0, 1)
        views = np.stack([values, values[:, :, ::-1]])
        told = np.sqrt(np.maximum(session.run(["embedding"], {"image": views})[0], 0)).sum(0)
        return float(told @ weights / np.linalg.norm(told))

    judge(files[0])
    spent = resource.getrusage(resource.RUSAGE_SELF)
    begun, before, count = time.time(), spent.ru_utime + spent.ru_stime, 0
    while time.time() - begun < seconds:
        judge(files[count % len(files)])
        count += 1
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return count / (time.time() - begun), count / (spent.ru_utime + spent.ru_stime - before)


def command(jarvis, folder, pictures):
    """Frames per second of processor time of `jarvis vision score`: the same work without a pipeline."""
    spent = []
    files = sorted(map(str, pictures.iterdir()))[:600]
    for some in (files[:60], files):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([jarvis, "vision", "score", str(folder / "judge.json"), *some], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # What it takes to begin is in both.
    return (len(files) - 60) / (spent[1] - spent[0])


def processor_s(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pipeline(jarvis, folder, pictures, given):
    names = [f"c{number}" for number in range(given.cameras)]
    rate = given.rate / given.cameras
    cameras = ", ".join(f"{name}: {{ address: '{pictures}', rate: {rate} }}" for name in names)
    (folder / "judged.yaml").write_text(PIPELINE.format(cameras=cameras))
    port = free_port()
    command = [jarvis, "run", folder / "judged.yaml", "--listen", f"127.0.0.1:{port}", "--data", folder / "data"]
    with open(folder / "jarvis.log", "w") as log:
        running = subprocess.Popen([*map(str, command)], stderr=log, stdout=log)

    def told(name):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def judged():
        try:
            return told("jarvis_infer_seconds_count")
        except OSError:
            return 0

    try:
        wait("scores", lambda: judged() > 20, 60)
        begun, before, count = time.time(), processor_s(running.pid), judged()
        time.sleep(given.seconds)
        count, spent, seconds = judged() - count, processor_s(running.pid) - before, time.time() - begun
        skipped = told("jarvis_questions_skipped_total")
    finally:
        running.terminate()
        running.wait()
    return count / seconds, count / spent, skipped


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jarvis", required=True, type=pathlib.Path)
    arguments.add_argument("--seconds", type=float, default=30)
    arguments.add_argument("--cameras", type=int, default=3)
    arguments.add_argument("--rate", type=float, default=30, help="frames a second of all cameras together")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder, jarvis = pathlib.Path(folder), str(given.jarvis.resolve())
        draw(folder / "good", False, 60)
        draw(folder / "bad", True, 12)
        # A folder ends with its last picture: each is shown again under other names.
        (folder / "stream").mkdir()
        for number in range(int(2 * (given.seconds + 60) * given.rate / given.cameras)):
            os.link(folder / f"good/{number % 60:03}.jpg", folder / f"stream/{number:06}.jpg")
        learn = [jarvis, "vision", "learn", "--good", folder / "good", "--bad", folder / "bad", "--out", folder / "judge.json"]
        subprocess.run([*map(str, learn)], check=True, stdout=subprocess.DEVNULL)
        for number in range(2):
            in_python = loop(folder / "good", given.seconds)
            by_command = command(jarvis, folder, folder / "stream")
            in_jarvis = pipeline(jarvis, folder, folder / "stream", given)
            print(f"round {number + 1}: Python {in_python[0]:.1f} frames/s, {in_python[1]:.1f} per core second; ", end="")
            print(f"jarvis vision score {by_command:.1f} per core second; ", end="")
            print(f"pipeline {in_jarvis[0]:.1f} frames/s, {in_jarvis[1]:.1f} per core second, {in_jarvis[2]:.0f} skipped")


if __name__ == "__main__":
    main()
