#!/usr/bin/env python3
"""Times Hugging Face's tokenizers on the lines that BenchmarkEncode of package tokenizer times.

    python tokenizers_hf.py [DIR] [FAMILY ...]

DIR has lines.gz and <family>/vectors.gz, as testdata/scripts/make_tokenizer_vectors.py makes them; the
default is tokenizer/testdata. One thread; the best of three, of a batch of all lines, as text.
"""

import gzip
import os
import pathlib
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "testdata" / "scripts"))
import make_tokenizer_vectors as vectors  # noqa: E402


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else vectors.DATA
    data, lines, size = gzip.decompress((folder / "lines.gz").read_bytes()), [], 0
    i = 0
    while i < len(data):
        n = shift = 0
        while True:
            b = data[i]
            i += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                break
        lines.append(data[i:i + n].decode("utf-8", "replace"))
        size += n
        i += n
    for path in sorted(folder.glob("*/vectors.gz")):
        name = path.parent.name
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        source = vectors.DATA / name
        tok = vectors.load(name, source if source.exists() else path.parent / "tokenizer.json.gz")
        tok.no_truncation()
        tok.no_padding()
        best = 1e9
        for _ in range(3):
            start = time.perf_counter()
            tok.encode_batch(lines)
            best = min(best, time.perf_counter() - start)
        print("%-20s %8.1f ms %7.2f MB/s" % (name, best * 1e3, size / best / 1e6), flush=True)


if __name__ == "__main__":
    main()
