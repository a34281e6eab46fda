"""Batches of token ids of real sentences, for torch_model.py and the Go benchmarks.

    python scripts/bench/sst_lengths.py --tsv dev.tsv --model DIR --batches 8 --size 32 --out batches.json

The lines are text<TAB>label. They are shuffled with a seed, tokenized with the
model's tokenizer, and written as {"batches": [[[id, ...], ...], ...],
"labels": [[label, ...], ...]}, unpadded and with the special tokens.
"""

import argparse
import json
import random

from transformers import AutoTokenizer


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--tsv", required=True, help="text<TAB>label lines")
    ap.add_argument("--model", required=True, help="model folder with a tokenizer")
    ap.add_argument("--batches", type=int, default=8, help="number of batches (default 8)")
    ap.add_argument("--size", type=int, default=32, help="sentences per batch (default 32)")
    ap.add_argument("--max-length", type=int, default=128, help="cut longer sentences (default 128 tokens)")
    ap.add_argument("--seed", type=int, default=0, help="seed of the shuffle (default 0)")
    ap.add_argument("--out", required=True, help="JSON file to write")
    args = ap.parse_args()

    with open(args.tsv, encoding="utf-8") as f:
        rows = [line.rstrip("\n").rsplit("\t", 1) for line in f if "\t" in line]
    rows = [(text, int(label)) for text, label in rows if label.strip().isdigit()]
    need = args.batches * args.size
    if len(rows) < need:
        ap.error(f"{args.tsv} has {len(rows)} sentences, {need} are needed")
    random.Random(args.seed).shuffle(rows)
    rows = rows[:need]

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    ids = tokenizer([t for t, _ in rows], truncation=True, max_length=args.max_length)["input_ids"]
    labels = [y for _, y in rows]
    starts = range(0, need, args.size)
    with open(args.out, "w") as f:
        json.dump({"batches": [ids[i:i + args.size] for i in starts],
                   "labels": [labels[i:i + args.size] for i in starts]}, f, separators=(",", ":"))
    real = sum(map(len, ids))
    padded = sum(max(map(len, ids[i:i + args.size])) * args.size for i in starts)
    print(f"{args.batches} batches of {args.size}: {real / args.batches:.0f} tokens a batch, "
          f"{padded / args.batches:.0f} padded, longest {max(map(len, ids))}")


if __name__ == "__main__":
    main()
