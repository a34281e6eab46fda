"""Reference values of PyTorch and transformers for the pure-Go engine.

Tiny models, one folder each, committed with the repository:

    python testdata/scripts/make_parity.py --out testdata/parity
    python testdata/scripts/make_parity.py --real testdata/clean --texts 4 --out testdata/parity/real/clean.safetensors

A real model folder, with the inputs stored beside the results:

    python testdata/scripts/make_parity.py --real DIR --out FILE --texts 8

Made with torch 2.8.0 and transformers 4.56.2. Everything is computed in
float32 with eager attention and without dropout, on one thread; a second run
writes the same bytes.

Arrays of vectors.safetensors (B sequences, right-padded to T):

    input_ids [B,T] int64   padded with the pad id of config.json
    lengths   [B]   int64
    labels    [B]   int64   classifiers
    loss_weight [B,H]       encoders without a head: the W of the loss
    logits    [B,L]         classifiers
              [B,H]         encoders: mean of hidden over the real tokens
              [B,T,V]       causal language models, zero at the padding
    hidden    [B,T,H]       after the last norm, zero at the padding
    loss      [1]           classifiers: mean cross-entropy
                            encoders: sum(logits * loss_weight)
                            language models: mean cross-entropy of the next
                            token over all targets of the batch
    grad_inputs [B,T,E]     of the loss, by the output of the word-embedding
                            look-up (before any scale by sqrt(hidden))
    grad.NAME               of the loss, by each tensor of model.safetensors
                            (tied weights: the total; unused ones: zeros)
    adamw_losses [5]        loss before each of five steps of AdamW: lr 5e-3,
                            betas 0.9 0.999, eps 1e-8, weight decay 0.01 on
                            every parameter that has a gradient
    adamw_losses_clip [5]   the same with gradients clipped to norm 1, no
                            weight decay, and a linear schedule of 5 steps
                            with 2 of warm-up (the first has a rate of 0)
"""

import argparse
import os
import zlib

import torch
import torch.nn.functional as F
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, get_linear_schedule_with_warmup

VOCAB, LABELS, FIRST_WORD = 61, 3, 5
LENGTHS = [7, 19, 3, 12]

# Encoders and the ids of [CLS] and [SEP] in their published vocabularies.
ENCODERS = {"bert": (101, 102), "distilbert": (101, 102), "electra": (101, 102), "roberta": (0, 2),
            "xlm-roberta": (0, 2), "mpnet": (0, 2)}

# Shapes. Encoders: 3 heads of 8. GQA models: 4 query heads, 2 key-value heads.
# The epsilons of the norms are large, so that a wrong one shows.
BERT = dict(vocab_size=VOCAB, hidden_size=24, num_attention_heads=3, num_hidden_layers=2,
            intermediate_size=40, max_position_embeddings=48, type_vocab_size=2, pad_token_id=0, layer_norm_eps=1e-3,
            num_labels=LABELS)
ROBERTA = dict(BERT, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
               layer_norm_eps=2e-3)
DISTIL = dict(vocab_size=VOCAB, dim=24, n_heads=3, n_layers=2, hidden_dim=40,
              max_position_embeddings=48, pad_token_id=0, num_labels=LABELS)
MPNET = dict(BERT, max_position_embeddings=64, pad_token_id=1, bos_token_id=0, eos_token_id=2,
             relative_attention_num_buckets=32)
MPNET.pop("type_vocab_size")
GPT2 = dict(vocab_size=VOCAB, n_embd=24, n_head=3, n_layer=2, n_inner=40, n_positions=48, layer_norm_epsilon=1e-3,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, num_labels=LABELS)
LLAMA = dict(vocab_size=VOCAB, hidden_size=32, num_attention_heads=4, num_key_value_heads=2,
             num_hidden_layers=2, intermediate_size=40, max_position_embeddings=48,
             rms_norm_eps=1e-3, rope_theta=10000.0, pad_token_id=0, bos_token_id=1,
             eos_token_id=2, num_labels=LABELS, tie_word_embeddings=False)
LLAMA3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
GEMMA = dict(LLAMA, head_dim=12, tie_word_embeddings=True)
GEMMA2 = dict(GEMMA, query_pre_attn_scalar=20, sliding_window=8, hidden_activation="gelu_pytorch_tanh",
              layer_types=["sliding_attention", "full_attention"])

