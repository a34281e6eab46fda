"""Writes the PyTorch fixtures of this folder and what a reader must find in them.

Run with PyTorch 2.8 and numpy 2: python make.py
The files are the same on every run.
"""

import collections
import io
import json
import pathlib
import pickle
import pickletools
import struct
import zipfile

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
WANT = {}
NAMES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.uint16: "U16", torch.uint32: "U32", torch.bool: "BOOL",
    torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
}


def ramp(*shape, dtype=torch.float32):
    n = int(np.prod(shape))
    return (torch.arange(n, dtype=torch.float64) / 4 - 1).reshape(shape).to(dtype)


def describe(tensors):
    out = {}
    for name, t in tensors.items():
        t = t.detach()
        entry = {"dtype": NAMES[t.dtype], "shape": list(t.shape)}
        if not t.is_complex():
            entry["values"] = t.to(torch.float64).flatten().tolist()
        out[name] = entry
    return out


class Finder(pickle.Unpickler):
    """Notes the storages that a pickle refers to, in order, with their element sizes."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def persistent_load(self, pid):
        dtype = pid[1].dtype
        self.storages.setdefault(pid[2], torch.empty(0, dtype=dtype).element_size())
        return torch.storage.TypedStorage(pid[4], dtype=dtype)


def renumber(data):
    """A legacy file names its storages by their addresses: number them instead."""
    f = io.BytesIO(data)
    for _ in range(3):
        pickle.load(f)
    start = f.tell()
    finder = Finder(f)
    finder.load()
    f.seek(start)
    for op, _, _ in pickletools.genops(f):
        pass
    end = f.tell()
    body = data[start:end]
    keys = pickle.load(f)
    raw = {}
    for key in keys:
        head = f.read(8)
        raw[key] = head + f.read(struct.unpack("<q", head)[0] * finder.storages[key])
    order = list(finder.storages)
    assert sorted(order) == sorted(keys) and not f.read(1)
    tail = []
    for i, key in enumerate(order):
        new = str(i).zfill(len(key))
        body = body.replace(key.encode(), new.encode())
        tail.append(new)
    return data[:start] + body + pickle.dumps(tail, protocol=2) + b"".join(raw[k] for k in order)


def save(name, obj, tensors=None, **kw):
    torch.save(obj, HERE / name, **kw)
    if kw.get("_use_new_zipfile_serialization") is False:
        (HERE / name).write_bytes(renumber((HERE / name).read_bytes()))
    WANT[name] = {"tensors": describe(obj if tensors is None else tensors)}


def both(name, obj, tensors=None):
    save(name + ".zip.pt", obj, tensors)
    save(name + ".legacy.pt", obj, tensors, _use_new_zipfile_serialization=False)


plain = {"emb.weight": ramp(6, 4), "head.weight": ramp(2, 4), "head.bias": ramp(2)}
both("plain", plain)
for p in (0, 1, 3, 4, 5):
    if p >= 1:
        save(f"plain.proto{p}.zip.pt", plain, pickle_protocol=p)
        save(f"plain.proto{p}.legacy.pt", plain, pickle_protocol=p, _use_new_zipfile_serialization=False)

common = {
    "bf16": ramp(3, 2, dtype=torch.bfloat16), "f16": ramp(3, 2, dtype=torch.float16),
    "f64": ramp(3, 2, dtype=torch.float64), "i64": torch.arange(-3, 3).reshape(3, 2),
    "i32": torch.arange(-3, 3, dtype=torch.int32), "i16": torch.arange(-3, 3, dtype=torch.int16),
    "i8": torch.arange(-3, 3, dtype=torch.int8), "u8": torch.arange(6, dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]), "c64": torch.zeros(2, dtype=torch.complex64),
    "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4),
}
both("dtypes", common)
save("dtypes.v3.zip.pt", {
    "e4m3": ramp(3, 2, dtype=torch.float8_e4m3fn), "e5m2": ramp(3, 2, dtype=torch.float8_e5m2),
    "e4m3fnuz": ramp(3, 2, dtype=torch.float8_e4m3fnuz), "e5m2fnuz": ramp(3, 2, dtype=torch.float8_e5m2fnuz),
    "u16": torch.tensor([0, 1, 65535], dtype=torch.uint16), "u32": torch.tensor([0, 1, 70000], dtype=torch.uint32),
})

base = ramp(6, 4)
views = {
    "base": base, "tied": base, "transposed": base.t(), "slice": base[1:5, 1:3],
    "row": base[2], "strided": base[::2], "expanded": ramp(1, 4).expand(5, 4), "column": base[:, 3],
}
both("views", views)

net = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 2))
with torch.no_grad():
    for p in net.parameters():
        p.copy_(ramp(*p.shape))
both("metadata", net.state_dict())
params = collections.OrderedDict((k, v) for k, v in net.named_parameters())
both("parameters", params)

opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
net(torch.tensor([0, 1])).sum().backward()
opt.step()
both("training", {
    "epoch": 3, "loss": np.float64(0.5), "step": np.int64(7), "size": torch.Size([2, 3]),
    "device": torch.device("cpu"), "dtype": torch.bfloat16, "note": b"\xff bytes", "set": {1, 2}, "z": 1 + 2j,
    "model_state_dict": net.state_dict(), "optimizer_state_dict": opt.state_dict(),
}, net.state_dict())
both("nested", {"model": {"encoder": {"emb": ramp(4, 2)}, "decoder": {"w": ramp(2)}}, "args": None},
     {"encoder.emb": ramp(4, 2), "decoder.w": ramp(2)})
save("sparse.zip.pt", {"w": ramp(2, 2), "s": torch.eye(3).to_sparse()}, {"w": ramp(2, 2)})
save("single.zip.pt", ramp(2, 3), {"tensor": ramp(2, 3)})

# As a big-endian machine would have written it: the same archive with every
# storage swapped and the byteorder record changed.
WIDTHS = [4, 2]
big = {"a": ramp(4, 3), "h": ramp(4, 3, dtype=torch.float16)}
buf = io.BytesIO()
torch.save(big, buf)
src = zipfile.ZipFile(buf)
with zipfile.ZipFile(HERE / "big.zip.pt", "w", zipfile.ZIP_STORED) as dst:
    for info in src.infolist():
        body = src.read(info)
        if info.filename.endswith("/byteorder"):
            body = b"big"
        if "/data/" in info.filename:
            n = WIDTHS[int(info.filename.rsplit("/", 1)[1])]
            body = np.frombuffer(body, f"<u{n}").astype(f">u{n}").tobytes()
        dst.writestr(zipfile.ZipInfo(info.filename), body)
WANT["big.zip.pt"] = {"tensors": describe(big)}

for name in WANT:
    torch.load(HERE / name, weights_only=False)
(HERE / "want.json").write_text(json.dumps(WANT, indent=1, sort_keys=True) + "\n")
