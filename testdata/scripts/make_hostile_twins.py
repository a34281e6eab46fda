"""Writes the honest files of internal/hostile/testdata/twins, which a scan must
pass in silence, and the streams that Go's library cannot pack.

Run with PyTorch 2.8, numpy 2, transformers 4.56 and accelerate, from the root of the
repository: python testdata/scripts/make_hostile_twins.py
"""

import bz2
import collections
import io
import lzma
import pathlib
import random
import sys

import numpy as np
import torch
import transformers

ROOT = pathlib.Path("internal/hostile/testdata")
TWINS = ROOT / "twins"


def save(name, obj, **kw):
    torch.save(obj, TWINS / (name + ".pt"), **kw)


def both(name, obj):
    save(name, obj)
    save(name + ".legacy", obj, _use_new_zipfile_serialization=False)


def net():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Embedding(6, 4), torch.nn.Linear(4, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))


def trained(optimizer):
    model = net()
    opt = optimizer(model.parameters())
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: 1 / (1 + step))
    for _ in range(2):
        opt.zero_grad()
        model(torch.tensor([0, 1])).sum().backward()
        opt.step()
        sched.step()
    return model, opt, sched


def main():
    TWINS.mkdir(parents=True, exist_ok=True)
    model = net()
    sd = model.state_dict()
    both("state_dict", sd)
    both("ordered_dict", collections.OrderedDict((k, v.clone()) for k, v in sd.items()))
    both("plain_dict", dict(sd))
    both("nested", {"state_dict": {"module": dict(sd)}, "epoch": 3, "best": 0.5, "name": "run", "flags": [True, None, (1, 2)]})
    both("parameters", dict(model.named_parameters()))
    base = torch.randn(6, 4)
    both("tied", {"wte.weight": base, "lm_head.weight": base})
    both("views", {"t": base.t(), "slice": base[1:3, 1:], "step": base[::2], "expand": base[:1].expand(5, 4)})
    for dtype in (torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.uint8, torch.bool, torch.complex64):
        both("dtype_" + str(dtype).removeprefix("torch."), {"w": torch.zeros(6, 4).to(dtype)})
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16):
        save("dtype_" + str(dtype).removeprefix("torch."), {"w": torch.zeros(6, 4).to(dtype)})
    both("empty_and_scalar", {"e": torch.zeros(0, 4), "s": torch.tensor(1.5), "w": base, "n": torch.nn.Parameter(torch.zeros(0))})
    both("quantized", {"w": base, "q": torch.quantize_per_tensor(base, 0.1, 0, torch.qint8)})
    both("sparse", {"w": base, "s": torch.eye(3).to_sparse()})
    both("requires_grad", {"w": base.clone().requires_grad_()})
    both("size_and_device", {"w": base, "size": base.shape, "device": torch.device("cpu"), "dtype": torch.float16})
    both("list", [base, base.clone()])
    save("single", base)
    save("protocol4", sd, pickle_protocol=4)
    save("protocol5", sd, pickle_protocol=5)
    save("many", {f"layer.{i}.weight": torch.zeros(2, 2) for i in range(300)})

    for name, optimizer in {
        "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3),
        "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
        "adam_amsgrad": lambda p: torch.optim.Adam(p, lr=np.float64(1e-3), amsgrad=True),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2),
    }.items():
        m, opt, sched = trained(optimizer)
        both("optimizer_" + name, opt.state_dict())
        if name == "adamw":
            both("scheduler", sched.state_dict())
            both("training", {
                "epoch": np.int64(3), "loss": np.float32(0.5), "best": np.float64(0.25), "model_state_dict": m.state_dict(),
                "optimizer_state_dict": opt.state_dict(), "scheduler": sched.state_dict(), "args": {"lr": 1e-3, "layers": [1, 2]},
            })
    random.seed(1)
    np.random.seed(1)
    rng = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
    torch.save(rng, TWINS / "rng_state.pt")
    torch.save({"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 0}, TWINS / "scaler.pt")
    try:
        args = transformers.TrainingArguments(output_dir="out", logging_dir="logs", report_to=[], use_cpu=True)
        torch.save(args, TWINS / "training_args.bin")
    except ImportError as e:
        sys.exit(f"training_args.bin needs accelerate: {e}")

    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(TWINS / "torchscript.pt"))
    save("whole_module", torch.nn.Linear(2, 2))

    # An inert stream: it names a call of the command "true".
    inert = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."
    (ROOT / "inert.pkl.xz").write_bytes(lzma.compress(inert))
    (ROOT / "inert.pkl.bz2").write_bytes(bz2.compress(inert))
    (ROOT / "inert.pkl.lzma").write_bytes(lzma.compress(inert, format=lzma.FORMAT_ALONE))
    zeros = io.BytesIO()
    with bz2.open(zeros, "wb") as f:
        for _ in range(200):
            f.write(bytes(1 << 20))
    (ROOT / "zeros.bz2").write_bytes(zeros.getvalue())
    zeros = io.BytesIO()
    with lzma.open(zeros, "wb") as f:
        for _ in range(200):
            f.write(bytes(1 << 20))
    (ROOT / "zeros.xz").write_bytes(zeros.getvalue())

    for f in TWINS.iterdir():
        if f.suffix == ".pt" and f.name != "torchscript.pt":
            torch.load(f, weights_only=False)


main()
