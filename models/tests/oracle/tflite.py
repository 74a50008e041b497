"""What a real TFLite interpreter tells of two pictures, for `persons.rs` to compare the converted network with.

    python3 -m venv venv && venv/bin/pip install ai-edge-litert pillow
    venv/bin/python tflite.py ~/.cache/jarvis/media/person-detector-tflite/ssd.tflite \
        ~/.cache/jarvis/media/pictures-astronaut/astronaut.png > tflite.json

Both pictures have the network's 300 x 300 pixels, so that nothing is resized: one is made of whole numbers, here and
there by the same formula, and one is a part of a photograph.
"""

import json
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

PERSON = 4


def made():
    y, x, c = np.meshgrid(np.arange(300), np.arange(300), np.arange(3), indexing="ij")
    return ((x * (c + 2) + 3 * y) // 4 + 60 * ((x // 25 + y // 25) % 2)) % 256


def told(interpreter, picture):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], (picture[None].astype("f4") - 127.5) / 127.5)
    interpreter.invoke()
    boxes, scores = (interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details())
    # The anchors that look most like a person, and some of everywhere.
    anchors = [*np.argsort(-scores[:, PERSON])[:5], *range(0, len(boxes), 240)]
    numbers = lambda values: [round(float(value), 5) for value in values]
    return {
        "anchors": [{"at": int(at), "box": numbers(boxes[at]), "scores": numbers(scores[at])} for at in anchors],
        "mean": {"boxes": float(np.abs(boxes).mean()), "scores": float(np.abs(scores).mean())},
    }


interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
astronaut = np.asarray(Image.open(sys.argv[2]).convert("RGB"))[:300, 80:380]
answers = {"made": told(interpreter, made()), "astronaut": told(interpreter, astronaut)}
rows = ",\n".join(
    f'"{name}": {{\n"mean": {json.dumps(answer["mean"])},\n"anchors": [\n'
    + ",\n".join(json.dumps(anchor) for anchor in answer["anchors"])
    + "\n]}"
    for name, answer in answers.items()
)
print(f"{{\n{rows}\n}}")