# name: (class, configuration[, lengths[, stored dtype]])
FAMILIES = {
    "bert": ("BertForSequenceClassification", BERT),
    "bert-gelu-new": ("BertForSequenceClassification", dict(BERT, hidden_act="gelu_new")),
    "bert-f16": ("BertForSequenceClassification", BERT, LENGTHS, torch.float16),
    "roberta": ("RobertaForSequenceClassification", ROBERTA),
    "xlm-roberta": ("XLMRobertaForSequenceClassification", ROBERTA),
    "distilbert": ("DistilBertForSequenceClassification", DISTIL),
    "mpnet": ("MPNetForSequenceClassification", MPNET, [7, 45, 3, 12]),
    "electra": ("ElectraForSequenceClassification", dict(BERT, embedding_size=16)),
    "bert-encoder": ("BertModel", BERT),
    "roberta-encoder": ("RobertaModel", ROBERTA),
    "distilbert-encoder": ("DistilBertModel", DISTIL),
    "mpnet-encoder": ("MPNetModel", MPNET, [7, 45, 3, 12]),
    "gpt2": ("GPT2LMHeadModel", GPT2),
    "gpt2-classifier": ("GPT2ForSequenceClassification", GPT2),
    "llama": ("LlamaForCausalLM", LLAMA),
    "llama-bf16": ("LlamaForCausalLM", LLAMA, LENGTHS, torch.bfloat16),
    "llama-tied": ("LlamaForCausalLM", dict(LLAMA, tie_word_embeddings=True, rope_scaling=LLAMA3,
                                            rope_theta=100.0)),
    "llama-linear": ("LlamaForCausalLM", dict(LLAMA, rope_scaling=dict(rope_type="linear", factor=2.0))),
    "llama-classifier": ("LlamaForSequenceClassification", LLAMA),
    "mistral": ("MistralForCausalLM", dict(LLAMA, sliding_window=8)),
    "qwen2": ("Qwen2ForCausalLM", dict(LLAMA, tie_word_embeddings=True, use_sliding_window=False)),
    "qwen2-classifier": ("Qwen2ForSequenceClassification", dict(LLAMA, use_sliding_window=False)),
    "qwen3": ("Qwen3ForCausalLM", dict(LLAMA, head_dim=12, tie_word_embeddings=True)),
    "gemma": ("GemmaForCausalLM", dict(GEMMA, num_key_value_heads=1, hidden_act="gelu_pytorch_tanh")),
    "gemma2": ("Gemma2ForCausalLM", dict(GEMMA2, attn_logit_softcapping=2.0, final_logit_softcapping=6.0)),
    "gemma3": ("Gemma3ForCausalLM", dict(GEMMA2, rope_theta=10000.0, rope_local_base_freq=100.0)),
}


def kind_of(cls):
    if cls.endswith("ForSequenceClassification"):
        return "classifier"
    return "lm" if cls.endswith(("ForCausalLM", "LMHeadModel")) else "encoder"


def randomize(model, gen):
    """Weights large enough that no term of the forward pass is negligible."""
    gemma = model.config.model_type.startswith("gemma")
    for name, p in model.named_parameters():
        r = torch.randn(p.shape, generator=gen)
        if p.dim() == 1:
            # A norm's weight is 1 + 0.2 r; Gemma stores it less the 1.
            norm = "norm" in name.lower() or ".ln_" in name
            if name.endswith("weight"):
                assert norm, name
                r = 0.2 * r if gemma else 1 + 0.2 * r
            else:
                r = 0.1 * r
        elif ("embed" in name and "project" not in name) or ".wte." in name or ".wpe." in name:
            r = 0.5 * r
        elif "relative_attention_bias" in name:
            r = 0.7 * r
        else:
            # nn.Linear is [out, in]; GPT-2's Conv1D is [in, out].
            conv = model.config.model_type == "gpt2" and ".h." in name
            r = 1.2 * r / p.shape[0 if conv else 1] ** 0.5
        p.data.copy_(r)


def load(folder, cls):
    model = getattr(transformers, cls).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def make_batch(gen, lengths, vocab, pad, first, start=None, end=None):
    """Random ids of [first, vocab), right-padded; start and end as in real text."""
    ids = torch.full((len(lengths), max(lengths)), pad, dtype=torch.int64)
    for i, n in enumerate(lengths):
        ids[i, :n] = torch.randint(first, vocab, (n,), generator=gen)
        if start is not None:
            ids[i, 0], ids[i, n - 1] = start, end
    return ids


