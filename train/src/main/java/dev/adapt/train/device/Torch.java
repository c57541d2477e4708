package dev.adapt.train.device;

import ai.djl.engine.Engine;
import ai.djl.huggingface.tokenizers.jni.LibUtils;
import ai.djl.pytorch.jni.JniUtils;
import dev.adapt.formats.UsageException;

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
    private static final String LIBRARIES = "native/lib/pytorch.properties";

    private Torch() {}

    /** Loads the engine once, when it is first asked for. */
    private static final class Loaded {
        private static final Engine ENGINE = load();
    }

    /**
     * DJL's PyTorch engine.
     *
     * @throws UsageException if there is no libtorch
     */
    public static Engine engine() {
        if (!hasLibtorch()) {
            throw new UsageException("this installation has no libtorch, which training and running checkpoints need:"
                    + " install the full archive of adapt, or set PYTORCH_LIBRARY_PATH to a folder with libtorch");
        }
        return Loaded.ENGINE;
    }

    /** Whether libtorch is on the class path, as a jar of DJL, or where the environment says. It is not loaded. */
    public static boolean hasLibtorch() {
        return System.getenv("PYTORCH_LIBRARY_PATH") != null || ClassLoader.getSystemResource(LIBRARIES) != null;
    }

    /** Loads libtorch and the tokenizers' library. On first use DJL unpacks them into its cache folder. */
    public static void loadNatives() {
        engine();
        LibUtils.checkStatus();
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
