package dev.adapt.merge;

import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;

/**
 * One reading of a file of the base, that writes one merged file or several. Untouched runs go through the kernel; a
 * tile of a touched weight is read into a buffer that stays in a core's cache, gets its update there and is written.
 *
 * <p>Reading and writing copy through the kernel and not through mappings: a page fault for every 4 KiB of a new file costs
 * more than the copy, and a mapping's pages would count as this process's memory.
 */
final class Pass {
    private static final int PIECE = 1 << 24;

    private final SafetensorsFile source;
    private final Kernels kernels;
    private final LongAdder written;
    private final Schedule schedule = new Schedule();

    /**
     * A file to write.
     *
     * @param sink sees each adapted tile before it is written
     */
    record Destination(MergePlan.Output output, SafetensorsWriter writer, TileSink sink) {}

    /** Who wants to see tiles. */
    interface TileSink {
        /**
         * One tile.
         *
         * @param before the base's bytes
         * @param after the merged bytes
         */
        void tile(Update update, int tile, Lane lane, MemorySegment before, MemorySegment after) throws IOException;
    }

    private record Adapting(MergePlan.Task.Adapt task, Destination destination) {}

    Pass(SafetensorsFile source, Kernels kernels, LongAdder written) {
        this.source = source;
        this.kernels = kernels;
        this.written = written;
    }

    /** Writes all destinations. */
    void run(List<Destination> destinations, int threads) throws IOException {
        try (FileChannel channel = FileChannel.open(source.path(), StandardOpenOption.READ)) {
            plan(destinations, channel);
            schedule.run(threads);
        }
    }

    private void plan(List<Destination> destinations, FileChannel channel) {
        Map<Long, List<Runnable>> others = new LinkedHashMap<>();
        Map<Long, List<Adapting>> adapted = new LinkedHashMap<>();
        for (Destination destination : destinations) {
            long position = 0;
            for (MergePlan.Task task : destination.output().tasks()) {
                switch (task) {
                    case MergePlan.Task.Copy copy -> {
                        position = copy.position();
                        at(others, position).add(() -> copy(copy, destination, channel));
                    }
                    case MergePlan.Task.Replace replace ->
                        at(others, position).add(() -> replace(replace, destination));
                    case MergePlan.Task.Adapt adapt -> {
                        position = adapt.weight().position();
                        at(adapted, position).add(new Adapting(adapt, destination));
                    }
                }
            }
        }
        List<Long> positions = new ArrayList<>(others.keySet());
        positions.addAll(adapted.keySet());
        positions.sort(Comparator.naturalOrder());
        List<Group> groups = adapted.entrySet().stream()
                .sorted(Map.Entry.comparingByKey())
                .map(entry -> group(entry.getValue()))
                .toList();
        int next = 0;
        for (long position : positions.stream().distinct().toList()) {
            others.getOrDefault(position, List.of()).forEach(Runnable::run);
            if (adapted.containsKey(position)) {
                if (next == 0) {
                    prepare(groups.getFirst());
                }
                if (next + 1 < groups.size()) {
                    prepare(groups.get(next + 1));
                }
                tiles(groups.get(next++), channel);
            }
        }
    }

    private static <T> List<T> at(Map<Long, List<T>> map, long position) {
        return map.computeIfAbsent(position, absent -> new ArrayList<>());
    }

    /** One weight, and all that becomes of it. */
    private record Group(List<Update> updates, List<Destination> destinations) {}

    private Group group(List<Adapting> adapting) {
        int rank = adapting.stream().mapToInt(each -> each.task().rank()).max().orElseThrow();
        return new Group(
                adapting.stream()
                        .map(each -> new Update(each.task(), kernels, rank))
                        .toList(),
                adapting.stream().map(Adapting::destination).toList());
    }

    private void prepare(Group group) {
        schedule.add(
                group.updates().size(),
                (index, lane) -> group.updates().get(index).prepare());
    }

    private void tiles(Group group, FileChannel channel) {
        Update first = group.updates().getFirst();
        long position = first.task().weight().position();
        schedule.add(first.tiles(), (tile, lane) -> {
            long bytes = first.bytes(tile);
            MemorySegment before = lane.weight(bytes);
            read(channel, before, position + first.offset(tile));
            for (int i = 0; i < group.updates().size(); i++) {
                Update update = group.updates().get(i);
                Destination destination = group.destinations().get(i);
                MemorySegment after = lane.out(bytes);
                update.apply(tile, lane, before, after);
                destination.sink().tile(update, tile, lane, before, after);
                destination.writer().write(update.task().place(), first.offset(tile), after);
                update.done();
                written.add(bytes);
            }
        });
    }

    private void read(FileChannel channel, MemorySegment into, long position) throws IOException {
        ByteBuffer buffer = into.asByteBuffer();
        while (buffer.hasRemaining()) {
            if (channel.read(buffer, position + buffer.position()) < 0) {
                throw new EOFException(source.path() + ": became shorter while it was read");
            }
        }
    }

    private void copy(MergePlan.Task.Copy copy, Destination destination, FileChannel channel) {
        schedule.add(Math.toIntExact(Math.ceilDiv(copy.bytes(), (long) PIECE)), (piece, lane) -> {
            long from = (long) piece * PIECE;
            long bytes = Math.min(PIECE, copy.bytes() - from);
            destination.writer().transfer(channel, copy.position() + from, bytes, copy.offset() + from);
            written.add(bytes);
        });
    }

    private void replace(MergePlan.Task.Replace replace, Destination destination) {
        FloatTensor values = replace.values();
        TensorInfo place = replace.place();
        Floats dtype = Floats.of(place.dtype());
        int step = PIECE / Double.BYTES;
        schedule.add(Math.ceilDiv(values.values().length, step), (piece, lane) -> {
            int from = piece * step;
            int count = Math.min(step, values.values().length - from);
            MemorySegment bytes = lane.out((long) count * dtype.bytes());
            dtype.encode(values.values(), from, count, bytes);
            destination.writer().write(place, (long) from * dtype.bytes(), bytes);
            written.add(bytes.byteSize());
        });
    }
}