class Run:
    """One model and one batch: its forward pass, loss and gradients."""

    def __init__(self, model, kind, batch):
        self.model, self.kind, self.b = model, kind, batch
        lengths = batch["lengths"]
        self.mask = (torch.arange(batch["input_ids"].shape[1])[None] < lengths[:, None]).long()
        model.get_input_embeddings().register_forward_hook(self._keep_embedded)
        # Gemma 3's causal LM is its own base_model.
        backbone = model.base_model if model.base_model is not model or kind == "encoder" else model.model
        backbone.register_forward_hook(self._keep_hidden)

    def _keep_embedded(self, module, args, out):
        self.embedded = out
        if out.requires_grad:
            out.retain_grad()

    def _keep_hidden(self, module, args, out):
        self.hidden = out[0]

    def forward(self):
        ids, mask = self.b["input_ids"], self.mask
        kw = {} if self.model.config.model_type in ENCODERS else dict(use_cache=False)
        out = self.model(input_ids=ids, attention_mask=mask, **kw)
        if self.kind == "classifier":
            self.logits = out.logits
            return F.cross_entropy(self.logits, self.b["labels"])
        m = mask[..., None].float()
        if self.kind == "encoder":
            self.logits = (self.hidden * m).sum(1) / m.sum(1)
            return (self.logits * self.b["loss_weight"]).sum()
        self.logits = out.logits * m
        targets = ids.masked_fill(mask == 0, -100)[:, 1:]
        return F.cross_entropy(out.logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=-100)

    def grad_inputs(self):
        # Gemma 3 scales inside the embedding module; the others do so after it.
        scale = getattr(self.model.get_input_embeddings(), "embed_scale", 1.0)
        return self.embedded.grad * scale * self.mask[..., None]

    def adamw(self, steps, lr, weight_decay=0.01, clip=None):
        """Losses before each step. Clipping comes with the linear schedule."""
        opt = torch.optim.AdamW(self.model.parameters(), lr=lr, weight_decay=weight_decay)
        sched = clip and get_linear_schedule_with_warmup(opt, 2, steps)
        losses = []
        for _ in range(steps):
            loss = self.forward()
            losses.append(loss.item())
            opt.zero_grad()
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)
            opt.step()
            if sched:
                sched.step()
        return torch.tensor(losses, dtype=torch.float32)


def save(path, arrays):
    save_file({k: v.detach().contiguous().clone() for k, v in arrays.items()}, path)
    os.chmod(path, 0o644)


def make_family(out, name):
    cls, conf, *rest = FAMILIES[name]
    lengths, dtype = rest + [LENGTHS, torch.float32][len(rest):]
    kind, folder = kind_of(cls), os.path.join(out, name)
    gen = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    model_class = getattr(transformers, cls)
    model = model_class(model_class.config_class(**conf))
    randomize(model, gen)
    model.to(dtype).save_pretrained(folder)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)

    c = model.config
    if c.model_type in ENCODERS:  # [CLS] text [SEP]
        ends = (0, 2) if c.pad_token_id == 1 else (2, 3)
    else:
        ends = (None, None)
    batch = {
        "input_ids": make_batch(gen, lengths, VOCAB, c.pad_token_id, FIRST_WORD, *ends),
        "lengths": torch.tensor(lengths),
    }
    if kind == "classifier":
        batch["labels"] = torch.tensor([0, 2, 1, 2])
    if kind == "encoder":
        batch["loss_weight"] = torch.randn(len(lengths), c.hidden_size, generator=gen)

    run = Run(load(folder, cls), kind, batch)
    loss = run.forward()
    loss.backward()
    params = dict(run.model.named_parameters(remove_duplicate=False))
    with safe_open(os.path.join(folder, "model.safetensors"), "pt") as f:
        stored = list(f.keys())
    grads = {"grad." + k: params[k].grad if params[k].grad is not None else torch.zeros_like(params[k])
             for k in stored}
    arrays = dict(batch, logits=run.logits, hidden=run.hidden * run.mask[..., None],
                  loss=loss.reshape(1), grad_inputs=run.grad_inputs(), **grads)
    arrays["adamw_losses"] = Run(load(folder, cls), kind, batch).adamw(5, 5e-3)
    arrays["adamw_losses_clip"] = Run(load(folder, cls), kind, batch).adamw(5, 5e-3, 0.0, clip=1.0)
    save(os.path.join(folder, "vectors.safetensors"), arrays)
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    steps = " ".join(f"{x:.4f}" for x in arrays["adamw_losses"])
    clip = " ".join(f"{x:.4f}" for x in arrays["adamw_losses_clip"])
    print(f"{name:19s} {size / 1000:6.1f} kB  loss {loss.item():9.6f}  adamw {steps}  clip {clip}", flush=True)
    return size


