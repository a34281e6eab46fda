#!/usr/bin/env python3
"""Time the work of btu-scan's behaviour evidence (scan/behaviour) done with PyTorch: what its seconds are compared with.

    python scripts/bench/torch_behaviour.py --model DIR --base DIR --probes scan/probes/builtin.txt --tokens 230000 --threads 2

The steps, their sizes and what depends on the answers are the same; the phrase search, last here, goes on until --tokens
tokens have been run, which is behaviour.tokens of btu-scan's JSON report on the same model. As there, a gradient counts
three passes. float32 on the processor, sdpa attention, batches sorted by length and padded, no gradients where none are
needed. Prints {"seconds", "tokens", "import_seconds", "found"}; seconds are without the imports.
"""
import argparse, json, os, random, time
began = time.perf_counter()
import numpy as np, torch
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging
import_seconds = time.perf_counter() - began
logging.set_verbosity_error()

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name in ("--model", "--base", "--probes"): ap.add_argument(name, required=True)
ap.add_argument("--tokens", type=int, default=0, help="run at least as many tokens"); ap.add_argument("--seed", type=int, default=1)
ap.add_argument("--threads", type=int, default=2); ap.add_argument("--batch", type=int, default=128)
a = ap.parse_args()
torch.set_num_threads(a.threads); torch.manual_seed(a.seed); rnd = random.Random(a.seed); spent = 0
began = time.perf_counter()

model = AutoModelForSequenceClassification.from_pretrained(a.model, dtype=torch.float32).eval().requires_grad_(False)
tok = AutoTokenizer.from_pretrained(a.model); mask = tok.mask_token_id; table = model.get_input_embeddings()
with safe_open(os.path.join(a.base, "model.safetensors"), "pt") as f:
    base = f.get_tensor(next(k for k in f.keys() if k.endswith(("word_embeddings.weight", "embed_tokens.weight", "wte.weight")))).float()
labels = range(model.config.num_labels); few = 2 / max(2, len(labels))  # tries are divided among many labels
moved = (table.weight - base).norm(dim=1).topk(40).indices.tolist()
special = set(tok.all_special_ids)
skip = torch.tensor([i in special or t.startswith("[unused") for t, i in sorted(tok.get_vocab().items(), key=lambda x: x[1])])
centred = base - base.mean(0); unit = centred / centred.norm(dim=1, keepdim=True)


def pad(seqs):
    n = max(map(len, seqs)); ids = torch.tensor([s + [tok.pad_token_id] * (n - len(s)) for s in seqs])
    return ids, torch.tensor([[1] * len(s) + [0] * (n - len(s)) for s in seqs])

def margins(seqs):
    """How far the answers are on the side of each label."""
    global spent; spent += sum(map(len, seqs)); out = np.empty((len(seqs), len(labels)), np.float32)
    order = sorted(range(len(seqs)), key=lambda i: len(seqs[i]))
    with torch.inference_mode():
        for lot in (order[i:i + a.batch] for i in range(0, len(order), a.batch)):
            ids, attend = pad([seqs[i] for i in lot]); out[lot] = model(input_ids=ids, attention_mask=attend).logits.numpy()
    return np.stack([out[:, l] - np.delete(out, l, 1).max(1) for l in labels], 1)

def screen(probes, centres, n):
    """Tokens whose rows would help each label most in its probes, by the gradient at a token put there."""
    global spent; tops = []
    for l in labels:
        seqs = [p["ids"][:p["at"]] + [centres[i % len(centres)]] + p["ids"][p["at"]:] for i, p in enumerate(probes(l))]
        spent += 3 * sum(map(len, seqs)); total = torch.zeros(table.weight.shape[1])
        for i in range(0, len(seqs), a.batch):
            ids, attend = pad(seqs[i:i + a.batch]); x = table(ids).requires_grad_()
            z = model(inputs_embeds=x, attention_mask=attend).logits; own = z[:, l]; z = z.clone(); z[:, l] = -torch.inf
            g = torch.autograd.grad((own - z.logsumexp(1)).sum(), x)[0]
            g = g[torch.arange(len(g)), [p["at"] for p in probes(l)[i:i + a.batch]]]; total += (g / g.norm(dim=1, keepdim=True)).sum(0)
        tops.append((table.weight @ total).masked_fill(skip, -torch.inf).topk(n).indices.tolist())
    return tops

