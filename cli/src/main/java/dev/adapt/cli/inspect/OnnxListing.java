package dev.adapt.cli.inspect;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.onnx.OnnxSummary;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** What an ONNX file holds, as text or JSON. */
record OnnxListing(Path path, OnnxSummary summary) {
    private static final int OPERATORS = 6;

    String text(boolean each) {
        TextTable about = new TextTable("ONNX model", path.toString())
                .row("producer", summary.producer().isEmpty() ? "not recorded" : summary.producer())
                .row("IR version", summary.irVersion())
                .row("opsets", join(summary.opsets()))
                .row("parameters", String.format("%,d", summary.parameters()))
                .row("operators", operators())
                .row("file", new Bytes(summary.bytes()))
                .row("external data", summary.files().isEmpty() ? "none" : String.join(", ", summary.files()));
        TextTable values = new TextTable("", "name", "type", "shape");
        summary.inputs().forEach(value -> values.row("input", value.name(), value.type(), value.shape()));
        summary.outputs().forEach(value -> values.row("output", value.name(), value.type(), value.shape()));
        TensorLines tensors = new TensorLines();
        for (OnnxSummary.Initializer initializer : summary.initializers()) {
            String data = initializer.file().isPresent() ? initializer.dtype() + ", external" : initializer.dtype();
            tensors.add(new TensorLines.Line(initializer.name(), initializer.shape(), data, initializer.bytes()));
        }
        return about + "\n" + values + "\n" + tensors.table(each) + "\n"
                + String.format("%d initializers%n", summary.initializers().size());
    }

    /** The most frequent ones. */
    private String operators() {
        String most = summary.operators().entrySet().stream()
                .sorted(Map.Entry.<String, Long>comparingByValue().reversed())
                .limit(OPERATORS)
                .map(entry -> entry.getValue() + " " + entry.getKey())
                .collect(Collectors.joining(", "));
        return summary.operators().size() <= OPERATORS
                ? most
                : most + ", … (" + summary.operators().size() + " kinds)";
    }

    private static String join(Map<String, Long> numbers) {
        return numbers.entrySet().stream()
                .map(entry -> entry.getKey() + " " + entry.getValue())
                .collect(Collectors.joining(", "));
    }

    ObjectNode json() {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("path", path.toString());
        root.put("format", "onnx");
        root.put("producer", summary.producer());
        root.put("ir_version", summary.irVersion());
        summary.opsets().forEach(root.putObject("opsets")::put);
        values(summary.inputs(), root.putArray("inputs"));
        values(summary.outputs(), root.putArray("outputs"));
        summary.operators().forEach(root.putObject("operators")::put);
        ArrayNode initializers = root.putArray("initializers");
        for (OnnxSummary.Initializer initializer : summary.initializers()) {
            ObjectNode node = initializers.addObject();
            node.put("name", initializer.name());
            node.put("dtype", initializer.dtype());
            ArrayNode shape = node.putArray("shape");
            initializer.shape().dims().forEach(shape::add);
            initializer.file().ifPresent(file -> node.put("file", file));
        }
        summary.files().forEach(root.putArray("external_files")::add);
        root.put("parameters", summary.parameters());
        root.put("bytes", summary.bytes());
        return root;
    }

    private static void values(List<OnnxSummary.Value> values, ArrayNode nodes) {
        for (OnnxSummary.Value value : values) {
            ObjectNode node = nodes.addObject();
            node.put("name", value.name());
            node.put("type", value.type());
            value.dims().ifPresent(dims -> dims.forEach(node.putArray("shape")::add));
        }
    }
}
