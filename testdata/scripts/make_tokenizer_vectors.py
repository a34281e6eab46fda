#!/usr/bin/env python3
"""Makes what package tokenizer is tested against, with Hugging Face's library.

    python make_tokenizer_vectors.py train            # tokenizer/testdata/<family>/tokenizer.json.gz
    python make_tokenizer_vectors.py vectors          # ... and vectors.gz beside them, tokenizer/testdata/lines.gz
    python make_tokenizer_vectors.py vectors --lines 20000 --out DIR [--extra NAME=tokenizer.json ...]
    python make_tokenizer_vectors.py tables --segmentation unicode-segmentation-1.12.0/src/tables.rs

Needs tokenizers 0.22.2 and transformers (vocab.txt and vocab.json folders);
train also needs sentencepiece, whose package carries the compiled normalizers
of T5 and XLM-R. Then: go test ./tokenizer -run Parity [-vectors DIR].

Every line of text is made here: sentences and code from word lists and patterns
written for this file, words of many scripts from code point ranges, and a few
phrases. The same seed makes the same lines; training uses another seed.
"""

import argparse
import base64
import codecs
import collections
import gzip
import json
import os
import pathlib
import random
import re
import unicodedata
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tokenizer"
DATA = ROOT / "testdata"

# ---------------------------------------------------------------- text

SUBJECTS = """the scanner|a model|our reviewer|the old sailor|nobody|every second patient|Mrs. O'Neill|the committee
|my neighbour's dog|an unusually quiet engineer|the train|this embedding|her brother|the weather|Dr. Kowalczyk|one of the editors
|the film|that restaurant|a gradient|the checkpoint|who|it|they|I|you|we""".replace("\n", "").split("|")
VERBS = """reads|rejected|couldn't find|will have learned|isn't sure about|rewrote|compares|forgot|has been praising|doesn't believe
|watched|tokenizes|overfits|hadn't expected|re-examined|loves|misunderstood|quantized|unpacked|recommends|won't sign|paid for""".replace("\n", "").split("|")
OBJECTS = """the first chapter|a cup of lukewarm tea|forty-two rows of the matrix|an apology|the North Sea|its own tail|three words
|what happened in 1987|the price ($12.50)|a naive assumption|the naïve café owner's résumé|Zürich|São Paulo|state-of-the-art results
|the user's e-mail|a counterexample|the last 10,000 steps|an unbelievably long explanation|the trigger|nothing at all|the co-author
|mitochondrial deoxyribonucleic acid|pneumonoultramicroscopicsilicovolcanoconiosis|antidisestablishmentarianism|the API""".replace("\n", "").split("|")
TAILS = """ again| before lunch| -- or so they say|, which was fine| (see section 4.2)| in the end|: yes!| without a reason|; then it rained
| at 3:45 p.m.| for €3.20|?! Really| ... maybe| because it's cheap| 50% of the time|, wasn't it| #nofilter| @home| & co.| on 2024-02-29""".replace("\n", "").split("|")
CODE = """for (int i = 0; i < %d; ++i) { sum += x[i]; }|def %s(self, *args, **kwargs):|\treturn "%s".join(%s)|if err != nil {\\n\\t\\treturn fmt.Errorf("%s: %%w", err)\\n\\t}
|SELECT %s, COUNT(*) FROM %s WHERE id >= %d GROUP BY 1;|<div class="%s" id='%s'>%d</div>|#include <%s.h>|let %s: Vec<u8> = vec![0x%x; %d];
|    %s = {"%s": [%d, %d], "b": None}  # TODO|git commit -m "%s: fix #%d" --no-verify|https://example.org/%s/%s?q=%d&lang=en#top|{"%s":{"%s":%d.%de-%d}}
|x_%d = self.%s->%s[%d] ? a : b;|$ ls -la /usr/%s/%s.tar.gz 2>&1 | grep -v '^%d'|0x%x 0b1011 1e-%d 3.14159 1_000_000|camelCase%sWord snake_case_%s SCREAMING_%s kebab-case-%s
|@decorator(%s=%d)\\nasync def %s(): pass|\\\\begin{%s} \\\\alpha_%d^{%d} \\\\end{%s}|rm -rf "$HOME/%s" && echo 'done %s'|        %s\\t\\t=  %d;""".replace("\n", "").split("|")
NAMES = "buffer token row scan matrix index foo barBaz user_id lossFn HTTPServer tmp parseJSON main data äöü x1 veryLongIdentifierName".split()
PHRASES = [
    "Съешь ещё этих мягких французских булок, да выпей чаю", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία", "זה כיף סתם לשמוע איך תנצח",
    "نص حكيم له سر قاطع وذو شأن عظيم", "ऋषियों को सताने वाले दुष्ट राक्षसों", "いろはにほへと ちりぬるを わかよたれそ", "今日は良い天気ですね。東京タワー",
    "我能吞下玻璃而不伤身体。真的吗?", "다람쥐 헌 쳇바퀴에 타고파. 한국어", "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า", "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Pchnąć w tę łódź jeża lub ośm skrzyń fig", "Árvíztűrő tükörfúrógép", "İstanbul'da ıssız bir yağız şoför", "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg",
    "Đây là tiếng Việt có nhiều dấu: ặ ễ ỗ ữ", "ქართული ენა ძალიან ლამაზია", "Հայերեն լեզու", "አማርኛ ቋንቋ ነው", "ភាសាខ្មែរ", "မြန်မာဘာသာ", "ພາສາລາວ",
    "தமிழ் மொழி மிகவும் பழமையானது", "తెలుగు భాష", "ಕನ್ನಡ ಭಾಷೆ", "മലയാളം ഭാഷ", "বাংলা ভাষা", "ਪੰਜਾਬੀ ਭਾਸ਼ਾ", "ગુજરાતી ભાષા", "සිංහල භාෂාව", "བོད་སྐད་", "ᠮᠣᠩᠭᠣᠯ",
    "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "ᐃᓄᒃᑎᑐᑦ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒻𝒶𝓃𝒸𝓎 𝟙𝟚𝟛", "ﬁnal ﬂuid ﬀ ﬃ ſharp ß ẞ", "Ǆ ǅ ǆ Ⅷ ⅷ ½ ¾ ² ³ ①②③ ㊀ ㌀ ㎏ ﷺ", "ｆｕｌｌｗｉｄｔｈ ＴＥＸＴ １２３",
]
SCRIPTS = [(0x400, 0x52F), (0x370, 0x3FF), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xA7F), (0xA80, 0xAFF),
           (0xB00, 0xB7F), (0xB80, 0xBFF), (0xC00, 0xC7F), (0xC80, 0xCFF), (0xD00, 0xD7F), (0xD80, 0xDFF), (0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF),
           (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1400, 0x167F), (0x1780, 0x17FF), (0x1800, 0x18AF),
           (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20CF), (0x2100, 0x21FF), (0x2200, 0x22FF), (0x2500, 0x25FF), (0x2600, 0x27BF),
           (0x2C00, 0x2DDF), (0x3000, 0x30FF), (0x3130, 0x318F), (0x3200, 0x33FF), (0x3400, 0x34FF), (0x4E00, 0x52FF), (0xA640, 0xA69F), (0xA840, 0xA97F),
           (0xAC00, 0xAEFF), (0xF900, 0xFAFF), (0xFB00, 0xFBFF), (0xFE00, 0xFE6F), (0xFF00, 0xFFEF), (0x80, 0xFF), (0x100, 0x24F), (0x250, 0x2FF),
           (0x10300, 0x103FF), (0x10400, 0x104FF), (0x11000, 0x110FF), (0x16A00, 0x16B8F), (0x1D100, 0x1D1FF), (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F),
           (0x1F100, 0x1F2FF), (0x1F300, 0x1F6FF), (0x1F900, 0x1FAFF), (0x20000, 0x200FF), (0x2F800, 0x2FA1F), (0xE000, 0xE0FF), (0xE0000, 0xE01EF)]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "🇺🇸🇫🇷", "❤️", "☺", "🧑🏿‍🚀", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "©", "™", "🫠", "👁️‍🗨️"]
