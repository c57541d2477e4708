package dev.adapt.formats.diff;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;

/**
 * Two checkpoints compared tensor by tensor, wherever in which shard each lies.
 *
 * @param tensors one for each name, in the order of the first checkpoint, then what only the second has
 * @param metadata what the files' metadata say differently
 */
public record CheckpointDiff(List<TensorDiff> tensors, List<Entry> metadata) {
    /** Elements of a piece that one thread compares: large enough to be worth a task, small enough to share. */
    private static final long PIECE = 1 << 22;

    public CheckpointDiff {
        tensors = List.copyOf(tensors);
        metadata = List.copyOf(metadata);
    }

    /** An entry of metadata or configuration that differs; a side that lacks it is empty. */
    public record Entry(String key, Optional<String> left, Optional<String> right) {
        /** The entries that differ between two maps, by key. */
        public static List<Entry> between(Map<String, String> left, Map<String, String> right) {
            TreeSet<String> keys = new TreeSet<>(left.keySet());
            keys.addAll(right.keySet());
            return keys.stream()
                    .map(key -> new Entry(key, Optional.ofNullable(left.get(key)), Optional.ofNullable(right.get(key))))
                    .filter(entry -> !entry.left.equals(entry.right))
                    .toList();
        }
    }

    /**
     * Compares on all processors.
     *
     * @throws IllegalStateException if the thread is interrupted
     */
    public static CheckpointDiff of(Checkpoint left, Checkpoint right) {
        return of(left, right, Runtime.getRuntime().availableProcessors());
    }

    /**
     * Compares.
     *
     * @param threads how many pieces are compared at a time
     * @throws IllegalStateException if the thread is interrupted
     */
    public static CheckpointDiff of(Checkpoint left, Checkpoint right, int threads) {
        Map<String, List<Future<ValueDifference>>> compared = new LinkedHashMap<>();
        List<TensorDiff> tensors = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            left.tensors().forEach((name, tensor) -> {
                TensorView other = right.tensors().get(name);
                if (other != null && comparable(tensor, other)) {
                    compared.put(name, submit(pool, new ValueComparison(tensor, other)));
                }
            });
            for (TensorView tensor : left.tensors().values()) {
                TensorView other = right.tensors().get(tensor.name());
                if (other == null) {
                    tensors.add(new TensorDiff.OnlyLeft(tensor.info()));
                } else if (comparable(tensor, other)) {
                    tensors.add(
                            verdict(tensor, other, sum(compared.getOrDefault(tensor.name(), List.of()), left, right)));
                } else {
                    tensors.add(new TensorDiff.Incomparable(tensor.info(), other.info()));
                }
            }
        }
        right.tensors().values().stream()
                .filter(tensor -> !left.tensors().containsKey(tensor.name()))
                .forEach(tensor -> tensors.add(new TensorDiff.OnlyRight(tensor.info())));
        return new CheckpointDiff(tensors, Entry.between(metadata(left), metadata(right)));
    }

    private static boolean comparable(TensorView left, TensorView right) {
        return left.shape().equals(right.shape()) && ValueComparison.comparable(left.dtype(), right.dtype());
    }

    private static TensorDiff verdict(TensorView left, TensorView right, ValueDifference difference) {
        return difference.differing() == 0 && left.dtype() == right.dtype()
                ? new TensorDiff.Identical(left.info())
                : new TensorDiff.OtherValues(left.info(), right.info(), difference);
    }

    private static List<Future<ValueDifference>> submit(ExecutorService pool, ValueComparison comparison) {
        List<Future<ValueDifference>> pieces = new ArrayList<>();
        for (long from = 0; from < comparison.elements(); from += PIECE) {
            long start = from;
            long end = Math.min(comparison.elements(), from + PIECE);
            pieces.add(pool.submit(() -> comparison.compare(start, end)));
        }
        return pieces;
    }

    private static ValueDifference sum(List<Future<ValueDifference>> pieces, Checkpoint left, Checkpoint right) {
        ValueDifference sum = ValueDifference.none(0);
        try {
            for (Future<ValueDifference> piece : pieces) {
                sum = sum.and(piece.get());
            }
        } catch (ExecutionException e) {
            throw e.getCause() instanceof InternalError error
                    ? explained(error, left, right)
                    : new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
        return sum;
    }

    private static RuntimeException explained(InternalError error, Checkpoint left, Checkpoint right) {
        try {
            return InputFile.explain(
                    error,
                    Stream.concat(left.snapshots().stream(), right.snapshots().stream())
                            .toList());
        } catch (IOException e) {
            return new UncheckedIOException(e);
        }
    }

    private static Map<String, String> metadata(Checkpoint checkpoint) {
        Map<String, String> all = new TreeMap<>();
        for (SafetensorsFile file : checkpoint.files()) {
            file.metadata().forEach(all::putIfAbsent);
        }
        return all;
    }

    /** How many tensors are the same. */
    public long identical() {
        return tensors.stream().filter(TensorDiff.Identical.class::isInstance).count();
    }

    /**
     * Whether all tensors are the same.
     *
     * @param tolerance up to which difference, in absolute terms, values count as the same, whatever their dtypes; 0 asks
     *     for the same bytes
     */
    public boolean equal(double tolerance) {
        return tensors.stream().allMatch(tensor -> equal(tensor, tolerance));
    }

    /** Whether a tensor is the same on both sides, up to a tolerance. */
    static boolean equal(TensorDiff tensor, double tolerance) {
        return switch (tensor) {
            case TensorDiff.Identical same -> true;
            case TensorDiff.OtherValues other ->
                tolerance > 0 && other.difference().absolute() <= tolerance;
            case TensorDiff.Incomparable other -> false;
            case TensorDiff.OnlyLeft only -> false;
            case TensorDiff.OnlyRight only -> false;
        };
    }
}
