package dev.adapt.verify;

import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * Calls of native code that recurses deeper than a Java thread's usual stack, 1 MB, allows; an overflow in native code ends
 * the process without a word. ONNX Runtime 1.29 does so where it makes its environment, by a regular expression over the
 * process' command line: 5 KB of it are too many.
 */
final class DeepStack {
    /** Address space, of which only what is used becomes memory. */
    private static final long BYTES = 512L << 20;

    private DeepStack() {}

    /** Waits for a call on a thread of its own. What it throws is the cause of the {@link CompletionException}. */
    static <T> T call(Callable<T> call) {
        CompletableFuture<T> result = new CompletableFuture<>();
        Runnable run = () -> {
            try {
                result.complete(call.call());
            } catch (Exception | Error e) {
                result.completeExceptionally(e);
            }
        };
        Thread _ = Thread.ofPlatform().name("onnx-load").stackSize(BYTES).start(run);
        return result.join();
    }
}
