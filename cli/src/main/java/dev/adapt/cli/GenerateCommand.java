package dev.adapt.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.generate.Decoder;
import dev.adapt.formats.generate.Generation;
import dev.adapt.formats.generate.Sampler;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Architectures;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.model.Binding;
import dev.adapt.formats.model.Model;
import dev.adapt.train.Devices;
import dev.adapt.train.DjlDecoder;
import dev.adapt.train.TextCodec;
import dev.adapt.verify.Device;
import dev.adapt.verify.OnnxRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code adapt generate}: a language model continues a text. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Continues a text with a language model: a checkpoint, with or without an adapter beside it, on DJL, or an"
                    + " exported model on ONNX Runtime. The same seed gives the same text on both.",
            "Standard output gets the prompt and what follows it, as text or, where the prompt is token ids, as these."
        },
        footer = {
            "",
            "Examples: adapt generate --base base --adapter my-lora --prompt \"Once upon a time\"",
            "          adapt export-onnx merged --with-past --out merged/model.onnx",
            "          adapt generate --onnx merged/model.onnx --prompt \"Once upon a time\" --temperature 0.8 --top-p 0.9"
        })
final class GenerateCommand implements Callable<Integer> {
    @Option(names = "--base", paramLabel = "DIR", description = "the checkpoint: a base, or what merge wrote")
    private Optional<Path> base = Optional.empty();

    @Option(names = "--adapter", paramLabel = "DIR", description = "the adapter that runs beside the base")
    private Optional<Path> adapter = Optional.empty();

    @Option(names = "--onnx", paramLabel = "FILE", description = "the exported model, instead of --base")
    private Optional<Path> onnx = Optional.empty();

    @Option(
            names = "--onnx-adapter",
            paramLabel = "FILE",
            description = "the .onnx_adapter file that is active in the exported model")
    private Optional<Path> onnxAdapter = Optional.empty();

    @Option(names = "--prompt", paramLabel = "TEXT", description = "the text to continue")
    private Optional<String> prompt = Optional.empty();

    @Option(names = "--prompt-ids", paramLabel = "IDS", split = ",", description = "its token ids, such as 1,403,407")
    private List<Long> promptIds = List.of();

    @Option(
            names = "--tokenizer",
            paramLabel = "DIR",
            description = "the folder with tokenizer.json and config.json, if it is not the model's own")
    private Optional<Path> tokenizer = Optional.empty();

    @Option(
            names = "--max-new-tokens",
            paramLabel = "N",
            defaultValue = "64",
            description = "tokens to add at most (${DEFAULT-VALUE})")
    private int most;

    @Option(
            names = "--temperature",
            paramLabel = "X",
            defaultValue = "0",
            description = "0 takes the best token, 1 draws from the model's distribution (${DEFAULT-VALUE})")
    private double temperature;

    @Option(
            names = "--top-k",
            paramLabel = "N",
            defaultValue = "0",
            description = "draw from the N best tokens only; 0: from all (${DEFAULT-VALUE})")
    private int topK;

