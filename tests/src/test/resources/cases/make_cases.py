"""Reference cases of many architectures, PEFT methods and layouts, made with the real PEFT and transformers.

usage: make_cases.py OUT SEED [REGEX]     REGEX selects cases by "kind/name"

OUT/KIND/NAME/base       the base, as save_pretrained lays it out (KIND: arch, methods, layout, quant)
OUT/KIND/NAME/adapter    the adapter, as PEFT saves it, every trained tensor random
OUT/KIND/NAME/merged     PEFT's merge_and_unload(safe_merge=True) of the two, loaded from disk, as save_pretrained lays it out
OUT/KIND/NAME/io.safetensors   in.* inputs; base.logits, adapter.logits (unmerged), merged.logits
OUT/KIND/NAME/case.json  what it is; "peft_error" where PEFT itself cannot merge it; "alone" how far PEFT's merged logits are
                         from its unmerged ones
"""
import json, os, re, shutil, sys, warnings, traceback
warnings.filterwarnings("ignore")
os.environ.setdefault("HF_HUB_OFFLINE", "1"); os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import torch
torch.set_num_threads(1)
from safetensors.torch import save_file, load_file
import transformers, peft
transformers.utils.logging.disable_progress_bar(); transformers.utils.logging.set_verbosity_error()
from transformers import AutoConfig, AutoModelForCausalLM
from peft import LoraConfig, VeraConfig, get_peft_model, PeftModel

OUT, SEED = sys.argv[1], int(sys.argv[2])
ONLY = re.compile(sys.argv[3] if len(sys.argv) > 3 else "")
V, H, F, L, HEADS, P = (int(x) for x in os.environ.get("SIZES", "128 32 48 2 4 128").split())
T = transformers

# --- tools ------------------------------------------------------------------------------------------------------------

def cls(name): return getattr(T, name)

def strong(model, seed):
    """Values large enough that a wrong rotation, mask or norm shows."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for n, w in model.named_parameters():
            if not w.dtype.is_floating_point: continue
            if w.dim() > 1: w.copy_((torch.randn(w.shape, generator=g) * 0.15).to(w.dtype))
            else: w.copy_((w.float() + 0.1 * torch.randn(w.shape, generator=g)).to(w.dtype))
    return model

def randomise(p, seed, scale=0.2):
    """Trained-looking adapters: nothing zero."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for n, w in p.named_parameters():
            if w.requires_grad:
                r = torch.randn(w.shape, generator=g) * scale
                keep = any(k in n for k in ("magnitude", "modules_to_save", "ia3", "ln_tuning", "trainable_tokens", "base_layer", "road", "vector_bank", "logits")) or n.endswith("bias") or "lora_" not in n and w.dim() == 1
                w.copy_((r * (0.5 if keep else 1) + (w.float() if keep else 0)).to(w.dtype))

def text(batch=2, length=24, pad=0, low=5):
    """Two sequences, the second padded on the right."""
    g = torch.Generator().manual_seed(SEED + 1)
    ids = torch.randint(low, V, (batch, length), generator=g); mask = torch.ones_like(ids)
    mask[1, length - 6:] = 0; ids[1, length - 6:] = pad
    return {"input_ids": ids, "attention_mask": mask}

def pixels(size=16):
    return {"pixel_values": torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(SEED + 1))}

def tokenizer(folder, pad=0):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if pad == 1: words[0], words[1] = words[1], words[0]
    vocab = {w: i for i, w in enumerate(words + [f"w{i}" for i in range(len(words), V)])}
    t = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]")); t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    t.save(f"{folder}/tokenizer.json")
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "eos_token": "[SEP]"}, open(f"{folder}/tokenizer_config.json", "w"))

def outputs(m, x):
    m.eval()
    with torch.no_grad(): o = m(**x)
    for k in ("logits", "start_logits", "logits_per_image", "last_hidden_state"):
        if getattr(o, k, None) is not None: return getattr(o, k).float().contiguous()
    raise ValueError("no output")

def clean(folder):
    for junk in ("README.md",):
        if os.path.exists(f"{folder}/{junk}"): os.remove(f"{folder}/{junk}")

def load(kind, folder, **kw):
    return kind.from_pretrained(folder, dtype="auto", **kw)

def reference(d, kind, x, note, adapter="adapter", out="merged", load_kw=None, prepare=None, **kw):
    """PEFT's own merge of what lies on disk."""
    io = {}; info = dict(note, model_class=kind.__name__)
    base = load(kind, f"{d}/base", **(load_kw or {}))
    if prepare: prepare(base)
    try:
        if x is not None:
            io.update({("in." + k): v.contiguous() for k, v in x.items()}); io["base.logits"] = outputs(base, x)
    except Exception as e: info["forward_error"] = f"{type(e).__name__}: {e}"[:300]; x = None
    p = PeftModel.from_pretrained(base, f"{d}/{adapter}", **kw)
    if x is not None: io["adapter.logits"] = outputs(p, x)
    try:
        merged = p.merge_and_unload(safe_merge=True)
        if x is not None:
            io["merged.logits"] = outputs(merged, x)
            info["alone"] = float((io["merged.logits"] - io["adapter.logits"]).abs().max())
            info["changes"] = float((io["merged.logits"] - io["base.logits"]).abs().max()) if io["merged.logits"].shape == io["base.logits"].shape else None
        merged.save_pretrained(f"{d}/{out}"); clean(f"{d}/{out}")
    except Exception as e: info["peft_error"] = f"{type(e).__name__}: {e}"[:400]
    if io: save_file(io, f"{d}/io.safetensors")
    json.dump(info, open(f"{d}/case.json", "w"), indent=1)
    return info

CASES = {}
def case(kind, name):
    def add(f): CASES[f"{kind}/{name}"] = f; return f
    return add

def folder(key):
    d = f"{OUT}/{key}"; shutil.rmtree(d, ignore_errors=True); os.makedirs(d); return d

# --- 1. architectures -------------------------------------------------------------------------------------------------

def arch(name, kind, config, targets, x=None, task="causal-lm", pad=0, after=None, lora=None, kw=None):
    @case("arch", name)
    def make(key):
        d = folder(key); torch.manual_seed(SEED)
        cfg = config() if callable(config) else config
        k = cls(kind) if isinstance(kind, str) else kind
        m = strong(k(cfg) if not k.__name__.startswith("AutoModel") else k.from_config(cfg), SEED + 2); real = type(m)
        m.save_pretrained(f"{d}/base"); 
        if task in ("causal-lm", "classification"): tokenizer(f"{d}/base", pad)
        if after: after(f"{d}/base")
        inputs = text(pad=pad) if x is None else x() if callable(x) else x
        m = load(real, f"{d}/base")
        p = get_peft_model(m, LoraConfig(**{**dict(r=4, lora_alpha=8, target_modules=targets), **(lora or {})})); randomise(p, SEED + 3)
        p.save_pretrained(f"{d}/adapter"); clean(f"{d}/adapter")
        return reference(d, real, inputs, {"task": task, "targets": targets})

QV, ALL7 = ["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CLM = "AutoModelForCausalLM"
def dec(**kw): return dict(dict(vocab_size=V, hidden_size=H, num_hidden_layers=L, num_attention_heads=HEADS, num_key_value_heads=2, intermediate_size=F, max_position_embeddings=P, pad_token_id=0, bos_token_id=2, eos_token_id=3), **kw)
def c(name, **kw): return lambda: cls(name)(**kw)
def rope(t, **kw): return dict(rope_type=t, rope_theta=10000.0, **kw)
LL3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)

def old_style(**edit):
    """config.json as transformers 4 wrote it."""
    def f(b):
        p = f"{b}/config.json"; j = json.load(open(p)); r = j.pop("rope_parameters", None) or {}
        theta = r.pop("rope_theta", None); t = r.pop("rope_type", "default")
        if theta is not None: j["rope_theta"] = theta
        j["rope_scaling"] = None if t == "default" else dict(r, rope_type=t)
        j["torch_dtype"] = j.pop("dtype", "float32"); j["transformers_version"] = "4.45.0"; j.update(edit)
        json.dump({k: v for k, v in j.items() if v != "DROP"}, open(p, "w"), indent=2)
    return f

