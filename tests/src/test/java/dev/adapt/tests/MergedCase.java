package dev.adapt.tests;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * A reference case, merged by the command line.
 *
 * @param exitCode of the merge
 * @param said on standard error
 * @param fault what is wrong with the merged checkpoint; empty where nothing is
 */
record MergedCase(int exitCode, String said, Optional<String> fault) {
    private static final double TOLERANCE = 1e-6;
    private static final double LOGITS = 1e-4;

    /** A difference of logits that no rounding explains. */
    private static final double LARGE = 1e-2;

    /** Other spellings that a case's expected names may have. */
    private static final List<String> PREFIXES = List.of(
            "language_model.model.", "model.language_model.", "model.", "language_model.", "bert.", "transformer.");

    static boolean isOne(Path folder) {
        return Files.exists(folder.resolve("adapter"))
                && (Files.exists(folder.resolve("base")) || Files.exists(folder.resolve("base.safetensors")));
    }

    boolean isRefused() {
        return exitCode == 2 || exitCode == 3;
    }

    boolean isRight() {
        return exitCode == 0 && fault.isEmpty();
    }

    /** What there is to say of it. */
    String sentence() {
        return exitCode == 0
                ? fault.orElse("")
                : said.lines()
                        .filter(line -> line.startsWith("adapt: ") && !line.startsWith("adapt: note: "))
                        .findFirst()
                        .orElse("exit code " + exitCode);
    }

    static MergedCase run(Path stored, Path out) throws IOException {
        Path folder = withLinks(stored, out.resolveSibling(out.getFileName() + "-links"));
        boolean file = !Files.exists(folder.resolve("base"));
        Path base = file ? folder.resolve("base.safetensors") : folder.resolve("base");
        PrintStream errors = System.err;
        ByteArrayOutputStream notes = new ByteArrayOutputStream();
        Cli merge;
        try {
            System.setErr(new PrintStream(notes, true, StandardCharsets.UTF_8));
            merge = Cli.run("merge", folder.resolve("adapter"), "--into", base, "--out", out, "--no-fsync");
        } finally {
            System.setErr(errors);
        }
        String said = notes.toString(StandardCharsets.UTF_8) + merge.errors();
        return new MergedCase(
                merge.exitCode(), said, merge.exitCode() == 0 ? fault(folder, base, out) : Optional.empty());
    }

    /** A copy of a case in which links that were stored as the text of their targets are links again. */
    private static Path withLinks(Path folder, Path copy) throws IOException {
        if (!Files.isRegularFile(folder.resolve("adapter"))) {
            return folder;
        }
        try (Stream<Path> inside = Files.walk(folder)) {
            for (Path each : inside.toList()) {
                Path to = copy.resolve(folder.relativize(each).toString());
                if (Files.isDirectory(each)) {
                    Files.createDirectories(to);
                    continue;
                }
                boolean small = Files.size(each) < 200;
                String text = small ? Files.readString(each).strip() : "";
                boolean link = small && text.indexOf('\n') < 0 && text.contains("/") && !text.contains(" ");
                if (link) {
                    Files.createSymbolicLink(to, Path.of(text));
                } else {
                    Files.copy(each, to);
                }
            }
        }
        return copy;
    }

    private static Optional<String> fault(Path folder, Path base, Path out) throws IOException {
        try (Checkpoint before = Checkpoint.open(base);
                Checkpoint merged = Checkpoint.open(out)) {
            // where PEFT's merge is not what its unmerged model computes, the latter is right
            boolean wrong = number(folder, "alone") > LARGE;
            Optional<Path> expected = Stream.of("expected.safetensors", "merged")
                    .map(folder::resolve)
                    .filter(file -> !wrong && Files.exists(file))
                    .findFirst();
            if (!merged.tensors().keySet().containsAll(before.tensors().keySet())) {
                return Optional.of("tensors of the base are missing");
            }
            Optional<String> fault = consistency(merged);
            if (fault.isEmpty() && expected.isPresent()) {
                fault = difference(before, merged, expected.get(), ".*", TOLERANCE);
            }
            if (fault.isEmpty() && Files.exists(folder.resolve("logits.safetensors"))) {
                fault = logits(folder.resolve("logits.safetensors"), "logits", merged);
            }
            if (fault.isEmpty() && wrong) {
                fault = logitsOfAdapter(folder, out, merged);
            }
            return fault;
        } catch (FormatException | NoSuchFileException e) {
            return Optional.of("the merged checkpoint cannot be read: " + e.getMessage());
        }
    }

