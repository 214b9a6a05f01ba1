"""Opens adapters that Flow trained with PEFT, and checks that Flow's merged checkpoint computes the same.

Usage: open_adapters.py FLOW START CHECKPOINT...

FLOW is the program, START the folder of the model that training began with, each CHECKPOINT a folder that `train` with `lora` made of it,
with `adapter` inside. PEFT puts the adapter on START as `transformers` reads it; its scores after some prompts, its greedy tokens
and their log-probabilities go to `flow doctor --reference` on CHECKPOINT, which must find them within a thousandth; and they must be
others than START's.
Needs: pip install torch transformers safetensors peft
"""

import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from open_checkpoints import check, values


def main(flow, start, folders):
    def begin():
        return AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32).eval()

    before = values(begin())
    for folder in folders:
        adapted = values(PeftModel.from_pretrained(begin(), str(Path(folder) / "adapter")).eval())
        if adapted["last_logits"] == before["last_logits"]:
            sys.exit(f"{folder}: the adapter changes nothing")
        check(flow, folder, adapted)
        print(f"{folder}: its adapter opened by PEFT; Flow computes the same")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
