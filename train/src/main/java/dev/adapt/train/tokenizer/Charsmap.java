package dev.adapt.train.tokenizer;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.IntBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.BitSet;
import java.util.Deque;

/**
 * SentencePiece's table of normalizations: a double-array trie (Darts-clone) from UTF-8 to offsets in a text of results,
 * each ended by a zero byte. The native library follows its offsets unchecked.
 */
final class Charsmap {
    private static final int HAS_LEAF = 1 << 8;
    private static final int LABEL = 0x8000_00ff;
    private static final int BYTES = 256;

    private final int[] units;
    private final byte[] results;

    private Charsmap(int[] units, byte[] results) {
        this.units = units;
        this.results = results;
    }

    /** Whether whatever text is looked up stays inside the table. */
    static boolean isSound(String base64) {
        byte[] bytes;
        try {
            bytes = Base64.getDecoder().decode(base64);
        } catch (IllegalArgumentException e) {
            return true; // the library decodes it too, and says so
        }
        if (bytes.length < Integer.BYTES) {
            return bytes.length == 0;
        }
        ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        long size = in.getInt() & 0xffff_ffffL;
        if (size < Integer.BYTES || size > in.remaining()) {
            return false;
        }
        int[] units = new int[(int) size / Integer.BYTES];
        IntBuffer view = in.asIntBuffer();
        view.get(units);
        in.position(in.position() + units.length * Integer.BYTES);
        byte[] results = new byte[in.remaining()];
        in.get(results);
        return new Charsmap(units, results).isClosed();
    }

    private boolean isClosed() {
        try {
            CharBuffer text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(results));
            if (text.length() > results.length) {
                return false;
            }
        } catch (CharacterCodingException e) {
            return false;
        }
        BitSet seen = new BitSet();
        Deque<Integer> open = new ArrayDeque<>();
        open.push(offset(units[0]));
        while (!open.isEmpty()) {
            int node = open.pop();
            for (int label = 1; label < BYTES; label++) {
                int child = node ^ label;
                if (child < 0 || child >= units.length) {
                    return false;
                }
                int unit = units[child];
                if ((unit & LABEL) != label) {
                    continue;
                }
                int next = child ^ offset(unit);
                if (next < 0 || next >= units.length) {
                    return false;
                }
                if ((unit & HAS_LEAF) != 0 && !isResult(units[next] & Integer.MAX_VALUE)) {
                    return false;
                }
                if (!seen.get(next)) {
                    seen.set(next);
                    open.push(next);
                }
            }
        }
        return true;
    }

    private static int offset(int unit) {
        return (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
    }

    /** Whether a result begins there: at the first byte of a character. */
    private boolean isResult(int offset) {
        return offset == results.length || (offset < results.length && (results[offset] & 0xc0) != 0x80);
    }
}