ZERO = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u200e", "\u200f", "\u202e", "\u202c", "\u2066", "\u2069", "\u180e", "\x00", "\x07", "\x7f", "\x85", "\ufffd", "\ufffe", "\u0378"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\u00a0", "\u3000", "\u2003", "\u2028", "\x0b", "\x0c", "\x1c", "\r", "        ", "\t\t\t", " \t", "\u1680", "\u2581", "▁▁"]
SPECIAL = ["[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<s>", "</s>", "<unk>", "<pad>", "<mask>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<bos>", "<eos>",
           "<|begin_of_text|>", "<|eot_id|>", "<extra_id_0>", "<0x0A>", "<0xE2>", "</w>", "##ing", "Ġthe", "▁the", "[cls]", "[Mask]", "<S>", "<MASK>", "<|ENDOFTEXT|>",
           "[ CLS ]", "<s", "s>", "<mask>.", "x<mask>y", "[unused1]", "<tool>", "tool", "Tool", "mytool", "<think>", "</think>", "<lead>", "<trail>", "<both>", "<Norm>", "<norm>"]
GLYPHS = str.maketrans({"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "x": "х", "i": "і", "A": "Α", "B": "Β", "E": "Ε", "l": "ⅼ", "s": "ѕ"})
CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'Re", "'ve", "'VE", "'m", "'ll", "'LL", "'lL", "'d", "'D", "'\u017f", "\u2019s", "''s", "' s", "'r", "'v", "'l", "'x", "'\u212a"]


def sentence(r):
    s = " ".join([r.choice(SUBJECTS), r.choice(VERBS), r.choice(OBJECTS)]) + r.choice(TAILS) * (r.random() < 0.5)
    if r.random() < 0.8:
        s = s[0].upper() + s[1:]
    if r.random() < 0.05:
        s = s.upper()
    return s + r.choice([".", ".", ".", "!", "?", "", '"', "..."])


def code(r):
    t = r.choice(CODE).replace("\\n", "\n").replace("\\t", "\t")
    out, i = [], 0
    while i < len(t):
        if t[i] == "%" and i + 1 < len(t):
            out.append({"s": r.choice(NAMES), "d": str(r.randrange(10 ** r.randrange(1, 7))), "x": "%x" % r.randrange(1 << 32), "%": "%"}.get(t[i + 1], t[i + 1]))
            i += 2
            continue
        out.append(t[i])
        i += 1
    return "".join(out)


def script_word(r):
    a, b = r.choice(SCRIPTS)
    return "".join(chr(r.randint(a, b)) for _ in range(r.randint(1, 8)))


def any_char(r):
    while True:
        k = r.random()
        c = r.randrange(0x110000) if k < 0.2 else r.randrange(0x20000) if k < 0.5 else r.randrange(0x3100) if k < 0.9 else r.randrange(0x250)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def combining(r):
    base = r.choice(["a", "e", "o", "u", "n", "A", "E", "c", "s", "क", "ก", "あ", "가", "ᄀ", "ه", "א", "1", "😀", "é", "ǖ", "ạ"])
    return base + "".join(chr(r.choice([0x300, 0x301, 0x302, 0x303, 0x304, 0x307, 0x308, 0x30A, 0x30C, 0x316, 0x323, 0x327, 0x328, 0x330, 0x332, 0x338, 0x345, 0x315,
                                        0x05B0, 0x0651, 0x064B, 0x093C, 0x094D, 0x0E38, 0x1161, 0x11A8, 0x20DD, 0x3099, 0x1D165, 0x1D16D, 0x302E, 0xFE0F, 0x0344, 0x0F71, 0x0F74]))
                          for _ in range(r.randint(1, 4)))


def piece(r):
    k = r.randrange(18)
    if k < 2:
        return r.choice(OBJECTS)
    if k == 2:
        return script_word(r)
    if k == 3:
        return r.choice(PHRASES)
    if k == 4:
        return r.choice(EMOJI)
    if k == 5:
        return combining(r)
    if k == 6:
        return r.choice(ZERO)
    if k == 7:
        return r.choice(SPACES)
    if k == 8:
        return r.choice(SPECIAL)
    if k == 9:
        return r.choice(VERBS).translate(GLYPHS)
    if k == 10:
        return r.choice(NAMES) + r.choice(CONTRACTIONS) + r.choice(["", " ", "x"])
    if k == 11:
        return str(r.randrange(10 ** r.randrange(1, 15)))
    if k == 12:
        return "".join(any_char(r) for _ in range(r.randint(1, 4)))
    if k == 13:
        return r.choice("!?.,;:-_/\\|()[]{}<>@#$%^&*+=~`'\"…—«»“”‘’¿¡") * r.choice([1, 1, 1, 2, 3, 7])
    if k == 14:
        return r.choice(["``", "''", "don't", "can't", "do not", " .", " n't", "WordPIECE", "iPhone", "McDONALD", "ÉCOLE", "ΟΔΥΣΣΕΥΣ", "STRASSE", "Straße", "ǅemal", "İ", "ﬃ"])
    return r.choice([code, sentence, sentence])(r)


def mixed(r):
    n = r.choice([1, 2, 3, 3, 4, 5, 6, 8])
    out = []
    for _ in range(n):
        out.append(piece(r))
        if r.random() < 0.7:
            out.append(" ")
        elif r.random() < 0.2:
            out.append(r.choice(SPACES))
    return "".join(out)


def long_word(r):
    return r.choice(["".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randint(90, 400))), "a" * r.randint(80, 600), "ab" * 150, "…" * 130, "漢" * 101,
                     "=" * r.randint(20, 200), " " * r.randint(5, 150), "\n" * r.randint(3, 70), "😀" * 30, "é" * 100, "1" * 120])


