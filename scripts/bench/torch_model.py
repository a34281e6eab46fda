"""Time PyTorch and transformers on batches of token ids: what the Go engine is compared with.

    python scripts/bench/sst_lengths.py --tsv dev.tsv --model DIR --out batches.json
    python scripts/bench/torch_model.py --model DIR --batches batches.json --mode forward --threads 2 --repeat 5
    python scripts/bench/torch_model.py --make-base-shape DIR2 [--model DIR]

DIR is a model with a classification head (2 labels). float32, the default
attention of transformers (sdpa), no dropout; each batch is right-padded to its
longest sentence, with an attention mask. Modes:

    forward  logits under torch.inference_mode()
    train    forward, cross-entropy, backward and an AdamW step on every
             parameter (the fastest of PyTorch's three AdamW variants)
    embgrad  forward, cross-entropy, and the gradient by the word-embedding
             vectors only; no parameter has a gradient
    start    from the start of the process to the logits of the first sentence
             of --batches, or of --text (then with the tokenizer)

Two passes over the batches are not counted; --repeat passes are.
"""

import time


def since_process_start():
    """Seconds since this process started (to 1/100 s)."""
    import os
    with open("/proc/self/stat") as f:
        ticks = int(f.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


import argparse
import json
import os
import resource
import statistics

ADAMW = {"default": dict(foreach=False), "foreach": dict(foreach=True), "fused": dict(fused=True)}


def pad_batch(torch, rows, pad):
    length = max(map(len, rows))
    ids = torch.tensor([r + [pad] * (length - len(r)) for r in rows])
    mask = torch.tensor([[1] * len(r) + [0] * (length - len(r)) for r in rows])
    return ids, mask


def load_model(folder):
    """The model's own class, imported first, so that imports can be timed apart."""
    import transformers
    transformers.logging.set_verbosity_error()
    with open(os.path.join(folder, "config.json")) as f:
        cls = getattr(transformers, json.load(f)["architectures"][0])
    imported = since_process_start()
    import torch
    model = cls.from_pretrained(folder, dtype=torch.float32).eval()
    if model.config.pad_token_id is None:
        model.config.pad_token_id = 0
    return model, imported


def make_base_shape(out, tokenizer_of):
    import shutil
    import torch
    from transformers import BertConfig, BertForSequenceClassification
    torch.manual_seed(0)
    config = BertConfig(num_labels=2)
    BertForSequenceClassification(config).save_pretrained(out)
    copied = []
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if tokenizer_of and os.path.exists(os.path.join(tokenizer_of, name)):
            shutil.copy(os.path.join(tokenizer_of, name), out)
            copied.append(name)
    print("BERT-base shape written;", "tokenizer: " + " ".join(copied) if copied else "no tokenizer (give --model)")


def fastest_adamw(torch, model, backward):
    """Times three steps of each variant of AdamW after one that sets it up."""
    seconds = {}
    for name, kw in ADAMW.items():
        opt = torch.optim.AdamW(model.parameters(), lr=1e-6, **kw)
        backward()
        took = []
        for _ in range(4):
            t = time.perf_counter()
            opt.step()
            took.append(time.perf_counter() - t)
        seconds[name] = min(took[1:])
        del opt
    return min(seconds, key=seconds.get), seconds


def start(args, data):
    import torch
    torch.set_num_threads(args.threads)
    if args.text:
        from transformers import AutoTokenizer
    model, imported = load_model(args.model)
    if args.text:
        ids = torch.tensor([AutoTokenizer.from_pretrained(args.model)(args.text)["input_ids"]])
    else:
        ids = torch.tensor([data["batches"][0][0]])
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].tolist()
    end = since_process_start()
    return {"with_import_s": end, "without_import_s": end - imported, "tokens": ids.shape[1], "logits": logits}