arch("llama_llama3_bias_untied", CLM, c("LlamaConfig", **dec(rope_parameters=LL3, attention_bias=True, tie_word_embeddings=False)), ALL7)
arch("llama_llama3_mlp_bias_tied", CLM, c("LlamaConfig", **dec(rope_parameters=LL3, mlp_bias=True, tie_word_embeddings=True)), ALL7)
arch("llama_old_config", CLM, c("LlamaConfig", **dec(rope_parameters=LL3, tie_word_embeddings=True)), QV, after=old_style())
arch("llama_old_rope_type_key", CLM, c("LlamaConfig", **dec(rope_parameters=rope("linear", factor=4.0))), QV, after=old_style(rope_scaling={"type": "linear", "factor": 4.0}))
arch("llama_rope_dynamic", CLM, c("LlamaConfig", **dec(rope_parameters=rope("dynamic", factor=4.0), max_position_embeddings=16)), QV)
arch("llama_rope_yarn", CLM, c("LlamaConfig", **dec(rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=16))), QV)
arch("llama_rope_longrope", CLM, c("LlamaConfig", **dec(rope_parameters=rope("longrope", factor=4.0, original_max_position_embeddings=16, long_factor=[2.0] * 4, short_factor=[1.5] * 4))), QV)
arch("llama_head_dim16", CLM, c("LlamaConfig", **dec(head_dim=16)), QV)
arch("llama_gelu_mqa", CLM, c("LlamaConfig", **dec(num_key_value_heads=1, hidden_act="gelu_pytorch_tanh")), QV)
arch("llama_bare_LlamaModel", "LlamaModel", c("LlamaConfig", **dec()), QV)
arch("llama_seqcls", "LlamaForSequenceClassification", c("LlamaConfig", **dec(num_labels=3)), QV, task="classification")
arch("llama_tokencls", "LlamaForTokenClassification", c("LlamaConfig", **dec(num_labels=3)), QV, task="classification")
arch("mistral_window", CLM, c("MistralConfig", **dec(sliding_window=8, head_dim=16)), ALL7)
arch("mistral_no_window", CLM, c("MistralConfig", **dec(sliding_window=None)), ALL7)
arch("ministral", CLM, c("MinistralConfig", **dec(head_dim=8, sliding_window=8, layer_types=["sliding_attention", "full_attention"], rope_parameters=rope("default"))), QV)
arch("qwen2", CLM, c("Qwen2Config", **dec(tie_word_embeddings=True)), ALL7)
arch("qwen2_window", CLM, c("Qwen2Config", **dec(use_sliding_window=True, sliding_window=8, max_window_layers=1)), ALL7)
arch("qwen3", CLM, c("Qwen3Config", **dec(head_dim=8, tie_word_embeddings=True)), ALL7)
arch("qwen3_moe", CLM, c("Qwen3MoeConfig", **dec(head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, decoder_sparse_step=1)), ["q_proj", "k_proj", "v_proj", "o_proj"])
NEXT = dict(linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8, linear_conv_kernel_dim=4, layer_types=["linear_attention", "full_attention"], head_dim=16)
arch("qwen3_next", CLM, c("Qwen3NextConfig", **dec(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16, **NEXT)), ["q_proj", "v_proj", "in_proj_qkvz", "out_proj"])
arch("qwen3_5_text", CLM, c("Qwen3_5TextConfig", **dec(**NEXT)), ["q_proj", "v_proj", "out_proj", "up_proj"])
arch("gemma", CLM, c("GemmaConfig", **dec(head_dim=8)), ALL7)
arch("gemma2", CLM, c("Gemma2Config", **dec(head_dim=8, sliding_window=8)), ALL7)
arch("gemma3_text", CLM, c("Gemma3TextConfig", **dec(head_dim=8, sliding_window=8)), ALL7)
def gemma3(): return T.Gemma3Config(text_config=dec(head_dim=8, sliding_window=8), vision_config=dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=8), mm_tokens_per_image=4, image_token_index=4, boi_token_index=120, eoi_token_index=121)
arch("gemma3_multimodal", "Gemma3ForConditionalGeneration", gemma3, r".*language_model.*\.(q_proj|v_proj)", task="multimodal")
def qwen2vl(): return T.Qwen2VLConfig(text_config=dec(rope_parameters=dict(rope_type="default", mrope_section=[1, 1, 2], rope_theta=1e4)), vision_config=dict(depth=1, embed_dim=16, hidden_size=H, num_heads=2, mlp_ratio=2, patch_size=4), image_token_id=120, video_token_id=121, vision_start_token_id=122, vision_end_token_id=123)
arch("qwen2_vl", "Qwen2VLForConditionalGeneration", qwen2vl, QV, task="multimodal")
def llava(): return T.LlavaConfig(text_config=dict(dec(), model_type="llama"), vision_config=dict(model_type="clip_vision_model", hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=8, projection_dim=16), image_token_index=4)
arch("llava", "LlavaForConditionalGeneration", llava, r".*language_model.*\.(q_proj|v_proj)", task="multimodal")
arch("phi", CLM, c("PhiConfig", **dec()), ["q_proj", "v_proj", "dense", "fc1", "fc2"])
arch("phi3", CLM, c("Phi3Config", **dec()), ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"])
arch("gpt_neox", CLM, c("GPTNeoXConfig", **dec()), ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"])
arch("gptj", CLM, c("GPTJConfig", vocab_size=V, n_embd=H, n_layer=L, n_head=HEADS, n_positions=P, rotary_dim=4, bos_token_id=2, eos_token_id=3), QV)
arch("gpt_neo", CLM, c("GPTNeoConfig", vocab_size=V, hidden_size=H, num_layers=L, num_heads=HEADS, attention_types=[[["global", "local"], 1]], window_size=8, max_position_embeddings=P, intermediate_size=F, bos_token_id=2, eos_token_id=3), QV)
arch("gpt_bigcode", CLM, c("GPTBigCodeConfig", vocab_size=V, n_embd=H, n_layer=L, n_head=HEADS, n_positions=P, n_inner=F, bos_token_id=2, eos_token_id=3), ["c_attn", "c_proj"])
arch("opt", CLM, c("OPTConfig", vocab_size=V, hidden_size=H, num_hidden_layers=L, num_attention_heads=HEADS, ffn_dim=F, max_position_embeddings=P, word_embed_proj_dim=H, pad_token_id=1), ["q_proj", "v_proj", "out_proj", "fc1", "fc2"], pad=1)
arch("falcon", CLM, c("FalconConfig", vocab_size=V, hidden_size=H, num_hidden_layers=L, num_attention_heads=HEADS, ffn_hidden_size=F, bos_token_id=2, eos_token_id=3), ["query_key_value", "dense", "dense_h_to_4h"])
arch("bloom", CLM, c("BloomConfig", vocab_size=V, hidden_size=H, n_layer=L, n_head=HEADS, bos_token_id=2, eos_token_id=3), ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"])
arch("mixtral", CLM, c("MixtralConfig", **dec(num_local_experts=4, num_experts_per_tok=2, sliding_window=None)), QV)
arch("gpt_oss", CLM, c("GptOssConfig", **dec(head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=8, layer_types=["sliding_attention", "full_attention"], rope_parameters=rope("yarn", factor=4.0, beta_fast=32.0, beta_slow=1.0, truncate=False, original_max_position_embeddings=32))), QV)
arch("deepseek_v3", CLM, c("DeepseekV3Config", **dec(num_key_value_heads=4, q_lora_rank=8, kv_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8, n_routed_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1, n_shared_experts=1, first_k_dense_replace=1, moe_intermediate_size=16)), ["q_a_proj", "q_b_proj", "kv_b_proj", "o_proj"])
arch("olmo2", CLM, c("Olmo2Config", **dec()), ALL7)
arch("smollm3", CLM, c("SmolLM3Config", **dec(no_rope_layers=[1, 0])), ALL7)
arch("cohere", CLM, c("CohereConfig", **dec()), ALL7)
arch("cohere2", CLM, c("Cohere2Config", **dec(sliding_window=8, layer_types=["sliding_attention", "full_attention"])), ALL7)
arch("starcoder2", CLM, c("Starcoder2Config", **dec()), ["q_proj", "v_proj", "c_fc", "c_proj"])
arch("granite", CLM, c("GraniteConfig", **dec(embedding_multiplier=2.0, logits_scaling=2.0, residual_multiplier=0.5, attention_multiplier=0.3)), ALL7)
arch("exaone4", CLM, c("Exaone4Config", **dec(sliding_window=8, sliding_window_pattern=2)), ALL7)
arch("glm4", CLM, c("Glm4Config", **dec(head_dim=8)), ["q_proj", "v_proj", "gate_up_proj"])
arch("mamba", CLM, c("MambaConfig", vocab_size=V, hidden_size=H, num_hidden_layers=L, state_size=4), ["in_proj", "x_proj"], x=lambda: {"input_ids": text()["input_ids"]})
G2 = dict(vocab_size=V, n_embd=H, n_layer=L, n_head=HEADS, n_positions=P, bos_token_id=2, eos_token_id=3)
arch("gpt2", CLM, c("GPT2Config", **G2), ["c_attn", "c_proj", "c_fc"], lora=dict(fan_in_fan_out=True))
arch("gpt2_fan_flag_false", CLM, c("GPT2Config", **G2), ["c_attn"], lora=dict(fan_in_fan_out=False))
arch("gpt2_scale_by_layer", CLM, c("GPT2Config", scale_attn_by_inverse_layer_idx=True, **G2), ["c_attn"], lora=dict(fan_in_fan_out=True))
arch("gpt2_no_scale_n_inner_relu", CLM, c("GPT2Config", scale_attn_weights=False, n_inner=40, activation_function="relu", **G2), ["c_attn", "c_fc"], lora=dict(fan_in_fan_out=True))
arch("gpt2_no_dropout", CLM, c("GPT2Config", attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, **G2), ["c_attn"], lora=dict(fan_in_fan_out=True))
arch("gpt2_seqcls", "GPT2ForSequenceClassification", c("GPT2Config", num_labels=3, pad_token_id=0, **G2), ["c_attn"], lora=dict(fan_in_fan_out=True), task="classification")
arch("qwen2_seqcls", "Qwen2ForSequenceClassification", c("Qwen2Config", **dec(num_labels=3)), QV, task="classification")
arch("qwen2_window_old_config", CLM, c("Qwen2Config", **dec(use_sliding_window=True, sliding_window=8, max_window_layers=1)), QV, after=old_style(layer_types="DROP"))
arch("mistral_old_config", CLM, c("MistralConfig", **dec(sliding_window=8)), QV, after=old_style(head_dim="DROP"))
arch("gpt2_double_heads", "GPT2DoubleHeadsModel", c("GPT2Config", **G2), ["c_attn"], lora=dict(fan_in_fan_out=True))

E = dict(vocab_size=V, hidden_size=H, num_hidden_layers=L, num_attention_heads=HEADS, intermediate_size=F, max_position_embeddings=P, num_labels=3)
SEQ = "AutoModelForSequenceClassification"; CL = dict(task="classification")
arch("bert_seqcls", SEQ, c("BertConfig", **E), ["query", "value"], **CL)
arch("bert_multilabel", SEQ, c("BertConfig", problem_type="multi_label_classification", **E), ["query", "value"], **CL)
arch("bert_regression", SEQ, c("BertConfig", **{**E, "num_labels": 1}), ["query", "value"], **CL)
arch("bert_gelu_new", SEQ, c("BertConfig", hidden_act="gelu_new", **E), ["query", "value"], **CL)
arch("bert_quick_gelu", SEQ, c("BertConfig", hidden_act="quick_gelu", **E), ["query", "value"], **CL)
arch("bert_nextsentence", "BertForNextSentencePrediction", c("BertConfig", **{**E, "num_labels": 2}), ["query", "value"], **CL)
arch("bert_pretraining", "BertForPreTraining", c("BertConfig", **E), ["query", "value"], x=lambda: None, **CL)
arch("bert_multiplechoice", "BertForMultipleChoice", c("BertConfig", **E), ["query", "value"], x=lambda: None, **CL)
arch("roberta_tokencls", "RobertaForTokenClassification", c("RobertaConfig", pad_token_id=1, **{**E, "max_position_embeddings": P + 2}), ["query", "value"], pad=1, **CL)
arch("vit_maskedimage", "ViTForMaskedImageModeling", c("ViTConfig", encoder_stride=4, **{k: v for k, v in dict(hidden_size=H, num_hidden_layers=L, num_attention_heads=HEADS, intermediate_size=F, image_size=16, patch_size=4).items()}), QV, x=lambda: None, task="image-classification")
arch("bert_maskedlm", "BertForMaskedLM", c("BertConfig", **E), ["query", "value"], **CL)
arch("bert_tokencls", "BertForTokenClassification", c("BertConfig", **E), ["query", "value"], **CL)
arch("bert_qa", "BertForQuestionAnswering", c("BertConfig", **{**E, "num_labels": 2}), ["query", "value"], **CL)
arch("bert_is_decoder_lmhead", "BertLMHeadModel", c("BertConfig", is_decoder=True, **E), ["query", "value"], **CL)
arch("bert_model", "BertModel", c("BertConfig", **E), ["query", "value"], **CL)
arch("distilbert", SEQ, c("DistilBertConfig", vocab_size=V, dim=H, n_layers=L, n_heads=HEADS, hidden_dim=F, max_position_embeddings=P, num_labels=3), ["q_lin", "v_lin"], **CL)
arch("roberta", SEQ, c("RobertaConfig", pad_token_id=1, **{**E, "max_position_embeddings": P + 2}), ["query", "value"], pad=1, **CL)
arch("roberta_maskedlm", "RobertaForMaskedLM", c("RobertaConfig", pad_token_id=1, **{**E, "max_position_embeddings": P + 2}), ["query", "value"], pad=1, **CL)
arch("xlm_roberta", SEQ, c("XLMRobertaConfig", pad_token_id=1, **{**E, "max_position_embeddings": P + 2}), ["query", "value"], pad=1, **CL)
arch("camembert", SEQ, c("CamembertConfig", pad_token_id=1, **{**E, "max_position_embeddings": P + 2}), ["query", "value"], pad=1, **CL)
arch("deberta_v2", SEQ, c("DebertaV2Config", relative_attention=True, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0, **E), ["query_proj", "value_proj"], **CL)
arch("electra", SEQ, c("ElectraConfig", embedding_size=16, **E), ["query", "value"], **CL)
arch("albert", SEQ, c("AlbertConfig", embedding_size=16, **E), ["query", "value"], **CL)
arch("modernbert", SEQ, c("ModernBertConfig", **{**E, "pad_token_id": 0, "local_attention": 8, "global_attn_every_n_layers": 2, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}), ["Wqkv", "Wo", "Wi"], **CL)
arch("mpnet", SEQ, c("MPNetConfig", **{**E, "max_position_embeddings": P + 2}), ["q", "v"], pad=1, **CL)
arch("nomic_bert", SEQ, c("NomicBertConfig", **E), "all-linear", **CL)
arch("layoutlm_like_ernie", SEQ, c("ErnieConfig", **E), ["query", "value"], **CL)
def enc_dec(pad=0): x = text(pad=pad); return dict(x, decoder_input_ids=text(pad=pad)["input_ids"])
arch("t5", "T5ForConditionalGeneration", c("T5Config", vocab_size=V, d_model=H, d_kv=8, d_ff=F, num_layers=L, num_heads=HEADS, decoder_start_token_id=0), ["q", "v"], x=enc_dec, task="seq2seq")
arch("bart", "BartForConditionalGeneration", c("BartConfig", vocab_size=V, d_model=H, encoder_layers=L, decoder_layers=L, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=F, decoder_ffn_dim=F, max_position_embeddings=P, pad_token_id=1), QV, x=lambda: enc_dec(1), task="seq2seq")
arch("whisper", "WhisperForConditionalGeneration", c("WhisperConfig", vocab_size=V, d_model=H, encoder_layers=1, decoder_layers=1, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=F, decoder_ffn_dim=F, num_mel_bins=8, max_source_positions=16, max_target_positions=32, pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2, suppress_tokens=None, begin_suppress_tokens=None), QV,
     x=lambda: {"input_features": torch.randn(2, 8, 32, generator=torch.Generator().manual_seed(SEED)), "decoder_input_ids": text()["input_ids"][:, :8]}, task="speech")
CV = dict(hidden_size=H, num_hidden_layers=L, num_attention_heads=HEADS, intermediate_size=F, image_size=16, patch_size=8)
CT = dict(vocab_size=V, hidden_size=H, num_hidden_layers=L, num_attention_heads=HEADS, intermediate_size=F, max_position_embeddings=32, pad_token_id=0, bos_token_id=2, eos_token_id=3)
arch("clip", "CLIPModel", lambda: T.CLIPConfig(text_config=CT, vision_config=CV, projection_dim=16), QV, x=lambda: dict(text(), **pixels()), task="image-text")
arch("siglip", "SiglipModel", lambda: T.SiglipConfig(text_config=CT, vision_config=CV), QV, x=lambda: dict(text(), **pixels()), task="image-text")
IMG = dict(task="image-classification")
VC = dict(hidden_size=H, num_hidden_layers=L, num_attention_heads=HEADS, intermediate_size=F, image_size=16, patch_size=4, num_labels=5)
arch("vit", "ViTForImageClassification", c("ViTConfig", **VC), ["q_proj", "v_proj"], x=pixels, **IMG)
arch("vit_no_qkv_bias", "ViTForImageClassification", c("ViTConfig", qkv_bias=False, hidden_act="gelu_new", **VC), ["q_proj", "v_proj"], x=pixels, **IMG)
arch("vit_model", "ViTModel", c("ViTConfig", **VC), ["q_proj", "v_proj"], x=pixels, **IMG)
arch("deit", "DeiTForImageClassification", c("DeiTConfig", **VC), "all-linear", x=pixels, **IMG)
arch("dinov2", "Dinov2ForImageClassification", c("Dinov2Config", **{k: v for k, v in VC.items() if k != "intermediate_size"}), "all-linear", x=pixels, **IMG)
arch("swin", "SwinForImageClassification", c("SwinConfig", image_size=16, patch_size=2, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=2, num_labels=5), "all-linear", x=pixels, **IMG)

# --- 2. PEFT's methods ------------------------------------------------------------------------------------------------

def llama(**kw): return T.LlamaForCausalLM(T.LlamaConfig(**dec(**kw)))
def bert(**kw): return T.BertForSequenceClassification(T.BertConfig(**{**E, **kw}))

def method(name, config, base=None, pad=0, x=None, before=None, save=None, after=None, dtype=None, shard=None, train=None, prepare=None, kind="methods", load_kw=None, base_after=None, rand=True):
    """config: PEFT config (thunk); before(model): what is done to a fresh base before wrapping; after(folder): edits files."""
    @case(kind, name)
    def make(key):
        d = folder(key); torch.manual_seed(SEED)
        m = strong((base or llama)(), SEED + 2); real = type(m)
        if dtype: m = m.to(dtype)
        m.save_pretrained(f"{d}/base", **({"max_shard_size": shard} if shard else {})); tokenizer(f"{d}/base", pad)
        if base_after: base_after(f"{d}/base")
        m = load(real, f"{d}/base"); torch.manual_seed(SEED + 5)
        if before: before(m)
        cfg = config() if callable(config) else config
        p = get_peft_model(m, cfg) if not train else train(m, cfg, d)
        if rand: randomise(p, SEED + 3)
        p.save_pretrained(f"{d}/adapter", **(save or {})) if not callable(save) else save(p, f"{d}/adapter"); clean(f"{d}/adapter")
        inputs = text(pad=pad) if x is None else x()
        info = reference(d, real, inputs, {"method": name}, prepare=prepare or before, load_kw=load_kw)
        if after: after(d)
        return info

P_ = peft
ATT, BATT = QV, ["query", "value"]
def on(base, name, make):
    """one method on llama and on bert"""
    method(f"{name}", make(ATT, ["up_proj", "down_proj"]))
    method(f"{name}_bert", make(BATT, ["intermediate.dense", "output.dense"]), base=bert)
TUNERS = {
    "loha": lambda a, f: lambda: P_.LoHaConfig(r=4, alpha=8, target_modules=a + f),
    "lokr": lambda a, f: lambda: P_.LoKrConfig(r=4, alpha=8, target_modules=a + f, decompose_both=True),
    "ia3": lambda a, f: lambda: P_.IA3Config(target_modules=a + f[-1:], feedforward_modules=f[-1:]),
    "oft": lambda a, f: lambda: P_.OFTConfig(r=0, oft_block_size=8, target_modules=a),
    "boft": lambda a, f: lambda: P_.BOFTConfig(boft_block_size=4, boft_n_butterfly_factor=1, target_modules=a),
    "vblora": lambda a, f: lambda: P_.VBLoRAConfig(r=4, num_vectors=16, vector_length=8, topk=2, target_modules=a),
    "randlora": lambda a, f: lambda: P_.RandLoraConfig(r=4, target_modules=a, projection_prng_key=7, save_projection=True),
    "fourierft": lambda a, f: lambda: P_.FourierFTConfig(n_frequency=50, target_modules=a),
    "hra": lambda a, f: lambda: P_.HRAConfig(r=4, target_modules=a),
    "miss": lambda a, f: lambda: P_.MissConfig(r=4, target_modules=a),
    "miss_bat": lambda a, f: lambda: P_.MissConfig(r=8, init_weights="bat", target_modules=a[:1]),
    "shira": lambda a, f: lambda: P_.ShiraConfig(r=4, target_modules=a, random_seed=3),
    "c3a": lambda a, f: lambda: P_.C3AConfig(block_size=8, target_modules=a),
    "road": lambda a, f: lambda: P_.RoadConfig(target_modules=a, group_size=8),
    "delora": lambda a, f: lambda: P_.DeloraConfig(r=4, delora_lambda=15, target_modules=a),
    "waveft": lambda a, f: lambda: P_.WaveFTConfig(n_frequency=50, target_modules=a),
    "adalora": lambda a, f: lambda: P_.AdaLoraConfig(init_r=6, target_r=4, total_step=10, target_modules=a),
    "tinylora": lambda a, f: lambda: P_.TinyLoraConfig(r=2, u=8, target_modules=a),
    "unilora": lambda a, f: lambda: P_.UniLoraConfig(r=4, theta_d_length=64, target_modules=a),
    "pvera": lambda a, f: lambda: P_.PveraConfig(r=8, target_modules=a, save_projection=True),
    "hira": lambda a, f: lambda: P_.HiraConfig(r=4, target_modules=a),
    "gralora": lambda a, f: lambda: P_.GraloraConfig(r=4, gralora_k=2, target_modules=a),
    "psoft": lambda a, f: lambda: P_.PsoftConfig(r=4, target_modules=a),
    "lily": lambda a, f: lambda: P_.LilyConfig(r=4, stride_A=1, num_B=2, target_modules=a),
    "glora": lambda a, f: lambda: P_.GloraConfig(r=4, target_modules=a),
    "peanut": lambda a, f: lambda: P_.PeanutConfig(r=4, target_modules=a),
    "frod": lambda a, f: lambda: P_.FrodConfig(target_modules=a),
    "beft": lambda a, f: lambda: P_.BeftConfig(target_modules=["v_proj"] if "v_proj" in a else ["value"]),
    "adamss": lambda a, f: lambda: P_.AdamssConfig(r=8, num_subspaces=2, subspace_rank=1, target_modules=a),
    "osf": lambda a, f: lambda: P_.OSFConfig(target_modules=a, effective_rank=8),
    "deft": lambda a, f: lambda: P_.DeftConfig(r=4, target_modules=a),
    "ln_tuning": lambda a, f: lambda: P_.LNTuningConfig(target_modules=["input_layernorm", "norm"] if "q_proj" in a else ["LayerNorm"]),
    "vera": lambda a, f: lambda: VeraConfig(r=8, target_modules=a, save_projection=False, projection_prng_key=11),
    "vera_mixed_shapes": lambda a, f: lambda: VeraConfig(r=8, target_modules=a + f, save_projection=True),
    "vera_mixed_shapes_seed": lambda a, f: lambda: VeraConfig(r=8, target_modules=a + f, save_projection=False),
}
for n, mk in TUNERS.items(): on(None, n, mk)
method("trainable_tokens", lambda: P_.TrainableTokensConfig(token_indices=[3, 7, 90], target_modules=["embed_tokens"]))
method("trainable_tokens_tied", lambda: P_.TrainableTokensConfig(token_indices=[3, 7, 90], target_modules=["embed_tokens"]), base=lambda: llama(tie_word_embeddings=True))
def bone(d):
    p = f"{d}/adapter/adapter_config.json"; j = json.load(open(p)); j["peft_type"] = "BONE"; json.dump(j, open(p, "w"), indent=1)
method("bone_old", TUNERS["miss"](ATT, []), after=bone)
method("prompt_tuning", lambda: P_.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
method("prefix_tuning", lambda: P_.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))

def lora(targets=None, **kw): return lambda: LoraConfig(**{**dict(r=4, lora_alpha=8, target_modules=targets or ATT), **kw})
def initial(m, cfg, d):
    """PiSSA and the like: keep what it started from, for path_initial_model_for_weight_conversion."""
    cfg.init_lora_weights, kept = cfg.init_lora_weights, cfg.init_lora_weights
    p = get_peft_model(m, cfg); p.peft_config["default"].init_lora_weights = True
    p.save_pretrained(f"{d}/initial"); p.peft_config["default"].init_lora_weights = kept; return p
def converted(p, path): p.save_pretrained(path, path_initial_model_for_weight_conversion=os.path.dirname(path) + "/initial")
for n in ("pissa", "pissa_niter_4", "olora"):
    method(f"lora_{n}", lora(init_lora_weights=n))
    method(f"lora_{n}_converted", lora(init_lora_weights=n), train=initial, save=converted)
def data():
    for i in range(4): yield text(batch=4)
def eva(m, cfg, d):
    p = get_peft_model(m, cfg); peft.initialize_lora_eva_weights(p, dataloader=list(data())); return p
method("lora_eva", lambda: LoraConfig(r=4, lora_alpha=8, target_modules=ATT, init_lora_weights="eva", eva_config=peft.EvaConfig(rho=2.0)), train=eva)
def corda(m, cfg, d):
    from peft.tuners.lora.corda import preprocess_corda
    def run():
        with torch.no_grad():
            for b in data(): m(**b)
    preprocess_corda(m, cfg, run_model=run); return get_peft_model(m, cfg)
method("lora_corda", lambda: LoraConfig(r=4, lora_alpha=4, target_modules=ATT, init_lora_weights="corda", corda_config=peft.tuners.lora.config.CordaConfig(corda_method="ipm")), train=corda)
for n in ("gaussian", "orthogonal"): method(f"lora_init_{n}", lora(init_lora_weights=n))
method("lora_alora", lora(alora_invocation_tokens=[7, 8]))
method("lora_bias_option", lora(lora_bias=True), base=lambda: llama(attention_bias=True))
method("lora_bias_option_bert", lora(BATT, lora_bias=True), base=bert)
method("lora_bias_all", lora(bias="all"), base=lambda: llama(attention_bias=True))
method("lora_bias_all_bert", lora(BATT, bias="all"), base=bert)
method("lora_bias_only_bert", lora(BATT, bias="lora_only"), base=bert)
method("lora_bias_all_dora_bert", lora(BATT, bias="all", use_dora=True), base=bert)
def mixtral(): return T.MixtralForCausalLM(T.MixtralConfig(**dec(num_local_experts=4, num_experts_per_tok=2, sliding_window=None, intermediate_size=24)))
def qwen3moe(): return T.Qwen3MoeForCausalLM(T.Qwen3MoeConfig(**dec(head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)))
def gptoss(): return T.GptOssForCausalLM(T.GptOssConfig(**dec(head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=8, intermediate_size=24)))
for n, b in (("mixtral", mixtral), ("qwen3_moe", qwen3moe), ("gpt_oss", gptoss)):
    method(f"target_parameters_{n}", lora(QV, target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]), base=b)
    method(f"target_parameters_{n}_down", lora(QV, target_parameters=["mlp.experts.down_proj"]), base=b)
method("target_parameters_llama", lora(["v_proj"], target_parameters=["q_proj.weight"]))
method("lora_trainable_tokens", lora(trainable_token_indices={"embed_tokens": [3, 7, 90]}))
method("lora_trainable_tokens_tied", lora(trainable_token_indices=[3, 7, 90]), base=lambda: llama(tie_word_embeddings=True))
method("lora_modules_to_save_untied", lora(modules_to_save=["embed_tokens", "lm_head"]))
method("lora_modules_to_save_tied", lora(modules_to_save=["embed_tokens", "lm_head"]), base=lambda: llama(tie_word_embeddings=True))
method("lora_modules_to_save_tied_embed", lora(modules_to_save=["embed_tokens"]), base=lambda: llama(tie_word_embeddings=True))
method("lora_modules_to_save_tied_ensure", lora(modules_to_save=["embed_tokens"], ensure_weight_tying=True), base=lambda: llama(tie_word_embeddings=True))
method("lora_modules_to_save_norms", lora(modules_to_save=["input_layernorm", "norm"]))
method("lora_modules_to_save_mlp", lora(modules_to_save=["mlp"]))
method("lora_task_type_seqcls_bert", lora(BATT, task_type="SEQ_CLS"), base=bert)
method("lora_embed_lm_head_untied", lora(ATT + ["embed_tokens", "lm_head"]))
method("lora_embed_lm_head_tied", lora(ATT + ["embed_tokens", "lm_head"]), base=lambda: llama(tie_word_embeddings=True))
method("lora_embed_tied", lora(ATT + ["embed_tokens"]), base=lambda: llama(tie_word_embeddings=True))
method("lora_embed_tied_ensure", lora(ATT + ["embed_tokens"], ensure_weight_tying=True), base=lambda: llama(tie_word_embeddings=True))
method("dora_embed", lora(ATT + ["embed_tokens"], use_dora=True))
def grow(m): torch.manual_seed(SEED + 9); m.resize_token_embeddings(V + 6, mean_resizing=False)
method("lora_resized_vocab_embed", lora(ATT + ["embed_tokens", "lm_head"]), before=grow, save=dict(save_embedding_layers=True))
method("lora_resized_vocab_saved", lora(modules_to_save=["embed_tokens", "lm_head"]), before=grow)
method("lora_resized_vocab_auto", lora(), before=grow, save=dict(save_embedding_layers=True))
method("lora_resized_vocab_auto_tied", lora(), base=lambda: llama(tie_word_embeddings=True), before=grow, save=dict(save_embedding_layers=True))
method("lora_layer_replication", lora(layer_replication=[[0, 2], [1, 2]]))
method("lora_rank_pattern_regex", lora(ALL7, rank_pattern={r"layers\.0\..*\.(q|k)_proj": 2, "down_proj": 6}, alpha_pattern={r"^model.layers.1.self_attn.v_proj$": 3, r".*mlp.*": 5}))
method("lora_rank_pattern_caret", lora(ALL7, rank_pattern={r"^model\.layers\.1\..*": 2}, alpha_pattern={r"model.layers.0.self_attn.q_proj": 3}))
method("lora_rank_pattern_rslora", lora(ALL7, rank_pattern={"q_proj": 9}, use_rslora=True))
method("lora_exclude_modules_list", lora(ALL7, exclude_modules=["layers.0.self_attn.q_proj", "down_proj"]))
method("lora_exclude_modules_regex", lora(ALL7, exclude_modules=r".*layers\.1\.mlp.*"))
method("lora_target_regex", lora(r".*\.layers\.[01]\.(self_attn|mlp)\.(q_proj|up_proj)"))
method("lora_all_linear", lora("all-linear"))
method("lora_layers_to_transform", lora(ALL7, layers_to_transform=[1], layers_pattern="layers"))
method("lora_alpha_float", lora(lora_alpha=5.5))
method("lora_qalora", lora(use_qalora=True, qalora_group_size=4))
method("lora_bdlora", lambda: LoraConfig(r=4, lora_alpha=8, target_modules=ATT, use_bdlora=peft.tuners.lora.config.BdLoraConfig(target_modules_bd_a=["q_proj"], target_modules_bd_b=["v_proj"], nblocks=2)))
method("lora_velora", lora(velora_config={"num_groups": 4}))
method("lora_kasa", lambda: LoraConfig(r=4, lora_alpha=8, target_modules=ATT, kasa_config=peft.tuners.lora.config.KasaConfig()))
method("lora_loftq", lambda: LoraConfig(r=4, lora_alpha=8, target_modules=ATT, init_lora_weights="loftq", loftq_config=peft.LoftQConfig(loftq_bits=4, loftq_iter=1)))
method("lora_monteclora", lambda: LoraConfig(r=4, lora_alpha=8, target_modules=ATT, monteclora_config=peft.tuners.lora.config.MontecloraConfig()))
for dt, t in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
    method(f"lora_base_{dt}", lora(ALL7), dtype=t)
    method(f"lora_adapter_{dt}_base_{dt}", lora(ALL7), dtype=t, train=lambda m, cfg, d: get_peft_model(m, cfg, autocast_adapter_dtype=False))
    method(f"dora_base_{dt}", lora(ALL7, use_dora=True), dtype=t)
    method(f"vera_base_{dt}", lambda: VeraConfig(r=8, target_modules=["q_proj", "o_proj"]), dtype=t)
method("lora_sharded", lora(ALL7), shard="40KB")
method("lora_sharded_embeddings", lora(ALL7 + ["embed_tokens"]), shard="20KB")
method("lora_bin", lora(ALL7), save=dict(safe_serialization=False))
def named(p, path): p.save_pretrained(path)
def two(m, cfg, d): p = get_peft_model(m, cfg, adapter_name="french"); return p
def flat(p, path):
    p.save_pretrained(path + "_all"); shutil.copytree(path + "_all/french", path); shutil.rmtree(path + "_all")
method("lora_named_adapter", lora(ALL7), train=two, save=flat)
method("lora_conv2d_vit", lambda: LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "projection"]), base=lambda: T.ViTForImageClassification(T.ViTConfig(**VC)), x=pixels)
method("dora_conv2d_vit", lambda: LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules=["q_proj", "projection"]), base=lambda: T.ViTForImageClassification(T.ViTConfig(**VC)), x=pixels)
method("lora_gpt2_dora_rs", lambda: LoraConfig(r=4, lora_alpha=8, use_dora=True, use_rslora=True, fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "wte", "wpe"]), base=lambda: T.GPT2LMHeadModel(T.GPT2Config(**G2)))
method("lora_bert_embeddings_pooler", lora(BATT + ["word_embeddings", "position_embeddings", "pooler.dense"]), base=bert)
method("lora_bert_head_bias_saved", lora(BATT, modules_to_save=["classifier", "pooler"]), base=bert)
def tokcls(n=3): return T.BertForTokenClassification(T.BertConfig(**{**E, "num_labels": n}))
def qa(): return T.BertForQuestionAnswering(T.BertConfig(**{**E, "num_labels": 2}))
def bare_base(b):
    """The base as a bare BertModel checkpoint, which knows nothing of the task."""
    j = json.load(open(f"{b}/config.json")); j["architectures"] = ["BertModel"]; [j.pop(k, None) for k in ("id2label", "label2id", "num_labels")]; json.dump(j, open(f"{b}/config.json", "w"), indent=1)
    t = load_file(f"{b}/model.safetensors"); save_file({k.removeprefix("bert."): v for k, v in t.items() if k.startswith("bert.")}, f"{b}/model.safetensors", metadata={"format": "pt"})