def make_real(folder, out, texts, head, steps, lr):
    """Reference values of a real model. Language models: logits of the last token only."""
    conf = AutoConfig.from_pretrained(folder)
    cls, extra = conf.architectures[0], {}
    gen = torch.Generator().manual_seed(0)

    def fresh():
        if head is None:
            return load(folder, cls)
        torch.manual_seed(0)
        model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=head, dtype=torch.float32, attn_implementation="eager",
            output_loading_info=True)
        state = model.state_dict()
        for k in sorted(info["missing_keys"]):
            state[k].copy_(torch.randn(state[k].shape, generator=torch.Generator().manual_seed(1)) * 0.02)
            extra["head." + k] = state[k]
        return model.eval()

    model = fresh()
    kind = "classifier" if head else kind_of(cls)
    pad = conf.pad_token_id or 0
    pair = ENCODERS.get(conf.model_type, (None, None))
    first = min(1000, conf.vocab_size // 2)
    lengths = [6 + 5 * i % 37 for i in range(texts)]

    def batch_of(lengths):
        b = {"input_ids": make_batch(gen, lengths, conf.vocab_size, pad, first, *pair),
             "lengths": torch.tensor(lengths)}
        if kind == "classifier":
            b["labels"] = torch.arange(len(lengths)) % model.config.num_labels
        if kind == "encoder":
            b["loss_weight"] = torch.randn(len(lengths), conf.hidden_size, generator=gen)
        return b

    batch, big = batch_of(lengths), batch_of([64] * 16)
    if kind == "classifier":
        big["labels"] = torch.arange(16) % 2
    run = Run(model.requires_grad_(True), kind, batch)
    loss = run.forward()
    loss.backward()
    arrays = dict(batch, loss=loss.reshape(1), grad_inputs=run.grad_inputs())
    if kind == "lm":
        last = batch["lengths"] - 1
        arrays["logits"] = run.logits[torch.arange(texts), last]  # [B,V]: last real token
        logp = run.logits[:, :-1].log_softmax(-1)
        arrays["next_logprob"] = logp.gather(-1, batch["input_ids"][:, 1:, None])[..., 0] * run.mask[:, 1:]
    else:
        arrays["logits"] = run.logits
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    arrays["grad_norm"] = norm.reshape(1)
    del run, model
    model = fresh()
    arrays.update({"step_" + k: v for k, v in big.items()})
    arrays["adamw_losses"] = Run(model, kind, big).adamw(steps, lr)
    save(out, dict(arrays, **extra))
    print(f"{type(model).__name__}: {os.path.getsize(out) / 1000:.1f} kB  loss {loss.item():.6f}  grad norm {norm:.6f}  adamw",
          *(f"{x:.6f}" for x in arrays["adamw_losses"]))


def make_shared(out):
    """A few kB that claim 1.6 million parameters: every tensor is one number, repeated."""
    c = transformers.BertConfig(vocab_size=61, hidden_size=256, num_attention_heads=4, num_hidden_layers=2,
                                intermediate_size=1024, max_position_embeddings=48, num_labels=3,
                                architectures=["BertForSequenceClassification"])
    model = transformers.BertForSequenceClassification(c)
    os.makedirs(out, exist_ok=True)
    c.save_pretrained(out)
    one = torch.zeros(1)
    torch.save({k: one.expand(v.shape) for k, v in model.state_dict().items() if v.is_floating_point()},
               os.path.join(out, "pytorch_model.bin"))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", required=True, help="folder of the tiny models, or the file of --real")
    ap.add_argument("--only", nargs="*", help="names of the tiny models to make (default: all)")
    ap.add_argument("--real", metavar="DIR", help="a model folder: make the vectors of that model instead")
    ap.add_argument("--texts", type=int, default=8, help="with --real: sequences (default 8)")
    ap.add_argument("--head", type=int, metavar="N", help="with --real: a fresh head of N labels, stored as head.NAME")
    ap.add_argument("--steps", type=int, default=5, help="with --real: steps of AdamW (default 5)")
    ap.add_argument("--lr", type=float, default=5e-5, help="with --real: rate of AdamW (default 5e-5)")
    ap.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    if args.real:
        make_real(args.real, args.out, args.texts, args.head, args.steps, args.lr)
        return
    make_shared(os.path.join(args.out, "hostile", "shared"))
    total = sum(make_family(args.out, name) for name in args.only or FAMILIES)
    print(f"{total / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
