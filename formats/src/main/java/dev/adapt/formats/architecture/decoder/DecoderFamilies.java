package dev.adapt.formats.architecture.decoder;

import dev.adapt.formats.graph.ModelConfig;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Function;

/** The decoders by {@code model_type}. */
public final class DecoderFamilies {
    private static final SequencedMap<String, Function<ModelConfig, DecoderDraft>> FAMILIES = families();

    /** Models of several parts whose language model is described by an object in their config. */
    private static final List<String> WITH_TEXT_MODEL = List.of("llava", "mistral3", "gemma3", "qwen2_vl");

    private DecoderFamilies() {}

    private static SequencedMap<String, Function<ModelConfig, DecoderDraft>> families() {
        SequencedMap<String, Function<ModelConfig, DecoderDraft>> families = new LinkedHashMap<>();
        families.put("gpt2", GptFamily::gpt2);
        families.put("llama", LlamaFamily::llama);
        families.put("mistral", LlamaFamily::mistral);
        families.put("ministral", LlamaFamily::ministral);
        families.put("qwen2", LlamaFamily::qwen2);
        families.put("qwen2_vl_text", LlamaFamily::qwen2VisionText);
        families.put("qwen3", LlamaFamily::qwen3);
        families.put("qwen3_moe", MixtureFamily::qwen3);
        families.put("gemma", GemmaFamily::gemma);
        families.put("gemma2", GemmaFamily::gemma2);
        families.put("gemma3_text", GemmaFamily::gemma3);
        families.put("phi", PhiFamily::phi);
        families.put("phi3", PhiFamily::phi3);
        families.put("mixtral", MixtureFamily::mixtral);
        families.put("gpt_oss", MixtureFamily::gptOss);
        families.put("deepseek_v3", DeepSeekFamily::deepSeek3);
        families.put("smollm3", LlamaFamily::smollm3);
        families.put("olmo2", LlamaFamily::olmo2);
        families.put("granite", LlamaFamily::granite);
        families.put("exaone4", LlamaFamily::exaone4);
        families.put("glm4", LlamaFamily::glm4);
        families.put("starcoder2", LlamaFamily::starcoder2);
        families.put("cohere", CohereFamily::cohere);
        families.put("cohere2", CohereFamily::cohere2);
        families.put("gpt_neox", GptFamily::neoX);
        families.put("gptj", GptFamily::gptj);
        families.put("gpt_neo", GptFamily::neo);
        families.put("gpt_bigcode", GptFamily::bigCode);
        families.put("opt", OptFamily::opt);
        families.put("falcon", FalconFamily::falcon);
        families.put("bloom", FalconFamily::bloom);
        return families;
    }

    /** The types that have a family. */
    public static List<String> types() {
        return List.copyOf(FAMILIES.keySet());
    }

    /** The decoder that a config describes, if it describes one. */
    public static Optional<Decoder> of(ModelConfig config) {
        ModelConfig text = WITH_TEXT_MODEL.contains(config.modelType()) ? config.ofText() : config;
        return Optional.ofNullable(FAMILIES.get(text.modelType()))
                .map(family -> new Decoder(family.apply(text.complete()).spec()));
    }
}