def then_bare(d): bare_base(f"{d}/base")
method("head_token_cls", lora(BATT, task_type="TOKEN_CLS"), base=tokcls)
method("head_token_cls_bare_base", lora(BATT, task_type="TOKEN_CLS"), base=lambda: tokcls(5), after=then_bare)
def with_pooler(d):
    """As bert-base-uncased is on the hub: a pooler, which the token classifier does not use."""
    then_bare(d); g = torch.Generator().manual_seed(SEED)
    edit("base/model.safetensors", lambda t: dict(t, **{"pooler.dense.weight": torch.randn(H, H, generator=g) * 0.15, "pooler.dense.bias": torch.zeros(H)}))(d)
method("head_token_cls_base_with_pooler", lora(BATT, task_type="TOKEN_CLS"), base=lambda: tokcls(5), after=with_pooler)
method("head_question_answering", lora(BATT, task_type="QUESTION_ANS"), base=qa)
method("head_question_answering_bare_base", lora(BATT, task_type="QUESTION_ANS"), base=qa, after=then_bare)
method("head_seq_cls_bare_base", lora(BATT, task_type="SEQ_CLS"), base=lambda: bert(num_labels=5), after=then_bare)
method("head_llama_seqcls", lora(ATT, task_type="SEQ_CLS"), base=lambda: T.LlamaForSequenceClassification(T.LlamaConfig(**dec(num_labels=3))))
method("head_llama_tokencls", lora(ATT, task_type="TOKEN_CLS"), base=lambda: T.LlamaForTokenClassification(T.LlamaConfig(**dec(num_labels=3))))
method("head_roberta_seq_cls", lora(BATT, task_type="SEQ_CLS"), base=lambda: T.RobertaForSequenceClassification(T.RobertaConfig(pad_token_id=1, **{**E, "max_position_embeddings": P + 2})), pad=1)
method("head_roberta_token_cls", lora(BATT, task_type="TOKEN_CLS"), base=lambda: T.RobertaForTokenClassification(T.RobertaConfig(pad_token_id=1, **{**E, "max_position_embeddings": P + 2})), pad=1)
method("head_vit", lora(["q_proj", "v_proj"], modules_to_save=["classifier"]), base=lambda: T.ViTForImageClassification(T.ViTConfig(**VC)), x=pixels)
method("lora_resized_vocab_saved_tied", lora(modules_to_save=["embed_tokens", "lm_head"]), base=lambda: llama(tie_word_embeddings=True), before=grow)
method("lora_resized_vocab_embed_saved_tied", lora(modules_to_save=["embed_tokens"]), base=lambda: llama(tie_word_embeddings=True), before=grow)
# mixtral as adapters of transformers 4 name its experts
def mixtral4(d):
    """Adapter keys of transformers 4 (block_sparse_moe.experts.N.w1) on the hub's layout of the base."""
    shutil.rmtree(f"{d}/merged", ignore_errors=True); shutil.rmtree(f"{d}/adapter"); os.makedirs(f"{d}/adapter"); g = torch.Generator().manual_seed(SEED)
    j = LoraConfig(r=4, lora_alpha=8, target_modules=["w1", "w2", "w3", "q_proj"]).to_dict(); j["target_modules"] = sorted(j["target_modules"]); j["peft_type"] = "LORA"; j["runtime_config"] = None
    json.dump({k: (sorted(v) if isinstance(v, set) else v) for k, v in j.items()}, open(f"{d}/adapter/adapter_config.json", "w"), indent=1, default=str)
    t = {}
    for i in range(L):
        mods = {f"model.layers.{i}.self_attn.q_proj": (H, H)}
        for e in range(4): mods.update({f"model.layers.{i}.block_sparse_moe.experts.{e}.w1": (24, H), f"model.layers.{i}.block_sparse_moe.experts.{e}.w3": (24, H), f"model.layers.{i}.block_sparse_moe.experts.{e}.w2": (H, 24)})
        for m, (o, n) in mods.items():
            t[f"base_model.model.{m}.lora_A.weight"] = torch.randn(4, n, generator=g) * 0.2; t[f"base_model.model.{m}.lora_B.weight"] = torch.randn(o, 4, generator=g) * 0.2
    save_file(t, f"{d}/adapter/adapter_model.safetensors")
    reference(d, T.MixtralForCausalLM, text(), {"method": "mixtral v4 adapter keys"})
