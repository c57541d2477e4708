package dev.adapt.merge.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A queue before a file")
@Timeout(60)
class QueuedWriterTest {
    private static final int THREADS = 7;
    private static final int TILES = 5000;
    private static final int TILE = 64;

    @TempDir
    private Path folder;

    @Test
    @DisplayName("writes every tile to its place, whichever thread does it")
    void all() throws IOException {
        SafetensorsHeader header = header();
        Path file = folder.resolve("all.safetensors");
        LongAdder written = new LongAdder();
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, header)) {
            run(writer, header.tensors().getFirst(), written);
        }
        assertEquals((long) TILES * TILE, written.sum());
        try (SafetensorsFile read = SafetensorsFile.open(file)) {
            MemorySegment data = read.tensor("t").data();
            for (int i = 0; i < TILES * TILE; i++) {
                assertEquals((byte) (i / TILE * 31), data.get(ValueLayout.JAVA_BYTE, i), "byte " + i);
            }
        }
    }

    @Test
    @DisplayName("that cannot be written says so, and leaves no thread waiting for a buffer")
    void failing() throws IOException {
        SafetensorsHeader header = header();
        LongAdder written = new LongAdder();
        SafetensorsWriter writer = SafetensorsWriter.create(folder.resolve("failing.safetensors"), header);
        writer.close();
        IOException thrown = assertThrows(
                IOException.class, () -> run(writer, header.tensors().getFirst(), written));
        assertTrue(thrown.getMessage().contains("failing.safetensors"), thrown::getMessage);
        assertEquals(0, written.sum());
    }

    private static SafetensorsHeader header() {
        return SafetensorsHeader.of(List.of(new TensorSpec("t", Dtype.U8, Shape.of((long) TILES * TILE))), Map.of());
    }

    private static void run(SafetensorsWriter writer, TensorInfo place, LongAdder written) throws IOException {
        try (TileBuffers buffers = new TileBuffers(TILE, 2 * THREADS)) {
            QueuedWriter queue = new QueuedWriter(writer, buffers, written);
            Schedule schedule = new Schedule();
            schedule.add(TILES, (tile, lane) -> {
                MemorySegment buffer = buffers.take();
                buffer.fill((byte) (tile * 31));
                queue.write(place, (long) tile * TILE, buffer, TILE);
            });
            schedule.run(THREADS);
        }
    }
}
