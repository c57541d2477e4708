package dev.adapt.cli.inspect;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.diff.CheckpointDiff;
import dev.adapt.formats.diff.TensorDiff;
import dev.adapt.formats.diff.ValueDifference;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.safetensors.TensorInfo;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt diff}: two checkpoints or adapters, tensor by tensor. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Compares two checkpoints or adapters tensor by tensor, however they are split into files: which are identical,"
                    + " how far the others are apart in absolute terms and in units in the last place (of the narrower dtype),"
                    + " and what only one side has.",
            "Of two folders, the fields of config.json or adapter_config.json are compared too. Metadata"
                    + " and fields that say who wrote a file are listed and decide nothing.",
            "Exit code 0: the same; 4: different."
        },
        footer = {"", "Example: adapt diff base merged --tolerance 1e-6"})
public final class DiffCommand implements Callable<Integer> {
    /** Fields of a configuration that say where it comes from, not what the model computes. */
    private static final Set<String> PROVENANCE = Set.of(
            "_name_or_path", "transformers_version", "peft_version", "base_model_name_or_path", "inference_mode");

    @Parameters(index = "0", paramLabel = "A", description = "a .safetensors file, a checkpoint or an adapter folder")
    private Path left = Path.of("");

    @Parameters(index = "1", paramLabel = "B", description = "what to compare it with")
    private Path right = Path.of("");

    @Option(
            names = "--tolerance",
            paramLabel = "X",
            description =
                    "values that differ by at most X count as equal, whatever their dtypes (default: 0, the same bytes)")
    private double tolerance;

    @Option(names = "--all", description = "list the identical tensors too")
    private boolean all;

    @Option(names = "--threads", paramLabel = "N", description = "pieces compared at a time (default: all cores)")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Mixin
    private JsonOption json = new JsonOption();

    @Override
    public Integer call() throws IOException {
        json.require();
        if (threads < 1) {
            throw new UsageException("--threads: expected at least 1, found " + threads);
        }
        if (!(tolerance >= 0)) {
            throw new UsageException("--tolerance: expected a number of at least 0, found " + tolerance);
        }
        try (Checkpoint a = Checkpoints.open(weights(left));
                Checkpoint b = Checkpoints.open(weights(right))) {
            CheckpointDiff diff = CheckpointDiff.of(a, b, threads);
            List<CheckpointDiff.Entry> config = configDiff();
            boolean same = diff.equal(tolerance) && config.stream().allMatch(entry -> PROVENANCE.contains(entry.key()));
            if (!json.prints()) {
                print(diff, config, same);
            }
            json.write(asJson(diff, config, same));
            return same ? 0 : Failure.NOT_EQUAL;
        }
    }

    private static Path weights(Path path) throws IOException {
        return Files.exists(path.resolve(AdapterConfig.FILE))
                ? InputFile.found(path.resolve(Adapter.FILE)).path()
                : path;
    }

    private List<CheckpointDiff.Entry> configDiff() throws IOException {
        for (String name : List.of(AdapterConfig.FILE, ModelConfig.FILE)) {
            if (Files.exists(left.resolve(name)) && Files.exists(right.resolve(name))) {
                return CheckpointDiff.Entry.between(fields(left.resolve(name)), fields(right.resolve(name)));
            }
        }
        return List.of();
    }

    private static Map<String, String> fields(Path file) throws IOException {
        Map<String, String> fields = new TreeMap<>();
        JsonDocument.read(file)
                .json()
                .properties()
                .forEach(field -> fields.put(field.getKey(), field.getValue().toString()));
        return fields;
    }

    private void print(CheckpointDiff diff, List<CheckpointDiff.Entry> config, boolean same) {
        TextTable table = new TextTable("tensor", "A", "B", "differing", "max difference", "ulps", "at");
        long listed = 0;
        for (TensorDiff tensor : diff.tensors()) {
            if (all || !(tensor instanceof TensorDiff.Identical)) {
                listed++;
                row(table, tensor);
            }
        }
        if (listed > 0) {
            Terminal.table(table);
        }
        config.forEach(entry -> Terminal.line("config " + sentence(entry)));
        diff.metadata().forEach(entry -> Terminal.line("metadata " + sentence(entry)));
        Terminal.line(summary(diff, same));
    }

    private static void row(TextTable table, TensorDiff tensor) {
        switch (tensor) {
            case TensorDiff.Identical(TensorInfo info) ->
                table.row(info.name(), describe(info), describe(info), "identical", "", "", "");
            case TensorDiff.OtherValues(TensorInfo a, TensorInfo b, ValueDifference difference) ->
                table.row(
                        a.name(),
                        describe(a),
                        describe(b),
                        String.format(Locale.ROOT, "%,d of %,d", difference.differing(), difference.elements()),
                        number(difference.absolute()),
                        ulps(difference),
                        difference.at());
            case TensorDiff.Incomparable(TensorInfo a, TensorInfo b) ->
                table.row(a.name(), describe(a), describe(b), "not comparable", "", "", "");
            case TensorDiff.OnlyLeft(TensorInfo info) ->
                table.row(info.name(), describe(info), "missing", "", "", "", "");
            case TensorDiff.OnlyRight(TensorInfo info) ->
                table.row(info.name(), "missing", describe(info), "", "", "", "");
        }
    }

