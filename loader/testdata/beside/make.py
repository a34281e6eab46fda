"""Writes the files that Hugging Face's Trainer, numpy and PyTorch leave beside a
model, for tests of what must stay silent:

    python make.py

needs torch, numpy, transformers and accelerate.
"""

import collections
import pickle
import random

import numpy as np
import torch
import transformers

torch.manual_seed(0)
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.AdamW(model.parameters())
model(torch.ones(1, 3)).sum().backward()
optimizer.step()
torch.save(optimizer.state_dict(), "optimizer.pt")
torch.save(optimizer.state_dict(), "optimizer.legacy.pt", _use_new_zipfile_serialization=False)

schedule = transformers.get_linear_schedule_with_warmup(optimizer, 1, 10)
torch.save(schedule.state_dict(), "scheduler.pt")
torch.save(torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5]).state_dict(), "milestones.pt")

random.seed(0)
np.random.seed(0)
torch.save({"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}, "rng_state.pth")

torch.save({"accuracy": np.float64(0.5), "f1": np.float32([0.1, 0.2]), "step": np.int64(3), "counts": collections.Counter("aab")}, "metrics.pt")
for protocol in (2, 4, 5):
    with open(f"arrays.{protocol}.pkl", "wb") as f:
        pickle.dump({"a": np.arange(6.0).reshape(2, 3), "s": np.float32(1), "o": collections.OrderedDict(x=1)}, f, protocol=protocol)

torch.save(transformers.TrainingArguments(output_dir="out", logging_dir="logs", report_to=[], use_cpu=True), "training_args.bin")
torch.save(transformers.Seq2SeqTrainingArguments(output_dir="out", logging_dir="logs", report_to=[], use_cpu=True), "training_args.seq2seq.bin")

np.save("floats.npy", np.zeros((2, 3), np.float32))
np.save("scalar.npy", np.int64(7))
np.save("text.npy", np.array(["ab", "c"]))
np.save("structure.npy", np.zeros(2, [("a", "<i4"), ("b", "<f8", (2,))]))
np.savez("two.npz", a=np.zeros(3), b=np.ones((2, 2)))
np.savez_compressed("packed.npz", a=np.zeros(3000))
