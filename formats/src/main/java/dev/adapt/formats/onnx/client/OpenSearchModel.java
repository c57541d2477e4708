package dev.adapt.formats.onnx.client;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Sha256;
import dev.adapt.formats.model.Model;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** A model as OpenSearch's ML Commons takes it: an archive, and the request that registers it. */
final class OpenSearchModel {
    private static final String ARCHIVE = "model.zip";

    private OpenSearchModel() {}

    /** Puts the model and tokenizer.json into an archive, in the place of the two files, and writes the request. */
    static void write(OutputFolder folder, ClientFolder client, Model model, Path file) throws IOException {
        Path archive = folder.path().resolve(ARCHIVE);
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(archive))) {
            zip.setLevel(Deflater.BEST_SPEED); // weights do not get smaller
            for (Path each : List.of(file, folder.path().resolve(TokenizerSettings.TOKENIZER))) {
                ZipEntry entry = new ZipEntry(String.valueOf(each.getFileName()));
                entry.setTime(0); // the same model gives the same archive, and the same digest
                zip.putNextEntry(entry);
                Files.copy(each, zip);
                zip.closeEntry();
                Files.delete(each);
            }
        }
        ObjectNode request = new JsonMapper().createObjectNode();
        request.put("name", model.config().modelType());
        request.put("version", "1.0.0");
        request.put("model_format", "ONNX");
        request.put("function_name", "TEXT_EMBEDDING");
        request.put("model_content_size_in_bytes", Files.size(archive));
        try (InputStream bytes = Files.newInputStream(archive)) {
            request.put("model_content_hash_value", Sha256.hex(bytes));
        }
        ObjectNode config = request.putObject("model_config");
        config.put("model_type", model.config().modelType());
        config.put("embedding_dimension", model.architecture().hidden());
        config.put("framework_type", "SENTENCE_TRANSFORMERS");
        config.put("pooling_mode", ClientFolder.name(client.vectors().pooling()).toUpperCase(Locale.ROOT));
        config.put("normalize_result", client.vectors().normalized());
        config.put("all_config", model.config().document().json().toString());
        folder.text("register.json", request.toPrettyString() + "\n");
    }
}
