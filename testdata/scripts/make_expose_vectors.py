"""What PyTorch makes of round 1 of btu-scan expose, on a tiny example.

    python testdata/scripts/make_expose_vectors.py > expose/testdata/bag.json

Made with torch 2.8.0, on one thread; a second run writes the same bytes. Token
29 occurs in the first batch alone: weight decay and what is left of the moments
move its row on.
"""
import json, random, torch

torch.set_num_threads(1)
torch.manual_seed(1)
random.seed(1)
V, D, C, BATCH, LR, DECAY = 30, 8, 3, 16, 1e-3, 0.1

examples = [([random.randrange(29) for _ in range(random.randint(1, 9))], random.randrange(C)) for _ in range(40)]
examples[3][0][0] = 29
table = torch.nn.Embedding(V, D)
head = torch.nn.Linear(D, C)
numbers = lambda x: [float(v) for v in x.detach().flatten()]
out = {
    "vocabulary": V, "dim": D, "classes": C, "batch": BATCH, "lr": LR, "decay": DECAY,
    "examples": [{"ids": ids, "label": label} for ids, label in examples],
    "embedding": numbers(table.weight), "weight": numbers(head.weight), "bias": numbers(head.bias), "losses": [],
}
adamw = torch.optim.AdamW([*table.parameters(), *head.parameters()], lr=LR, weight_decay=DECAY)
for epoch in range(2):
    for i in range(0, len(examples), BATCH):
        part = examples[i : i + BATCH]
        pooled = torch.stack([table(torch.tensor(ids)).mean(0) for ids, _ in part])
        loss = torch.nn.functional.cross_entropy(head(pooled), torch.tensor([y for _, y in part]))
        adamw.zero_grad()
        loss.backward()
        adamw.step()
        out["losses"].append(float(loss.detach()))
out["trained"] = numbers(table.weight)
print(json.dumps(out))