    @Option(
            names = "--top-p",
            paramLabel = "X",
            defaultValue = "1",
            description = "draw from the best tokens that together have probability X (${DEFAULT-VALUE})")
    private double topP;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "0", description = "of the draws (${DEFAULT-VALUE})")
    private long seed;

    @Option(
            names = "--eos",
            paramLabel = "IDS",
            split = ",",
            description = "tokens that end the text (eos_token_id of generation_config.json or config.json)")
    private List<Long> ends = List.of();

    @Option(names = "--no-cache", description = "keep no keys and values: each token computes all before it again")
    private boolean noCache;

    @Option(names = "--device", defaultValue = "auto", description = "${COMPLETION-CANDIDATES} (${DEFAULT-VALUE})")
    private Devices device = Devices.AUTO;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        check();
        if (temperature == 0) {
            new GivenOptions(spec)
                    .refuse(
                            "temperature 0 takes the best token and draws none, give --temperature X with it",
                            "--top-k",
                            "--top-p",
                            "--seed");
        }
        Sampler sampler = new Sampler(temperature, topK, topP, seed);
        Optional<ModelConfig> config = config();
        Optional<Tokens> tokens = config.map(Architectures::of).flatMap(Architecture::tokens);
        Optional<TextCodec> codec = prompt.isPresent() ? Optional.of(TextCodec.open(folder())) : Optional.empty();
        try {
            long[] begin = checked(
                    codec.isPresent()
                            ? codec.get().encode(prompt.orElseThrow())
                            : promptIds.stream().mapToLong(Long::longValue).toArray(),
                    tokens);
            Generation generation = new Generation(sampler, room(begin.length, tokens), endsOf(config));
            long[] added = generate(generation, begin);
            long[] all = LongStream.concat(Arrays.stream(begin), Arrays.stream(added))
                    .toArray();
            Terminal.lines((codec.isPresent()
                            ? codec.get().decode(all)
                            : Arrays.stream(all).mapToObj(Long::toString).collect(Collectors.joining(",")))
                    + "\n");
        } finally {
            codec.ifPresent(TextCodec::close);
        }
        return 0;
    }

    private void check() {
        if (base.isPresent() == onnx.isPresent()) {
            throw new UsageException("generate takes one model: give --base or --onnx");
        }
        if (adapter.isPresent() && base.isEmpty()) {
            throw new UsageException("--adapter needs --base, the checkpoint it was trained on");
        }
        if (onnxAdapter.isPresent() && onnx.isEmpty()) {
            throw new UsageException("--onnx-adapter needs --onnx, a model exported with --adapter-inputs");
        }
        if (most < 1) {
            throw new UsageException("--max-new-tokens: expected at least 1, found " + most);
        }
        if (prompt.isPresent() != promptIds.isEmpty()) {
            throw new UsageException("generate continues a text: give --prompt or --prompt-ids");
        }
    }

    /** Where the tokenizer and the configs lie. */
    private Path folder() {
        Path model = base.or(() -> onnx).orElseThrow();
        return tokenizer.orElseGet(() -> Files.isDirectory(model) ? model : model.resolveSibling(""));
    }

    private Optional<ModelConfig> config() throws IOException {
        Path file = folder().resolve(ModelConfig.FILE);
        return Files.exists(file) ? Optional.of(ModelConfig.read(file)) : Optional.empty();
    }

    /** The tokens that end a text: those asked for, else those of the model. */
    private Set<Long> endsOf(Optional<ModelConfig> config) throws IOException {
        if (!ends.isEmpty()) {
            return Set.copyOf(ends);
        }
        Path own = folder().resolve("generation_config.json");
        Optional<JsonDocument> document =
                Files.exists(own) ? Optional.of(JsonDocument.read(own)) : config.map(ModelConfig::document);
        Set<Long> found = new LinkedHashSet<>();
        JsonNode ids = document.map(JsonDocument::json)
                .map(json -> json.path("eos_token_id"))
                .orElse(MissingNode.getInstance());
        (ids.isArray() ? ids : List.of(ids)).forEach(id -> {
            if (id.isIntegralNumber()) {
                found.add(id.longValue());
            }
        });
        return found;
    }

    private static long[] checked(long[] begin, Optional<Tokens> tokens) {
        long largest = tokens.map(own -> own.vocabulary() - 1L).orElse(Long.MAX_VALUE);
        for (long id : begin) {
            if (id < 0 || id > largest) {
                throw new UsageException("the prompt has the token id " + id + ", expected 0"
                        + (tokens.isPresent() ? " to " + largest + ", the model's vocabulary" : " or more"));
            }
        }
        if (begin.length == 0) {
            throw new UsageException("--prompt: the text has no tokens; give some text, or --prompt-ids");
        }
        return begin;
    }

    /** How many tokens there is room for. */
    private int room(int used, Optional<Tokens> tokens) {
        int longest = tokens.map(Tokens::longest).orElse(Integer.MAX_VALUE);
        if (used >= longest) {
            throw new UsageException(
                    "the prompt has " + used + " tokens, and the model reads texts of " + longest + " at most");
        }
        if (most > longest - used) {
            Terminal.progress("the model reads texts of " + longest + " tokens at most: at most " + (longest - used)
                    + " are added");
        }
        return Math.min(most, longest - used);
    }

    private long[] generate(Generation generation, long[] begin) throws IOException {
        if (onnx.isPresent()) {
            try (OnnxRunner runner = OnnxRunner.open(onnx.get(), "logits", Device.valueOf(device.name()));
                    Decoder decoder = onnxAdapter.isPresent()
                            ? runner.decoder(onnxAdapter.get(), !noCache)
                            : runner.decoder(!noCache)) {
                return timed(generation, decoder, "ONNX Runtime, " + runner.provider(), begin);
            }
        }
        try (Checkpoint checkpoint = Checkpoints.open(base.orElseThrow())) {
            Model model = adapter.isEmpty()
                    ? Model.of(checkpoint)
                    : Model.of(checkpoint, new Binding(checkpoint).bind(Adapter.read(adapter.get()), false));
            try (DjlDecoder decoder = DjlDecoder.open(model, device, !noCache)) {
                return timed(generation, decoder, "DJL, " + decoder.device(), begin);
            }
        }
    }

    /** The prompt is read at once, and timed by itself: it says little about the speed of what follows. */
    private long[] timed(Generation generation, Decoder decoder, String engine, long[] begin) {
        long start = System.nanoTime();
        LongStream.Builder times = LongStream.builder();
        long[] added = generation.run(decoder, begin, token -> times.add(System.nanoTime()));
        long[] at = times.build().toArray();
        if (at.length > 1) {
            Terminal.progress(String.format(
                    Locale.ROOT,
                    "%s, %s cache: %d tokens of prompt and the first new one in %.0f ms, then %.1f tokens/s",
                    engine,
                    noCache ? "without" : "with",
                    begin.length,
                    (at[0] - start) / 1e6,
                    (at.length - 1) * 1e9 / (at[at.length - 1] - at[0])));
        }
        return added;
    }
}
