package dev.adapt.verify.runner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("Recorded outputs are those of the run, wherever they are kept, and leave no file")
class RecordedOutputsTest {
    /** More values than are written at a time, and no multiple of that. */
    private static final int MANY = 100_003;

    private static final Set<String> BOTH = Set.of("wide", "narrow");

    @TempDir
    private Path folder;

    private final List<Map<String, Tensor>> batches = List.of(batch(1), batch(2), batch(1));

    private static Map<String, Tensor> batch(long id) {
        return Map.of("input_ids", new LongTensor(Shape.of(1, 1), new long[] {id}));
    }

    /** Of each batch other values: some that float32 holds exactly, and some that it does not. */
    private static Map<String, DoubleTensor> outputs(Map<String, Tensor> batch, Set<String> wanted) {
        float id = batch.get("input_ids").toFloats()[0];
        Map<String, DoubleTensor> outputs = new LinkedHashMap<>();
        if (wanted.contains("wide")) {
            double[] values = new double[MANY];
            Arrays.setAll(values, i -> id + i / 3.0);
            outputs.put("wide", new DoubleTensor(Shape.of(1, MANY), values));
        }
        if (wanted.contains("narrow")) {
            double[] values = new double[MANY];
            Arrays.setAll(values, i -> id * i / 7);
            values[0] = -0.0;
            values[1] = Double.NaN;
            values[2] = Double.NEGATIVE_INFINITY;
            values[3] = Float.MIN_VALUE;
            outputs.put("narrow", new DoubleTensor(Shape.of(MANY, 1), values));
        }
        return outputs;
    }

    @ParameterizedTest(name = "{0} bytes of memory: {1} in the file")
    @CsvSource({
        // three batches of 8 and 4 bytes for each value
        "3600108, 0",
        "3600107, 400012",
        "1200036, 2400072",
        "0, 3600108"
    })
    void areReplayedBitForBit(long memory, long inFile) throws IOException {
        try (RecordedOutputs recorded = new RecordedOutputs(memory, Optional.of(folder))) {
            Runner.Run replay = recorded.of(RecordedOutputsTest::outputs, batches, BOTH);
            assertEquals(inFile, recorded.inFile());
            for (Map<String, Tensor> batch : batches.reversed()) {
                assertSameBits(outputs(batch, BOTH), replay.outputs(batch, BOTH));
                assertSameBits(outputs(batch, Set.of("narrow")), replay.outputs(batch, Set.of("narrow")));
            }
        }
        assertEquals(List.of(), left());
    }

    @Test
    void ofSeveralFormsShareTheFile() throws IOException {
        try (RecordedOutputs recorded = new RecordedOutputs(0, Optional.of(folder))) {
            Runner.Run one = recorded.of(RecordedOutputsTest::outputs, batches, Set.of("wide"));
            Runner.Run other = recorded.of(
                    (batch, wanted) -> outputs(batches.get(1), wanted), batches.subList(0, 1), Set.of("wide"));
            assertSameBits(
                    outputs(batches.getFirst(), Set.of("wide")), one.outputs(batches.getFirst(), Set.of("wide")));
            assertSameBits(outputs(batches.get(1), Set.of("wide")), other.outputs(batches.getFirst(), Set.of("wide")));
        }
        assertEquals(List.of(), left());
    }

    @Test
    void onlyWhatIsWantedIsKept() throws IOException {
        try (RecordedOutputs recorded = new RecordedOutputs(0, Optional.of(folder))) {
            Runner.Run generous = (batch, wanted) -> outputs(batch, BOTH);
            recorded.of(generous, batches, Set.of("narrow"));
            assertEquals(3L * MANY * Float.BYTES, recorded.inFile());
        }
    }

    @Test
    void aFormOfWhichNothingIsWantedDoesNotRun() throws IOException {
        try (RecordedOutputs recorded = new RecordedOutputs(0, Optional.of(folder))) {
            List<Map<String, Tensor>> ran = new ArrayList<>();
            Runner.Run replay = recorded.of(
                    (batch, wanted) -> {
                        ran.add(batch);
                        return Map.of();
                    },
                    batches,
                    Set.of());
            assertEquals(Map.of(), replay.outputs(batches.getFirst(), Set.of()));
            assertEquals(List.of(), ran);
        }
    }

    @Test
    void whatWasNotRecordedIsNotGiven() throws IOException {
        try (RecordedOutputs recorded = new RecordedOutputs(0, Optional.of(folder))) {
            Runner.Run replay = recorded.of(RecordedOutputsTest::outputs, batches, Set.of("wide"));
            assertThrows(IllegalArgumentException.class, () -> replay.outputs(batches.getFirst(), BOTH));
            // equal to a batch that ran, but not one of them
            assertThrows(IllegalArgumentException.class, () -> replay.outputs(batch(1), Set.of("wide")));
        }
    }

    @Test
    @DisplayName("A run that fails after something was written leaves no file")
    void failure() throws IOException {
        IllegalStateException broken = new IllegalStateException("the engine broke");
        IllegalStateException thrown = assertThrows(IllegalStateException.class, () -> {
            try (RecordedOutputs recorded = new RecordedOutputs(0, Optional.of(folder))) {
                Runner.Run breaking = (batch, wanted) -> {
                    if (recorded.inFile() > 0) {
                        throw broken;
                    }
                    return outputs(batch, wanted);
                };
                recorded.of(breaking, batches, BOTH);
            }
        });
        assertSame(broken, thrown);
        assertEquals(List.of(), left());
    }

    @Test
    @DisplayName("A folder that cannot hold the file is named")
    void noFolder() {
        Path absent = folder.resolve("absent");
        try (RecordedOutputs recorded = new RecordedOutputs(0, Optional.of(absent))) {
            NoSuchFileException thrown = assertThrows(
                    NoSuchFileException.class, () -> recorded.of(RecordedOutputsTest::outputs, batches, BOTH));
            assertEquals(absent, Path.of(thrown.getFile()).getParent());
        }
    }

    private List<Path> left() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }

    private static void assertSameBits(Map<String, DoubleTensor> expected, Map<String, DoubleTensor> found) {
        assertEquals(expected.keySet(), found.keySet());
        expected.forEach((name, tensor) -> {
            DoubleTensor own = found.getOrDefault(name, new DoubleTensor(Shape.of(0), new double[0]));
            assertEquals(tensor.shape(), own.shape(), name);
            assertArrayEquals(bits(tensor), bits(own), name);
        });
    }

    private static long[] bits(DoubleTensor tensor) {
        return Arrays.stream(tensor.values())
                .mapToLong(Double::doubleToRawLongBits)
                .toArray();
    }
}
