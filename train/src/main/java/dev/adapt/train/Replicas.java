package dev.adapt.train;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.jni.JniUtils;
import ai.djl.training.GradientCollector;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.formats.model.Model;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Examples;
import dev.adapt.train.device.Torch;
import dev.adapt.train.djl.Dropout;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.LoadedModel;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.djl.Recomputation;
import dev.adapt.train.task.Task;
import dev.adapt.train.task.VectorTask;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/**
 * Data parallelism over the cores of a CPU: a batch is dealt to replicas of the model, which share all weights and have a
 * thread and gradients each; the gradients are then added. Every part of a step scales with the cores that way, also those
 * that PyTorch runs on one: what is small, and what is between its operations.
 *
 * <p>The order of that sum is fixed, so that a run repeats to the bit on as many cores, with batches of the same size.
 */
final class Replicas implements AutoCloseable {
    /** A replica with fewer examples of a batch than this would mostly wait. */
    private static final int LEAST_EXAMPLES = 4;

    private record Replica(LoadedModel model, SequencedMap<String, NDArray> trained, Dropout dropout) {}

    /** The output for a batch of a dev set, and its loss. */
    private record Evaluated(Batch batch, Unfinished<NDArray> output, double loss) {}

    private final List<Replica> replicas = new ArrayList<>();
    private final ExecutorService threads;
    private final int threadsBefore;
    private final boolean recompute;

    /**
     * Puts a model on a device, as often as serves batches of that size.
     *
     * @param seed of what dropout drops
     * @param recompute whether layers are computed again in the backward pass, which saves memory
     */
    Replicas(Model model, Device device, int batchSize, long seed, boolean recompute) {
        this.recompute = recompute;
        this.threadsBefore = Torch.threads();
        int cores = device.isGpu() ? 1 : threadsBefore;
        int count = Math.clamp(batchSize / LEAST_EXAMPLES, 1, cores);
        LoadedModel first = new LoadedModel(model, device);
        for (int i = 0; i < count; i++) {
            LoadedModel own = i == 0 ? first : first.replica();
            replicas.add(new Replica(own, own.trainable(), new Dropout(seed + ((long) i << Integer.SIZE))));
        }
        // This thread runs the optimizer's small operations: more threads would keep spinning beside the replicas.
        Torch.setThreads(cores / count);
        this.threads = Executors.newFixedThreadPool(
                count,
                work -> Thread.ofPlatform().daemon().unstarted(() -> {
                    Torch.setThreads(cores / count);
                    work.run();
                }));
    }

    Device device() {
        return replicas.getFirst().model().device();
    }

    /** A manager for what one step computes. */
    NDManager newStep() {
        return replicas.getFirst().model().newStep();
    }

    /** The tensors that training changes: changed in place, they change for all replicas. */
    SequencedMap<String, NDArray> trained() {
        return replicas.getFirst().trained();
    }

    /** How many masks the dropout of each replica has drawn. */
    List<Long> draws() {
        return replicas.stream().map(own -> own.dropout().draws()).toList();
    }

    /** Goes on as after so many masks of each replica. */
    void resume(List<Long> draws) {
        for (int i = 0; i < Math.min(draws.size(), replicas.size()); i++) {
            replicas.get(i).dropout().resume(draws.get(i));
        }
    }

    /**
     * The forward and the backward pass for a batch.
     *
     * @param most examples that are in memory at a time: of a larger batch the gradients of parts are added
     * @return the loss; its gradients are those of {@link #trained()}, and are the caller's to clear
     */
    double learn(Task task, Examples examples, List<Integer> indices, int most) {
        List<List<List<Integer>>> parts = new ArrayList<>();
        for (int from = 0; from < indices.size(); from += most) {
            parts.add(dealt(indices.subList(from, Math.min(indices.size(), from + most))));
        }
        List<List<Batch>> batches = parts.stream()
                .map(hands -> inParallel(hands.size(), hand -> examples.batch(hands.get(hand))))
                .toList();
        double units =
                batches.stream().flatMap(List::stream).mapToLong(Batch::units).sum();
        double loss = 0;
        // DJL wants a collector to be open where gradients are computed, and clears them where one is opened
        try (GradientCollector _ = Torch.engine().newGradientCollector()) {
            for (List<Batch> part : batches) {
                loss += task instanceof VectorTask own ? learnTogether(own, part) : learn(task, part, units);
            }
            try (NDManager step = newStep()) {
                addGradients(parts.stream().mapToInt(List::size).max().orElse(0), step);
            }
        }
        return loss;
    }

    private double learn(Task task, List<Batch> batches, double units) {
        double loss = 0;
        try (NDManager step = newStep()) {
            for (double part : inParallel(batches.size(), hand -> {
                JniUtils.setGradMode(true);
                Batch batch = batches.get(hand);
                // the mean over the whole batch is the sum of such shares
                double share = batch.units() / units;
                return share * learn(replicas.get(hand), task, batch, share, step);
            })) {
                loss += part;
            }
        }
        return loss;
    }

    private double learn(Replica replica, Task task, Batch batch, double share, NDManager all) {
        Dropout dropout = replica.dropout().begin();
        try (NDManager step = all.newSubManager()) {
            Optional<Recomputation> recomputation =
                    recompute ? Optional.of(new Recomputation(step, dropout)) : Optional.empty();
            NDArrayOps ops = new NDArrayOps(step, Optional.of(dropout), recomputation);
            Unfinished<NDArray> output = replica.model().unfinished(ops, batch.inputs());
            double loss = task.loss(ops, output, batch, new Gradients(true, share, recompute));
            recomputation.ifPresent(Recomputation::backward);
            return loss;
        }
    }

