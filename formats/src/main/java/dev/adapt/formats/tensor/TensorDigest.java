package dev.adapt.formats.tensor;

import dev.adapt.formats.io.Sha256;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HexFormat;

/**
 * A tensor's identity: SHA-256, in lower-case hex, over the dtype's name, a space, the shape as it prints, a newline, and
 * the elements' little-endian bytes, row-major.
 */
public final class TensorDigest {
    private static final int CHUNK = 1 << 14;

    private final MessageDigest digest;

    /** The digest of any tensor as F32. */
    public static String ofFloats(Tensor tensor) {
        TensorDigest digest = new TensorDigest("F32", tensor.shape());
        long elements = tensor.shape().elements();
        double[] values = new double[(int) Math.min(CHUNK, elements)];
        ByteBuffer bytes = ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (long from = 0; from < elements; from += CHUNK) {
            int count = (int) Math.min(CHUNK, elements - from);
            tensor.read(from, values, 0, count);
            bytes.clear();
            for (int i = 0; i < count; i++) {
                bytes.putFloat((float) values[i]);
            }
            digest.add(bytes.flip());
        }
        return digest.hex();
    }

    /** Begins the digest of a tensor. */
    public TensorDigest(String dtype, Shape shape) {
        digest = Sha256.begin();
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
