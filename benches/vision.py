"""Failed prints told from good ones: jarvis beside plain prototypes in Python on the same network and pictures.

    python benches/vision.py JARVIS FOLDER

Needs numpy, pillow and onnxruntime. Without pictures in FOLDER/good and FOLDER/bad, it draws some: prints of many colours
before many walls, and the same turned to spaghetti. What is drawn shows that the method works, and not how well it does in
a workshop. Prints means over six deals of five pictures each.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageFilter

PICTURES = 160
SHOTS = 5
SEEDS = range(1, 7)


def draw(random, is_bad):
    width, height = [(640, 480), (800, 600), (640, 360)][random.integers(3)]
    wall = Image.fromarray(random.integers(20, 140, (4, 5, 3)).astype("uint8")).resize((width, height), Image.BICUBIC)
    picture = wall.filter(ImageFilter.GaussianBlur(random.uniform(4, 14)))
    pen = ImageDraw.Draw(picture)
    horizon, tilt = height * random.uniform(0.45, 0.6), random.uniform(-0.05, 0.05) * width
    bed = tuple(int(v) for v in random.integers(20, 90) + random.integers(-10, 10, 3))
    corners = [(width * 0.1, horizon + tilt), (width * 0.9, horizon - tilt), (width * 1.05, height), (-width * 0.05, height)]
    pen.polygon(corners, fill=bed)
    for _ in range(random.integers(0, 4)):
        # Cables hang in pictures of either kind.
        x, dark = random.uniform(0, width), tuple(int(v) for v in random.integers(0, 80, 3))
        line = [(x + 40 * np.sin(t * 2 + x), t * height / 6) for t in np.linspace(0, 4, 20)]
        pen.line(line, fill=dark, width=int(random.integers(2, 6)))
    filament = random.integers(30, 240, 3).astype(float)
    colour = lambda light: tuple(int(v) for v in np.clip(filament * light, 0, 255))
    centre, base = width * random.uniform(0.35, 0.65), height * random.uniform(0.7, 0.88)
    radius, tall, shape = width * random.uniform(0.06, 0.2), height * random.uniform(0.03, 0.35), random.integers(3)
    layers = int(max(3, tall / random.uniform(2, 4)))
    for layer in range(layers):
        part = layer / layers
        wide = radius * (1 - 0.5 * part * (shape == 1) + 0.2 * np.sin(3 * part) * (shape == 2))
        y = base - tall * part
        light = 0.75 + 0.25 * np.sin(layer * 2.1) + random.uniform(-0.04, 0.04)
        pen.ellipse([centre - wide, y - wide * 0.25, centre + wide, y + wide * 0.25], fill=colour(light))
    if random.random() < 0.7:
        x, y = centre + random.uniform(-radius, radius), base - tall - random.uniform(0, 10)
        pen.polygon([(x - 10, y - 40), (x + 10, y - 40), (x + 3, y), (x - 3, y)], fill=(150, 130, 70))
        pen.rectangle([x - 30, y - 100, x + 30, y - 40], fill=tuple(int(v) for v in random.integers(20, 90, 3)))
    if is_bad:
        heap = np.array([centre + random.uniform(-radius, radius), base - tall * random.uniform(0, 1)])
        spread = random.uniform(0.03, 0.13) * width
        for _ in range(random.integers(6, 70)):
            at = heap + random.normal(0, spread * 0.6, 2) * [1, 0.7]
            heading, bend, strand = random.uniform(0, 6.3), random.uniform(-0.3, 0.3), []
            for _ in range(random.integers(15, 90)):
                strand.append(tuple(at))
                bend = np.clip(bend + random.normal(0, 0.06), -0.5, 0.5)
                heading += bend
                at = at + spread * 0.08 * np.array([np.cos(heading), np.sin(heading) * 0.8 + 0.15])
            light, thick = random.uniform(0.6, 1.3), int(random.integers(1, 4))
            pen.line([(x + 1, y + 1) for x, y in strand], fill=colour(light * 0.4), width=thick)
            pen.line(strand, fill=colour(light), width=thick)
    picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.6)))
    noisy = np.asarray(picture).astype(float) * random.uniform(0.5, 1.3)
    noisy += random.normal(0, random.uniform(1, 9), noisy.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype("uint8"))


def prepare(folder):
    random = np.random.default_rng(1)
    for kind in ("good", "bad"):
        if (folder / kind).is_dir():
            continue
        (folder / kind).mkdir(parents=True)
        for n in range(PICTURES):
            draw(random, kind == "bad").save(folder / kind / f"{n:03}.jpg", quality=85)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def area(low, high):
    return (high[:, None] > low[None]).mean() + 0.5 * (high[:, None] == low[None]).mean()


def plain(folder, network):
    """Prototypes, and for good pictures only the nearest neighbours, over the network's numbers as they are."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options)
    spent, features = 0.0, {}
    for kind in ("good", "bad"):
        vectors = []
        for file in sorted((folder / kind).iterdir()):
            picture = Image.open(file).convert("RGB")
            begun = time.perf_counter()
            small = picture.resize((224, 224), Image.BILINEAR)
            values = ((np.asarray(small, "f4") - 127) / 128).transpose(2, 0, 1)
            vectors.append(session.run(["embedding"], {"image": np.stack([values, values[:, :, ::-1]])})[0][0])
            spent += time.perf_counter() - begun
        features[kind] = unit(np.array(vectors))
    good, bad = features["good"], features["bad"]
    both, one = [], []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        good_order, bad_order = random.permutation(len(good)), random.permutation(len(bad))
        shown, failed = good[good_order[:SHOTS]], bad[bad_order[:SHOTS]]
        direction = unit(failed.mean(0)) - unit(shown.mean(0))
        both.append(area(good[good_order[SHOTS:]] @ direction, bad[bad_order[SHOTS:]] @ direction))
        unlike = lambda some: 1 - np.sort(some @ shown.T, 1)[:, -2:].mean(1)
        one.append(area(unlike(good[good_order[SHOTS:]]), unlike(bad)))
    return np.mean(both), np.mean(one), 1000 * spent / (len(good) + len(bad))


def judged(jarvis, folder, more):
    results = []
    for seed in SEEDS:
        command = [jarvis, "vision", "eval", "--good", folder / "good", "--bad", folder / "bad", "--format", "json"]
        command += ["--shots", str(SHOTS), "--seed", str(seed), *more]
        results.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return {key: np.mean([r[key] for r in results]) for key in ("auc", "balanced_accuracy", "ms_per_frame")}


def main():
    jarvis, folder = sys.argv[1], Path(sys.argv[2])
    prepare(folder)
    subprocess.run([jarvis, "models", "pull"], check=True, stdout=subprocess.DEVNULL)
    store = Path(os.environ.get("JARVIS_MODELS") or Path.home() / ".cache/jarvis/models")
    both, one, ms = plain(folder, str(store / "efficientnet-lite0/efficientnet-lite0.onnx"))
    print("| learnt from | jarvis AUC | plain AUC | jarvis balanced accuracy | jarvis ms | Python ms |")
    print("|---|---|---|---|---|---|")
    for name, more, other in (("5 good, 5 bad", [], both), ("5 good", ["--only-good"], one)):
        r = judged(jarvis, folder, more)
        print(f"| {name} | {r['auc']:.3f} | {other:.3f} | {r['balanced_accuracy']:.3f} | {r['ms_per_frame']:.1f} | {ms:.1f} |")


if __name__ == "__main__":
    main()