    private static double number(Path folder, String field) throws IOException {
        Path description = folder.resolve("case.json");
        return Files.exists(description)
                ? new JsonMapper()
                        .readTree(Files.readString(description))
                        .path(field)
                        .asDouble(0)
                : 0;
    }

    /** A checkpoint without config.json runs with PEFT's, untied where it holds a head. */
    private static Optional<String> logitsOfAdapter(Path folder, Path out, Checkpoint merged) throws IOException {
        Path io = folder.resolve("io.safetensors");
        if (merged.config().isPresent()) {
            return logits(io, "adapter.logits", merged);
        }
        ObjectNode config = (ObjectNode) new JsonMapper()
                .readTree(Files.readString(folder.resolve("merged").resolve(Checkpoint.CONFIG)));
        config.put("tie_word_embeddings", !merged.tensors().containsKey("lm_head.weight"));
        Files.writeString(out.resolve(Checkpoint.CONFIG), config.toString());
        try (Checkpoint described = Checkpoint.open(out)) {
            return logits(io, "adapter.logits", described);
        }
    }

    /** Embedding table, head, vocabulary size and tie agree. */
    private static Optional<String> consistency(Checkpoint merged) {
        Map<String, TensorView> tensors = bare(merged);
        TensorView table = tensors.get("embed_tokens.weight");
        if (merged.config().isEmpty() || table == null) {
            return Optional.empty();
        }
        JsonNode config = merged.config().get().json();
        JsonNode words = config.path("vocab_size");
        if (words.isInt() && words.asInt() != table.shape().dim(0)) {
            return Optional.of("vocab_size " + words + ", but a table of " + table.shape());
        }
        TensorView head = tensors.get("lm_head.weight");
        boolean tied = config.path("tie_word_embeddings").asBoolean(false);
        boolean differ = head != null && head.data().mismatch(table.data()) != -1;
        return tied && differ ? Optional.of("tied, but head and table differ") : Optional.empty();
    }

    private static Map<String, TensorView> bare(Checkpoint checkpoint) {
        Map<String, TensorView> tensors = new LinkedHashMap<>();
        checkpoint.tensors().forEach((name, tensor) -> tensors.put(bare(name), tensor));
        return tensors;
    }

    private static String bare(String name) {
        return PREFIXES.stream()
                .filter(name::startsWith)
                .findFirst()
                .map(prefix -> name.substring(prefix.length()))
                .orElse(name);
    }

    /**
     * How a merged checkpoint differs from the expected one, which may hold only what differs from the base.
     *
     * @param compared the names of the tensors that are looked at
     */
    static Optional<String> difference(
            Checkpoint before, Checkpoint merged, Path expectedPath, String compared, double tolerance)
            throws IOException {
        Map<String, TensorView> found = bare(merged);
        Map<String, TensorView> base = bare(before);
        try (Checkpoint expected = Checkpoint.open(expectedPath)) {
            Map<String, TensorView> wanted = bare(expected);
            Set<String> others = new TreeSet<>(found.keySet());
            for (Map.Entry<String, TensorView> each : wanted.entrySet()) {
                TensorView own = found.get(each.getKey());
                others.remove(each.getKey());
                if (!each.getKey().matches(compared)) {
                    continue;
                }
                boolean otherwise = own == null
                        && (isAlias(each.getKey(), wanted, found.keySet(), merged)
                                || isStackOfExperts(each.getKey(), found.keySet()));
                if (otherwise) {
                    continue;
                }
                if (own == null) {
                    return Optional.of("lacks " + each.getKey());
                }
                Optional<String> difference = difference(own, each.getValue(), tolerance);
                if (difference.isPresent()) {
                    return difference;
                }
            }
            for (String other : others) {
                TensorView untouched = base.get(other);
                TensorView own = found.get(other);
                if (own == null || untouched == null || own.data().mismatch(untouched.data()) != -1) {
                    return Optional.of(other + " differs from the base, but should not");
                }
            }
        }
        return Optional.empty();
    }

