package dev.adapt.train.device;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/**
 * Has PyTorch multiply float32 matrices by oneDNN, on x86-64 with AVX-512. By default PyTorch uses MKL, which has no AVX-512
 * kernels for CPUs that are not Intel's: training LoRA on an AMD Zen 4 takes a fifth more time with it.
 *
 * <p>PyTorch uses oneDNN only where it may compute in less than float32: at the precision that {@code
 * torch.set_float32_matmul_precision} calls "medium". oneDNN has no such kernels below AVX512-BF16, so limited to AVX512 it
 * computes in float32. DJL has no call for either setting. The first is a function of libtorch, found by its mangled C++ name;
 * the second is an environment variable that oneDNN reads at its first use. Both hold for the whole process.
 *
 * <p>{@code -Dadapt.onednn=off} leaves PyTorch as it is.
 */
final class OneDnn {
    private static final String PROPERTY = "adapt.onednn";

    /** Values of at::Float32MatmulPrecision. */
    private static final int HIGHEST = 0;

    private static final int MEDIUM = 2;

    /** Rows and columns of a product that PyTorch leaves to oneDNN. */
    private static final int PROBE = 64;

    private OneDnn() {}

    /** Whether the setting is wanted here; on a GPU the same setting would compute in TF32. */
    static boolean isWanted(int gpus) {
        return gpus == 0
                && !"off".equals(System.getProperty(PROPERTY))
                && System.getProperty("os.arch").equals("amd64")
                && System.getProperty("os.name").equals("Linux");
    }

    /** Changes the setting, and changes it back if products then are not float32's. */
    static void use() {
        try {
            multiplyByOneDnn();
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private static void multiplyByOneDnn() throws Throwable {
        putEnvironment("ONEDNN_MAX_CPU_ISA", "AVX512_CORE");
        setMatmulPrecision(MEDIUM);
        if (!multipliesInFloat32()) {
            setMatmulPrecision(HIGHEST);
        }
    }

    /** Whether a product shows a bit that bfloat16 and TF32 lack. */
    private static boolean multipliesInFloat32() {
        float[] values = new float[PROBE * PROBE];
        Arrays.fill(values, 1 + 0x1p-14f);
        try (NDManager manager = NDManager.newBaseManager("PyTorch");
                NDArray factors = manager.create(values, new Shape(PROBE, PROBE));
                NDArray product = factors.matMul(factors)) {
            return product.getFloat(0, 0) > PROBE;
        }
    }

    @SuppressWarnings("restricted") // the C standard's signature
    private static void putEnvironment(String name, String value) throws Throwable {
        Linker linker = Linker.nativeLinker();
        try (Arena arena = Arena.ofConfined()) {
            int failed = (int) linker.downcallHandle(
                            linker.defaultLookup().findOrThrow("setenv"),
                            FunctionDescriptor.of(
                                    ValueLayout.JAVA_INT,
                                    ValueLayout.ADDRESS,
                                    ValueLayout.ADDRESS,
                                    ValueLayout.JAVA_INT))
                    .invokeExact(arena.allocateFrom(name), arena.allocateFrom(value), 1);
            if (failed != 0) {
                throw new IllegalStateException("setenv " + name);
            }
        }
    }

    /** Does nothing where libtorch has no such function, and so multiplies as it always does. */
    @SuppressWarnings("restricted") // a mangled name holds the types of the parameters: what it finds takes these
    private static void setMatmulPrecision(int precision) throws Throwable {
        SymbolLookup libtorch = SymbolLookup.loaderLookup();
        Linker linker = Linker.nativeLinker();
        MemorySegment context = libtorch.find("_ZN2at13globalContextEv").orElse(MemorySegment.NULL);
        MemorySegment set = libtorch.find("_ZN2at7Context25setFloat32MatmulPrecisionENS_22Float32MatmulPrecisionE")
                .orElse(MemorySegment.NULL);
        if (context.equals(MemorySegment.NULL) || set.equals(MemorySegment.NULL)) {
            return;
        }
        MemorySegment global =
                (MemorySegment) linker.downcallHandle(context, FunctionDescriptor.of(ValueLayout.ADDRESS))
                        .invokeExact();
        linker.downcallHandle(set, FunctionDescriptor.ofVoid(ValueLayout.ADDRESS, ValueLayout.JAVA_INT))
                .invokeExact(global, precision);
    }
}