def bench(args, data):
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(args.threads)
    model, _ = load_model(args.model)

    batches, labels = data["batches"], data["labels"]
    if args.sort:
        size = len(batches[0])
        pairs = sorted(zip(sum(batches, []), sum(labels, [])), key=lambda p: len(p[0]))
        parts = [pairs[i:i + size] for i in range(0, len(pairs), size)]
        batches, labels = [[r for r, _ in p] for p in parts], [[y for _, y in p] for p in parts]
    inputs = [pad_batch(torch, b, model.config.pad_token_id) + (torch.tensor(y),) for b, y in zip(batches, labels)]
    result = {}

    def forward(ids, mask, y):
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask).logits

    def backward(ids, mask, y):
        loss = F.cross_entropy(model(input_ids=ids, attention_mask=mask).logits, y)
        loss.backward()
        return loss

    def train(ids, mask, y):
        backward(ids, mask, y)
        opt.step()
        opt.zero_grad(set_to_none=True)

    def embgrad(ids, mask, y):
        embedded = model.get_input_embeddings()(ids).requires_grad_()
        loss = F.cross_entropy(model(inputs_embeds=embedded, attention_mask=mask).logits, y)
        return torch.autograd.grad(loss, embedded)[0]

    if args.mode == "embgrad":
        model.requires_grad_(False)
    if args.mode == "train":
        name = args.optimizer
        if name == "fastest":
            name, result["adamw_step_s"] = fastest_adamw(torch, model, lambda: backward(*inputs[0]))
            model.zero_grad(set_to_none=True)
        result["adamw"] = name
        opt = torch.optim.AdamW(model.parameters(), lr=args.lr, **ADAMW[name])

    step = {"forward": forward, "train": train, "embgrad": embgrad}[args.mode]
    took, passes = [], []
    for i in range(2 + args.repeat):
        one = []
        for batch in inputs:
            t = time.perf_counter()
            step(*batch)
            one.append(time.perf_counter() - t)
        if i >= 2:
            took += one
            passes.append(sum(one) / len(one))
    result.update(
        median_s=statistics.median(took),
        min_s=min(took),
        pass_median_s=statistics.median(passes),  # of the mean of a pass: fair to uneven batches
        tokens=sum(len(r) for b in batches for r in b) / len(batches),
        padded_tokens=sum(x[0].numel() for x in inputs) / len(inputs),
    )
    return result


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", help="model folder; with --make-base-shape: whose tokenizer to copy")
    ap.add_argument("--batches", help="JSON file of sst_lengths.py")
    ap.add_argument("--mode", choices=["forward", "train", "embgrad", "start"], default="forward")
    ap.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    ap.add_argument("--repeat", type=int, default=5, help="passes over the batches that count (default 5)")
    ap.add_argument("--sort", action="store_true", help="sort all sentences by length before batching")
    ap.add_argument("--optimizer", choices=["fastest", *ADAMW], default="fastest", help="AdamW variant of train")
    ap.add_argument("--lr", type=float, default=1e-5, help="rate of train (default 1e-5)")
    ap.add_argument("--text", help="the sentence of --mode start, tokenized here")
    ap.add_argument("--json", action="store_true", help="print one JSON object")
    ap.add_argument("--make-base-shape", metavar="DIR", help="write a random classifier of BERT-base shape and stop")
    args = ap.parse_args()
    if args.make_base_shape:
        make_base_shape(args.make_base_shape, args.model)
        return
    if not args.model or not (args.batches or args.text):
        ap.error("--model and --batches are needed")
    data = None
    if args.batches:
        with open(args.batches) as f:
            data = json.load(f)

    result = (start if args.mode == "start" else bench)(args, data)
    result = {"mode": args.mode, "threads": args.threads, "sort": args.sort, **result,
              "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if args.json:
        print(json.dumps(result))
    else:
        for k, v in result.items():
            print(f"{k:16s} {v:.4f}" if isinstance(v, float) else f"{k:16s} {v}")


if __name__ == "__main__":
    main()
