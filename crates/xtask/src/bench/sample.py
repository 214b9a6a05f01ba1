"""Draws from a Llama checkpoint with PyTorch. Two threads, float32, temperature 0.8, prompts of eight tokens.

sample.py loop DIR SEQUENCES TOKENS: drawn tokens per second of a hand-written loop with static keys and values, all rows in step.
sample.py generate DIR SEQUENCES TOKENS: those of `transformers`' generate.
sample.py limit DIR: tokens per second if there were nothing but matrix products, at the rate of the fastest that PyTorch makes.
"""

import json
import struct
import sys
import time

import torch
import torch.nn.functional as F

THREADS, PROMPT = 2, 8


def tensors(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        yield name, torch.frombuffer(data, dtype=torch.float32, offset=start, count=(end - start) // 4).view(entry["shape"])


class Llama:
    def __init__(self, folder):
        self.config = json.load(open(f"{folder}/config.json"))
        t = dict(tensors(f"{folder}/model.safetensors"))
        self.embedding, self.norm = t["model.embed_tokens.weight"], t["model.norm.weight"]
        self.layers = []
        for i in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{i}."
            qkv = torch.cat([t[f"{at}self_attn.{p}_proj.weight"] for p in "qkv"]).t().contiguous()
            gate_up = torch.cat([t[f"{at}mlp.{p}_proj.weight"] for p in ("gate", "up")]).t().contiguous()
            out, down = (t[at + p].t().contiguous() for p in ("self_attn.o_proj.weight", "mlp.down_proj.weight"))
            norms = t[at + "input_layernorm.weight"], t[at + "post_attention_layernorm.weight"]
            self.layers.append((norms, qkv, out, gate_up, down))
        self.head = self.embedding.t().contiguous()
        d = self.config["head_dim"]
        angles = torch.outer(torch.arange(512.0), self.config["rope_theta"] ** (-torch.arange(0, d, 2) / d))
        self.cos, self.sin = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))

    def rms(self, x, scale):
        return F.rms_norm(x, (x.shape[-1],), scale, self.config["rms_norm_eps"])

    def turn(self, x, cos, sin):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    def step(self, ids, keys, values, start):
        """Scores after the last of ids, (B, T), which stand at positions start and on."""
        rows, length = ids.shape
        heads, d = self.config["num_attention_heads"], self.config["head_dim"]
        cos, sin = self.cos[start : start + length], self.sin[start : start + length]
        x = self.embedding[ids]
        for i, ((first, second), qkv, out, gate_up, down) in enumerate(self.layers):
            q, k, v = (self.rms(x, first) @ qkv).view(rows, length, 3, heads, d).permute(2, 0, 3, 1, 4)
            keys[i][:, :, start : start + length] = self.turn(k, cos, sin)
            values[i][:, :, start : start + length] = v
            k, v = keys[i][:, :, : start + length], values[i][:, :, : start + length]
            y = F.scaled_dot_product_attention(self.turn(q, cos, sin), k, v, is_causal=length > 1)
            x = x + y.transpose(1, 2).reshape(rows, length, -1) @ out
            gate, up = (self.rms(x, second) @ gate_up).chunk(2, -1)
            x = x + (F.silu(gate) * up) @ down
        return self.rms(x[:, -1], self.norm) @ self.head


def prompts(sequences):
    return torch.tensor([[(i * 31 + t * 7) % 1000 for t in range(PROMPT)] for i in range(sequences)])


def draw(model, sequences, tokens):
    ids = prompts(sequences)
    shape = (len(model.layers), sequences, model.config["num_attention_heads"], PROMPT + tokens, model.config["head_dim"])
    keys, values = torch.empty(shape), torch.empty(shape)
    start = 0
    for _ in range(tokens):
        scores = model.step(ids, keys, values, start)
        start += ids.shape[1]
        ids = torch.multinomial(F.softmax(scores / 0.8, -1), 1)


def loop(folder, sequences):
    model = Llama(folder)
    return lambda tokens: draw(model, sequences, tokens)


def generate(folder, sequences):
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = prompts(sequences)
    options = {"attention_mask": torch.ones_like(ids), "do_sample": True, "temperature": 0.8, "top_k": 0, "pad_token_id": 0}
    return lambda tokens: model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, **options)


def limit(folder):
    config = json.load(open(f"{folder}/config.json"))
    sizes = {name: t.numel() for name, t in tensors(f"{folder}/model.safetensors") if t.dim() == 2}
    parameters = sum(sizes.values()) - (0 if config["tie_word_embeddings"] else sizes["model.embed_tokens.weight"])
    fastest = 0.0
    for rows, inputs, outputs, times in ((2048, 2048, 2048, 1), (256, 1024, 4096, 8), (256, 256, 1408, 100)):
        a, b = torch.randn(rows, inputs), torch.randn(inputs, outputs)
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(times):
                a @ b
            fastest = max(fastest, 2.0 * rows * inputs * outputs * times / (time.perf_counter() - start))
    return fastest / (2 * parameters)


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    with torch.inference_mode():
        if sys.argv[1] == "limit":
            return print(round(limit(sys.argv[2])))
        sequences, tokens = int(sys.argv[3]), int(sys.argv[4])
        run = {"loop": loop, "generate": generate}[sys.argv[1]](sys.argv[2], sequences)
        run(8)
        start = time.perf_counter()
        run(tokens)
        print(round(sequences * tokens / (time.perf_counter() - start)))


main()
