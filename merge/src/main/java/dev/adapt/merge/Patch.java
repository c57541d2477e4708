package dev.adapt.merge;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.merge.engine.LostChanges;
import dev.adapt.merge.engine.Pass;
import dev.adapt.merge.engine.WriteBehind;
import dev.adapt.merge.plan.MergePlan;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A merge into the base's own files: only the touched tensors are written, where they are. A {@link PatchJournal} holds
 * their old bytes meanwhile.
 */
final class Patch {
    private final List<Part> parts;

    /** The touched tensors of one file. */
    private record Part(SafetensorsFile file, MergePlan.Output output) {}

    private Patch(List<Part> parts) {
        this.parts = parts;
    }

    /**
     * A patch that is checked, and has changed nothing.
     *
     * @throws UsageException if the merge adds or moves a tensor, changes a shape or config.json, or a file is a link
     */
    static Patch of(Checkpoint base, MergePlan plan, Optional<BaseChange> change) {
        if (change.filter(own -> !own.isEmpty()).isPresent()) {
            throw refused("the adapter brings a head, other words or another tie, which config.json must say");
        }
        List<Part> parts = new ArrayList<>();
        for (int i = 0; i < plan.outputs().size(); i++) {
            MergePlan.Output output = plan.outputs().get(i);
            SafetensorsFile file = base.files().get(i);
            requireSame(file, output);
            MergePlan.Output touched = touched(output);
            if (touched.tasks().isEmpty()) {
                continue;
            }
            if (Files.isSymbolicLink(file.path())) {
                throw refused(file.path() + " is a link, and others may read the file it leads to");
            }
            parts.add(new Part(file, touched));
        }
        return new Patch(parts);
    }

    private static UsageException refused(String why) {
        return new UsageException("in-place", why + "; merge to a new place with --out");
    }

    /** What is left to do where the rest of the file is there already. */
    static MergePlan.Output touched(MergePlan.Output output) {
        return new MergePlan.Output(
                output.name(),
                output.header(),
                output.tasks().stream()
                        .filter(task -> !(task instanceof MergePlan.Task.Copy))
                        .toList());
    }

    /**
     * All tensors lie where they lay.
     *
     * @throws UsageException if one does not
     */
    static void requireSame(SafetensorsFile file, MergePlan.Output output) {
        List<TensorInfo> before = file.header().tensors();
        List<TensorInfo> after = output.header().tensors();
        for (int i = 0; i < after.size(); i++) {
            if (i >= before.size() || !before.get(i).equals(after.get(i))) {
                throw refused(file.path() + " would get " + after.get(i).name() + " "
                        + after.get(i).shape() + " " + after.get(i).dtype() + ", for which it has no place");
            }
        }
    }

    /** How many bytes will be written. */
    long bytes() {
        return parts.stream()
                .flatMap(part -> places(part.output()).stream())
                .mapToLong(TensorInfo::bytes)
                .sum();
    }

    /** The touched tensors, each once. */
    private static List<TensorInfo> places(MergePlan.Output output) {
        return output.tasks().stream().map(Patch::place).distinct().toList();
    }

    private static TensorInfo place(MergePlan.Task task) {
        return switch (task) {
            case MergePlan.Task.Adapt adapt -> adapt.place();
            case MergePlan.Task.Replace replace -> replace.place();
            case MergePlan.Task.Copy copy -> throw new IllegalArgumentException(copy + " touches nothing");
        };
    }

    /**
     * Changes the files, and commits the journal.
     *
     * @param journal which has locked the base since before it was opened
     * @throws IOException if something cannot be read or written; closing the journal then restores the files
     */
    void run(PatchJournal journal, Merger.Settings settings, List<Pass.TileSink> sinks, LostChanges lost)
            throws IOException {
        for (Part part : parts) {
            for (TensorInfo place : places(part.output())) {
                long position = part.file().tensor(place.name()).position();
                journal.keep(part.file().path(), position, place.bytes());
            }
        }
        journal.ready();
        for (Part part : parts) {
            write(part, settings, sinks, lost);
        }
        settings.outputs().requireUnchanged();
        journal.commit();
    }

    private static void write(Part part, Merger.Settings settings, List<Pass.TileSink> sinks, LostChanges lost)
            throws IOException {
        try (SafetensorsWriter writer =
                        SafetensorsWriter.patch(part.file().path(), part.file().header());
                WriteBehind _ = WriteBehind.of(List.of(writer), settings.written())) {
            new Pass(settings.kernels(), settings.written())
                    .run(List.of(new Pass.Destination(part.output(), writer, sinks, lost)), settings.threads());
        }
    }
}
