package dev.adapt.cli.terminal;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;

/**
 * This build of adapt, as the build recorded it.
 *
 * @param commit the commit that was built, with "+" where sources differed from it
 * @param libtorch the version of libtorch that DJL loads
 */
public record Release(String version, String commit, String libtorch, String djl) {
    private static final String FILE = "release.properties";
    private static final String UNKNOWN = "unknown";

    /** This build. Classes that were compiled without Maven do not know what they are, and say "unknown". */
    public static Release here() {
        Properties properties = new Properties();
        try (InputStream in = Release.class.getResourceAsStream(FILE)) {
            if (in != null) {
                properties.load(in);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return new Release(
                properties.getProperty("version", UNKNOWN),
                properties.getProperty("commit", UNKNOWN),
                properties.getProperty("libtorch", UNKNOWN),
                properties.getProperty("djl", UNKNOWN));
    }
}
