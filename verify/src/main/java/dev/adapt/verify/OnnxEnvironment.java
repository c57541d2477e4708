package dev.adapt.verify;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtLoggingLevel;
import java.util.concurrent.CompletableFuture;

/**
 * ONNX Runtime's environment, of which a process has one.
 *
 * <p>ONNX Runtime 1.29 on Linux matches a regular expression against the process's command line when it makes the environment,
 * and the match recurses for every character: with Java's usual stack of 1 MB, a command line of 5 KB, such as a long prompt or
 * class path, ends the process. The stack here is enough for 2 MB, the most that Linux allows; only what is used of it takes
 * memory.
 */
final class OnnxEnvironment {
    private static final long STACK = 1L << 30;

    private OnnxEnvironment() {}

    /** The environment, which logs nothing that reaches us as an exception too. */
    static OrtEnvironment get() {
        return CompletableFuture.supplyAsync(
                        () -> OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL),
                        creation ->
                                Thread.ofPlatform().daemon().stackSize(STACK).start(creation))
                .join();
    }
}