    /** A tensor of the expected values that is another one's alias, as a tied head is. */
    private static boolean isAlias(String name, Map<String, TensorView> wanted, Set<String> found, Checkpoint merged) {
        boolean untied = merged.config()
                .map(config -> !config.json().path("tie_word_embeddings").asBoolean(true))
                .orElse(false);
        TensorView own = wanted.get(name);
        return !untied
                && wanted.entrySet().stream()
                        .anyMatch(other -> !other.getKey().equals(name)
                                && found.contains(other.getKey())
                                && difference(own, other.getValue(), 0).isEmpty());
    }

    /** Experts that transformers 5 stacks and the base does not; that they are the base's is looked at by their names there. */
    private static boolean isStackOfExperts(String name, Set<String> found) {
        int at = name.indexOf(".experts.");
        return at >= 0 && found.stream().anyMatch(own -> own.startsWith(name.substring(0, at) + ".experts.0."));
    }

    private static Optional<String> difference(TensorView own, TensorView wanted, double tolerance) {
        if (!own.shape().equals(wanted.shape())) {
            return Optional.of(own.name() + " has shape " + own.shape() + ", expected " + wanted.shape());
        }
        if (own.dtype().floatFormat().isEmpty() || wanted.dtype().floatFormat().isEmpty()) {
            return own.data().mismatch(wanted.data()) == -1
                    ? Optional.empty()
                    : Optional.of(own.name() + " differs byte for byte");
        }
        double spacing = switch (own.dtype()) {
            case BF16 -> 0x1p-7;
            case F16 -> 0x1p-10;
            case F8_E4M3 -> 0x1p-3;
            case F8_E5M2 -> 0x1p-2;
            default -> 0;
        };
        // an FP8 number near zero is a multiple of that
        double least = own.dtype().bits() == 8 ? 0x1p-9 : tolerance;
        float[] left = own.toFloats();
        float[] right = wanted.toFloats();
        double largest = 0;
        for (int i = 0; i < left.length; i++) {
            double allowed = least + spacing * Math.abs(right[i]);
            double error = Math.abs((double) left[i] - right[i]);
            if (!(error <= allowed) && !(Float.isNaN(left[i]) && Float.isNaN(right[i])) && left[i] != right[i]) {
                largest = Double.isNaN(error) ? Double.POSITIVE_INFINITY : Math.max(largest, error);
            }
        }
        return largest == 0 ? Optional.empty() : Optional.of(own.name() + " is off by " + largest);
    }

    private static Optional<String> logits(Path io, String name, Checkpoint merged) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(io)) {
            DoubleTensor expected = DoubleTensor.of(file.tensor(name));
            LongTensor ids = file.find("in.input_ids")
                    .map(view -> new LongTensor(view.shape(), view.toLongs()))
                    .orElse(new LongTensor(Shape.of(1, 4), new long[] {1, 5, 9, 3}));
            long[] ones = new long[ids.values().length];
            Arrays.fill(ones, 1);
            LongTensor mask = file.find("in.attention_mask")
                    .map(view -> new LongTensor(view.shape(), view.toLongs()))
                    .orElse(new LongTensor(ids.shape(), ones));
            DoubleTensor found =
                    new ReferenceRunner(Model.of(merged)).run(Map.of("input_ids", ids, "attention_mask", mask));
            double largest = 0;
            for (int i = 0; i < expected.values().length; i++) {
                largest = Math.max(largest, Math.abs(expected.values()[i] - found.values()[i]));
            }
            return largest <= LOGITS ? Optional.empty() : Optional.of("logits are off by " + largest);
        }
    }
}
