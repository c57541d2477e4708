package dev.adapt.train;

import ai.djl.engine.Engine;
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
 * DJL's PyTorch engine, set up to multiply float32 matrices by oneDNN where that is at hand: on x86-64 with AVX-512. Left to
 * itself PyTorch does so by MKL, which has no AVX-512 kernels for CPUs that are not Intel's: training LoRA on an AMD Zen 4
 * takes a fifth more time with it.
 *
 * <p>PyTorch goes to oneDNN only where it may compute in less than float32: at the precision that {@code
 * torch.set_float32_matmul_precision} calls "medium". oneDNN has no kernels for that below AVX512-BF16, so held to AVX512 it
 * computes in float32, as it must here. DJL has no call for either setting; the first is one of libtorch's own, the second an
 * environment variable that oneDNN reads at its first use.
 */
final class Torch {
    private static final Engine ENGINE = load();

    /** Values of at::Float32MatmulPrecision. */
    private static final int HIGHEST = 0;

    private static final int MEDIUM = 2;

    /** Rows and columns of a product that PyTorch leaves to oneDNN. */
    private static final int PROBE = 64;

    private Torch() {}

    static Engine engine() {
        return ENGINE;
    }

    private static Engine load() {
        boolean x86Linux = System.getProperty("os.arch").equals("amd64")
                && System.getProperty("os.name").equals("Linux");
        Engine engine = Engine.getEngine("PyTorch");
        // on a GPU the same setting would compute in TF32
        if (x86Linux && engine.getGpuCount() == 0) {
            try {
                multiplyByOneDnn();
            } catch (RuntimeException | Error e) {
                throw e;
            } catch (Throwable e) {
                throw new IllegalStateException(e);
            }
        }
        return engine;
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