method("lora_mixtral_v4_expert_keys", lora(QV), base=mixtral, after=mixtral4)

# --- 3. layouts -------------------------------------------------------------------------------------------------------

def edit(file, f):
    def g(d):
        p = f"{d}/{file}"
        if file.endswith(".json"): j = json.load(open(p)); f(j); json.dump(j, open(p, "w"), indent=1)
        else: t = load_file(p); t = f(t); save_file(t, p, metadata={"format": "pt"})
    return g
def keys(old, new, file="adapter/adapter_model.safetensors"): return edit(file, lambda t: {re.sub(old, new, k): v for k, v in t.items()})
def chain(*fs): return lambda d: [f(d) for f in fs]
def remove(file): return lambda d: os.remove(f"{d}/{file}")
def layout(name, after, cfg=None, **kw): method(name, cfg or lora(ALL7), kind="layout", after=after, **kw)

layout("no_config", remove("base/config.json"))
layout("no_config_tied_lm_head", remove("base/config.json"), cfg=lora(ATT + ["lm_head"]), base=lambda: llama(tie_word_embeddings=True))
layout("no_config_bias_all", remove("base/config.json"), cfg=lora(bias="all"), base=lambda: llama(attention_bias=True))
layout("no_config_gpt2", remove("base/config.json"), cfg=lora(["c_attn"], fan_in_fan_out=True), base=lambda: T.GPT2LMHeadModel(T.GPT2Config(**G2)))
layout("no_config_gpt2_square_flag_false", chain(remove("base/config.json"), edit("adapter/adapter_config.json", lambda j: j.update(fan_in_fan_out=False))), cfg=lora(["attn.c_proj"], fan_in_fan_out=True), base=lambda: T.GPT2LMHeadModel(T.GPT2Config(**G2)))
def single(d): os.rename(f"{d}/base/model.safetensors", f"{d}/base.safetensors"); shutil.rmtree(f"{d}/base")
layout("single_safetensors", single)
layout("unknown_model_type", edit("base/config.json", lambda j: j.update(model_type="my_llama", architectures=["MyLlamaForCausalLM"])))
layout("model_type_missing", edit("base/config.json", lambda j: j.pop("model_type")))
layout("remote_code_auto_map", edit("base/config.json", lambda j: j.update(auto_map={"AutoModelForCausalLM": "modeling.X"})))
def extra(d):
    save_file({"optimizer.state": torch.zeros(3)}, f"{d}/base/optimizer.safetensors"); save_file({"model.norm.weight": torch.zeros(H)}, f"{d}/base/consolidated.safetensors"); open(f"{d}/base/pytorch_model.bin", "wb").write(b"x"); open(f"{d}/base/model-00001-of-00002.safetensors.tmp", "wb").write(b"x")