    /** The vectors of a share of a batch, as the loss is computed from them: {@code collecting} takes their gradient. */
    private record Vectors(
            NDManager step, NDArray vectors, NDArray collecting, Optional<Recomputation> recomputation) {}

    /** The passes for a loss that compares all examples of a batch: it is computed once, between those of the shares. */
    private double learnTogether(VectorTask task, List<Batch> batches) {
        try (NDManager step = newStep()) {
            List<Vectors> shares =
                    inParallel(batches.size(), hand -> vectors(replicas.get(hand), task, batches.get(hand), step));
            NDArrayOps ops = new NDArrayOps(step, Optional.empty());
            NDArray loss = task.loss(
                    ops,
                    IntStream.range(0, shares.size())
                            .mapToObj(hand -> new VectorTask.Share(
                                    shares.get(hand).collecting(),
                                    batches.get(hand).goals()))
                            .toList());
            Gradients gradients = new Gradients(true, 1, recompute);
            new Gradients(true, 1, false).last(step, loss);
            inParallel(shares.size(), hand -> {
                JniUtils.setGradMode(true);
                Vectors own = shares.get(hand);
                gradients.passOn(own.step(), own.collecting(), own.vectors());
                own.recomputation().ifPresent(Recomputation::backward);
                own.step().close();
                return hand;
            });
            return loss.getFloat();
        }
    }

    private Vectors vectors(Replica replica, VectorTask task, Batch batch, NDManager all) {
        JniUtils.setGradMode(true);
        NDManager step = all.newSubManager();
        Dropout dropout = replica.dropout().begin();
        Optional<Recomputation> recomputation =
                recompute ? Optional.of(new Recomputation(step, dropout)) : Optional.empty();
        NDArrayOps ops = new NDArrayOps(step, Optional.of(dropout), recomputation);
        NDArray vectors = task.vectors(ops, replica.model().unfinished(ops, batch.inputs()), batch);
        return new Vectors(step, vectors, Gradients.detached(step, vectors), recomputation);
    }

    /** Neighbours in a batch are of like length: dealt like cards, all replicas get equal work. */
    private List<List<Integer>> dealt(List<Integer> indices) {
        int count = Math.clamp(indices.size() / LEAST_EXAMPLES, 1, replicas.size());
        return IntStream.range(0, count)
                .mapToObj(hand -> IntStream.iterate(hand, i -> i < indices.size(), i -> i + count)
                        .mapToObj(indices::get)
                        .toList())
                .toList();
    }

    private void addGradients(int hands, NDManager step) {
        List<NDArray> sums = gradients(replicas.getFirst(), step);
        for (Replica other : replicas.subList(1, hands)) {
            List<NDArray> own = gradients(other, step);
            for (int i = 0; i < own.size(); i++) {
                sums.get(i).addi(own.get(i));
                own.get(i).subi(own.get(i));
            }
        }
    }

    private static List<NDArray> gradients(Replica replica, NDManager step) {
        return replica.trained().values().stream()
                .map(array -> Gradients.collected(step, array))
                .toList();
    }

    /**
     * Runs the model on all examples, those of like length together, and adds its outputs to a tally.
     *
     * @param tokens the most of a batch
     * @return the mean loss
     */
    double evaluate(Task task, Examples examples, int batchSize, int tokens, Task.Tally tally) {
        List<List<Integer>> batches = examples.byLength(batchSize, tokens);
        double loss = 0;
        long units = 0;
        for (int from = 0; from < batches.size(); from += replicas.size()) {
            List<List<Integer>> some = batches.subList(from, Math.min(batches.size(), from + replicas.size()));
            try (NDManager step = newStep()) {
                for (Evaluated each :
                        inParallel(some.size(), hand -> evaluated(task, examples, some.get(hand), step, hand))) {
                    loss += each.loss() * each.batch().units();
                    units += each.batch().units();
                    tally.add(each.output(), each.batch());
                }
            }
        }
        return loss / units;
    }

    private Evaluated evaluated(Task task, Examples examples, List<Integer> indices, NDManager step, int hand) {
        JniUtils.setGradMode(false);
        Batch batch = examples.batch(indices);
        NDArrayOps ops = new NDArrayOps(step, Optional.empty());
        Unfinished<NDArray> output = replicas.get(hand).model().unfinished(ops, batch.inputs());
        return new Evaluated(batch, output, task.loss(ops, output, batch, Gradients.NONE));
    }

    /** Results in order, when all are there. */
    private <T> List<T> inParallel(int count, IntFunction<T> work) {
        List<Callable<T>> calls = IntStream.range(0, count)
                .mapToObj(index -> (Callable<T>) () -> work.apply(index))
                .toList();
        try {
            List<T> results = new ArrayList<>();
            for (Future<T> call : threads.invokeAll(calls)) {
                results.add(call.get());
            }
            return results;
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case RuntimeException own -> throw own;
                case Error own -> throw own;
                case null, default -> throw new IllegalStateException(e);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while training", e);
        }
    }

    @Override
    public void close() {
        threads.close();
        Torch.setThreads(threadsBefore);
        replicas.forEach(replica -> replica.model().close());
    }
}
