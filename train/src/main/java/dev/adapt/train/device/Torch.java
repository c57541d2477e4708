package dev.adapt.train.device;

import ai.djl.engine.Engine;
import ai.djl.pytorch.jni.JniUtils;

/**
 * DJL's PyTorch engine, and the settings of PyTorch that hold for the whole process. All of them are made here.
 *
 * <ul>
 *   <li>float32 products by {@link OneDnn}, unless {@code -Dadapt.onednn=off}
 *   <li>the number of threads that share an operation, unless {@code -Dadapt.torch.threads=keep}
 * </ul>
 */
public final class Torch {
    private static final String THREADS = "adapt.torch.threads";
    private static final Engine ENGINE = load();

    private Torch() {}

    public static Engine engine() {
        return ENGINE;
    }

    private static Engine load() {
        Engine engine = Engine.getEngine("PyTorch");
        if (OneDnn.isWanted(engine.getGpuCount())) {
            OneDnn.use();
        }
        return engine;
    }

    /** How many threads share an operation that the calling thread starts. */
    public static int threads() {
        return JniUtils.getNumThreads();
    }

    /**
     * Sets how many threads share an operation that the calling thread starts. PyTorch keeps the number for each thread, and
     * threads that have none of their own take the process's latest.
     */
    public static void setThreads(int count) {
        if (!"keep".equals(System.getProperty(THREADS))) {
            JniUtils.setNumThreads(count);
        }
    }
}
