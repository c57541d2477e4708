package dev.adapt.cli.inspect;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.gguf.GgufValue;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** What a GGUF file holds, as text or JSON: metadata, of arrays the length and first values, and tensors. */
record GgufListing(Path path, GgufHeader header) {
    String text(boolean each) {
        Map<String, Long> types = new TreeMap<>();
        long parameters = 0;
        TensorLines tensors = new TensorLines();
        for (GgufTensor tensor : header.tensors()) {
            types.merge(tensor.type().toString(), 1L, Long::sum);
            parameters += tensor.shape().elements();
            tensors.add(new TensorLines.Line(
                    tensor.name(), tensor.shape(), tensor.type().toString(), tensor.bytes()));
        }
        TextTable about = new TextTable("GGUF file", path.toString())
                .row("architecture", header.text("general.architecture").orElse("not recorded"))
                .row("parameters", String.format("%,d", parameters))
                .row(
                        "tensor types",
                        types.entrySet().stream()
                                .map(type -> type.getValue() + " " + type.getKey())
                                .collect(Collectors.joining(", ")));
        TextTable metadata = new TextTable("key", "kind", "value");
        header.metadata().forEach((key, value) -> metadata.row(key, value.kind(), value.shown()));
        return about + "\n" + metadata + "\n" + tensors.table(each) + "\n"
                + String.format("%d tensors, %s%n", header.tensors().size(), new Bytes(header.fileBytes()));
    }

    ObjectNode json() {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("path", path.toString());
        root.put("format", "gguf");
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
