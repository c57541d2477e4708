"""Merges random adapters with the real PEFT and with adapt, and lists where the two differ.

usage: compare.py ADAPT OUT methods [COUNT [FIRST_SEED [METHOD,METHOD,...]]]
       compare.py ADAPT OUT models

methods: COUNT random configs of each PEFT method on small models: every option that changes what a merge computes.
models:  LoRA on a small model of every architecture that transformers can build from a shrunken default config.

A case is a folder of OUT with base/, adapter/, merged/ (PEFT's merge_and_unload), ours/ and case.json. Tensors are compared
by name, relative to the largest of each. Where PEFT's merged model computes something else than its unmerged one, the
unmerged logits decide. Needs torch, transformers and peft (0.21), and scikit-learn for AdaMSS. Nothing is downloaded.
"""
import glob, json, os, random, re, shutil, signal, subprocess, sys, warnings

warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"
import peft
import torch
import transformers
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.pytorch_utils import Conv1D

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

WORDS = 64
TOLERANCE = {None: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-2}
"""Of the largest element of a tensor: PEFT computes in float32, and merges halves in their own precision."""

LOGITS = {None: 1e-4, torch.bfloat16: 0.2, torch.float16: 0.2}
"""Of the root mean square of the logits."""


# --- small models for the methods ---------------------------------------------------------------------------------------


def llama(r):
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=r.choice([24, 32, 48]), num_hidden_layers=r.choice([2, 3]),
        num_attention_heads=r.choice([2, 4]), num_key_value_heads=r.choice([1, 2]),
        intermediate_size=r.choice([40, 48, 56, 64]), max_position_embeddings=64, pad_token_id=0,
        tie_word_embeddings=r.random() < 0.3, attention_bias=r.random() < 0.3)
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return transformers.LlamaForCausalLM(config), dict(layers=names, words="embed_tokens", save="lm_head", norm="norm")


def gpt2(r):
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_embd=r.choice([24, 32, 48]), n_layer=2, n_head=2, n_positions=64,
        n_inner=r.choice([None, 40, 56]), pad_token_id=0)
    names = ["c_attn", "c_fc", "mlp.c_proj"]
    return transformers.GPT2LMHeadModel(config), dict(layers=names, words="wte", save="ln_f", norm="ln_2", turned=True)


def bert(r):
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=r.choice([24, 32, 48]), num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=r.choice([40, 56, 64]), max_position_embeddings=64, num_labels=3)
    names = ["query", "key", "value", "intermediate.dense", "output.dense"]
    kind = transformers.BertForSequenceClassification
    return kind(config), dict(layers=names, words="word_embeddings", save="classifier", norm="LayerNorm")


def opt(r):
    hidden = r.choice([24, 32])
    config = transformers.OPTConfig(
        vocab_size=WORDS, hidden_size=hidden, word_embed_proj_dim=hidden, num_hidden_layers=2, num_attention_heads=2,
        ffn_dim=r.choice([40, 56]), max_position_embeddings=64, pad_token_id=0)
    names = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
    kind = transformers.OPTForCausalLM
    return kind(config), dict(layers=names, words="embed_tokens", save="final_layer_norm", norm="final_layer_norm")


# --- random configs -----------------------------------------------------------------------------------------------------


def some(r, names):
    return r.sample(names, r.randint(1, len(names)))


def patterns(r, names, values):
    """Module patterns as people write them: names, regular expressions, anchors."""
    forms = (lambda n: n, lambda n: r".*\.1\..*" + re.escape(n), lambda n: "^" + n, lambda n: n + "|x")
    return {r.choice(forms)(name): r.choice(values) for name in some(r, names)}


def common(r, model, bias=None, layers=True, exclude=False):
    options = dict(target_modules=some(r, model["layers"]))
    if model.get("turned"):
        options["fan_in_fan_out"] = True
    if layers and r.random() < 0.25:
        options["layers_to_transform"] = r.choice([[0], [1], 1, [0, 1]])
    if r.random() < 0.25:
        options["modules_to_save"] = [model["save"]]
    if bias and r.random() < 0.3:
        options["bias"] = r.choice(["all", bias])
    if exclude and r.random() < 0.25:
        options["exclude_modules"] = r.choice([[model["layers"][0]], r".*\.0\..*" + model["layers"][0]])
    return options


