package dev.adapt.cli.predict;

import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.generate.Decoder;
import dev.adapt.formats.generate.Generation;
import dev.adapt.formats.generate.Sampler;
import dev.adapt.formats.generate.StopTokens;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.model.Model;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.DjlDecoder;
import dev.adapt.train.tokenizer.PromptText;
import dev.adapt.train.tokenizer.TextCodec;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.LongConsumer;
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
            "Prints the prompt and its continuation: text, or token ids with --prompt-ids. A terminal shows the text as it"
                    + " grows. The speed goes to standard error."
        },
        footer = {
            "",
            "Examples: adapt generate --base base --adapter my-lora --prompt \"Once upon\"",
            "          adapt export-onnx merged --with-past --out merged/model.onnx",
            "          adapt generate --onnx merged/model.onnx --prompt \"Once upon\" \\",
            "                         --temperature 0.8 --top-p 0.9"
        })
public final class GenerateCommand implements Callable<Integer> {
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

    @Option(
            names = "--prompt-ids",
            paramLabel = "IDS",
            split = ",",
            description = "the text to continue as token ids, such as 1,403,407")
    private List<Long> promptIds = List.of();

    @Option(
            names = "--prompt-format",
            paramLabel = "FORMAT",
            converter = PromptFormats.class,
            description = "layout of the prompt: chat (a user's message in the chat template), line-feed (a line"
                    + " feed after it) or text (as it is); default: as the adapter or merged model was trained, else chat"
                    + " where there is a chat template, else text")
    private Optional<PromptFormat> format = Optional.empty();

    @Option(
            names = "--tokenizer",
            paramLabel = "DIR",
            description = "folder with tokenizer.json and config.json (default: the model's own)")
    private Optional<Path> tokenizer = Optional.empty();

    @Option(
            names = "--max-new-tokens",
            paramLabel = "N",
            defaultValue = "64",
            description = "tokens to add at most (default: ${DEFAULT-VALUE})")
    private int most;

    @Option(
            names = "--temperature",
            paramLabel = "X",
            defaultValue = "0",
            description = "0 takes the best token, 1 draws from the model's distribution (default: ${DEFAULT-VALUE})")
    private double temperature;

    @Option(
            names = "--top-k",
            paramLabel = "N",
            defaultValue = "0",
            description = "draw from the N best tokens only; 0: from all (default: ${DEFAULT-VALUE})")
    private int topK;

