package dev.adapt.cli.export;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.client.Client;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.export.OnnxResult;
import dev.adapt.formats.sentence.SentenceModules;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** What an exported model gives and takes, and which program is to load it. */
final class ResultOptions {
    /** What a user calls a result. */
    enum Output {
        LAST_HIDDEN_STATE,
        SENTENCE_EMBEDDING,
        LOGITS
    }

    private static final class Clients implements ITypeConverter<Client> {
        @Override
        public Client convert(String value) {
            return Client.named(value)
                    .orElseThrow(() -> new TypeConversionException("expected one of "
                            + Client.ALL.stream().map(Client::name).collect(Collectors.joining(", "))
                            + " but was '" + value + "'"));
        }
    }

    private static final class Outputs implements ITypeConverter<Output> {
        @Override
        public Output convert(String value) {
            for (Output output : Output.values()) {
                if (output.name().toLowerCase(Locale.ROOT).equals(value)) {
                    return output;
                }
            }
            throw new TypeConversionException(
                    "expected last_hidden_state, sentence_embedding or logits but was '" + value + "'");
        }
    }

    @Option(
            names = "--for",
            paramLabel = "PROGRAM",
            converter = Clients.class,
            description = "write the folder that this program loads, under --out: langchain4j, spring-ai,"
                    + " transformers.js, optimum, vespa or opensearch")
    private Optional<Client> client = Optional.empty();

    @Option(
            names = "--output",
            paramLabel = "NAME",
            converter = Outputs.class,
            description = "what the model gives: last_hidden_state (token states, without its head),"
                    + " sentence_embedding (one vector of a text), or logits (what its class gives)")
    private Optional<Output> output = Optional.empty();

    @Option(
            names = "--pooling",
            paramLabel = "mean|cls|max|last",
            description = "pooling of sentence_embedding, or by the program of --for (default: as modules.json of the"
                    + " checkpoint says, else mean)")
    private Optional<Pooling> pooling = Optional.empty();

    @Option(
            names = "--normalize",
            arity = "0..1",
            fallbackValue = "true",
            paramLabel = "true|false",
            description = "vectors of length 1 (default: as modules.json of the checkpoint says, else false)")
    private Optional<Boolean> normalize = Optional.empty();

    @Option(names = "--no-token-types", description = "leave the input token_type_ids out; all are then 0")
    private boolean noTokenTypes;

    @Option(
            names = "--data",
            paramLabel = "FILE",
            description =
                    "your own texts, or for a classifier labelled texts: prints how near the exported model comes to"
                            + " the checkpoint in float32")
    private Optional<Path> data = Optional.empty();

    Optional<Client> client() {
        return client;
    }

    Optional<Path> data() {
        return data;
    }

    boolean tokenTypes() {
        return !noTokenTypes;
    }

    /** Refuses options that do not go together. */
    void check(boolean open, boolean selfContained, OnnxPrecision precision) {
        if (open && (client.isPresent() || output.isPresent())) {
            throw new UsageException(
                    "--adapter-inputs, --target and --with-past belong to what the model's own class gives; leave --for and"
                            + " --output out");
        }
        if (open && precision.isQuantized()) {
            throw new UsageException("--dtype " + precision
                    + ": --adapter-inputs, --target and --with-past are for fp32 and fp16; leave them out, or merge"
                    + " the adapter");
        }
        if (client.isPresent() && (output.isPresent() || selfContained)) {
            throw new UsageException("--for " + client.get().name()
                    + " decides itself what the model gives and where its weights lie; leave --output and"
                    + " --self-contained out");
        }
        if (client.isEmpty() && output.filter(Output.SENTENCE_EMBEDDING::equals).isEmpty()) {
            requireNoVectors();
        }
        if (data.isPresent() && output.filter(Output.SENTENCE_EMBEDDING::equals).isPresent()) {
            throw new UsageException(
                    "--data compares token states and logits; leave --output sentence_embedding out of a first run");
        }
        if (data.isPresent()
                && client.filter(own -> own.companion() == Client.Companion.OPENSEARCH)
                        .isPresent()) {
            throw new UsageException("--data: the model for opensearch lies in an archive; compare with --output"
                    + " last_hidden_state --out FILE.onnx");
        }
    }

    private void requireNoVectors() {
        if (pooling.isPresent() || normalize.isPresent()) {
            throw new UsageException(
                    "--pooling and --normalize make one vector of a text: add --output sentence_embedding or --for");
        }
    }

    /** How the checkpoint in a folder makes vectors, or the options say otherwise. */
    SentenceModules vectors(Path folder) throws IOException {
        SentenceModules own = SentenceModules.of(folder).orElseGet(() -> new SentenceModules(Pooling.MEAN, false));
        Pooling chosen = pooling.orElse(own.pooling());
        if (!SentenceModules.isOfSentences(chosen)) {
            throw new UsageException("--pooling: expected mean, cls, max or last");
        }
        return new SentenceModules(
                chosen, normalize.orElse(own.normalized()), own.longest(), own.prompts(), own.usual());
    }

    /** Refuses to leave out what the model does not take. */
    void requireTokenTypes(Model model) {
        if (noTokenTypes
                && model.architecture().inputs().stream().map(InputSpec::name).noneMatch("token_type_ids"::equals)) {
            throw new UsageException("--no-token-types: the model takes none; leave the option out");
        }
    }

    /** What the model is to give. */
    OnnxResult of(Model model, Path folder) throws IOException {
        if (output.isEmpty()) {
            return new OnnxResult.Own();
        }
        return switch (output.get()) {
            case LAST_HIDDEN_STATE -> new OnnxResult.States();
            case SENTENCE_EMBEDDING -> {
                SentenceModules vectors = vectors(folder);
                yield new OnnxResult.Vector(vectors.pooling(), vectors.normalized());
            }
            case LOGITS -> {
                String own = model.architecture().outputName();
                if (!own.equals("logits")) {
                    throw new UsageException("--output logits: the model's class gives " + own
                            + "; give a checkpoint with a head, or another --output");
                }
                yield new OnnxResult.Own();
            }
        };
    }

    /** Prints how near an exported model comes to its checkpoint, where that is asked for or numbers were rounded. */
    void compare(Model model, Path folder, OnnxExport exported, OnnxPrecision precision) throws IOException {
        boolean vector = output.filter(Output.SENTENCE_EMBEDDING::equals).isPresent();
        boolean archived = client.filter(own -> own.companion() == Client.Companion.OPENSEARCH)
                .isPresent();
        if (vector || archived || (data.isEmpty() && !precision.isQuantized())) {
            return;
        }
        boolean states = client.map(Client::states)
                .orElse(output.filter(Output.LAST_HIDDEN_STATE::equals).isPresent());
        SentenceModules vectors = SentenceModules.of(folder).orElseGet(() -> new SentenceModules(Pooling.MEAN, true));
        new ExportComparison(states ? model.body() : model, folder, vectors, exported).print(data);
    }
}
