package dev.adapt.merge.engine;

import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorTarget;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.kernel.Floats;
import dev.adapt.merge.kernel.Kernels;
import dev.adapt.merge.kernel.Lane;
import dev.adapt.merge.kernel.NonFinite;
import dev.adapt.merge.plan.MergePlan;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * One reading of what one merged file is made of, or several that are made of the same. Untouched runs go through the kernel; a
 * tile of a touched weight is read into a buffer, gets its update there and is written.
 *
 * <p>Reading and writing copy through the kernel and not through mappings: a page fault for every 4 KiB of a new file costs
 * more than the copy, and a mapping's pages would count as this process's memory.
 */
public final class Pass {
    private static final int PIECE = 1 << 24;

    /** Elements converted at a time. */
    private static final int VALUES = 1 << 16;

    /** The right factors of two neighbouring weights, in floats, that may lie in the heap together. */
    private static final long AHEAD = 1 << 23;

    /** Buffers of a tile for each thread: for the one it computes, and one that waits to be written. */
    private static final int BUFFERS = 2;

    private final Kernels kernels;
    private final LongAdder written;
    private final Schedule schedule = new Schedule();
    private final Map<Path, FileChannel> sources = new HashMap<>();

    /**
     * A file to write.
     *
     * @param sinks see each adapted tile before it is written
     * @param lost counts what its dtypes are too coarse for
     */
    public record Destination(MergePlan.Output output, TensorTarget writer, List<TileSink> sinks, LostChanges lost) {}

    /** Who wants to see tiles. */
    public interface TileSink {
        /**
         * One tile.
         *
         * @param before the base's bytes
         * @param after the merged bytes
         */
        void tile(Update update, int tile, Lane lane, MemorySegment before, MemorySegment after) throws IOException;
    }

    private record Adapting(MergePlan.Task.Adapt task, Destination destination, QueuedWriter writer) {}

    /** Where bytes of the base begin. */
    private record Place(Path file, long position) implements Comparable<Place> {
        @Override
        public int compareTo(Place other) {
            int files = file.compareTo(other.file);
            return files != 0 ? files : Long.compare(position, other.position);
        }
    }

    public Pass(Kernels kernels, LongAdder written) {
        this.kernels = kernels;
        this.written = written;
    }

    /** Writes all destinations. */
    public void run(List<Destination> destinations, int threads) throws IOException {
        List<Update.Size> sizes = sizes(destinations);
        FactorMemory memory = new FactorMemory(largest(sizes, Update.Size::right));
        try (TileBuffers buffers = new TileBuffers(largest(sizes, Update.Size::tile), BUFFERS * threads)) {
            plan(destinations, memory, buffers);
            schedule.run(threads);
        } finally {
            for (FileChannel channel : sources.values()) {
                channel.close();
            }
        }
    }

    private List<Update.Size> sizes(List<Destination> destinations) {
        return destinations.stream()
                .flatMap(destination -> destination.output().tasks().stream())
                .flatMap(task -> task instanceof MergePlan.Task.Adapt adapt ? Stream.of(adapt) : Stream.empty())
                .collect(Collectors.groupingBy(Pass::place, LinkedHashMap::new, Collectors.toList()))
                .values()
                .stream()
                .flatMap(tasks -> {
                    int tileRows = Update.tileRows(tasks);
                    return tasks.stream().map(task -> Update.size(task, tileRows, kernels));
                })
                .toList();
    }

    private static int largest(List<Update.Size> sizes, ToIntFunction<Update.Size> of) {
        return sizes.stream().mapToInt(of).max().orElse(0);
    }

    private void plan(List<Destination> destinations, FactorMemory memory, TileBuffers buffers) throws IOException {
        Map<Place, List<Runnable>> others = new TreeMap<>();
        Map<Place, List<Adapting>> adapted = new TreeMap<>();
        for (Destination destination : destinations) {
            QueuedWriter writer = new QueuedWriter(destination.writer(), buffers, written);
            Place place = new Place(Path.of(""), 0);
            for (MergePlan.Task task : destination.output().tasks()) {
                switch (task) {
                    case MergePlan.Task.Copy copy -> {
                        place = new Place(copy.file(), copy.position());
                        FileChannel channel = source(copy.file());
                        at(others, place).add(() -> copy(copy, writer, channel));
                    }
                    case MergePlan.Task.Replace replace -> at(others, place).add(() -> replace(replace, destination));
                    case MergePlan.Task.Adapt adapt -> {
                        place = place(adapt);
                        at(adapted, place).add(new Adapting(adapt, destination, writer));
                    }
                }
            }
        }
        SortedSet<Place> places = new TreeSet<>(others.keySet());
        places.addAll(adapted.keySet());
        List<Group> groups = adapted.values().stream()
                .map(adapting -> group(adapting, memory))
                .toList();
        compile(adapted.values());
        int next = 0;
        for (Place place : places) {
            others.getOrDefault(place, List.of()).forEach(Runnable::run);
            if (adapted.containsKey(place)) {
                Group group = groups.get(next);
                if (next == 0 || !isAhead(groups.get(next - 1), group)) {
                    prepare(group);
                }
                next++;
                if (next < groups.size() && isAhead(group, groups.get(next))) {
                    prepare(groups.get(next));
                }
                tiles(group, buffers);
            }
        }
    }