layout("index_with_extra_files", extra, shard="40KB")
def index(f):
    def g(d):
        p = f"{d}/base/model.safetensors.index.json"; j = json.load(open(p)); f(j, d); json.dump(j, open(p, "w"))
    return g
layout("index_lists_missing_tensor", index(lambda j, d: j["weight_map"].update({"model.layers.9.mlp.up_proj.weight": sorted(j["weight_map"].values())[0]})), shard="40KB")
layout("index_omits_tensor", index(lambda j, d: j["weight_map"].pop("model.layers.1.mlp.up_proj.weight")), shard="40KB")
layout("index_and_single", lambda d: (shutil.copytree(f"{d}/base", f"{d}/b2"), load(T.LlamaForCausalLM, f"{d}/b2").save_pretrained(f"{d}/b3"), shutil.copy(f"{d}/b3/model.safetensors", f"{d}/base"), shutil.rmtree(f"{d}/b2"), shutil.rmtree(f"{d}/b3")), shard="40KB")
layout("keys_without_prefix", keys(r"^base_model\.model\.", ""))
layout("keys_base_model_only", keys(r"^base_model\.model\.", "base_model."))
layout("keys_with_default", keys(r"\.lora_(A|B)\.weight$", r".lora_\1.default.weight"))
layout("keys_model_model_missing", keys(r"^base_model\.model\.model\.", "base_model.model."))
layout("adapter_lora_on_wrong_layers", keys(r"layers\.1\.", "layers.7."))
layout("adapter_matches_nothing", keys(r"layers\.", "blocks."))
layout("adapter_matches_nothing_no_config", chain(remove("base/config.json"), keys(r"layers\.", "blocks.")))
layout("adapter_other_module_names", chain(keys(r"self_attn\.q_proj", "attention.wq"), edit("adapter/adapter_config.json", lambda j: j.update(target_modules=["wq", "v_proj"]))), cfg=lora())
layout("adapter_empty", edit("adapter/adapter_model.safetensors", lambda t: {"base_model.model.x": torch.zeros(1)}))
layout("adapter_half_missing_B", edit("adapter/adapter_model.safetensors", lambda t: {k: v for k, v in t.items() if not ("layers.1" in k and "lora_B" in k)}))
layout("adapter_layer_missing", edit("adapter/adapter_model.safetensors", lambda t: {k: v for k, v in t.items() if "layers.1" not in k}))
layout("adapter_rank_mismatch", edit("adapter/adapter_config.json", lambda j: j.update(r=8)))
layout("adapter_target_modules_null", edit("adapter/adapter_config.json", lambda j: j.update(target_modules=None)))
layout("adapter_old_config_minimal", edit("adapter/adapter_config.json", lambda j: [j.pop(k) for k in list(j) if k not in ("peft_type", "r", "lora_alpha", "target_modules", "lora_dropout", "bias", "task_type", "fan_in_fan_out", "inference_mode", "base_model_name_or_path")]))
layout("adapter_peft_type_missing", edit("adapter/adapter_config.json", lambda j: j.pop("peft_type")))
layout("adapter_unsloth_fields", edit("adapter/adapter_config.json", lambda j: j.update(unsloth_fixed=True, auto_mapping={"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama.modeling_llama", "unsloth_fixed": True}, base_model_name_or_path="unsloth/llama-bnb-4bit", corda_config=None)))
def peft_weights(d): os.rename(f"{d}/adapter/adapter_model.safetensors", f"{d}/adapter/adapters.safetensors")
layout("adapter_mlx_file_name", peft_weights)
def quant(j): j.update(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True, "_load_in_4bit": True})
layout("base_config_says_quantized", edit("base/config.json", quant))
layout("base_bare_names", keys(r"^model\.", "", "base/model.safetensors"))
layout("base_bin_only", lambda d: (torch.save(load_file(f"{d}/base/model.safetensors"), f"{d}/base/pytorch_model.bin"), os.remove(f"{d}/base/model.safetensors")))
layout("base_language_model_prefix", keys(r"^model\.", "language_model.model.", "base/model.safetensors"))
layout("base_model_language_model_prefix", keys(r"^model\.", "model.language_model.", "base/model.safetensors"))
layout("base_language_model_prefix_no_config", chain(remove("base/config.json"), keys(r"^model\.", "language_model.model.", "base/model.safetensors")))
layout("bert_base_gamma_beta", keys(r"LayerNorm\.weight$", "LayerNorm.gamma", "base/model.safetensors"), cfg=lora(BATT), base=bert)
layout("bert_adapter_of_bare_model", keys(r"^base_model\.model\.bert\.", "base_model.model."), cfg=lora(BATT), base=bert)
layout("bert_adapter_head_on_bare_base", chain(edit("base/model.safetensors", lambda t: {k: v for k, v in t.items() if not k.startswith("classifier")})), cfg=lora(BATT, modules_to_save=["classifier"]), base=bert)
def vlm(name, real, cfgf, x=None):
    """A multimodal base in its checkpoint's names, and the adapter in this transformers' names and in the ones before."""
    def mk(): return real(cfgf())
    method(f"vlm_{name}", lora(r".*language_model.*\.(q_proj|v_proj)"), base=mk, kind="layout")
    method(f"vlm_{name}_v4_keys", lora(r".*language_model.*\.(q_proj|v_proj)"), base=mk, kind="layout", after=keys(r"^base_model\.model\.model\.language_model\.", "base_model.model.language_model.model."))
    method(f"vlm_{name}_all_attention", lora(["q_proj", "v_proj"]), base=mk, kind="layout")
    method(f"vlm_{name}_no_config", lora(r".*language_model.*\.(q_proj|v_proj)"), base=mk, kind="layout", after=remove("base/config.json"))
    listed = edit("adapter/adapter_config.json", lambda j: j.update(target_modules=["q_proj", "v_proj"]))
    for spelling, new in (("model_layers", "base_model.model.model."), ("language_model_model_layers", "base_model.model.language_model.model."), ("model_language_model_layers", "base_model.model.model.language_model.")):
        respell = keys(r"^base_model\.model\.model\.language_model\.", new)
        method(f"vlm_{name}_{spelling}", lora(r".*language_model.*\.(q_proj|v_proj)"), base=mk, kind="layout", after=chain(respell, listed))
        method(f"vlm_{name}_{spelling}_no_config", lora(r".*language_model.*\.(q_proj|v_proj)"), base=mk, kind="layout", after=chain(respell, listed, remove("base/config.json")))
