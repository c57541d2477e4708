package dev.adapt.merge;

import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.atomic.LongAdder;

/**
 * One reading of what one merged file is made of, or several that are made of the same. Untouched runs go through the kernel; a
 * tile of a touched weight is read into a buffer that stays in a core's cache, gets its update there and is written.
 *
 * <p>Reading and writing copy through the kernel and not through mappings: a page fault for every 4 KiB of a new file costs
 * more than the copy, and a mapping's pages would count as this process's memory.
 */
final class Pass {
    private static final int PIECE = 1 << 24;

    private final Kernels kernels;
    private final LongAdder written;
    private final Schedule schedule = new Schedule();
    private final Map<Path, FileChannel> sources = new HashMap<>();

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

    /** Where bytes of the base begin. */
    private record Place(Path file, long position) implements Comparable<Place> {
        @Override
        public int compareTo(Place other) {
            int files = file.compareTo(other.file);
            return files != 0 ? files : Long.compare(position, other.position);
        }
    }

    Pass(Kernels kernels, LongAdder written) {
        this.kernels = kernels;
        this.written = written;
    }

    /** Writes all destinations. */
    void run(List<Destination> destinations, int threads) throws IOException {
        try {
            plan(destinations);
            schedule.run(threads);
        } finally {
            for (FileChannel channel : sources.values()) {
                channel.close();
            }
        }
    }

    private void plan(List<Destination> destinations) throws IOException {
        Map<Place, List<Runnable>> others = new TreeMap<>();
        Map<Place, List<Adapting>> adapted = new TreeMap<>();
        for (Destination destination : destinations) {
            Place place = new Place(Path.of(""), 0);
            for (MergePlan.Task task : destination.output().tasks()) {
                switch (task) {
                    case MergePlan.Task.Copy copy -> {
                        place = new Place(copy.file(), copy.position());
                        FileChannel channel = source(copy.file());
                        at(others, place).add(() -> copy(copy, destination, channel));
                    }
                    case MergePlan.Task.Replace replace -> at(others, place).add(() -> replace(replace, destination));
                    case MergePlan.Task.Adapt adapt -> {
                        TensorView weight = adapt.weight();
                        place = new Place(weight.file(), weight.position());
                        at(adapted, place).add(new Adapting(adapt, destination));
                    }
                }
            }
        }
        SortedSet<Place> places = new TreeSet<>(others.keySet());
        places.addAll(adapted.keySet());
        List<Group> groups = adapted.values().stream().map(this::group).toList();
        int next = 0;
        for (Place place : places) {
            others.getOrDefault(place, List.of()).forEach(Runnable::run);
            if (adapted.containsKey(place)) {
                if (next == 0) {
                    prepare(groups.getFirst());
                }
                if (next + 1 < groups.size()) {
                    prepare(groups.get(next + 1));
                }
                tiles(groups.get(next++), source(place.file()));
            }
        }
    }

    private FileChannel source(Path file) throws IOException {
        FileChannel open = sources.get(file);
        if (open == null) {
            open = FileChannel.open(file, StandardOpenOption.READ);
            sources.put(file, open);
        }
        return open;
    }

    private static <T> List<T> at(Map<Place, List<T>> map, Place place) {
        return map.computeIfAbsent(place, absent -> new ArrayList<>());
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
        TensorView weight = first.task().weight();
        schedule.add(first.tiles(), (tile, lane) -> {
            long bytes = first.bytes(tile);
            MemorySegment before = lane.weight(bytes);
            read(weight.file(), channel, before, weight.position() + first.offset(tile));
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

    private static void read(Path file, FileChannel channel, MemorySegment into, long position) throws IOException {
        ByteBuffer buffer = into.asByteBuffer();
        while (buffer.hasRemaining()) {
            if (channel.read(buffer, position + buffer.position()) < 0) {
                throw new EOFException(file + ": became shorter while it was read");
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
