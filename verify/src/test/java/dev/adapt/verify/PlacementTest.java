package dev.adapt.verify;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PlacementTest {
    @TempDir
    private Path folder;

    private static String event(String operator, String provider) {
        return "{\"cat\": \"Node\", \"name\": \"n_" + operator + "_kernel_time\", \"args\": {\"op_name\": \"" + operator
                + "\", \"provider\": \"" + provider + "\"}}";
    }

    private Placement read(String... events) throws IOException {
        Path file = folder.resolve("profile.json");
        Files.writeString(file, "[{\"cat\": \"Session\", \"name\": \"run\"}, " + String.join(", ", events) + "]");
        return Placement.read(file);
    }

    @Test
    void operatorsThatFellBackAreNamed() throws IOException {
        String cuda = "CUDAExecutionProvider";
        String cpu = "CPUExecutionProvider";
        assertEquals(
                Optional.empty(),
                read(event("MatMul", cuda), event("Shape", cpu)).onCpu());
        assertEquals(
                Optional.of("MatMul × 2, Softmax × 1"),
                read(event("MatMul", cpu), event("Softmax", cpu), event("MatMul", cpu), event("Gemm", cuda))
                        .onCpu());
    }
}