    private static String describe(TensorInfo tensor) {
        return tensor.dtype() + " " + tensor.shape();
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, "%.3g", value);
    }

    private static String ulps(ValueDifference difference) {
        if (difference.ulps().isEmpty()) {
            return "";
        }
        long ulps = difference.ulps().getAsLong();
        return ulps == Long.MAX_VALUE ? "Infinity" : String.format(Locale.ROOT, "%,d", ulps);
    }

    private static String sentence(CheckpointDiff.Entry entry) {
        return entry.key() + ": " + entry.left().orElse("missing") + " in A, "
                + entry.right().orElse("missing") + " in B";
    }

    private String summary(CheckpointDiff diff, boolean same) {
        long compared = count(diff, TensorDiff.OtherValues.class);
        double largest = largest(diff);
        StringBuilder text = new StringBuilder(same ? "the same" : "different");
        text.append(String.format(
                Locale.ROOT, ": %,d tensors, %,d identical", diff.tensors().size(), diff.identical()));
        if (compared > 0) {
            text.append(String.format(Locale.ROOT, ", %,d differ by at most %s", compared, number(largest)));
            if (tolerance > 0) {
                text.append(" (tolerance ").append(number(tolerance)).append(')');
            }
        }
        append(text, count(diff, TensorDiff.Incomparable.class), "of another shape or kind");
        append(text, count(diff, TensorDiff.OnlyLeft.class), "missing in B");
        append(text, count(diff, TensorDiff.OnlyRight.class), "missing in A");
        return text.toString();
    }

    private static void append(StringBuilder text, long count, String what) {
        if (count > 0) {
            text.append(String.format(Locale.ROOT, ", %,d %s", count, what));
        }
    }

    private static long count(CheckpointDiff diff, Class<? extends TensorDiff> kind) {
        return diff.tensors().stream().filter(kind::isInstance).count();
    }

    private static double largest(CheckpointDiff diff) {
        double largest = 0;
        for (TensorDiff tensor : diff.tensors()) {
            if (tensor instanceof TensorDiff.OtherValues other) {
                largest = Math.max(largest, other.difference().absolute());
            }
        }
        return largest;
    }

    private ObjectNode asJson(CheckpointDiff diff, List<CheckpointDiff.Entry> config, boolean same) {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("a", left.toString()).put("b", right.toString()).put("same", same);
        root.put("tolerance", tolerance);
        root.put("tensors", diff.tensors().size()).put("identical", diff.identical());
        put(root, "max_difference", largest(diff));
        ArrayNode differences = root.putArray("differences");
        for (TensorDiff tensor : diff.tensors()) {
            if (all || !(tensor instanceof TensorDiff.Identical)) {
                differences.add(asJson(tensor));
            }
        }
        entries(root.putArray("config"), config);
        entries(root.putArray("metadata"), diff.metadata());
        return root;
    }

    private static ObjectNode asJson(TensorDiff tensor) {
        ObjectNode node = new JsonMapper().createObjectNode().put("name", tensor.name());
        switch (tensor) {
            case TensorDiff.Identical(TensorInfo info) ->
                node.put("what", "identical").put("a", describe(info));
            case TensorDiff.OtherValues(TensorInfo a, TensorInfo b, ValueDifference difference) -> {
                node.put("what", "values").put("a", describe(a)).put("b", describe(b));
                node.put("elements", difference.elements()).put("differing", difference.differing());
                put(node, "max_difference", difference.absolute());
                difference.ulps().ifPresent(ulps -> node.put("max_ulps", ulps));
                node.put("at", difference.at());
            }
            case TensorDiff.Incomparable(TensorInfo a, TensorInfo b) ->
                node.put("what", "not comparable").put("a", describe(a)).put("b", describe(b));
            case TensorDiff.OnlyLeft(TensorInfo info) ->
                node.put("what", "missing in b").put("a", describe(info));
            case TensorDiff.OnlyRight(TensorInfo info) ->
                node.put("what", "missing in a").put("b", describe(info));
        }
        return node;
    }

    /** JSON has no infinity: it is a string. */
    private static void put(ObjectNode node, String field, double value) {
        if (Double.isFinite(value)) {
            node.put(field, value);
        } else {
            node.put(field, Double.toString(value));
        }
    }

    private static void entries(ArrayNode into, List<CheckpointDiff.Entry> entries) {
        for (CheckpointDiff.Entry entry : entries) {
            ObjectNode node = into.addObject().put("key", entry.key());
            entry.left().ifPresent(value -> node.put("a", value));
            entry.right().ifPresent(value -> node.put("b", value));
        }
    }
}
