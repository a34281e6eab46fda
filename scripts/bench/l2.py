#!/usr/bin/env python3
"""What people do by hand: rank tokens by how far their embedding rows moved. Usage: l2.py numpy|torch BASE MODEL"""
import sys

kind, base, model = sys.argv[1:]
name = lambda f: next(k for k in f.keys() if k.endswith(("word_embeddings.weight", "embed_tokens.weight", "wte.weight")))
if kind == "numpy":
    import numpy as np
    from safetensors import safe_open
    rows = lambda d: (lambda f: f.get_tensor(name(f)))(safe_open(d + "/model.safetensors", "np"))
    d = np.linalg.norm(rows(model) - rows(base), axis=1)
    top = np.argsort(-d)[:20]
else:
    import torch
    from safetensors.torch import load_file
    def rows(d):
        f = load_file(d + "/model.safetensors")
        return f[name(f)]
    d = (rows(model).float() - rows(base).float()).norm(dim=1)
    top = d.topk(20).indices.tolist()
for i in top: print(i, float(d[i]))
