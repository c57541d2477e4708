package dev.adapt.cli.export;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.gguf.GgufValue;
import java.nio.file.Path;

/** What a GGUF file holds, as text or JSON: metadata, of arrays the length and first values, and tensors. */
public record GgufListing(Path path, GgufHeader header) {
    public String text() {
        TextTable metadata = new TextTable("key", "kind", "value");
        header.metadata().forEach((key, value) -> metadata.row(key, value.kind(), value.shown()));
        TextTable tensors = new TextTable("tensor", "type", "shape", "size");
        for (GgufTensor tensor : header.tensors()) {
            tensors.row(tensor.name(), tensor.type(), tensor.shape(), new Bytes(tensor.bytes()));
        }
        return metadata + "\n" + tensors + "\n"
                + String.format("%d tensors, %s%n", header.tensors().size(), new Bytes(header.fileBytes()));
    }

    public ObjectNode json() {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("path", path.toString());
        ObjectNode metadata = root.putObject("metadata");
        header.metadata().forEach((key, value) -> {
            switch (value) {
                case GgufValue.Whole whole when whole.kind() != GgufValue.Kind.U64 -> metadata.put(key, whole.value());
                case GgufValue.Real real -> metadata.put(key, Double.parseDouble(real.shown()));
                case GgufValue.Flag flag -> metadata.put(key, flag.value());
                case GgufValue.Text text -> metadata.put(key, text.value());
                default -> metadata.put(key, value.shown());
            }
        });
        ArrayNode tensors = root.putArray("tensors");
        for (GgufTensor tensor : header.tensors()) {
            ObjectNode node = tensors.addObject();
            node.put("name", tensor.name());
            node.put("type", tensor.type().name());
            ArrayNode shape = node.putArray("shape");
            tensor.shape().dims().forEach(shape::add);
            node.put("bytes", tensor.bytes());
        }
        root.put("bytes", header.fileBytes());
        return root;
    }
}
