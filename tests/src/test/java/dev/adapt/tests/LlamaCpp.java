package dev.adapt.tests;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * llama.cpp, by way of node-llama-cpp: clients/llama-cpp.mjs runs in the folder that the environment variable
 * {@code ADAPT_LLAMA_CPP} names, which clients/llama-cpp fills.
 */
final class LlamaCpp {
    static final String FOLDER = "ADAPT_LLAMA_CPP";

    private static final JsonMapper JSON = new JsonMapper();

    private final ArrayNode jobs = JSON.createArrayNode();

    /** Reads sequences of token ids, and adds so many tokens to each. */
    void decode(Path model, Optional<Path> lora, List<long[]> rows, int greedy) {
        ObjectNode job = job(model, rows).put("greedy", greedy);
        lora.ifPresent(file -> job.put("lora", file.toString()));
    }

    /** Computes an embedding of each text. */
    void embed(Path model, List<String> texts) {
        tokenize(model, texts).put("embed", true);
    }

    /** Makes tokens of texts. */
    ObjectNode tokenize(Path model, List<String> texts) {
        ObjectNode job = jobs.addObject().put("model", model.toString());
        texts.forEach(job.putArray("texts")::add);
        return job;
    }

    private ObjectNode job(Path model, List<long[]> rows) {
        ObjectNode job = jobs.addObject().put("model", model.toString());
        ArrayNode list = job.putArray("rows");
        for (long[] row : rows) {
            ArrayNode ids = list.addArray();
            for (long id : row) {
                ids.add(id);
            }
        }
        return job;
    }

    /** The results of all jobs, in their order. */
    List<JsonNode> run(Path scratch) throws IOException {
        Path home = Path.of(Objects.requireNonNull(System.getenv(FOLDER), FOLDER));
        Path input = scratch.resolve("jobs.json");
        Path output = scratch.resolve("results.json");
        Path log = scratch.resolve("client.log");
        Files.writeString(input, jobs.toString());
        Process process = new ProcessBuilder("node", "llama-cpp.mjs", input.toString(), output.toString())
                .directory(home.toFile())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        try {
            int code = process.waitFor();
            if (code != 0) {
                throw new IOException("the client ended with " + code + ": " + Files.readString(log));
            }
        } catch (InterruptedException e) {
            process.destroy();
            Thread.currentThread().interrupt();
            throw new IOException(e);
        }
        List<JsonNode> results = new ArrayList<>();
        JSON.readTree(Files.readString(output, StandardCharsets.UTF_8)).forEach(results::add);
        for (JsonNode result : results) {
            if (result.has("error")) {
                throw new IOException(result.path("error").textValue() + ": " + Files.readString(log));
            }
        }
        return results;
    }

    static double[] doubles(JsonNode list) {
        double[] values = new double[list.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = list.path(i).asDouble();
        }
        return values;
    }

    static List<Long> longs(JsonNode list) {
        List<Long> values = new ArrayList<>();
        list.forEach(each -> values.add(each.longValue()));
        return values;
    }
}
