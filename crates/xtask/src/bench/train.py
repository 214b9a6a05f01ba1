"""Trains a Llama, dense or with experts, with PyTorch: train.py WIDTH LAYERS VOCAB EXPERTS STEPS.

Two threads, float32, 64 documents of 64 tokens a step, AdamW; experts in a loop, two a token, as `transformers` has them. Prints
learned tokens per second without the first two steps, and the MiB that the process held at most beyond what it held before.
"""

import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

THREADS, DOCUMENTS, TOKENS, WARMING, PER_TOKEN, HEAD = 2, 64, 64, 2, 2, 64


def matrix(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        inner = width * 11 // 4
        self.gate_up, self.down = matrix(width, 2 * inner), matrix(inner, width)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class Experts(nn.Module):
    def __init__(self, width, experts):
        super().__init__()
        self.router = matrix(width, experts)
        self.experts = nn.ModuleList(FeedForward(width) for _ in range(experts))

    def forward(self, x):
        shape, x = x.shape, x.view(-1, x.shape[-1])
        weights, chosen = F.softmax(self.router(x), -1).topk(PER_TOKEN, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            token, place = torch.where(chosen == i)
            if token.numel():
                out.index_add_(0, token, expert(x[token]) * weights[token, place, None])
        return out.view(shape)


class Layer(nn.Module):
    def __init__(self, width, experts):
        super().__init__()
        self.heads = width // HEAD
        self.qkv, self.out = matrix(width, 3 * width), matrix(width, width)
        self.norms = nn.ModuleList(nn.RMSNorm(width, eps=1e-5) for _ in range(2))
        self.block = Experts(width, experts) if experts else FeedForward(width)

    def forward(self, x, cos, sin):
        rows, length, width = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(rows, length, 3, self.heads, HEAD).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(turn(q, cos, sin), turn(k, cos, sin), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(rows, length, width))
        return x + self.block(self.norms[1](x))


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class Llama(nn.Module):
    def __init__(self, width, layers, vocab, experts):
        super().__init__()
        self.embedding, self.norm = nn.Embedding(vocab, width), nn.RMSNorm(width, eps=1e-5)
        self.layers = nn.ModuleList(Layer(width, experts) for _ in range(layers))
        angles = torch.outer(torch.arange(float(TOKENS)), 10_000.0 ** (-torch.arange(0, HEAD, 2) / HEAD))
        self.cos, self.sin = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))

    def forward(self, ids):
        x, length = self.embedding(ids), ids.shape[1]
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return F.linear(self.norm(x), self.embedding.weight)


def held():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(width, layers, vocab, experts, steps):
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    before = held()
    model = Llama(width, layers, vocab, experts)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01)
    ids = torch.randint(97, 123, (DOCUMENTS, TOKENS))
    for step in range(WARMING + steps):
        if step == WARMING:
            start = time.perf_counter()
        logits = model(ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    taken = time.perf_counter() - start
    print(round(steps * DOCUMENTS * (TOKENS - 1) / taken), round(held() - before), round(loss.item(), 4))


main(*map(int, sys.argv[1:]))