    @Option(
            names = "--top-p",
            paramLabel = "X",
            defaultValue = "1",
            description = "draw from the best tokens that together have probability X (default: ${DEFAULT-VALUE})")
    private double topP;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "0",
            description = "random seed (default: ${DEFAULT-VALUE})")
    private long seed;

    @Option(
            names = "--eos",
            paramLabel = "IDS",
            split = ",",
            description = "tokens that end the text (default: eos_token_id of generation_config.json and config.json)")
    private List<Long> ends = List.of();

    @Option(names = "--no-cache", description = "no key-value cache: each new token recomputes all tokens before it")
    private boolean noCache;

    @Option(
            names = "--device",
            defaultValue = "auto",
            description = "where to compute: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
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
        if (prompt.isEmpty()) {
            new GivenOptions(spec).refuse("token ids are taken as they are", "--prompt-format");
        }
        Sampler sampler = new Sampler(temperature, topK, topP, seed);
        Optional<ModelConfig> config = config();
        Optional<Architecture> architecture = config.map(Architectures::of);
        Optional<String> speed;
        if (prompt.isEmpty()) {
            long[] begin = promptIds.stream().mapToLong(Long::longValue).toArray();
            LongStream.Builder all = LongStream.builder();
            Arrays.stream(begin).forEach(all::add);
            speed = generate(sampler, begin, architecture, Set.of(), all::add);
            Terminal.line(all.build().mapToObj(Long::toString).collect(Collectors.joining(",")));
        } else {
            try (TextCodec codec = TextCodec.open(folder())) {
                speed = continueText(codec, sampler, layout(config), architecture);
            }
        }
        speed.ifPresent(Terminal::progress);
        return 0;
    }

    /** Prints the prompt and what follows it; returns how fast that came. */
    private Optional<String> continueText(
            TextCodec codec, Sampler sampler, PromptFormat layout, Optional<Architecture> architecture)
            throws IOException {
        PromptText laidOut = PromptText.of(prompt.orElseThrow(), layout, folder());
        long[] begin = codec.encode(laidOut);
        Set<Long> end = laidOut.end().map(codec::encodeSpecial).filter(ids -> ids.length == 1).stream()
                .flatMapToLong(Arrays::stream)
                .boxed()
                .collect(Collectors.toSet());
        // what a layout puts around a prompt is not shown
        StreamedText text = layout == PromptFormat.TEXT
                ? new StreamedText(codec::decode, begin, Terminal.isWatched())
                : new StreamedText(
                        answer -> prompt.orElseThrow() + "\n" + codec.decode(answer),
                        new long[0],
                        Terminal.isWatched());
        Optional<String> speed = generate(sampler, begin, architecture, end, text::add);
        text.end();
        return speed;
    }

    /** How the prompt is laid out: as asked for, else as it was in training, else as is usual for the model. */
    private PromptFormat layout(Optional<ModelConfig> config) throws IOException {
        if (format.isPresent()) {
            return format.get();
        }
        Optional<PromptFormat> recorded =
                adapter.isPresent() ? PromptFormat.of(Adapter.read(adapter.get())) : Optional.empty();
        Optional<PromptFormat> trained = recorded.or(() -> config.flatMap(own -> PromptFormat.of(own.document())));
        PromptFormat layout = trained.isPresent() ? trained.get() : PromptText.usual(folder());
        if (layout != PromptFormat.TEXT) {
            Terminal.progress(
                    layout == PromptFormat.CHAT
                            ? "the prompt is a user's message in the chat template (--prompt-format text: as it is)"
                            : "a line feed follows the prompt, as in training (--prompt-format text: none)");
        }
        return layout;
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

    private static void checkPrompt(long[] begin, Optional<Tokens> tokens) {
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

    /**
     * Continues a text.
     *
     * @param end tokens that end it beside the model's own
     * @param added told each token as it comes
     * @return how fast it was, if there is enough to tell
     */
    private Optional<String> generate(
            Sampler sampler, long[] begin, Optional<Architecture> architecture, Set<Long> end, LongConsumer added)
            throws IOException {
        Optional<Tokens> tokens = architecture.flatMap(Architecture::tokens);
        checkPrompt(begin, tokens);
        Set<Long> stops = new HashSet<>(ends.isEmpty() ? StopTokens.of(folder()) : ends);
        if (ends.isEmpty()) {
            stops.addAll(end);
        }
        OptionalInt rebuiltAfter = architecture
                .flatMap(Architecture::cache)
                .map(CacheSpec::rebuiltAfter)
                .orElse(OptionalInt.empty());
        Generation generation = new Generation(sampler, room(begin.length, tokens), stops, rebuiltAfter);
        return generate(generation, begin, added);
    }

    private Optional<String> generate(Generation generation, long[] begin, LongConsumer added) throws IOException {
        if (onnx.isPresent()) {
            try (OnnxRunner runner = OnnxRunner.open(onnx.get(), "logits", Device.valueOf(device.name()));
                    Decoder decoder = onnxAdapter.isPresent()
                            ? runner.decoder(onnxAdapter.get(), !noCache)
                            : runner.decoder(!noCache)) {
                return timed(generation, decoder, "ONNX Runtime, " + runner.provider(), begin, added);
            }
        }
        try (Checkpoint checkpoint = Checkpoints.open(base.orElseThrow())) {
            Model model = adapter.isEmpty()
                    ? Model.of(checkpoint)
                    : Model.of(checkpoint, new Binding(checkpoint).bind(Adapter.read(adapter.get()), false));
            try (DjlDecoder decoder = DjlDecoder.open(model, device, !noCache)) {
                return timed(generation, decoder, "DJL, " + decoder.device(), begin, added);
            }
        }
    }

    /** The prompt is read at once, and timed by itself: it says little about the speed of what follows. */
    private Optional<String> timed(
            Generation generation, Decoder decoder, String engine, long[] begin, LongConsumer added) {
        long start = System.nanoTime();
        LongStream.Builder times = LongStream.builder();
        generation.run(decoder, begin, token -> {
            times.add(System.nanoTime());
            added.accept(token);
        });
        long[] at = times.build().toArray();
        return at.length < 2
                ? Optional.empty()
                : Optional.of(String.format(
                        Locale.ROOT,
                        "%s, %s cache: %d tokens of prompt and the first new one in %.0f ms, then %.1f tokens/s",
                        engine,
                        noCache ? "without" : "with",
                        begin.length,
                        (at[0] - start) / 1e6,
                        (at.length - 1) * 1e9 / (at[at.length - 1] - at[0])));
    }
}