def pick(r, /, **choices):
    return {name: r.choice(values) for name, values in choices.items()}


YES = [True, False]
METHODS = {
    "AdaLoraConfig": lambda r, m: common(r, m, "lora_only") | pick(r, init_r=[4, 6], lora_alpha=[4, 16], target_r=[3], total_step=[10]),
    "AdamssConfig": lambda r, m: common(r, m) | pick(r, r=[4, 8, 100], num_subspaces=[1, 2, 3], subspace_rank=[1, 2], random_seed=[0, 5], use_dynamic_rank=YES),
    "BOFTConfig": lambda r, m: common(r, m, "boft_only") | pick(r, boft_block_size=[2, 4, 8], boft_n_butterfly_factor=[1, 2]),
    "C3AConfig": lambda r, m: common(r, m, "c3a_only") | pick(r, block_size=[4, 8], block_size_pattern=[{}, patterns(r, m["layers"], [2, 4, 8])]),
    "DeftConfig": lambda r, m: common(r, m, "deft_only") | pick(r, r=[1, 4, 8], decomposition_method=["relu", "qr"], alpha=[None, 4], para=YES),
    "DeloraConfig": lambda r, m: common(r, m, "delora_only", exclude=True) | pick(r, r=[2, 8], delora_lambda=[1, 15], rank_pattern=[{}, patterns(r, m["layers"], [1, 6])], lambda_pattern=[{}, patterns(r, m["layers"], [2, 7])]),
    "FourierFTConfig": lambda r, m: common(r, m, "fourier_only", exclude=True) | pick(r, n_frequency=[1, 20, 100], scaling=[1.0, 150.0], random_loc_seed=[777, 3], n_frequency_pattern=[{}, patterns(r, m["layers"], [5, 30])]),
    "FrodConfig": lambda r, m: common(r, m, "frod_only") | pick(r, sparse_rate=[0.01, 0.3], projection_prng_key=[0, 3], progressbar=[False]),
    "GloraConfig": lambda r, m: common(r, m, layers=False) | pick(r, r=[1, 4], config_A_B=["lora", "vector", "constant", "none"], config_C=["lora", "vector", "none"], config_D_E=["constant", "none", "vector"]),
    "GraloraConfig": lambda r, m: common(r, m, "gralora_only") | pick(r, r=[4, 8], hybrid_r=[0, 4], alpha=[8, 64], gralora_k=[1, 2, 4]),
    "HiraConfig": lambda r, m: common(r, m, exclude=True) | pick(r, r=[2, 8], rank_pattern=[{}, patterns(r, m["layers"], [1, 3])]),
    "HRAConfig": lambda r, m: common(r, m, "hra_only", exclude=True) | pick(r, r=[2, 4, 8], apply_GS=YES),
    "IA3Config": lambda r, m: (lambda o: o | dict(feedforward_modules=some(r, o["target_modules"])))(common(r, m, layers=False, exclude=True)),
    "LNTuningConfig": lambda r, m: dict(target_modules=[m["norm"]]),
    "LoHaConfig": lambda r, m: common(r, m, exclude=True) | pick(r, r=[1, 4, 8], alpha=[4, 16], rank_pattern=[{}, patterns(r, m["layers"], [1, 5])], alpha_pattern=[{}, patterns(r, m["layers"], [2, 7])], init_weights=[True, "abba"]),
    "LoKrConfig": lambda r, m: common(r, m, exclude=True) | pick(r, r=[1, 4, 64], alpha=[4, 16], decompose_both=YES, decompose_factor=[-1, 2, 8], rank_pattern=[{}, patterns(r, m["layers"], [1, 5])]),
    "LoraConfig": lambda r, m: common(r, m, "lora_only", exclude=True) | pick(r, r=[2, 4], lora_alpha=[4, 16], use_dora=YES, use_rslora=YES, rank_pattern=[{}, patterns(r, m["layers"], [1, 6])], alpha_pattern=[{}, patterns(r, m["layers"], [2, 7])]),
    "MissConfig": lambda r, m: common(r, m, "miss_only", exclude=True) | pick(r, r=[2, 4, 8], init_weights=[True, "bat", "mini"], mini_r=[1, 2]),
    "OFTConfig": lambda r, m: common(r, m, "oft_only", exclude=True) | r.choice([dict(r=0, oft_block_size=8), dict(r=4, oft_block_size=0)]) | pick(r, coft=YES, eps=[6e-5, 0.5], block_share=YES, use_cayley_neumann=YES, num_cayley_neumann_terms=[2, 5]),
    "OSFConfig": lambda r, m: common(r, m, layers=False) | pick(r, effective_rank=[4, 8, 0.5, None]),
    "PeanutConfig": lambda r, m: common(r, m, exclude=True) | pick(r, r=[2, 8], depth=[0, 1, 2], act_fn=["relu", "gelu", "silu", "tanh"], scaling=[1.0, 0.5]),
    "PveraConfig": lambda r, m: common(r, m, "pvera_only") | pick(r, r=[4, 256], projection_prng_key=[0, 9], save_projection=YES),
    "RandLoraConfig": lambda r, m: common(r, m, "randlora_only") | pick(r, r=[2, 8], projection_prng_key=[0, 9], save_projection=YES, sparse=YES, randlora_alpha=[8, 640]),
    "RoadConfig": lambda r, m: common(r, m, layers=False) | pick(r, variant=["road_1", "road_2", "road_4"], group_size=[2, 8]),
    "ShiraConfig": lambda r, m: common(r, m, layers=False) | pick(r, r=[1, 4], random_seed=[None, 3]),
    "TinyLoraConfig": lambda r, m: common(r, m, "tinylora_only") | pick(r, r=[1, 4], u=[1, 64], weight_tying=[0.0, 0.5, 1.0], projection_seed=[42, 7], save_projection=YES),
    "TrainableTokensConfig": lambda r, m: dict(token_indices=sorted(r.sample(range(WORDS), 3)), target_modules=[m["words"]]),
    "UniLoraConfig": lambda r, m: common(r, m, "unilora_only") | pick(r, r=[1, 4], proj_seed=[42, 7], theta_d_length=[16, 256], save_indices=YES),
    "VBLoRAConfig": lambda r, m: common(r, m, "vblora_only", exclude=True) | pick(r, r=[1, 4], num_vectors=[8, 40], vector_length=[4, 8], topk=[1, 3], save_only_topk_weights=YES),
    "VeraConfig": lambda r, m: common(r, m, "vera_only") | pick(r, r=[4, 256], projection_prng_key=[0, 9], save_projection=YES),
    "WaveFTConfig": lambda r, m: common(r, m, "waveft_only", exclude=True) | pick(r, n_frequency=[1, 100], scaling=[1.0, 25.0], wavelet_family=["db1", "db4", "sym2", "coif1"], use_idwt=YES, proportional_parameters=YES, n_frequency_pattern=[{}, patterns(r, m["layers"], [5, 30])]),
}


