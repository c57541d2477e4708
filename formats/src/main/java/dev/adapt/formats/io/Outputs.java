package dev.adapt.formats.io;

import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * All that one command writes. No output replaces an input or another output, and one that exists is replaced only where
 * that was asked for. What is not committed is deleted, also when the process is asked to end.
 */
public final class Outputs {
    private static final ScopedValue<Consumer<Path>> LISTENER = ScopedValue.newInstance();

    private final Inputs inputs;
    private final boolean overwrite;
    private final Consumer<Path> listener = LISTENER.orElse(path -> {});
    private final Temporaries temporaries;
    private final Map<Path, Boolean> begun = new HashMap<>();
    private final Set<Path> committed = new HashSet<>();
    private final List<Snapshot> read = new ArrayList<>();

    private Outputs(Inputs inputs, boolean overwrite, boolean deletedOnSignal) {
        this.inputs = inputs;
        this.overwrite = overwrite;
        this.temporaries = new Temporaries(deletedOnSignal);
    }

    /**
     * The outputs of a command.
     *
     * @param inputs files and folders that it reads
     * @param overwrite whether what exists may be replaced
     */
    public static Outputs apartFrom(List<Path> inputs, boolean overwrite) throws IOException {
        return of(inputs, overwrite, true);
    }

    /** The same, for a command that ends in order by itself when the process is asked to end. */
    public static Outputs endingInOrder(List<Path> inputs, boolean overwrite) throws IOException {
        return of(inputs, overwrite, false);
    }

    private static Outputs of(List<Path> paths, boolean overwrite, boolean deletedOnSignal) throws IOException {
        Inputs inputs = new Inputs();
        inputs.add(paths);
        return new Outputs(inputs, overwrite, deletedOnSignal);
    }

    /** Outputs of code that is no command: nothing that exists is replaced, and signals are the caller's to handle. */
    public static Outputs fresh() {
        return new Outputs(new Inputs(), false, false);
    }

    /** The same for code that writes into a folder of its own: what exists is replaced. */
    public static Outputs replacing() {
        return new Outputs(new Inputs(), true, false);
    }

    /** Adds files and folders that the command reads, before its first output is begun. */
    public void reads(List<Path> paths) throws IOException {
        inputs.add(paths);
    }

    /**
     * Runs code and names each file and folder that its outputs commit, by its absolute path, as soon as it is there. The
     * outputs are those made in this thread; they may be committed in others.
     */
    public static <T> T listening(Consumer<Path> listener, ScopedValue.CallableOp<T, Exception> code) throws Exception {
        return ScopedValue.where(LISTENER, listener).call(code);
    }

    /** Whether what exists may be replaced. */
    boolean overwrites() {
        return overwrite;
    }

    /** Files from which outputs are made: if one changes before an output is committed, that commit fails. */
    public void madeFrom(Collection<Snapshot> files) {
        read.addAll(files);
    }

    /**
     * Returns if those files are as they were, for code that changes files by itself.
     *
     * @throws dev.adapt.formats.FormatException if one was removed, replaced or changed
     */
    public void requireUnchanged() throws IOException {
        for (Snapshot file : read) {
            file.requireUnchanged();
        }
    }

    /**
     * Explains an error that a change of one of these files may have caused.
     *
     * @see InputFile#explain
     */
    public <T extends Throwable> RuntimeException explain(T error) throws IOException, T {
        return InputFile.explain(error, read);
    }

    /**
     * Checks early whether {@link #file} would take the target, before work is done that would be lost.
     *
     * @throws UsageException if it is an input or another output
     * @throws FileAlreadyExistsException if it exists and may not be replaced
     */
    public void requireFile(Path target) throws IOException {
        inputs.requireApart(target);
        requireApartFromOutputs(target, false);
        if (Files.isDirectory(target)) {
            throw new FileAlreadyExistsException(target.toString(), null, "is a folder, expected a file name");
        }
        if (target.toAbsolutePath().getFileName() == null) {
            throw new FileAlreadyExistsException(target.toString(), null, "is the root of a file system");
        }
        if (Files.exists(target) && !Files.isRegularFile(target)) {
            throw new FileAlreadyExistsException(
                    target.toString(), null, "is a pipe or a device, expected a file name");
        }
        if (!overwrite && Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            throw new FileAlreadyExistsException(target.toString());
        }
    }

