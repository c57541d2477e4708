package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Map;
import java.util.Optional;

/**
 * What distinguishes a file from another one under the same name: its number in its file system. Both are empty where
 * the system has none.
 *
 * @param device the file system. After a restart the same one may have another number
 */
record FileIdentity(String device, String inode) {
    /**
     * The identity of a regular file.
     *
     * @throws java.nio.file.NoSuchFileException if there is none
     * @throws FormatException if it is a link, a folder or a device
     */
    static FileIdentity of(Path file) throws IOException {
        BasicFileAttributes attributes =
                Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
        if (!attributes.isRegularFile()) {
            String found = attributes.isSymbolicLink() ? "a link" : attributes.isDirectory() ? "a folder" : "a device";
            throw new FormatException(file, "is " + found + ", expected a regular file; it was left as it is");
        }
        if (!file.getFileSystem().supportedFileAttributeViews().contains("unix")) {
            return new FileIdentity(
                    "",
                    Optional.ofNullable(attributes.fileKey())
                            .map(Object::toString)
                            .orElse(""));
        }
        Map<String, Object> numbers = Files.readAttributes(file, "unix:dev,ino", LinkOption.NOFOLLOW_LINKS);
        return new FileIdentity(String.valueOf(numbers.get("dev")), String.valueOf(numbers.get("ino")));
    }
}