# --- cases --------------------------------------------------------------------------------------------------------------


def spread(parameters, seed, scale):
    """Gives parameters random values, so that a wrong place or order shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in parameters:
            if tensor.dtype.is_floating_point:
                noise = torch.randn(tensor.shape, generator=generator) * scale
                tensor.copy_((noise if tensor.dim() > 1 else tensor.float() + noise).to(tensor.dtype))


def logits(model, inputs):
    with torch.no_grad():
        return model.eval()(**inputs).logits.float()


def prepare(folder, model, config, seed):
    """Writes base, adapter and merged."""
    kind = type(model)
    model.save_pretrained(f"{folder}/base")
    torch.manual_seed(seed)
    adapted = get_peft_model(kind.from_pretrained(f"{folder}/base", dtype="auto"), config)
    spread([p for p in adapted.parameters() if p.requires_grad], seed + 1, 0.15)
    adapted.save_pretrained(f"{folder}/adapter")
    loaded = PeftModel.from_pretrained(kind.from_pretrained(f"{folder}/base", dtype="auto"), f"{folder}/adapter")
    return loaded


def tensors(folder):
    return {k: v for f in glob.glob(f"{folder}/*.safetensors") for k, v in load_file(f).items()}


def merge(adapt, folder):
    """None, or why adapt refuses."""
    shutil.rmtree(f"{folder}/ours", ignore_errors=True)
    command = [adapt, "merge", f"{folder}/adapter", "--base", f"{folder}/base", "--out", f"{folder}/ours", "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True)
    return None if run.returncode == 0 else run.stderr.strip().splitlines()[0]


def differences(folder, tolerance):
    ours, theirs = tensors(f"{folder}/ours"), tensors(f"{folder}/merged")
    found = [f"{'only adapt' if k in ours else 'only PEFT'} has {k}" for k in sorted(set(ours) ^ set(theirs))]
    for name in sorted(set(ours) & set(theirs)):
        own, other = ours[name].double(), theirs[name].double()
        if own.shape != other.shape:
            found.append(f"{name} {list(own.shape)}, PEFT {list(other.shape)}")
        elif other.numel() and (own - other).abs().max() > tolerance * max(1e-6, float(other.abs().max())):
            found.append(f"{name} differs by {float((own - other).abs().max()):.1e}")
    return found


def random_methods(adapt, out, count, first, only):
    for name, options in METHODS.items():
        for seed in range(first, first + count) if not only or name in only else ():
            r = random.Random(f"{name}{seed}")
            folder = f"{out}/{name}-{seed}"
            shutil.rmtree(folder, ignore_errors=True)
            torch.manual_seed(seed)
            model, layers = r.choice([llama, llama, bert, gpt2, opt])(r)
            dtype = r.choice([None, None, None, torch.bfloat16, torch.float16])
            spread(model.parameters(), seed, 0.15)
            model = model.to(dtype) if dtype else model
            inputs = dict(input_ids=torch.randint(5, WORDS, (2, 12)))
            try:
                accepted = getattr(peft, name).__dataclass_fields__
                config = getattr(peft, name)(**{k: v for k, v in options(r, layers).items() if k in accepted})
                loaded = prepare(folder, model, config, seed)
                unmerged = logits(loaded, inputs)
                loaded.merge_and_unload(safe_merge=True).save_pretrained(f"{folder}/merged")
            except Exception as e:
                print(f"  PEFT   {name}-{seed}: {type(e).__name__}: {str(e)[:120]}")
                continue
            refusal = merge(adapt, folder)
            if refusal:
                yield f"REFUSED {name}-{seed}", refusal
                continue
            ours = logits(type(model).from_pretrained(f"{folder}/ours", dtype="auto"), inputs)
            error = float((ours - unmerged).abs().max() / unmerged.pow(2).mean().sqrt())
            found = differences(folder, TOLERANCE[dtype])
            if error > LOGITS[dtype]:
                found.append(f"logits differ from the unmerged ones by {error:.1e} of their root mean square")
            yield (f"DIFFERS {name}-{seed}", "; ".join(found[:3])) if found else (None, None)


SMALL = dict(
    hidden_size=32, d_model=32, n_embd=32, dim=32, embed_dim=32, embedding_size=32, projection_dim=32, intermediate_size=48,
    encoder_ffn_dim=48, decoder_ffn_dim=48, ffn_dim=48, n_inner=48, d_ff=48, d_kv=16, num_hidden_layers=2, n_layer=2,
    n_layers=2, num_layers=2, encoder_layers=2, decoder_layers=2, num_decoder_layers=2, num_attention_heads=2, n_head=2,
    n_heads=2, num_heads=2, encoder_attention_heads=2, decoder_attention_heads=2, num_key_value_heads=2, head_dim=16,
    vocab_size=96, max_position_embeddings=64, n_positions=64, n_ctx=64, image_size=32, patch_size=8, rotary_dim=8,
    moe_intermediate_size=16, shared_expert_intermediate_size=16, num_experts=4, num_local_experts=4, n_routed_experts=4,
    num_experts_per_tok=2, n_shared_experts=1, n_group=1, topk_group=1, first_k_dense_replace=1, kv_lora_rank=8,
    q_lora_rank=8, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    sliding_window=8, num_labels=3, word_embed_proj_dim=32, state_size=8, lru_width=32)
MOST_PARAMETERS = 3_000_000
MOST_SECONDS = 20


def shrink(config, depth=0):
    for value in list(config.__dict__.values()):
        if hasattr(value, "to_dict") and depth < 3:
            shrink(value, depth + 1)
    for name, value in SMALL.items():
        if isinstance(config.__dict__.get(name), (int, float)) and not isinstance(config.__dict__[name], bool):
            setattr(config, name, value)
    if isinstance(config.__dict__.get("layer_types"), list):
        config.layer_types = config.layer_types[:2]
    return config


CLASSES = [
    getattr(modeling_auto, f"MODEL_{task}MAPPING_NAMES")
    for task in ("FOR_CAUSAL_LM_", "FOR_SEQ_TO_SEQ_CAUSAL_LM_", "FOR_SEQUENCE_CLASSIFICATION_", "FOR_IMAGE_CLASSIFICATION_",
                 "FOR_IMAGE_TEXT_TO_TEXT_", "FOR_SEMANTIC_SEGMENTATION_", "FOR_AUDIO_CLASSIFICATION_", "")]


def too_long(*_):
    raise TimeoutError(f"{MOST_SECONDS} s")


def every_model(adapt, out):
    signal.signal(signal.SIGALRM, too_long)
    for model_type in sorted(CONFIG_MAPPING.keys()):
        kind = next((names[model_type] for names in CLASSES if isinstance(names.get(model_type), str)), None)
        if kind is None:
            continue
        r = random.Random(model_type)
        folder = f"{out}/{model_type}"
        shutil.rmtree(folder, ignore_errors=True)
        signal.alarm(MOST_SECONDS)
        try:
            config = shrink(CONFIG_MAPPING[model_type]())
            with torch.device("meta"):
                size = sum(p.numel() for p in getattr(transformers, kind)(config).parameters())
            if size > MOST_PARAMETERS:
                raise ValueError(f"{size} parameters")
            model = getattr(transformers, kind)(config)
            spread(model.parameters(), 3, 0.1)
            linear = [n for n, m in model.named_modules() if isinstance(m, (torch.nn.Linear, Conv1D))]
            tied = ("lm_head", "proj_out", "embed_out", "decoder", "output_projection")
            linear = [n for n in linear if n.split(".")[-1] not in tied]
            config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=r.sample(linear, min(12, len(linear))))
            loaded = prepare(folder, model, config, 5)
            loaded.merge_and_unload(safe_merge=True).save_pretrained(f"{folder}/merged")
        except Exception as e:
            print(f"  PEFT   {model_type}: {type(e).__name__}: {str(e)[:120]}")
            continue
        finally:
            signal.alarm(0)
        refusal = merge(adapt, folder)
        found = [] if refusal else differences(folder, TOLERANCE[None])
        if refusal:
            yield f"REFUSED {model_type}", refusal
        else:
            yield (f"DIFFERS {model_type}", "; ".join(found[:3])) if found else (None, None)


def main():
    if len(sys.argv) < 4 or sys.argv[3] not in ("methods", "models"):
        sys.exit(__doc__)
    adapt, out, what, *rest = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    if what == "methods":
        only = rest[2].split(",") if len(rest) > 2 else []
        results = random_methods(adapt, out, int(rest[0]) if rest else 5, int(rest[1]) if len(rest) > 1 else 0, only)
    else:
        results = every_model(adapt, out)
    agree = 0
    for title, why in results:
        if title is None:
            agree += 1
        else:
            print(f"{title}: {why[:300]}", flush=True)
    print(f"{agree} agree")


if __name__ == "__main__":
    main()
