package dev.adapt.formats.tensor;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * A tensor's identity: SHA-256, in lower-case hex, over the dtype's name, a space, the shape as it prints, a newline, and
 * the elements' little-endian bytes, row-major.
 */
public final class TensorDigest {
    private final MessageDigest digest;

    /** Begins the digest of a tensor. */
    public TensorDigest(String dtype, Shape shape) {
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
        digest.update((dtype + " " + shape + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** Adds the elements' next bytes. */
    public TensorDigest add(ByteBuffer bytes) {
        digest.update(bytes);
        return this;
    }

    /** The digest of all that was added. */
    public String hex() {
        return HexFormat.of().formatHex(digest.digest());
    }
}