    /** Compiles the kernels before their first use: until then they are a thousand times slower. */
    private void compile(Collection<List<Adapting>> adapted) {
        List<Floats> dtypes = adapted.stream()
                .flatMap(List::stream)
                .map(Adapting::task)
                .filter(Update::hasRows)
                .map(task -> Floats.of(task.place().dtype()))
                .filter(dtype -> dtype != Floats.F64)
                .distinct()
                .toList();
        schedule.add(dtypes.size(), (index, lane) -> kernels.compileRows(dtypes.get(index)));
    }

    /** Whether a weight's factors are made while the one before it is adapted: unless both together are large. */
    private boolean isAhead(Group before, Group group) {
        return before.floats() + group.floats() <= AHEAD;
    }

    private static Place place(MergePlan.Task.Adapt adapt) {
        TensorView weight = adapt.weight();
        long offset = adapt.target().offset() * Floats.of(adapt.place().dtype()).bytes();
        return new Place(weight.file(), weight.position() + offset);
    }

    private FileChannel source(Path file) throws IOException {
        FileChannel open = sources.get(file);
        if (open == null) {
            open = InputFile.named(file).open();
            sources.put(file, open);
        }
        return open;
    }

    private static <T> List<T> at(Map<Place, List<T>> map, Place place) {
        return map.computeIfAbsent(place, absent -> new ArrayList<>());
    }

    /** One weight, and all that becomes of it. */
    private record Group(
            List<Update> updates,
            List<List<TileSink>> sinks,
            List<QueuedWriter> writers,
            List<LostChanges> lost,
            long floats) {}

    private Group group(List<Adapting> adapting, FactorMemory memory) {
        int tileRows = Update.tileRows(adapting.stream().map(Adapting::task).toList());
        return new Group(
                adapting.stream()
                        .map(each -> new Update(each.task(), tileRows, kernels, memory))
                        .toList(),
                adapting.stream().map(each -> each.destination().sinks()).toList(),
                adapting.stream().map(Adapting::writer).toList(),
                adapting.stream().map(each -> each.destination().lost()).toList(),
                adapting.stream()
                        .mapToLong(each ->
                                Update.size(each.task(), tileRows, kernels).right())
                        .sum());
    }

    private void prepare(Group group) {
        schedule.add(
                group.updates().size(),
                (index, lane) -> group.updates().get(index).prepare());
    }

    private void tiles(Group group, TileBuffers buffers) {
        Update first = group.updates().getFirst();
        // where nobody looks at the base's bytes again, their buffer becomes the result's: half as much to keep in the
        // cache
        boolean once = group.updates().size() == 1 && group.sinks().getFirst().isEmpty();
        schedule.add(first.tiles(), (tile, lane) -> {
            long bytes = first.bytes(tile);
            MemorySegment before = MemorySegment.NULL;
            for (int i = 0; i < group.updates().size(); i++) {
                Update update = group.updates().get(i);
                MemorySegment buffer = buffers.take();
                MemorySegment after = buffer.asSlice(0, bytes);
                if (i == 0) {
                    before = once ? after : lane.weight(bytes);
                    first.task().weight().copy(first.offset(tile), before);
                }
                LostChanges lost = group.lost().get(i);
                byte[] sample = LostChanges.looksAt(tile) ? lost.sample(before) : new byte[0];
                update.apply(tile, lane, before, after);
                if (sample.length > 0) {
                    lost.count(sample, after, update.dtype().bytes());
                }
                for (TileSink sink : group.sinks().get(i)) {
                    sink.tile(update, tile, lane, before, after);
                }
                group.writers().get(i).write(update.task().place(), first.offset(tile), buffer, bytes);
                update.done();
            }
        });
    }

    private void copy(MergePlan.Task.Copy copy, QueuedWriter writer, FileChannel channel) {
        schedule.add(Math.toIntExact(Math.ceilDiv(copy.bytes(), (long) PIECE)), (piece, lane) -> {
            long from = (long) piece * PIECE;
            long bytes = Math.min(PIECE, copy.bytes() - from);
            writer.copy(channel, copy.position() + from, bytes, copy.offset() + from);
        });
    }

    private void replace(MergePlan.Task.Replace replace, Destination destination) {
        Tensor values = replace.values();
        TensorInfo place = replace.place();
        Floats dtype = Floats.of(place.dtype());
        long elements = values.shape().elements();
        int pieces = Math.toIntExact(Math.ceilDiv(elements, (long) VALUES));
        NonFinite found = new NonFinite();
        AtomicInteger left = new AtomicInteger(pieces);
        schedule.add(pieces, (piece, lane) -> {
            long from = (long) piece * VALUES;
            int count = (int) Math.min(VALUES, elements - from);
            double[] wide = lane.values(VALUES);
            values.read(from, wide, 0, count);
            float[] floats = lane.sums(VALUES);
            for (int i = 0; i < count; i++) {
                floats[i] = (float) wide[i];
                if (!dtype.holds(floats[i])) {
                    found.add(0, wide[i]);
                }
            }
            MemorySegment bytes = lane.out((long) count * dtype.bytes());
            dtype.encode(floats, 0, count, bytes);
            destination.writer().write(place, from * dtype.bytes(), bytes);
            written.add(bytes.byteSize());
            if (left.decrementAndGet() == 0 && found.any()) {
                throw found.inReplacement(replace.base(), place, values);
            }
        });
    }
}