    /**
     * Begins a file.
     *
     * @throws UsageException if it is an input or another output
     * @throws FileAlreadyExistsException if it exists and may not be replaced
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by the caller
    public OutputFile file(Path target) throws IOException {
        requireFile(target);
        return new OutputFile(this, begin(target, false), target);
    }

    /**
     * Checks early whether {@link #folder} would take the target.
     *
     * @param names of the files that will be written in it
     * @throws UsageException if it is an input, lies in one or holds one, or is another output
     * @throws DirectoryNotEmptyException if it holds anything and may not be replaced
     * @throws FileAlreadyExistsException if it is a file
     */
    public void requireFolder(Path target, Set<String> names) throws IOException {
        inputs.requireFolderApart(target);
        requireApartFromOutputs(target, true);
        if (target.toAbsolutePath().getFileName() == null) {
            throw new FileAlreadyExistsException(target.toString(), null, "is the root of a file system");
        }
        if (!Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        if (!Files.isDirectory(target)) {
            throw new FileAlreadyExistsException(target.toString(), null, "is a file, expected a folder name");
        }
        requireReplaceable(target, names);
    }

    /**
     * What is in a folder that is replaced is lost. So only files are that the command writes again, and a folder with
     * anything else is refused.
     */
    void requireReplaceable(Path target, Set<String> names) throws IOException {
        TreeSet<String> kept = new TreeSet<>();
        try (Stream<Path> inside = Files.list(target)) {
            for (Path path : (Iterable<Path>) inside::iterator) {
                if (!overwrite) {
                    throw new DirectoryNotEmptyException(target.toString());
                }
                String name = path.getFileName().toString();
                if (!names.contains(name) || !Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)) {
                    kept.add(name);
                }
            }
        }
        if (!kept.isEmpty()) {
            throw new FileAlreadyExistsException(
                    target.toString(),
                    null,
                    "holds what this command does not write ("
                            + kept.stream().limit(5).collect(Collectors.joining(", ")) + (kept.size() > 5 ? ", …" : "")
                            + ") and is not replaced; empty it, or give another folder");
        }
    }

    /**
     * Begins a folder.
     *
     * @param names of the files that will be written in it: a folder that holds no others may be replaced
     * @throws UsageException if it is an input, lies in one or holds one, or is another output
     * @throws DirectoryNotEmptyException if it holds anything and may not be replaced
     * @throws FileAlreadyExistsException if it is a file
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by the caller
    public OutputFolder folder(Path target, Set<String> names) throws IOException {
        requireFolder(target, names);
        // a link to an empty folder stays a link, and the folder that it leads to is filled
        Path place = Files.isDirectory(target) ? target.toRealPath() : target.toAbsolutePath();
        OutputFolder folder = new OutputFolder(this, begin(place, true), target, place, names);
        folder.create();
        return folder;
    }

    /** The same, with a folder that must not exist or be empty. */
    @SuppressWarnings("MustBeClosedChecker") // closed by the caller
    public OutputFolder folder(Path target) throws IOException {
        return folder(target, Set.of());
    }

    private void requireApartFromOutputs(Path target, boolean folder) throws IOException {
        for (Path real : Inputs.realPaths(target)) {
            for (Map.Entry<Path, Boolean> other : begun.entrySet()) {
                boolean inOther = other.getValue() && real.startsWith(other.getKey());
                boolean holdsOther = folder && other.getKey().startsWith(real);
                if (real.equals(other.getKey()) || inOther || holdsOther) {
                    throw new UsageException(
                            target + " is another output of this command or lies in one; give each its own place");
                }
            }
        }
    }

    private Path begin(Path target, boolean folder) throws IOException {
        Path absolute = target.toAbsolutePath();
        Path parent = absolute.getParent();
        if (parent == null) {
            throw new FileAlreadyExistsException(target.toString(), null, "is the root of a file system");
        }
        Files.createDirectories(parent);
        Path temporary = temporaries.beside(absolute);
        for (Path real : Inputs.realPaths(absolute)) {
            begun.put(real, folder);
        }
        return temporary;
    }

    void commit(Path temporary, Path target, Temporaries.Step rename) throws IOException {
        requireUnchanged();
        temporaries.commit(temporary, rename);
        for (Path real : Inputs.realPaths(target.toAbsolutePath())) {
            begun.put(real, false); // a report may lie in a folder that is whole
            committed.add(real);
        }
        listener.accept(target.toAbsolutePath());
    }

    /** Whether this output was committed. */
    public boolean isCommitted(Path target) throws IOException {
        return !Collections.disjoint(committed, Inputs.realPaths(target.toAbsolutePath()));
    }

    /**
     * Deletes what commands that were killed have left unfinished beside these outputs. No command may be writing one of
     * them: its unfinished output would be deleted too.
     */
    public static void deleteUnfinished(Collection<Path> targets) throws IOException {
        Temporaries.deleteLeft(targets);
    }

    /** A name of its own for what is replaced, until it is deleted. */
    Path aside(Path target) throws IOException {
        return temporaries.beside(target.toAbsolutePath());
    }

    void delete(Path temporary) throws IOException {
        temporaries.delete(temporary);
    }
}