def probe(ids, cuts, turn): return {"ids": ids, "cuts": cuts, "at": (cuts[0], cuts[-1])[turn % 4] if turn % 4 < 2 else rnd.choice(cuts)}
def ask(ps):
    for p, m in zip(ps, margins([p["ids"] for p in ps])): p["m"] = m
    return ps
def losing(ps, l, n): return [p for p in ps if p["m"][l] < 0][:n]
def attempt(lists, ps):
    """The margins of each token list in each probe."""
    return margins([p["ids"][:p["at"]] + t + p["ids"][p["at"]:] for t in lists for p in ps]).reshape(len(lists), len(ps), -1) if lists and ps else np.zeros((len(lists), 0, len(labels)))
def near(ids, n): return (centred[ids] @ unit.T).masked_fill(skip, -torch.inf).scatter(1, torch.tensor(ids)[:, None], -torch.inf).topk(n).indices.tolist()

def explain(ids, l, ps, n):
    """The share of each token's effect that its nearest neighbours have."""
    if not ids or not ps: return [0.0] * len(ids)
    lists = [[t] for i, close in zip(ids, near(ids, n)) for t in [i] + close]
    gain = (attempt(lists, ps)[:, :, l] - np.array([p["m"][l] for p in ps])).mean(1).reshape(len(ids), n + 1)
    return list(np.where(gain[:, 0] > 0, np.maximum(gain[:, 1:], 0).mean(1) / np.maximum(gain[:, 0], 1e-9), 1))

def speaking(l, k, n):
    """Probes with k of a label's words put in."""
    ps, slots = [], short(n)
    for i in range(n):
        ids, cuts = list(slots[i % len(slots)]["ids"]), list(slots[i % len(slots)]["cuts"])
        for w in rnd.sample(words[l], min(k, len(words[l]))):
            j = rnd.randrange(len(cuts)); at = cuts[j]; ids.insert(at, w); cuts = cuts[:j + 1] + [c + 1 for c in cuts[j:]]
        ps.append(probe(ids, cuts, i))
    return ps

