"""Opens checkpoints that Flow wrote with `transformers`, and checks that Flow computes the same.

Usage: open_checkpoints.py FLOW FOLDER...

FLOW is the program, each FOLDER a checkpoint of a family that `transformers` has: a trained `llama`, or a mixture by `copy`,
`btx` or `fine_grained`. `transformers` reads it without remote code; its scores after some prompts, its greedy tokens and
their log-probabilities go to `flow doctor --reference`, which must find them within a thousandth.
Needs: pip install torch transformers safetensors
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

PROMPTS, TOKENS, DRAWN = 3, 12, 8


def values(model):
    """The values of a model of `transformers`, for prompts of pseudo-random tokens."""
    vocab = model.config.vocab_size
    told = {"input_ids": [], "last_logits": [], "greedy_ids": [], "logprobs_of_input_and_greedy": []}
    for prompt in range(PROMPTS):
        ids = [(prompt * 7919 + i * 104729 + 5) % vocab for i in range(TOKENS)]
        told["input_ids"].append(list(ids))
        with torch.no_grad():
            for drawn in range(DRAWN):
                logits = model(torch.tensor([ids])).logits[0]
                if drawn == 0:
                    told["last_logits"].append(logits[-1].tolist())
                ids.append(int(logits[-1].argmax()))
            scores = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)
        told["greedy_ids"].append(ids[TOKENS:])
        told["logprobs_of_input_and_greedy"].append([float(scores[i, ids[i + 1]]) for i in range(len(ids) - 1)])
    return told


def check(flow, folder, told):
    """Ends the program unless Flow finds the values for the checkpoint in `folder`."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "reference.json"
        path.write_text(json.dumps(told))
        command = [flow, "doctor", "--model", folder, "--reference", str(path), "--format", "json"]
        ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"{folder}: {ran.stdout}{ran.stderr}")


def main(flow, folders):
    for folder in folders:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        check(flow, folder, values(model))
        print(f"{folder}: opened as {type(model).__name__}; Flow computes the same")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
