package dev.adapt.merge.convert;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.dense.Loha;
import dev.adapt.formats.method.dense.Lokr;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.lowrank.LoraVariant;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.single.SingleFile;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writing the layout of kohya-ss's sd-scripts and of LyCORIS: one safetensors file with, for each module,
 * {@code NAME.lora_down.weight} (A), {@code NAME.lora_up.weight} (B) and {@code NAME.alpha}, or the factors of LoHa or LoKr.
 * NAME is a prefix and the module's name with its dots turned to underscores; a file of ours records the module's name in its
 * metadata too.
 */
final class Kohya {
    /** The prefix that a file gets where the user does not choose. */
    static final String PREFIX = "lora_unet_";

    private static final String DOWN = ".lora_down.weight";
    private static final String UP = ".lora_up.weight";
    private static final String ALPHA = ".alpha";
    private static final String DORA = ".dora_scale";
    private static final String W1 = "lokr_w1";
    private static final String W2 = "lokr_w2";

    private Kohya() {}

    /** Writes layers in this layout. */
    static void into(AdapterOutput output, Path source, List<AdapterLayers.Layer> layers, String prefix, Dtype dtype) {
        Map<String, String> modules = new TreeMap<>();
        for (AdapterLayers.Layer layer : layers) {
            String name = name(output, source, modules, prefix, layer.target().module());
            output.put(source, name + DOWN, layer.factors().right(), dtype);
            output.put(source, name + UP, layer.factors().left(), dtype);
            putAlpha(output, source, name, layer.scale() * layer.factors().rank());
        }
        output.metadata().put("ss_network_module", "networks.lora");
    }

    private static String name(
            AdapterOutput output, Path source, Map<String, String> modules, String prefix, String module) {
        String name = prefix + module.replace('.', '_');
        String other = modules.put(name, module);
        if (other != null) {
            throw new FormatException(
                    source, "cannot have kohya's names: " + other + " and " + module + " would both be " + name);
        }
        output.metadata().put(SingleFile.MODULE + name, module);
        return name;
    }

    private static void putAlpha(AdapterOutput output, Path source, String name, double alpha) {
        output.put(source, name + ALPHA, new DoubleTensor(Shape.of(), new double[] {alpha}), Dtype.F32);
    }

    /**
     * Whether an adapter's own tensors have names in this layout that those of other layers have not: kernels, norms of DoRA,
     * factors of LoHa and LoKr.
     */
    static boolean names(AdapterMethod method) {
        return switch (method) {
            case Lora lora -> lora.variant() instanceof LoraVariant.Plain && !lora.bias();
            case Loha loha -> !loha.khatriRao();
            case Lokr _ -> true;
            default -> false;
        };
    }

    /** Gives a copy of an adapter's tensors their names in this layout. */
    static void rename(AdapterOutput output, Path source, BoundAdapter bound, String prefix) {
        Map<String, String> modules = new TreeMap<>();
        for (Target target : bound.targets()) {
            if (target.embedding()) {
                throw new FormatException(
                        source, target.module(), "is an embedding, which kohya's layout has no names for");
            }
            String name = name(output, source, modules, prefix, target.module());
            List<Part> parts = bound.method().parts(target, bound.targets());
            boolean whole = true;
            boolean tucker = parts.stream().anyMatch(part -> part.name().equals("lokr_t2"));
            for (Part part : parts) {
                String key = BoundAdapter.key(part, target);
                DoubleTensor tensor = DoubleTensor.of(output.get(key));
                Dtype dtype = output.dtype(key);
                output.remove(key);
                whole &= part.name().equals(W1) || part.name().equals(W2);
                output.put(source, name + ending(part.name()), inLayout(tensor, part.name(), target, tucker), dtype);
            }
            double alpha = alpha(bound.method(), target);
            if (whole && bound.method() instanceof Lokr lokr) {
                // alpha counts for nothing where neither factor is a product
                double scale = alpha / lokr.rank(target);
                output.put(
                        source,
                        name + "." + W1,
                        scaled(output.get(name + "." + W1), scale),
                        output.dtype(name + "." + W1));
            }
            putAlpha(output, source, name, alpha);
        }
        boolean lora = bound.method() instanceof Lora;
        output.metadata().put("ss_network_module", lora ? "networks.lora" : "lycoris.kohya");
    }

    private static String ending(String part) {
        return switch (part) {
            case "lora_A.weight" -> DOWN;
            case "lora_B.weight" -> UP;
            case "lora_magnitude_vector" -> DORA;
            default -> "." + part;
        };
    }

    /**
     * A part as this layout keeps it.
     *
     * @param tucker whether its module has a Tucker form
     */
    private static DoubleTensor inLayout(DoubleTensor tensor, String part, Target target, boolean tucker) {
        if (part.equals("lora_magnitude_vector")) {
            Shape shape = target.storage() instanceof Storage.Kernel own
                    ? own.point(target.out(), 1)
                    : Shape.of(target.out(), 1);
            return new DoubleTensor(shape, tensor.values());
        }
        if (part.equals(W2 + "_b") && !tucker && target.storage() instanceof Storage.Kernel own) {
            long channels = tensor.shape().dim(1) / own.size();
            return new DoubleTensor(own.shape().with(0, tensor.shape().dim(0)).with(1, channels), tensor.values());
        }
        return tensor;
    }

    private static DoubleTensor scaled(FloatTensor tensor, double scale) {
        double[] values = DoubleTensor.of(tensor).values().clone();
        for (int i = 0; i < values.length; i++) {
            values[i] *= scale;
        }
        return new DoubleTensor(tensor.shape(), values);
    }

    /** The alpha that alpha/rank is the scale by. */
    private static double alpha(AdapterMethod method, Target target) {
        return switch (method) {
            case Lora lora -> lora.scale(target) * lora.rank(target);
            case Loha loha -> loha.alpha().of(target.module());
            case Lokr lokr -> lokr.alpha().of(target.module());
            default -> throw new IllegalArgumentException(method.title() + " has no names in kohya's layout");
        };
    }
}
