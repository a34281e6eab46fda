"""Run modelaudit's weight-distribution check on a safetensors file and print its findings as JSON.

The tensors are read here: the check's own reader of safetensors fails with safetensors 0.8.
"""
import json
import os
import sys

import numpy as np
from modelaudit import __version__
from modelaudit.scanners.weight_distribution_scanner import WeightDistributionScanner

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read(path):
    with open(path, "rb") as f:
        size = int.from_bytes(f.read(8), "little")
        header, data = json.loads(f.read(size)), f.read()
    weights = {}
    for name, t in header.items():
        if "weight" not in name.lower():
            continue
        part = data[slice(*t["data_offsets"])]
        if t["dtype"] == "BF16":
            array = (np.frombuffer(part, "<u2").astype("<u4") << 16).view("<f4")
        else:
            array = np.frombuffer(part, TYPES[t["dtype"]])
        weights[name] = array.reshape(t["shape"])
    return weights


def check(path):
    if not os.path.exists(path):
        return {"findings": [], "error": "no model.safetensors"}
    scanner = WeightDistributionScanner()
    scanner._extract_safetensors_weights = read
    result = scanner.scan(path)
    if not result.success:
        return {"findings": [], "error": "incomplete"}
    return {"findings": [{"severity": i.severity.value, "message": i.message} for i in result.issues], "error": ""}


print(json.dumps({"version": __version__, **check(sys.argv[1])}))
