package dev.adapt.formats.onnx.client;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Companions;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.export.OnnxResult;
import dev.adapt.formats.sentence.SentenceModules;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * A model as one program loads it.
 *
 * @param client the program
 * @param source the checkpoint's folder, with its tokenizer
 * @param vectors how the model makes one vector of a text
 * @param precision in which numbers it computes
 * @param tokenTypes whether it takes token types, where it has them
 */
public record ClientFolder(
        Client client, Path source, SentenceModules vectors, OnnxPrecision precision, boolean tokenTypes) {
    /**
     * Writes the folder.
     *
     * @return what was exported; its paths are those under the folder's final name
     * @throws UsageException if the program pools in another way than the model, or cannot load it in one file
     * @throws FormatException if the checkpoint has no tokenizer.json
     */
    public OnnxExport write(Model model, Path out, Outputs outputs) throws IOException {
        requirePooling();
        Architecture architecture = model.architecture();
        Tokens tokens = architecture
                .tokens()
                .orElseThrow(() -> new UsageException(
                        "for " + client.name(), model.config().modelType() + " reads no texts; give --out FILE.onnx"));
        if (!Files.isRegularFile(source.resolve(TokenizerSettings.TOKENIZER))) {
            throw new FormatException(
                    source, "has no tokenizer.json, and " + client.name() + " makes tokens of texts itself");
        }
        int longest = Math.min(tokens.longest(), vectors.longest().orElse(tokens.longest()));
        TokenizerSettings tokenizer = TokenizerSettings.in(source, longest);
        OnnxResult result = client.states() ? new OnnxResult.States() : new OnnxResult.Own();
        OnnxExport.Options options =
                new OnnxExport.Options(OnnxExport.Weights.OWN, precision, false, false, result, tokenTypes);
        try (OutputFolder folder = outputs.folder(out, names())) {
            Path file = folder.path().resolve(client.path(precision));
            Files.createDirectories(file.getParent());
            OnnxExport exported = OnnxExport.run(model, file, options, Outputs.replacing());
            if (client.oneFile() && exported.data().isPresent()) {
                throw new UsageException(
                        "for " + client.name(),
                        "it reads a model as one file, and this one has more than 2 GB; --dtype int8 or int4 makes it"
                                + " smaller");
            }
            writeTokenizer(folder, model, tokenizer);
            switch (client.companion()) {
                case NONE -> {}
                case VESPA -> folder.text("embedder.xml", VespaEmbedder.of(this, model, longest));
                case OPENSEARCH -> OpenSearchModel.write(folder, this, model, file);
            }
            folder.commit();
            return exported.in(folder.path(), out);
        }
    }

    /** What another pooling gives are other vectors, and nobody would be told. */
    private void requirePooling() {
        if (client.states() && !client.poolings().contains(vectors.pooling())) {
            String known =
                    client.poolings().stream().map(ClientFolder::name).sorted().collect(Collectors.joining(" or "));
            throw new UsageException(
                    "for " + client.name(),
                    "it pools token states by " + known + ", and the vectors of this model are pooled by "
                            + name(vectors.pooling()) + "; give --output sentence_embedding --out FILE.onnx for a model"
                            + " that pools by itself, or --pooling to have another");
        }
    }

    static String name(Pooling pooling) {
        return pooling.name().toLowerCase(Locale.ROOT);
    }

    private Set<String> names() throws IOException {
        Set<String> names = new TreeSet<>(
                Set.of(Checkpoint.CONFIG, "embedder.xml", "model.zip", "register.json", TokenizerSettings.FILE));
        client.names().values().forEach(name -> {
            names.add(name + ".onnx");
            names.add(name + ".onnx_data");
        });
        new Companions(source).files().forEach(file -> names.add(String.valueOf(file.getFileName())));
        return names;
    }

    private void writeTokenizer(OutputFolder folder, Model model, TokenizerSettings tokenizer) throws IOException {
        Companions companions = new Companions(source);
        if (client.configured()) {
            companions.copyTokenizerTo(folder.path());
            companions.copySentencesTo(folder.path());
            Files.deleteIfExists(folder.path().resolve(TokenizerSettings.FILE));
            folder.text(TokenizerSettings.FILE, tokenizer.config(model.config().modelType()));
            folder.text(Checkpoint.CONFIG, model.config().document().text());
        } else if (client.cutOff()) {
            folder.text(TokenizerSettings.TOKENIZER, tokenizer.cutOff());
        } else {
            InputFile.found(source.resolve(TokenizerSettings.TOKENIZER))
                    .copyTo(folder.path().resolve(TokenizerSettings.TOKENIZER));
        }
    }
}
