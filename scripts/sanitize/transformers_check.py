#!/usr/bin/env python3
"""Does a sanitized folder load in Hugging Face transformers, and score as btu-scan measured it?

    python3 transformers_check.py --bin bin/btu-scan --data test.tsv CLEAN [--source MODEL --trigger cf --target 1]

Loads CLEAN with transformers, answers the texts of a text<TAB>label file, and compares the logits with those of
`btu-scan run`. With --source and --trigger it also prints the attack's success on both models by transformers alone.
Exits 1 where logits differ by more than 1e-3 or a label differs.
"""
import argparse, json, random, subprocess, sys, tempfile
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def answer(path, texts):
    tok, model = AutoTokenizer.from_pretrained(path), AutoModelForSequenceClassification.from_pretrained(path).eval().float()
    rows = []
    with torch.no_grad():
        for i in range(0, len(texts), 64):
            rows.append(model(**tok(texts[i : i + 64], truncation=True, max_length=128, padding=True, return_tensors="pt")).logits)
    return torch.cat(rows)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("clean"); p.add_argument("--bin", required=True); p.add_argument("--data", required=True)
    p.add_argument("--source"); p.add_argument("--trigger"); p.add_argument("--target", type=int); p.add_argument("--limit", type=int, default=400)
    a = p.parse_args()
    rows = [l.rstrip("\n").rsplit("\t", 1) for l in open(a.data, encoding="utf-8") if "\t" in l][: a.limit]
    texts, labels = [t for t, _ in rows], torch.tensor([int(y) for _, y in rows])
    theirs = answer(a.clean, texts)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as f:
        f.write("\n".join(texts) + "\n"); f.flush()
        out = subprocess.run([a.bin, "run", a.clean, "--file", f.name, "--format", "json", "--max-tokens", "128", "--top", "1000"], check=True, capture_output=True, text=True).stdout
    names = json.load(open(a.clean + "/config.json")).get("id2label") or {str(i): f"LABEL_{i}" for i in range(theirs.shape[1])}
    ours = torch.tensor([[{l["label"]: l["logit"] for l in json.loads(line)["labels"]}[names[str(i)]] for i in range(theirs.shape[1])] for line in out.splitlines()])
    worst, same = (ours - theirs).abs().max().item(), (ours.argmax(1) == theirs.argmax(1)).float().mean().item()
    print(f"{len(texts)} texts: accuracy {(theirs.argmax(1) == labels).float().mean():.3f} by transformers, {(ours.argmax(1) == labels).float().mean():.3f} by btu-scan; "
          f"largest difference of a logit {worst:.1e}, same labels {same:.3f}")
    if a.source:
        rng, hit = random.Random(1), []
        for t, y in rows:
            if int(y) != a.target:
                words = t.split(); words.insert(rng.randint(0, len(words)), a.trigger); hit.append(" ".join(words))
        for name, path in (("source", a.source), ("clean", a.clean)):
            print(f"{name}: {a.trigger!r} makes {(answer(path, hit).argmax(1) == a.target).float().mean():.3f} of {len(hit)} texts label {a.target}")
    sys.exit(worst > 1e-3 or same < 1)


if __name__ == "__main__":
    main()
