package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.safetensors.SafetensorsFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.UserPrincipal;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * Puts back the bytes that a {@link PatchJournal} kept. A journal may come from a stranger: all of it is checked before
 * the first byte is written, and it can change nothing but tensor data of the checkpoint's own files.
 */
final class JournalReplay implements AutoCloseable {
    private final JournalLock journal;
    private final Set<String> shards;
    private final Map<String, Target> targets = new LinkedHashMap<>();

    /** A file to restore, open to be written. */
    private record Target(FileChannel channel, long dataOffset, long size) {}

    private JournalReplay(JournalLock journal, Set<String> shards) {
        this.journal = journal;
        this.shards = shards;
    }

    /**
     * Restores the files of a checkpoint.
     *
     * @param shards the names of its weights' files, in the journal's folder
     * @throws FormatException if the journal is damaged or wants anything else; nothing is then written
     */
    static void run(JournalLock journal, JournalHeader header, Set<String> shards) throws IOException {
        if (header.length() != journal.channel().size()) {
            throw JournalReader.damaged(
                    journal.file(), Math.min(header.length(), journal.channel().size()));
        }
        try (JournalReplay replay = new JournalReplay(journal, shards)) {
            JournalReader reader = new JournalReader(journal.file(), journal.channel());
            reader.read(header.length(), replay.checking());
            reader.read(header.length(), replay.writing());
            for (Target target : replay.targets.values()) {
                target.channel().force(true);
            }
        }
    }

    private JournalReader.Visitor checking() {
        return new JournalReader.Visitor() {
            @Override
            public void target(String name, String inode, long size) throws IOException {
                if (targets.containsKey(name)) {
                    throw refused(name, "is named twice");
                }
                targets.put(name, open(name, inode, size));
            }

            @Override
            public void kept(String name, long position, ByteBuffer bytes) {
                Target target = known(name);
                if (position < target.dataOffset() || position > target.size() - bytes.remaining()) {
                    throw refused(
                            name,
                            "bytes " + position + " to " + (position + bytes.remaining())
                                    + " do not lie in its tensors, which have bytes " + target.dataOffset() + " to "
                                    + target.size());
                }
            }
        };
    }

    private JournalReader.Visitor writing() {
        return new JournalReader.Visitor() {
            @Override
            public void target(String name, String inode, long size) {
                known(name);
            }

            @Override
            public void kept(String name, long position, ByteBuffer bytes) throws IOException {
                WholeIo.write(known(name).channel(), bytes, position);
            }
        };
    }

    private Target known(String name) {
        Target target = targets.get(name);
        if (target == null) {
            throw refused(name, "bytes of it come before the file itself");
        }
        return target;
    }

    @SuppressWarnings("MustBeClosedChecker") // closed with this
    private Target open(String name, String inode, long size) throws IOException {
        if (!shards.contains(name)) {
            throw refused(name, "is not a weights' file of the checkpoint that is to be recovered");
        }
        Path file = journal.file().resolveSibling(name);
        FileIdentity identity = identity(name, file);
        if (!identity.device().equals(journal.identity().device())
                || !identity.inode().equals(inode)
                || Files.size(file) != size) {
            throw refused(name, "is not the file that was changed: another has taken its place since");
        }
        requireOwner(name, file);
        FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        try (SafetensorsFile shard = SafetensorsFile.open(file)) {
            if (!identity.equals(identity(name, file)) || channel.size() != size) {
                throw refused(name, "is replaced at this moment");
            }
            return new Target(channel, shard.header().dataOffset(), size);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private FileIdentity identity(String name, Path file) throws IOException {
        try {
            return FileIdentity.of(file);
        } catch (NoSuchFileException e) {
            throw refused(name, "does not exist");
        } catch (FormatException e) {
            throw refused(name, "is not a regular file");
        }
    }

    /** Whoever wrote the journal could have written the file: it is theirs, or the user who runs this wrote it. */
    private void requireOwner(String name, Path file) throws IOException {
        if (!file.getFileSystem().supportedFileAttributeViews().contains("owner")) {
            return;
        }
        UserPrincipal writer = Files.getOwner(journal.file(), LinkOption.NOFOLLOW_LINKS);
        boolean own = Objects.equals(writer.getName(), System.getProperty("user.name"));
        if (!own && !writer.equals(Files.getOwner(file, LinkOption.NOFOLLOW_LINKS))) {
            throw refused(name, "belongs to another user than the journal, who is " + writer.getName());
        }
    }

    private FormatException refused(String name, String why) {
        return new FormatException(
                journal.file(),
                name.replaceAll("\\p{Cntrl}", "?"),
                why
                        + "; the journal was refused and nothing was written: if you do not know where it comes from, delete"
                        + " it");
    }

    @Override
    public void close() throws IOException {
        for (Target target : targets.values()) {
            target.channel().close();
        }
    }
}
