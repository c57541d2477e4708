package dev.adapt.verify;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Where ONNX Runtime ran the operators of a graph, as its profiler tells. It runs on the CPU, without a word, each operator that
 * the provider asked for has no kernel for.
 *
 * @param operators how many nodes of each operator ran on each provider, such as {@code CPUExecutionProvider}
 */
record Placement(Map<String, SortedMap<String, Integer>> operators) {
    private static final String CPU = "CPUExecutionProvider";

    /** Arithmetic of shapes, which ONNX Runtime leaves on the CPU on purpose: its operands are a few integers. */
    private static final Set<String> OF_SHAPES = Set.of(
            "Shape",
            "Size",
            "Gather",
            "Concat",
            "Slice",
            "Squeeze",
            "Unsqueeze",
            "Cast",
            "Range",
            "ConstantOfShape",
            "Constant",
            "Reshape",
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Equal",
            "Where",
            "Expand",
            "ReduceProd",
            "Identity",
            "MemcpyFromHost",
            "MemcpyToHost");

    /** Reads what the profiler wrote. */
    static Placement read(Path profile) throws IOException {
        Map<String, SortedMap<String, Integer>> operators = new LinkedHashMap<>();
        JsonNode events = new JsonMapper().readTree(profile.toFile());
        for (JsonNode event : events) {
            String provider = event.path("args").path("provider").asText("");
            String operator = event.path("args").path("op_name").asText("");
            boolean kernel = event.path("name").asText("").endsWith("_kernel_time");
            if (kernel && !provider.isEmpty() && !operator.isEmpty()) {
                operators.computeIfAbsent(provider, absent -> new TreeMap<>()).merge(operator, 1, Integer::sum);
            }
        }
        return new Placement(operators);
    }

    /** The operators that computed on the CPU, in words; empty if all that matters ran elsewhere. */
    Optional<String> onCpu() {
        String found = operators.getOrDefault(CPU, new TreeMap<>()).entrySet().stream()
                .filter(operator -> !OF_SHAPES.contains(operator.getKey()))
                .map(operator -> operator.getKey() + " × " + operator.getValue())
                .collect(Collectors.joining(", "));
        return found.isEmpty() ? Optional.empty() : Optional.of(found);
    }
}
