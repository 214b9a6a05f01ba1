"""Flow against a real server: what it draws is what this machine draws from the same weights, once, and after a kill too.

    python tests/servers/real_server.py --model DIR              # starts `transformers serve DIR`
    python tests/servers/real_server.py --model DIR --url http://host:8000/v1 --served-name NAME [--dialect vllm]

DIR is a small Hugging Face folder. Needs a built `flow` (target/release/flow), and without `--url` also
`pip install "transformers[serving]" torch`. With `--url` the server is yours: `vllm serve DIR`, `sglang.launch_server`,
`llama-server`, with the same weights in float32. It is not part of CI, which has no server.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

FLOW = Path(__file__).resolve().parents[2] / "target/release/flow"
PROMPTS = ["Once upon a time", "Lily and Ben", "The dog was", "One day, a girl", "Tom had a red", "It was a sunny day"]
DRAWS = 8

PIPELINE = """
version: 1
name: real-server
models:
  here: {{path: {model}}}
  there: {{server: "{url}", model: "{name}", dialect: {dialect}, max_concurrency: 4}}
steps:
  prompts: {{op: read, path: prompts.jsonl}}
  local: {{op: sample, from: prompts, model: here, temperature: 0, max_tokens: 24}}
  served: {{op: sample, from: prompts, model: there, temperature: 0, max_tokens: 24}}
  many: {{op: sample, from: prompts, model: there, n: {n}, temperature: 1, max_tokens: 24}}
  local_rows: {{op: write, from: local, path: out/local}}
  served_rows: {{op: write, from: served, path: out/served}}
  many_rows: {{op: write, from: many, path: out/many}}
"""


def flow(folder, *words):
    ran = subprocess.run([FLOW, *words], cwd=folder, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"flow {' '.join(words)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def calls(folder):
    plan = json.loads(flow(folder, "plan", "p.yaml", "--format", "json"))
    return {step["step"]: step["calls"] for step in plan["steps"]}


def completions(folder, step):
    import pyarrow.dataset as dataset

    rows = dataset.dataset(str(folder / f"out/{step}/current"), format="parquet").to_table().to_pylist()
    return {(row["prompt"], row["sample_index"]): row["completion"] for row in rows}


def serve(args, home):
    """Starts `transformers serve` and waits until it answers; its process, address and the name of its model.

    It lists only what lies in its cache, and draws greedily whatever the temperature unless the model's generation_config.json
    says otherwise; so the model is put into a cache of its own, with such a file.
    """
    cache = home / "hub/models--flow--tiny"
    snapshot = cache / "snapshots" / ("0" * 40)
    shutil.copytree(args.model, snapshot, copy_function=shutil.copyfile)
    (cache / "blobs").mkdir()
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("0" * 40)
    ends = {key: value for key, value in json.loads((snapshot / "config.json").read_text()).items() if "_token_id" in key}
    (snapshot / "generation_config.json").write_text(json.dumps({"do_sample": True, **ends}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = Path(sys.executable).parent / "transformers"
    command = [script, "serve", "flow/tiny", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    for _ in range(300):
        time.sleep(1)
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
            return process, f"http://127.0.0.1:{port}/v1", "flow/tiny"
        except OSError:
            if process.poll() is not None:
                break
    process.kill()
    sys.exit("the server did not start:\n" + (home / "log").read_text()[-2000:])


def check(args, url, name):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        rows = [{"prompt_id": str(at), "prompt": prompt} for at, prompt in enumerate(PROMPTS)]
        (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        text = PIPELINE.format(model=args.model, url=url, name=name, dialect=args.dialect, n=DRAWS)
        (folder / "p.yaml").write_text(text)
        doctor = subprocess.run([FLOW, "doctor", "p.yaml"], cwd=folder, capture_output=True, text=True)
        print("doctor:", doctor.stdout.strip() or doctor.stderr.strip())

        run = subprocess.Popen([FLOW, "exec", "p.yaml", "-q"], cwd=folder)
        time.sleep(args.kill_after)
        run.send_signal(signal.SIGKILL)
        run.wait()
        left = calls(folder)
        total = len(PROMPTS) * (1 + DRAWS)
        print(f"killed after {args.kill_after} s: {total - left['served'] - left['many']} of {total} draws are kept")
        flow(folder, "exec", "p.yaml", "-q")
        assert not any(calls(folder).values()), "everything is kept"

        # `transformers` cuts the space that a continuation begins with.
        here, there = ({key: text.lstrip() for key, text in completions(folder, step).items()} for step in ["local", "served"])
        same = sum(here[key] == there[key] for key in here)
        for key in [key for key in here if here[key] != there[key]]:
            print(f"{key[0]!r} goes on here with {here[key]!r}, there with {there[key]!r}")
        print(f"greedy completions that agree with this machine's: {same} of {len(here)}")
        many = completions(folder, "many")
        for prompt in PROMPTS:
            drawn = [text for (of, _), text in many.items() if of == prompt]
            assert len(drawn) == DRAWS and len(set(drawn)) > 1, f"draws of {prompt!r} differ: {drawn}"
        print(f"draws at temperature 1: {len(many)}, of these different: {len(set(many.values()))}")
        return same == len(here)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=os.path.abspath, help="a Hugging Face folder")
    parser.add_argument("--url", help="a server that has the same weights; without it one is started")
    parser.add_argument("--served-name", help="the name of the model at the server")
    parser.add_argument("--dialect", default="openai", choices=["vllm", "llama_cpp", "openai"])
    parser.add_argument("--kill-after", type=float, default=6.0, help="seconds after which the first run is killed")
    args = parser.parse_args()
    if args.url:
        sys.exit(0 if check(args, args.url, args.served_name or args.model) else 1)
    with tempfile.TemporaryDirectory() as home:
        process, url, name = serve(args, Path(home))
        try:
            good = check(args, url, name)
        finally:
            process.terminate()
            process.wait()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
