package dev.adapt.tests;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.tensor.DoubleTensor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Arrays;

/** GELU as ggml's CPU code computes it. */
final class GgmlGelu {
    private GgmlGelu() {}

    /** Float64, but for GELU: ggml looks it up, the tanh form, by float16 inputs in a table of float16 values. */
    @SuppressWarnings("unchecked")
    static Ops<DoubleTensor> ops() {
        ReferenceOps exact = new ReferenceOps();
        return (Ops<DoubleTensor>) Proxy.newProxyInstance(
                Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (proxy, method, args) -> {
                    boolean gelu = method.getName().equals("activation")
                            && (args[1] == Activation.GELU || args[1] == Activation.GELU_TANH);
                    if (gelu) {
                        DoubleTensor x = (DoubleTensor) args[0];
                        double[] values =
                                Arrays.stream(x.values()).map(GgmlGelu::tabled).toArray();
                        return new DoubleTensor(x.shape(), values);
                    }
                    try {
                        return method.invoke(exact, args);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    private static double tabled(double wide) {
        if (wide <= -10 || wide >= 10) {
            return Math.max(wide, 0);
        }
        double x = Float.float16ToFloat(Float.floatToFloat16((float) wide));
        double gelu = 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
        return Float.float16ToFloat(Float.floatToFloat16((float) gelu));
    }
}