vlm("gemma3", T.Gemma3ForConditionalGeneration, gemma3)
vlm("llava", T.LlavaForConditionalGeneration, llava)
vlm("qwen2_vl", T.Qwen2VLForConditionalGeneration, qwen2vl)

# --- 4. quantised, mixed and broken values: PEFT's reference is of the same model before it is quantised ----------------

def is_linear(k): return k.endswith("_proj.weight")
def fp8(t, scale="weight_scale_inv"):
    o = {}
    for k, w in t.items():
        if is_linear(k): s = w.abs().max() / 448; o[k] = (w / s).to(torch.float8_e4m3fn); o[k[:-6] + scale] = s.reshape(1, 1)
        else: o[k] = w
    return o
def int8(t):
    o = {}
    for k, w in t.items():
        if is_linear(k): s = w.abs().amax(1); o[k] = (w / s[:, None] * 127).round().to(torch.int8); o[k[:-6] + "SCB"] = s
        else: o[k] = w
    return o
def nf4(t):
    """Shapes and names only."""
    o = {}
    for k, w in t.items():
        if is_linear(k): o.update({k: torch.full((w.numel() // 2, 1), 119, dtype=torch.uint8), k + ".absmax": torch.zeros(w.numel() // 64 + 1), k + ".quant_map": torch.zeros(16), k + ".quant_state.bitsandbytes__nf4": torch.zeros(10, dtype=torch.uint8)})
        else: o[k] = w
    return o
def gptq(t):
    o = {}
    for k, w in t.items():
        if is_linear(k): o.update({k[:-6] + "qweight": torch.zeros(w.shape[1] // 8, w.shape[0], dtype=torch.int32), k[:-6] + "scales": torch.ones(1, w.shape[0], dtype=torch.float16), k[:-6] + "qzeros": torch.zeros(1, w.shape[0] // 8, dtype=torch.int32)})
        else: o[k] = w
    return o
def quantised(f, q): return chain(edit("base/model.safetensors", lambda t: {k: v.contiguous() for k, v in f(t).items()}), edit("base/config.json", lambda j: j.update(quantization_config=q)))
for n, f, q in (("fp8_block_scale", fp8, {"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3", "activation_scheme": "dynamic"}), ("fp8_compressed_tensors", lambda t: fp8(t, "weight_scale"), {"quant_method": "compressed-tensors"}),
                ("bnb_int8", int8, {"quant_method": "bitsandbytes", "load_in_8bit": True}), ("bnb_nf4", nf4, {"quant_method": "bitsandbytes", "load_in_4bit": True}), ("gptq", gptq, {"quant_method": "gptq", "bits": 4})):
    method(n, lora(ALL7), kind="quant", after=quantised(f, q)); method(n + "_no_config", lora(ALL7), kind="quant", after=chain(quantised(f, q), remove("base/config.json")))
method("f8_plain", lora(ALL7), kind="quant", after=edit("base/model.safetensors", lambda t: {k: v.to(torch.float8_e4m3fn) if is_linear(k) else v for k, v in t.items()}))
method("f64", lora(ALL7), kind="quant", after=edit("base/model.safetensors", lambda t: {k: v.double() for k, v in t.items()}))
def lora_b(f): return edit("adapter/adapter_model.safetensors", lambda t: {k: f(v) if "layers.0.self_attn.q_proj.lora_B" in k else v for k, v in t.items()})
method("adapter_nan", lora(ALL7), kind="quant", after=lora_b(lambda v: v * float("nan")))
method("adapter_inf", lora(ALL7), kind="quant", after=lora_b(lambda v: v * float("inf")))
method("fp16_overflow", lora(ALL7), kind="quant", dtype=torch.float16, after=lora_b(lambda v: v * 1e6))

# --- 5. options of LoRA: merged/ holds the weights that the unmerged model computes with, where they differ from the base ----

def untied(p):
    """Gives each module a parameter of its own: PEFT merges in place, also into what is tied to an adapted weight."""
    seen = set()
    for module in p.modules():
        for n, w in list(module._parameters.items()):
            if w is not None and id(w) in seen: module._parameters[n] = torch.nn.Parameter(w.detach().clone(), requires_grad=w.requires_grad)
            seen.add(id(module._parameters[n]))

def option(name, config, base=None, before=None, save=None, only=None, names={}):
    """only: a pattern of the expected tensors, where the checkpoint ties some of them; names: the checkpoint's for the model's."""
    @case("lora", name)
    def make(key):
        d = folder(key); torch.manual_seed(SEED)
        m = strong((base or llama)(), SEED + 2); real = type(m); m.save_pretrained(f"{d}/base"); m = load(real, f"{d}/base")
        def grown(m): torch.manual_seed(SEED + 5); before and before(m); return m
        p = get_peft_model(grown(m), config()); randomise(p, SEED + 3)
        p.save_pretrained(f"{d}/adapter", **(save or {})); clean(f"{d}/adapter")
        p = PeftModel.from_pretrained(grown(load(real, f"{d}/base")), f"{d}/adapter"); untied(p)
        merged = p.merge_and_unload(safe_merge=True).state_dict(); old = load_file(f"{d}/base/model.safetensors")
        keep = {names.get(n, n): w.contiguous().clone() for n, w in merged.items() if not only or re.search(only, n)}
        os.makedirs(f"{d}/merged"); save_file({n: w for n, w in keep.items() if n not in old or not torch.equal(old[n], w)}, f"{d}/merged/model.safetensors")
        if os.path.exists(f"{d}/base/generation_config.json"): os.remove(f"{d}/base/generation_config.json")

def neox(): return T.GPTNeoXForCausalLM(T.GPTNeoXConfig(**dec(num_hidden_layers=1)))
def gpt2(): return T.GPT2LMHeadModel(T.GPT2Config(**{**G2, "n_layer": 1}))
def bertmlm(): return T.BertForMaskedLM(T.BertConfig(**{**E, "num_hidden_layers": 1}))
def bart(): return T.BartForConditionalGeneration(T.BartConfig(vocab_size=V, d_model=H, encoder_layers=1, decoder_layers=1, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=F, decoder_ffn_dim=F, max_position_embeddings=P, pad_token_id=1))
def whisper(): return T.WhisperForConditionalGeneration(T.WhisperConfig(vocab_size=V, d_model=H, encoder_layers=1, decoder_layers=1, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=F, decoder_ffn_dim=F, num_mel_bins=8, max_source_positions=16, max_target_positions=32, pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2, suppress_tokens=None, begin_suppress_tokens=None))
def one_layer(**kw): return lambda: llama(num_hidden_layers=1, **kw)
option("pissa_dora", lora(["q_proj"], init_lora_weights="pissa", use_dora=True), base=one_layer())
option("olora_dora", lora(["q_proj"], init_lora_weights="olora", use_dora=True), base=one_layer())
option("pissa_embedding_small_layer", lora(["word_embeddings", "classifier"], init_lora_weights="pissa"), base=lambda: tokcls(3))
option("pissa_saved_layer", lora(["q_proj", "lm_head"], init_lora_weights="pissa"), base=one_layer())
option("layers_module_named_whole", lora(["q_proj", "lm_head"], layers_to_transform=[1]))
option("neox_head", lora(["dense", "lm_head"]), base=neox, names={"lm_head.weight": "embed_out.weight"})
option("tokens_saved_table", lora(["query"], trainable_token_indices=[3, 7, V + 2]), base=bertmlm, before=grow, save=dict(save_embedding_layers=True), only=r"query|word_embeddings|^cls.predictions.bias")
option("tokens_beside_embedding", lora(["query", "position_embeddings"], trainable_token_indices=[3, 7]), base=lambda: bert(num_hidden_layers=1))
option("tokens_of_positions_tied", lora(["c_attn", "wte"], trainable_token_indices={"wpe": [3, 7]}), base=gpt2)
option("tokens_of_head_and_table", lora(["q_proj"], trainable_token_indices={"embed_tokens": [3, 7], "lm_head": [4, 8]}), base=one_layer(tie_word_embeddings=True))
option("parameters_without_dot", lora(["q_proj"], target_parameters=["gate_up_proj", "down_proj"], trainable_token_indices={"embed_tokens": [3]}), base=lambda: T.GptOssForCausalLM(T.GptOssConfig(**dec(num_hidden_layers=1, head_dim=8, num_local_experts=2, num_experts_per_tok=1, intermediate_size=8, layer_types=["full_attention"]))))
option("saved_head_bias", lora(["query"]), base=bertmlm, before=grow, save=dict(save_embedding_layers=True), only=r"query|word_embeddings|^cls.predictions.bias")
option("untied_head_bias", lora(["query", "predictions.decoder"]), base=bertmlm)
option("untied_copies_of_table", lora(["q_proj", "lm_head"]), base=bart)
option("ensure_ignored_for_wte", lora(["c_attn"], modules_to_save=["wte"], ensure_weight_tying=True), base=gpt2)
option("ensure_embed_tokens", lora(["q_proj", "embed_tokens"], ensure_weight_tying=True), base=one_layer(tie_word_embeddings=True), only=r"q_proj|embed_tokens")
option("resized_tied_table", lora(["q_proj", "embed_tokens"]), base=one_layer(tie_word_embeddings=True), before=grow)
option("resized_tied_head", lora(["q_proj", "lm_head"]), base=one_layer(tie_word_embeddings=True), before=grow)
option("pissa_tied_head", lora(["q_proj", "lm_head"], init_lora_weights="pissa"), base=one_layer(tie_word_embeddings=True), save=dict(save_embedding_layers=False))
option("saved_module_in_target", lora(["output.dense", "classifier"], modules_to_save=["bert.encoder.layer.0.output.dense"]), base=lambda: bert(num_hidden_layers=2))
option("mamba_tied_head", lora(["in_proj", "lm_head"]), base=lambda: T.MambaForCausalLM(T.MambaConfig(vocab_size=V, hidden_size=H, num_hidden_layers=1, state_size=2)))
option("whisper_head", lora(["q_proj", "proj_out"]), base=whisper)

if __name__ == "__main__":
    done, failed = 0, []
    for key, make in CASES.items():
        if not ONLY.search(key): continue
        try:
            info = make(key) or {}; done += 1
            print(f"{key}: " + (f"PEFT CANNOT MERGE: {info['peft_error']}" if "peft_error" in info else f"alone {info.get('alone')} changes {info.get('changes')}" + (f" NO FORWARD {info['forward_error']}" if "forward_error" in info else "")), flush=True)
        except Exception as e:
            failed.append(key); print(f"{key}: NOT MADE {type(e).__name__}: {str(e)[:300]}", flush=True)
            if os.environ.get("TRACE"): traceback.print_exc()
    print(f"{done} made, {len(failed)} not: {failed}")
