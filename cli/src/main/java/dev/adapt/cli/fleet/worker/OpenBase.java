package dev.adapt.cli.fleet.worker;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.merge.plan.MergePlan;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** The base that a worker keeps open between tasks, with the digests of its tensors. */
public final class OpenBase implements AutoCloseable {
    private @Nullable Checkpoint checkpoint;
    private @Nullable Binding binding;

    /** Opens a base, unless it is open already and has not changed. */
    public Checkpoint open(Path path) throws IOException {
        if (checkpoint != null && checkpoint.path().equals(path) && isUnchanged()) {
            return checkpoint;
        }
        close();
        Checkpoint opened = Checkpoint.open(path);
        checkpoint = opened;
        binding = new Binding(opened);
        return opened;
    }

    /** Whether the files of the base are those that were opened. */
    boolean isUnchanged() throws IOException {
        try {
            if (checkpoint != null) {
                checkpoint.requireUnchanged();
            }
            return true;
        } catch (FormatException e) {
            return false;
        }
    }

    /** The binding of adapters to the base that was opened last. */
    Binding binding() {
        if (binding == null) {
            throw new IllegalStateException("no base is open");
        }
        return binding;
    }

    /** Digests of the tensors that a merge copies: those of the base. */
    Function<TensorView, Optional<String>> copied(MergePlan plan) {
        Set<String> changed = plan.outputs().stream()
                .flatMap(output -> output.tasks().stream())
                .flatMap(each -> switch (each) {
                    case MergePlan.Task.Adapt adapt -> Stream.of(adapt.place().name());
                    case MergePlan.Task.Replace replace ->
                        Stream.of(replace.place().name());
                    case MergePlan.Task.Copy _ -> Stream.<String>empty();
                })
                .collect(Collectors.toSet());
        Checkpoint base = checkpoint;
        return tensor -> Optional.ofNullable(base)
                .map(own -> own.tensors().get(tensor.name()))
                .filter(own -> !changed.contains(own.name())
                        && own.dtype() == tensor.dtype()
                        && own.shape().equals(tensor.shape()))
                .map(binding()::digest);
    }

    @Override
    public void close() {
        if (checkpoint != null) {
            checkpoint.close();
        }
        checkpoint = null;
        binding = null;
    }
}
