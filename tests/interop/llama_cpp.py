"""A Llama checkpoint folder in llama.cpp: behind its server, or drawn from to see how fast it is.

llama_cpp.py serve FOLDER              prints the address of a server with an OpenAI-compatible interface, until its input ends
llama_cpp.py draw FOLDER SEQUENCES TOKENS   drawn tokens per second: SEQUENCES at once on two threads, prompts of eight tokens

float32 throughout. Byte-level BPE tokenizers only.
Needs: pip install xllamacpp gguf numpy
"""

import json
import struct
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

THREADS, PROMPT, SLOTS = 2, 8, 64
PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def tensors(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            assert entry["dtype"] == "F32", "float32 checkpoints only"
            yield name.removesuffix(".weight"), np.frombuffer(data[start:end], "<f4").reshape(entry["shape"])


def interleaved(weight, heads):
    """Rows in the order of llama.cpp, which turns neighbouring pairs of a head where `transformers` turns its halves."""
    out, into = weight.shape
    return weight.reshape(heads, 2, out // heads // 2, into).swapaxes(1, 2).reshape(out, into)


def write_tokenizer(writer, folder, size):
    file = json.loads((folder / "tokenizer.json").read_text())
    tokens = [f"<unused {i}>" for i in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, i in file["model"]["vocab"].items():
        tokens[i], types[i] = token, gguf.TokenType.NORMAL
    for added in file["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], gguf.TokenType.CONTROL
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in file["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")  # digits one by one, then GPT-2's pattern
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges or ["! !"])
    writer.add_add_bos_token(False)


def convert(folder, path):
    """Writes FOLDER as one GGUF file."""
    config = json.loads((folder / "config.json").read_text())
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    write_tokenizer(writer, folder, config["vocab_size"])
    end = config.get("eos_token_id")
    if isinstance(end, int):
        writer.add_eos_token_id(end)
    for name, weight in tensors(folder / "model.safetensors"):
        if name in WHOLE:
            writer.add_tensor(f"{WHOLE[name]}.weight", weight)
            continue
        layer, part = name.removeprefix("model.layers.").split(".", 1)
        if part.endswith(("q_proj", "k_proj")):
            weight = interleaved(weight, heads if part.endswith("q_proj") else key_heads)
        writer.add_tensor(f"blk.{layer}.{PARTS[part]}.weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def server(folder, slots, length):
    """A server over FOLDER with places for `slots` sequences of `length` tokens."""
    file = Path(tempfile.mkdtemp()) / "model.gguf"
    convert(folder, file)
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_parallel, params.n_ctx, params.n_batch = slots, slots * length, max(2048, slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.verbosity = -1
    return xllamacpp.Server(params)


def draw(folder, sequences, tokens):
    """Tokens per second. Requests go past HTTP, straight to the server's loop."""
    engine = server(folder, sequences, PROMPT + tokens + 8)

    def ask(i):
        prompt = [(i * 31 + t * 7) % 1000 for t in range(PROMPT)]
        request = {"prompt": prompt, "n_predict": tokens, "temperature": 0.8, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
        request |= {"samplers": ["temperature"], "ignore_eos": True, "seed": i, "cache_prompt": False}
        answer = engine.handle_completions(request)
        answer = answer if isinstance(answer, dict) else json.loads(answer)
        return answer["usage"]["completion_tokens"]

    with ThreadPoolExecutor(sequences) as pool:
        list(pool.map(ask, range(min(sequences, 16))))
        start = time.perf_counter()
        drawn = sum(pool.map(ask, range(sequences)))
        return drawn / (time.perf_counter() - start)


def main():
    verb, folder = sys.argv[1], Path(sys.argv[2])
    if verb == "serve":
        engine = server(folder, SLOTS, json.loads((folder / "config.json").read_text())["max_position_embeddings"])
        print(engine.listening_address, flush=True)
        sys.stdin.read()
    else:
        print(round(draw(folder, int(sys.argv[3]), int(sys.argv[4]))))


main()
