"""Repeats a training of Flow with PyTorch and `transformers`, and compares the losses step by step.

Usage: loss_curve.py EXAMPLE FOLDER dense|moe|gemma2|gemma3 [STEPS]

EXAMPLE is target/release/examples/loss_curve (cargo build --release -p flow-trainer --example loss_curve), FOLDER a place for
the model it starts from. Same weights, documents, optimiser and learning rates, 200 steps by default: every loss must be
within a thousandth. Needs: pip install torch transformers safetensors
"""

import json
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-3


def losses(folder, run):
    """The mean cross-entropy of the completions at each step, in nats, before its update."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    matrices = [p for p in model.parameters() if p.dim() > 1]
    norms = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": run["weight_decay"]}, {"params": norms, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=tuple(run["betas"]), eps=run["eps"])
    scored = sum(len(document["tokens"]) - document["scored_from"] for document in run["documents"])
    for rate in run["learning_rates"]:
        total = 0.0
        for document in run["documents"]:
            tokens, first = torch.tensor(document["tokens"]), document["scored_from"]
            logits = model(tokens[None, :-1]).logits[0]
            loss = torch.nn.functional.cross_entropy(logits[first - 1 :], tokens[first:], reduction="sum") / scored
            loss.backward()
            total += float(loss.detach())
        yield total
        torch.nn.utils.clip_grad_norm_(model.parameters(), run["max_grad_norm"])
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        optimiser.zero_grad()


def main(example, folder, kind, steps="200"):
    run = json.loads(subprocess.run([example, folder, kind, steps], check=True, capture_output=True, text=True).stdout)
    furthest = max(abs(ours - theirs) for ours, theirs in zip(run["losses"], losses(folder, run), strict=True))
    first, last = run["losses"][0], run["losses"][-1]
    print(f"{kind}: {steps} steps, loss {first:.4f} to {last:.4f}, at most {furthest:.2e} from PyTorch's")
    if not furthest <= TOLERANCE:
        sys.exit(f"expected at most {TOLERANCE}")


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