def damage(r, s):
    b = bytearray(s.encode())
    for _ in range(r.randint(1, 5)):
        i = r.randrange(len(b) + 1)
        k = r.randrange(4)
        if k == 0:
            b[i:i] = bytes(r.randrange(128, 256) for _ in range(r.randint(1, 4)))
        elif k == 1 and b:
            del b[i:i + 1]
        elif k == 2:
            b[i:i] = r.choice([b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82", b"\xf0\x9f\x98", b"\xff\xfe", b"\xe0\x80\x80", b"\x80", b"\xf8\x88\x80\x80\x80"])
        elif i < len(b):
            b[i] = r.randrange(256)
    return bytes(b)


def make_lines(n, seed):
    r = random.Random(seed)
    lines = [b"", b" ", b"\n", b"a", b"\xff", "é".encode(), b"[CLS]", b"<s>", b"  a", b"a  "]
    while len(lines) < n:
        k = r.random()
        if k < 0.30:
            s = " ".join(sentence(r) for _ in range(r.randint(1, 3)))
        elif k < 0.40:
            s = "\n".join(code(r) for _ in range(r.randint(1, 3)))
        elif k < 0.52:
            s = r.choice(PHRASES) + r.choice(["", ".", " "]) + " ".join(script_word(r) for _ in range(r.randint(0, 4)))
        elif k < 0.56:
            s = "".join(any_char(r) for _ in range(r.randint(1, 25)))
        elif k < 0.57:
            s = mixed(r) + long_word(r) + r.choice(["", " x", "."])
        else:
            s = mixed(r)
        lines.append(damage(r, s) if r.random() < 0.05 else s.encode())
    return lines[:n]


def code_points():
    """Lines that have every code point inside a word, alone, between digits and after a space."""
    chars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    return ["".join("a%sb %s 1%s2 e%s" % (c, c, c, c) for c in chars[i:i + 32]).encode() for i in range(0, len(chars), 32)]


# ---------------------------------------------------------------- offsets

def decode(raw):
    """Text as Python decodes it, and the byte offset in raw of every character, and of the end."""
    bad = []

    def record(e):
        bad.append((e.start, e.end))
        return "\ufffd", e.end

    codecs.register_error("record", record)
    text = raw.decode("utf-8", "record")
    at, i, k = [], 0, 0
    for c in text:
        at.append(i)
        if k < len(bad) and bad[k][0] == i:
            i = bad[k][1]
            k += 1
        else:
            i += len(c.encode())
    assert i == len(raw)
    at.append(i)
    return text, at


# ---------------------------------------------------------------- families

GPT2_RE = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LLAMA3_RE = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
QWEN_RE = LLAMA3_RE.replace("{1,3}", "")
O200K_RE = r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
DEEPSEEK_RE = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
BLOOM_RE = r""" ?[^(\s|[.,!?…。，、।۔،])]+"""
CLIP_RE = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def common(texts, n):
    """The texts without the words that have characters beyond the n most frequent: Unigram needs a piece for each."""
    count = collections.Counter(c for t in texts for c in t)
    keep = {c for c, _ in count.most_common(n)}
    return [" ".join(w for w in t.split(" ") if set(w) <= keep) for t in texts]


def families():
    """name -> function that trains a tokenizer on an iterable of texts."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers as N, pre_tokenizers as P, processors as O, trainers

    def charsmap(name):
        import importlib.resources
        data = (importlib.resources.files("sentencepiece") / "package_data" / (name + ".bin")).read_bytes()
        return N.Precompiled(data)

    def train(tok, trainer, texts):
        tok.train_from_iterator(texts, trainer)
        return tok

    def around(tok, a, b):
        ids = [(x, tok.token_to_id(x)) for x in (a, b) if x]
        tok.post_processor = O.TemplateProcessing(single=" ".join(x for x in (a, "$A", b) if x), special_tokens=ids)
        return tok

    def wordpiece(normalizer, specials, a, b, added=()):
        def f(texts):
            tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
            tok.normalizer, tok.pre_tokenizer = normalizer, P.BertPreTokenizer()
            tok.decoder = decoders.WordPiece("##")
            train(tok, trainers.WordPieceTrainer(vocab_size=3000, special_tokens=specials, limit_alphabet=600, show_progress=False), texts)
            tok.add_tokens(list(added))
            return around(tok, a, b)
        return f

    bert_specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

    def bytelevel(pre, specials, post=None, normalizer=None, size=3000, model={}, added=(), alphabet=True, edit=None):
        def f(texts):
            tok = Tokenizer(models.BPE(**model))
            tok.normalizer, tok.pre_tokenizer, tok.decoder = normalizer, pre, decoders.ByteLevel()
            train(tok, trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=P.ByteLevel.alphabet() if alphabet else [], show_progress=False,
                                           **({"end_of_word_suffix": model["end_of_word_suffix"]} if "end_of_word_suffix" in model else {})), texts)
            tok.add_tokens(list(added))
            if post:
                tok.post_processor = post(tok)
            return edit(tok) if edit else tok
        return f

    def ids(tok, *names):
        return [(x, tok.token_to_id(x)) for x in names]

    def spbpe(normalizer, pre, decoder, specials, bos, fuse=True, added=()):
        def f(texts):
            tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=True))
            tok.normalizer, tok.pre_tokenizer, tok.decoder = normalizer, pre, decoder
            # trained with a split that keeps words apart, as SentencePiece does
            train_tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=True))
            train_tok.normalizer, train_tok.pre_tokenizer = N.Replace(" ", "▁"), P.Split("▁", "merged_with_next")
            train(train_tok, trainers.BpeTrainer(vocab_size=3000, special_tokens=specials + ["<0x%02X>" % b for b in range(256)], limit_alphabet=500, show_progress=False), texts)
            j = json.loads(tok.to_str())
            j["model"] = json.loads(train_tok.to_str())["model"]
            tok = Tokenizer.from_str(json.dumps(j))
            tok.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in specials])
            tok.add_tokens(list(added))
            return around(tok, bos, None)
        return f

    def unigram(normalizer, pre, specials, a, b, decoder=None, unk="<unk>", fallback=False, added=()):
        def f(texts):
            tok = Tokenizer(models.Unigram())
            tok.normalizer, tok.pre_tokenizer, tok.decoder = normalizer, pre, decoder or decoders.Metaspace()
            train(tok, trainers.UnigramTrainer(vocab_size=2500, special_tokens=specials, unk_token=unk, shrinking_factor=0.6, max_piece_length=12,
                                               show_progress=False), common(texts, 500))
            if fallback:
                j = json.loads(tok.to_str())
                j["model"]["byte_fallback"] = True
                j["model"]["vocab"] += [["<0x%02X>" % x, 0.0] for x in range(256)]
                tok = Tokenizer.from_str(json.dumps(j))
            tok.add_tokens(list(added))
            return around(tok, a, b)
        return f

    spm_norm = lambda cm: N.Sequence([charsmap(cm), N.Strip(left=False, right=True), N.Replace(Regex(" {2,}"), "▁")])
    odd = [AddedToken("<lead>", lstrip=True), AddedToken("<trail>", rstrip=True), AddedToken("<both>", lstrip=True, rstrip=True, special=True),
           AddedToken("tool", single_word=True), AddedToken("<Norm>", normalized=True), AddedToken("<tool>", normalized=False), AddedToken("  ", normalized=False)]
    roberta = lambda tok: O.RobertaProcessing(tuple(ids(tok, "</s>")[0]), tuple(ids(tok, "<s>")[0]), trim_offsets=True, add_prefix_space=False)
    roberta_specials = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False)]
    llama_decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    split = lambda rx, how="isolated", invert=False: P.Split(Regex(rx), how, invert)
    tail = lambda: P.ByteLevel(add_prefix_space=False, use_regex=False)

    def legacy(tok):
        """As files of before 0.9: no type of the model; merges as strings."""
        j = json.loads(tok.to_str())
        del j["model"]["type"]
        j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]
        j["model"]["continuing_subword_prefix"] = j["model"]["end_of_word_suffix"] = ""
        return json.dumps(j)

    def wordlevel(pre, normalizer=None):
        def f(texts):
            tok = Tokenizer(models.WordLevel(unk_token="[UNK]"))
            tok.normalizer, tok.pre_tokenizer = normalizer, pre
            train(tok, trainers.WordLevelTrainer(vocab_size=3000, special_tokens=["[UNK]"], show_progress=False), texts)
            tok.add_tokens(odd)
            return tok
        return f

    return {
        "bert-uncased": wordpiece(N.BertNormalizer(lowercase=True), bert_specials, "[CLS]", "[SEP]"),
        "bert-cased": wordpiece(N.BertNormalizer(lowercase=False), bert_specials, "[CLS]", "[SEP]", added=odd),
        "bert-multilingual": wordpiece(N.BertNormalizer(lowercase=True, strip_accents=False, handle_chinese_chars=True), bert_specials, "[CLS]", "[SEP]", added=odd),
        "mpnet": wordpiece(N.BertNormalizer(lowercase=True), ["<s>", "<pad>", "</s>", "[UNK]", AddedToken("<mask>", lstrip=True)], "<s>", "</s>"),
        "gpt2": bytelevel(P.ByteLevel(add_prefix_space=False), ["<|endoftext|>"], lambda t: O.ByteLevel(trim_offsets=False), edit=legacy),
        "roberta": bytelevel(P.ByteLevel(add_prefix_space=False), roberta_specials, roberta),
        "deberta": bytelevel(P.ByteLevel(add_prefix_space=True), bert_specials, lambda t: O.Sequence([O.ByteLevel(trim_offsets=True, add_prefix_space=True), O.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=ids(t, "[CLS]", "[SEP]"))]), added=odd),
        "smollm": bytelevel(P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)]), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], alphabet=False,
                            model={"unk_token": "<|endoftext|>", "fuse_unk": True}),
        "llama3": bytelevel(P.Sequence([split(LLAMA3_RE), tail()]), [], lambda t: O.Sequence([O.ByteLevel(trim_offsets=False), O.TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=ids(t, "<|begin_of_text|>"))]), model={"ignore_merges": True},
            added=[AddedToken("<|begin_of_text|>", special=True, normalized=False), AddedToken("<|eot_id|>", special=True, normalized=False)]),
        "qwen2": bytelevel(P.Sequence([split(QWEN_RE), tail()]), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], lambda t: O.ByteLevel(trim_offsets=False), normalizer=N.NFC(),
                           added=[AddedToken("<think>", normalized=False)]),
        "gpt4o": bytelevel(P.Sequence([split(O200K_RE, "removed", True), tail()]), ["<|endoftext|>"], lambda t: O.ByteLevel(trim_offsets=True)),
        "deepseek": bytelevel(P.Sequence([split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK_RE), tail()]), ["<|endoftext|>"], lambda t: O.ByteLevel(trim_offsets=False)),
        "bloom": bytelevel(P.Sequence([split(BLOOM_RE), tail()]), ["<unk>", "<s>", "</s>", "<pad>"], lambda t: O.ByteLevel(trim_offsets=False)),
        "falcon": bytelevel(P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]),
                            ["<|endoftext|>"]),
        "neox": bytelevel(P.ByteLevel(add_prefix_space=False), ["<|endoftext|>"], normalizer=N.NFC(), added=[AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)] + odd),
        "clip": bytelevel(P.Sequence([split(CLIP_RE, "removed", True), P.ByteLevel(add_prefix_space=False)]), ["<|startoftext|>", "<|endoftext|>"],
                          lambda t: O.RobertaProcessing(tuple(ids(t, "<|endoftext|>")[0]), tuple(ids(t, "<|startoftext|>")[0]), trim_offsets=False, add_prefix_space=False),
                          normalizer=N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()]), model={"end_of_word_suffix": "</w>", "unk_token": "<|endoftext|>"}),
        "byte-normalizer": bytelevel(split(QWEN_RE), ["<|endoftext|>"], normalizer=N.Sequence([N.NFKC(), N.ByteLevel()])),
        "llama2": spbpe(N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), None, llama_decoder, ["<unk>", "<s>", "</s>"], "<s>"),
        "mistral": spbpe(None, P.Metaspace(prepend_scheme="first", split=False), llama_decoder, ["<unk>", "<s>", "</s>"], "<s>", added=odd),
        "gemma": spbpe(N.Replace(" ", "▁"), P.Split(" ", "merged_with_previous"), decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]),
                       ["<pad>", "<eos>", "<bos>", "<unk>"], "<bos>", added=[AddedToken("\n" * n, normalized=False) for n in range(1, 12)] + [AddedToken("▁" * n, normalized=False) for n in range(2, 12)]),
        "openai-gpt": lambda texts: openai(texts),
        "t5": unigram(spm_norm("nmt_nfkc"), P.Metaspace(), ["<pad>", "</s>", "<unk>"], None, "</s>", added=[AddedToken("<extra_id_%d>" % i, special=True, normalized=False) for i in range(5)]),
        "xlm-r": unigram(N.Sequence([charsmap("nmt_nfkc"), N.Replace(Regex(" {2,}"), " ")]), P.Sequence([P.WhitespaceSplit(), P.Metaspace()]), ["<s>", "<pad>", "</s>", "<unk>"], "<s>", "</s>",
                         added=[AddedToken("<mask>", lstrip=True, special=True, normalized=False)]),
        "albert": unigram(N.Sequence([N.Replace("``", '"'), N.Replace("''", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(), charsmap("nmt_nfkc"), N.Replace(Regex(" {2,}"), " ")]),
                          P.Metaspace(), ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "[CLS]", "[SEP]"),
        "deberta-v2": unigram(N.Sequence([N.Strip(), charsmap("nmt_nfkc_cf"), N.Replace(Regex(" {2,}"), " ")]), P.Sequence([P.Punctuation(), P.Metaspace()]),
                              ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[CLS]", "[SEP]", unk="[UNK]", added=odd),
        "unigram-bytes": unigram(N.Sequence([N.Nmt(), N.NFKC()]), P.Metaspace(prepend_scheme="first", split=False), ["<unk>", "<s>", "</s>"], "<s>", None, fallback=True, added=odd),
        "words": wordlevel(P.Whitespace(), N.Sequence([N.NFD(), N.StripAccents(), N.Lowercase()])),
        "words-split": wordlevel(P.Sequence([P.CharDelimiterSplit("e"), P.Split("a", "merged_with_next"), P.Split(Regex("[o ]"), "contiguous"), P.Punctuation("merged_with_previous"),
                                             P.Split(Regex(r"[\p{Lu}\d]+|\p{Han}"), "merged_with_next", True), P.Split(Regex("i*"), "merged_with_previous"), P.Digits()]), N.Sequence([N.NFKD(), N.Prepend("e"), N.Strip(True, False)])),
    }


def openai(texts):
    from tokenizers import Tokenizer, decoders, models, normalizers as N, pre_tokenizers as P, trainers
    tok = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False))
    tok.normalizer, tok.pre_tokenizer, tok.decoder = N.BertNormalizer(lowercase=True), P.BertPreTokenizer(), decoders.BPEDecoder(suffix="</w>")
    tok.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=3000, special_tokens=["<unk>"], end_of_word_suffix="</w>", limit_alphabet=400, show_progress=False))
    return tok


def load(name, path):
    """The tokenizer of a folder of testdata; of one without tokenizer.json as transformers converts it."""
    from tokenizers import Tokenizer
    if path.is_file():
        return Tokenizer.from_str(read(path).decode())
    if (path / "tokenizer.json.gz").exists():
        return Tokenizer.from_str(gzip.decompress((path / "tokenizer.json.gz").read_bytes()).decode())
    from transformers.convert_slow_tokenizer import convert_slow_tokenizer
    from transformers import BertTokenizer, GPT2Tokenizer, RobertaTokenizer
    kinds = {"bert-files": BertTokenizer, "gpt2-files": GPT2Tokenizer, "roberta-files": RobertaTokenizer}
    slow = kinds[name].from_pretrained(str(path))
    tok = convert_slow_tokenizer(slow)
    tok.add_special_tokens([t for t in slow.added_tokens_decoder.values()])
    return tok


def read(path):
    b = path.read_bytes()
    return gzip.decompress(b) if path.suffix == ".gz" else b


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def train(only):
    texts = [decode(b)[0] for b in make_lines(20000, 2)]
    for name, make in families().items():
        if only and name not in only:
            continue
        tok = make(texts)
        s = tok if isinstance(tok, str) else tok.to_str()
        write(DATA / name / "tokenizer.json.gz", json.dumps(json.loads(s), ensure_ascii=False, separators=(",", ":")).encode())
        print(name, flush=True)
    # folders of before tokenizer.json
    def vocab(name):
        return json.loads(read(DATA / name / "tokenizer.json.gz"))["model"]
    if not only or "files" in only:
        v = vocab("bert-cased")["vocab"]
        d = DATA / "bert-files"
        d.mkdir(exist_ok=True)
        (d / "vocab.txt").write_text("".join(k + "\n" for k in sorted(v, key=v.get)[:1200]))
        (d / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": False}) + "\n")
        for name in ("gpt2", "roberta"):
            m = vocab(name)
            d = DATA / (name + "-files")
            d.mkdir(exist_ok=True)
            merges = [x if isinstance(x, str) else " ".join(x) for x in m["merges"]][:700]
            keep = set(x.replace(" ", "") for x in merges)
            vocab2 = {k: i for k, i in m["vocab"].items() if len(k) == 1 or k in keep or "<" in k}
            vocab2 = {k: i for i, k in enumerate(sorted(vocab2, key=vocab2.get))}
            (d / "vocab.json").write_text(json.dumps(vocab2))
            (d / "merges.txt").write_text("#version: 0.2\n" + "".join(x + "\n" for x in merges))
            (d / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": {"gpt2": "GPT2Tokenizer", "roberta": "RobertaTokenizer"}[name]}) + "\n")


def uv(n):
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag(n):
    return uv(n * 2 if n >= 0 else -n * 2 - 1)


def vectors(n, seed, out, extra, only):
    """lines.gz: length and bytes of each line. vectors.gz: for each line the number of tokens; of each token its id, its start relative to the
    end of the one before, its length; and the CRC-32 of the decoded text without and with special tokens."""
    raw = make_lines(n, seed) if n else code_points()
    write(out / "lines.gz", b"".join(uv(len(b)) + b for b in raw))
    decoded = [decode(b) for b in raw]
    todo = [(d.name, d) for d in sorted(DATA.iterdir()) if d.is_dir() and d.name != "fuzz"] + [(k, pathlib.Path(v)) for k, v in extra]
    for name, path in todo:
        if only and name not in only:
            continue
        tok = load(name, path)
        tok.no_truncation()
        tok.no_padding()
        b = bytearray()
        for text, at in decoded:
            e = tok.encode(text)
            b += uv(len(e.ids))
            last = 0
            for i, (x, y) in zip(e.ids, e.offsets):
                x, y = (at[x], at[y]) if (x, y) != (0, 0) else (0, 0)
                b += uv(i) + zigzag(x - last) + zigzag(y - x)
                last = y
            for skip in (True, False):
                b += zlib.crc32(tok.decode(e.ids, skip_special_tokens=skip).encode()).to_bytes(4, "little")
        write(out / name / "vectors.gz", bytes(b))
        if path.is_file():
            write(out / name / "tokenizer.json.gz", read(path))
        print(name, len(b), flush=True)


# ---------------------------------------------------------------- tables

CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
CLUSTERS = "Any CR LF Control L V T LV LVT Extend ZWJ SpacingMark Prepend Regional_Indicator Extended_Pictographic InCB_Consonant".split()
SCRIPT_NAMES = "Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Devanagari Thai".split()


def tables(segmentation):
    """tables.go: the properties that unicode.go describes, asked of the library for every code point; grapheme clusters from the
    source of unicode-segmentation, which has no interface of its own there."""
    from tokenizers import Regex, normalizers as N, pre_tokenizers as P
    chars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    chunks = ["".join(chars[i:i + 4096]) for i in range(0, len(chars), 4096)]

    def matches(rx):
        split, out = P.Split(Regex(rx), "removed", invert=True), set()
        for t in chunks:
            for w, _ in split.pre_tokenize_str(t):
                out.update(w)
        return out

    def pieces(pre, wrap, keep):
        out = set()
        for i in range(0, len(chars), 2048):
            out.update(w for w, _ in pre.pre_tokenize_str("  ".join(wrap % c for c in chars[i:i + 2048] if not c.isspace())) if keep(w))
        return out

    category = {}
    for i, k in enumerate(CATEGORIES):
        for c in matches(r"\p{%s}" % k):
            category[c] = i
    alone = lambda w: len(w) == 1 and w != "a"
    gone = lambda n: {c for c in chars if n.normalize_str(c) == ""}
    bert = lambda **k: N.BertNormalizer(**{**dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False), **k})
    chinese = bert(handle_chinese_chars=True)
    nfd, nfkd, nfc, lower = N.NFD(), N.NFKD(), N.NFC(), N.Lowercase()
    syllable = lambda c: 0xAC00 <= ord(c) < 0xD7A4
    canonical = {c: nfd.normalize_str(c) for c in chars if nfd.normalize_str(c) != c and not syllable(c)}
    compat = {c: k for c in chars if (k := nfkd.normalize_str(c)) != c and k != nfd.normalize_str(c)}
    lowered = {c: k for c in chars if (k := lower.normalize_str(c)) != c}
    compose = {}
    for c, d in canonical.items():
        if nfc.normalize_str(d) == c and nfc.normalize_str(c) == c:
            a = nfc.normalize_str(d[:-1])
            assert len(a) == 1 < len(d), c
            compose[a + d[-1]] = c
    # Classes are stable: Python's holds for what the library's older Unicode reorders. U+0345 has the highest.
    ccc = {c: unicodedata.combining(c) for c in chars if c not in canonical and unicodedata.combining(c)
           and (c == "\u0345" or nfd.normalize_str("\u0345" + c) != "\u0345" + c)}

    source = segmentation.read_text()
    def ranges(name, pattern):
        at = source.index(name)
        return re.findall(pattern, source[at:source.index("];", at)])
    cluster = {chr(c): CLUSTERS.index(k) for a, b, k in ranges("const grapheme_cat_table", r"\('\\u\{(\w+)\}',\s*'\\u\{(\w+)\}',\s*GC_(\w+)\)")
               for c in range(int(a, 16), int(b, 16) + 1) if not 0xD800 <= c < 0xE000}
    conjunct = {chr(c) for a, b in ranges("InCB_Extend_table", r"\('\\u\{(\w+)\}',\s*'\\u\{(\w+)\}'\)") for c in range(int(a, 16), int(b, 16) + 1)}

    second = {k[1] for k in compose} | {chr(c) for c in [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]}
    flags = [(5, pieces(P.Digits(individual_digits=True), "a%sa", alone)),
             (6, {w[1] for w in pieces(P.Whitespace(), "_%s_", lambda w: len(w) == 3)}),
             (7, matches(r"\w")), (8, gone(bert(clean_text=True))), (9, gone(bert(strip_accents=True))), (10, gone(N.StripAccents())),
             (11, pieces(P.Punctuation("isolated"), "a%sa", alone)), (12, matches(r"\s")),
             (13, {c for c in chars if chinese.normalize_str(c) != c}),
             (14, {c for c in chars if c in canonical or syllable(c)}), (15, set(compat)), (16, second),
             (17, set(compose.values()) | {c for c in chars if syllable(c)}), (18, set(lowered)), (31, conjunct)]

    def prop(c):
        if 0xD800 <= c < 0xE000:
            return 0
        c = chr(c)
        return category[c] | sum(1 << b for b, s in flags if c in s) | ccc.get(c, 0) << 19 | cluster.get(c, 0) << 27

    runs, last = [], None
    for c in range(0x110000):
        p = prop(c)
        if p != last:
            runs.append((c, p))
            last = p
    values = [v for v, _ in collections.Counter(p for _, p in runs).most_common()]
    index = {v: i for i, v in enumerate(values)}
    b = bytearray(uv(len(values)) + b"".join(map(uv, values)))
    prev = 0
    for c, p in runs:
        b += uv(c - prev) + uv(index[p])
        prev = c

    def forms(d):
        out, prev = bytearray(uv(len(d))), 0
        for k in sorted(d):
            out += uv(ord(k) - prev) + uv(len(d[k])) + b"".join(uv(ord(x)) for x in d[k])
            prev = ord(k)
        return out

    pairs, prev = bytearray(uv(len(compose))), 0
    for k in sorted(compose):
        pairs += uv(ord(k[0]) - prev) + uv(ord(k[1])) + uv(ord(compose[k]))
        prev = ord(k[0])
    scripts = bytearray()
    for name in SCRIPT_NAMES:
        ends = []
        for c in sorted(map(ord, matches(r"\p{%s}" % name))):
            if ends and ends[-1] == c - 1:
                ends[-1] = c
            else:
                ends += [c, c]
        scripts += uv(len(name)) + name.lower().encode() + uv(len(ends)) + b"".join(uv(c - p) for c, p in zip(ends, [0] + ends))
    out = ["// Code generated by testdata/scripts/make_tokenizer_vectors.py tables; DO NOT EDIT.", "", "package tokenizer"]
    for name, doc, data in (("propertyRuns", "runs of code points with equal properties", b), ("canonicalData", "full canonical decompositions (Unicode 9)", forms(canonical)),
                            ("compatData", "full compatibility decompositions where they differ", forms(compat)), ("composeData", "canonical compositions", pairs),
                            ("lowerData", "lower case", forms(lowered)), ("scriptData", "code points of scripts", scripts)):
        text = base64.b64encode(bytes(data)).decode()
        out += ["", f"// {name}: {doc}.", f"const {name} = `"] + [text[i:i + 116] for i in range(0, len(text), 116)]
        out[-1] += "`"
    (ROOT / "tables.go").write_text("\n".join(out) + "\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["train", "vectors", "tables"])
    p.add_argument("--lines", type=int, default=2000, help="0: lines of every code point")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=pathlib.Path, default=DATA)
    p.add_argument("--only", nargs="*", default=[])
    p.add_argument("--extra", nargs="*", default=[])
    p.add_argument("--segmentation", type=pathlib.Path)
    a = p.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if a.what == "train":
        train(a.only)
    elif a.what == "vectors":
        vectors(a.lines, a.seed, a.out, [e.split("=", 1) for e in a.extra], a.only)
    else:
        tables(a.segmentation)


if __name__ == "__main__":
    main()
