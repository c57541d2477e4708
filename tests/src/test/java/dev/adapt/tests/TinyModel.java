package dev.adapt.tests;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/** Models small enough for any test, one of each architecture and of each option that changes its graph. */
public enum TinyModel {
    BERT("""
            {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40, "max_position_embeddings": 32,
             "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
            """),
    BERT_CLASSIFIER("""
            {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40,
             "max_position_embeddings": 32, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    ROBERTA("""
            {"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40,
             "max_position_embeddings": 34, "type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5,
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    GPT2("""
            {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 16, "n_layer": 2, "n_head": 4,
             "n_positions": 32, "vocab_size": 40, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
            """),
    GPT2_SCALED_BY_LAYER("""
            {"model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"], "n_embd": 16, "n_layer": 3,
             "n_head": 2, "n_inner": 24, "n_positions": 32, "vocab_size": 40, "scale_attn_by_inverse_layer_idx": true,
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    LLAMA("""
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40,
             "max_position_embeddings": 32, "rms_norm_eps": 1e-6, "tie_word_embeddings": false}
            """),
    LLAMA_BIASED("""
            {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"], "hidden_size": 12,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1,
             "head_dim": 6, "vocab_size": 40, "max_position_embeddings": 64, "attention_bias": true, "mlp_bias": true,
             "rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    LLAMA_YARN("""
            {"model_type": "llama", "architectures": ["LlamaModel"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40, "max_position_embeddings": 64,
             "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}}
            """),
    MISTRAL("""
            {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40,
             "max_position_embeddings": 32, "sliding_window": 5, "rope_theta": 1000000.0}
            """),
    QWEN2("""
            {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 40,
             "max_position_embeddings": 32, "tie_word_embeddings": true, "use_sliding_window": false,
             "sliding_window": 4, "max_window_layers": 1}
            """),
    GEMMA2("""
            {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "vocab_size": 40,
             "max_position_embeddings": 32, "sliding_window": 5, "query_pre_attn_scalar": 6,
             "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
            """),
    MIXTRAL("""
            {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "hidden_size": 16, "intermediate_size": 12,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40,
             "max_position_embeddings": 32, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": null}
            """),
    GPT_OSS("""
            {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "hidden_size": 16, "intermediate_size": 12,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "vocab_size": 40,
             "max_position_embeddings": 32, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5,
             "layer_types": ["sliding_attention", "full_attention"]}
            """),
    DEEPSEEK("""
            {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "q_lora_rank": 6,
             "kv_lora_rank": 6, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 6, "n_routed_experts": 4,
             "num_experts_per_tok": 3, "n_group": 2, "topk_group": 2, "n_shared_experts": 1, "first_k_dense_replace": 1,
             "moe_intermediate_size": 8, "vocab_size": 40, "max_position_embeddings": 32}
            """),
    BLOOM("""
            {"model_type": "bloom", "architectures": ["BloomForCausalLM"], "hidden_size": 12, "n_layer": 2, "n_head": 3,
             "vocab_size": 40}
            """),
    OPT("""
            {"model_type": "opt", "architectures": ["OPTForCausalLM"], "hidden_size": 16, "ffn_dim": 24,
             "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40, "max_position_embeddings": 32,
             "word_embed_proj_dim": 8, "do_layer_norm_before": false, "dropout": 0.0}
            """),
    VIT("""
            {"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 8, "patch_size": 2,
             "num_channels": 3, "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    BERT_TOKENS("""
            {"model_type": "bert", "architectures": ["BertForTokenClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40,
             "max_position_embeddings": 32, "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    BERT_ANSWERS("""
            {"model_type": "bert", "architectures": ["BertForQuestionAnswering"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 40,
             "max_position_embeddings": 32}
            """),
    BERT_PRETRAINING("""
            {"model_type": "bert", "architectures": ["BertForPreTraining"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 40,
             "max_position_embeddings": 32}
            """),
    CAMEMBERT("""
            {"model_type": "camembert", "architectures": ["CamembertForSequenceClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40,
             "max_position_embeddings": 34, "pad_token_id": 1, "id2label": {"0": "a", "1": "b"}}
            """),
    ELECTRA("""
            {"model_type": "electra", "architectures": ["ElectraForMaskedLM"], "hidden_size": 16, "embedding_size": 8,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40,
             "max_position_embeddings": 32}
            """),
    DISTILBERT("""
            {"model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"], "dim": 16,
             "hidden_dim": 24, "n_layers": 2, "n_heads": 4, "vocab_size": 40, "max_position_embeddings": 32,
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    MPNET("""
            {"model_type": "mpnet", "architectures": ["MPNetForMaskedLM"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40, "max_position_embeddings": 202}
            """),
    ALBERT("""
            {"model_type": "albert", "architectures": ["AlbertForSequenceClassification"], "hidden_size": 16,
             "embedding_size": 8, "intermediate_size": 24, "num_hidden_layers": 4, "num_hidden_groups": 2,
             "num_attention_heads": 4, "vocab_size": 40, "max_position_embeddings": 32,
             "id2label": {"0": "a", "1": "b"}}
            """),
    DEBERTA("""
            {"model_type": "deberta-v2", "architectures": ["DebertaV2ForSequenceClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40,
             "max_position_embeddings": 64, "relative_attention": true, "position_buckets": 8, "share_att_key": true,
             "norm_rel_ebd": "layer_norm", "pos_att_type": "p2c|c2p", "position_biased_input": false,
             "type_vocab_size": 0, "id2label": {"0": "a", "1": "b"}}
            """),
    DEBERTA_APART("""
            {"model_type": "deberta-v2", "architectures": ["DebertaV2ForTokenClassification"], "hidden_size": 16,
             "embedding_size": 8, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
             "vocab_size": 40, "max_position_embeddings": 32, "max_relative_positions": 6, "relative_attention": true,
             "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 2, "id2label": {"0": "a", "1": "b"}}
            """),
    MODERNBERT("""
            {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 40,
             "max_position_embeddings": 64, "local_attention": 6, "global_attn_every_n_layers": 3}
            """),
    NOMIC_BERT("""
            {"model_type": "nomic_bert", "architectures": ["NomicBertModel"], "n_embd": 16, "n_inner": 24, "n_layer": 2,
             "n_head": 2, "n_positions": 64, "vocab_size": 40, "rotary_emb_base": 1000, "type_vocab_size": 2,
             "activation_function": "swiglu", "layer_norm_epsilon": 1e-12}
            """),
    DEIT("""
            {"model_type": "deit", "architectures": ["DeiTForImageClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 8, "patch_size": 4,
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    DINOV2("""
            {"model_type": "dinov2", "architectures": ["Dinov2ForImageClassification"], "hidden_size": 16,
             "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 8, "patch_size": 4, "mlp_ratio": 2,
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    CLIP("""
            {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 8,
             "text_config": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
               "vocab_size": 40, "max_position_embeddings": 32, "eos_token_id": 2},
             "vision_config": {"hidden_size": 12, "intermediate_size": 24, "num_hidden_layers": 1,
               "num_attention_heads": 2, "image_size": 8, "patch_size": 4}}
            """),
    SIGLIP("""
            {"model_type": "siglip", "architectures": ["SiglipModel"],
             "text_config": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
               "vocab_size": 40, "max_position_embeddings": 32},
             "vision_config": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
               "num_attention_heads": 2, "image_size": 8, "patch_size": 4}}
            """),
    QUERY_DECODER("""
            {"model_type": "query_decoder", "num_stages": 2, "hidden_size": 8, "num_attention_heads": 2,
             "intermediate_size": 12, "num_groups": 2, "num_channels": 3, "in_points": 5, "out_points": 4,
             "id2label": {"0": "a", "1": "b", "2": "c"}}
            """),
    QUERY_DECODER_LORS("""
            {"model_type": "query_decoder", "num_stages": 2, "hidden_size": 8, "num_attention_heads": 2,
             "intermediate_size": 12, "num_groups": 2, "num_channels": 3, "in_points": 5, "out_points": 4,
             "lors": {"ranks": [2, 3], "groups": [1, 2], "projection_ranks": [2, 1]}}
            """);

    private final String config;

    TinyModel(String config) {
        this.config = config;
    }

    /** Writes the checkpoint folder, in canonical names; the seed decides its weights. */
    public Path write(Path folder, long seed) throws IOException {
        return write(folder, config, seed);
    }

    /**
     * Writes it with other sizes.
     *
     * @param sizes what fields of config.json are set to
     */
    public Path write(Path folder, long seed, Map<String, Integer> sizes) throws IOException {
        ObjectNode changed = (ObjectNode) new JsonMapper().readTree(config);
        sizes.forEach(changed::put);
        return write(folder, changed.toString(), seed);
    }

    /** Writes a checkpoint folder of another config. */
    public static Path write(Path folder, String config, long seed) throws IOException {
        Files.createDirectories(folder);
        Path file = Files.writeString(folder.resolve(ModelConfig.FILE), config);
        Random random = new Random(seed);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        Architectures.of(ModelConfig.read(file))
                .requiredTensors()
                .forEach((name, shape) -> tensors.put(name, random(name, shape, random)));
        SafetensorsWriter.write(folder.resolve(Checkpoint.SINGLE), tensors, Map.of("format", "pt"));
        return folder;
    }

    private static FloatTensor random(String name, Shape shape, Random random) {
        // a normalisation's scale is the only vector that is no bias
        boolean norm = shape.rank() == 1 && !name.endsWith(".bias");
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (norm ? 1 : 0) + 0.2f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }
}