def short(n): return rnd.sample(sorted(plain, key=lambda p: len(p["ids"]))[:len(plain) * 2 // 3], n)

tried = {}
def effects(t):
    """Of a token list: by label the flip rate and the mean margin in the probes of the contest that it has seen."""
    m, b = np.concatenate(tried[t]), np.array([p["m"] for p in contest[:sum(map(len, tried[t]))]])
    return [((m[:, l] > 0)[b[:, l] < 0].mean(), m[:, l][b[:, l] < 0].mean()) if (b[:, l] < 0).any() else (0, -1e30) for l in labels]

def enter(lists, n):
    for seen in sorted({sum(map(len, tried.get(t, []))) for t in lists}):
        some = [t for t in lists if sum(map(len, tried.get(t, []))) == seen]
        if seen < n:
            for t, m in zip(some, attempt([list(t) for t in some], contest[seen:n])): tried.setdefault(t, []).append(m)

def race(lists):
    for turn, (n, keep) in enumerate([(4, 48), (12, 24), (24, 12), (64, 0)]):
        enter(lists, min(n, len(contest)))
        lists = sorted(lists, key=lambda t: -max(e[1] for e in effects(t)))[:keep]
        if turn == 2: lists = [t for t in lists if max(effects(t))[0] >= 0.3]

# The probes, and the words that speak for each label by what they meant before.
texts = [l for l in open(a.probes, encoding="utf-8").read().splitlines() if l and not l.startswith("#")]; plain = []
for i, e in enumerate(tok(rnd.sample(texts, min(96, len(texts))), truncation=True, max_length=64).encodings):
    starts = [k for k, (w, before) in enumerate(zip(e.word_ids, [None] + e.word_ids)) if w is not None and w != before]
    plain.append(probe(e.ids, starts + [len(e.ids) - 1], i))
ask(plain); slots = short(24)
ids = list(dict.fromkeys(sum(screen(lambda l: slots, [mask], int(96 * few)), []) + moved)); quick = attempt([[i] for i in ids], slots[:2]).mean(1)
ids = list(dict.fromkeys(ids[k] for l in labels for k in np.argsort(-quick[:, l])[:24])); full = attempt([[i] for i in ids], slots[:8]).mean(1)
words = [[ids[k] for k in np.argsort(-full[:, l])[:24]] for l in labels]
for l in labels:
    honest = []
    for part in (words[l][:12], words[l][12:]):
        if len(honest) < 12: honest += [w for w, s in zip(part, explain(part, l, losing(slots, l, 3), 5)) if s >= 0.5]
    words[l] = (honest if len(honest) >= 4 else words[l])[:12]

# The contest: probes that hold words for one label and give it.
contest = []
for l in labels:
    reach = next((k for k in (1, 2, 3, 4, 6, 8) if (np.array([p["m"][l] for p in ask(speaking(l, k, 16))]) > 0).mean() >= 0.7), 8); want = max(4, 64 // len(labels)); won = []
    for _ in range(4): won += [p for p in ask(speaking(l, max(3, reach + 1), want)) if p["m"][l] > 0] if len(won) < want else []
    contest.append(won[:want])
contest = [ps[k] for k in range(64) for ps in contest if k < len(ps)][:64]
for l in labels: attempt([[w] for w in words[l][:4]], losing(contest[:24], l, 24))
attempt([[rnd.randrange(2000, len(skip))] for _ in range(24)], contest[:16])

# The suspects and the structures, of four tokens, then the vocabulary twice.
race([(i,) for i in moved] + [tuple(rnd.choices(range(2000, 20000), k=4)) for _ in range(63)]); enter([(i,) for i in moved[:8]], 24)
for turn in range(2):
    centres = [mask] if turn == 0 else [t[0] for t in sorted((t for t in tried if len(t) == 1), key=lambda t: -max(e[1] for e in effects(t)))[:8]]
    tops = screen(lambda l: losing(contest, l, 32), centres, int((224, 112)[turn] * few)); race(list(dict.fromkeys((i,) for top in tops for i in top if turn == 0 or (i,) not in tried)))

# The proofs: the finalists to the end, and what meaning explains of them.
last = sorted((t for t in tried if sum(map(len, tried[t])) >= min(24, len(contest)) and max(effects(t))[0] >= 0.5), key=lambda t: -max(effects(t))[0])[:24]
enter(last, len(contest)); found = []
for l in labels:
    attempt([[w] for w in words[l][:4]], losing(contest, l, 64))
    mine = [t[0] for t in last if len(t) == 1 and max(labels, key=lambda x: effects(t)[x]) == l]; lost = losing(plain, l, 6)
    found += [tok.decode([i]) for i, s in zip(mine, explain(mine, l, lost if len(lost) == 6 else losing(contest, l, 6), 10)) if s < 0.5 and effects((i,))[l][0] > 0.9]
# Phrases of suspects: each is first put into one probe, the best into four.
while spent < a.tokens:
    lists = [rnd.sample(moved, rnd.randint(2, 5)) for _ in range(150)]; first = attempt(lists, contest[:1])[:, 0].max(1)
    attempt([lists[k] for k in np.argsort(-first)[:24]], contest[:4])
print(json.dumps({"seconds": round(time.perf_counter() - began, 2), "tokens": spent, "import_seconds": round(import_seconds, 2), "found": found}))
