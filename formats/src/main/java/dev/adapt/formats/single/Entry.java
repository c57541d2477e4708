package dev.adapt.formats.single;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.ValueCount;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

/**
 * The tensors of one module.
 *
 * @param name the module's name in the file
 */
record Entry(Path file, String name, Map<TensorRole, TensorView> tensors) {
    Entry(Path file, String name) {
        this(file, name, new EnumMap<>(TensorRole.class));
    }

    /** The kinds of adapters that such files hold. */
    enum Kind {
        LORA,
        DORA,
        LOHA,
        TUCKER_LOHA,
        LOKR
    }

    /**
     * What it is.
     *
     * @throws FormatException if its tensors make up none of these
     */
    Kind kind() {
        requireFactors();
        boolean magnitude = has(TensorRole.MAGNITUDE);
        if (has(TensorRole.DOWN) || has(TensorRole.UP) || has(TensorRole.MID)) {
            require(TensorRole.DOWN, TensorRole.UP);
            only("lora", "dora");
            return magnitude ? Kind.DORA : Kind.LORA;
        }
        if (magnitude && tensors.size() > 1) {
            throw new FormatException(
                    file,
                    name,
                    "has a dora_scale with another method than LoRA, which adapt does not merge; merge it"
                            + " with LyCORIS");
        }
        if (startsWith("hada")) {
            require(TensorRole.HADA_W1_A, TensorRole.HADA_W1_B, TensorRole.HADA_W2_A, TensorRole.HADA_W2_B);
            only("hada");
            if (has(TensorRole.HADA_T1) || has(TensorRole.HADA_T2)) {
                require(TensorRole.HADA_T1, TensorRole.HADA_T2);
                return Kind.TUCKER_LOHA;
            }
            return Kind.LOHA;
        }
        if (startsWith("lokr")) {
            only("lokr");
            requireOneOf(TensorRole.LOKR_W1, TensorRole.LOKR_W1_A, TensorRole.LOKR_W1_B);
            requireOneOf(TensorRole.LOKR_W2, TensorRole.LOKR_W2_A, TensorRole.LOKR_W2_B);
            return Kind.LOKR;
        }
        throw new FormatException(file, name, "has " + tensors.keySet() + " and no factors of an update");
    }

    private void requireFactors() {
        tensors.forEach((role, view) -> {
            boolean factor = role != TensorRole.ALPHA && role != TensorRole.MAGNITUDE;
            if (factor && (view.shape().rank() < 2 || view.shape().elements() == 0)) {
                throw new FormatException(
                        file,
                        view.name(),
                        "has shape " + view.shape() + ", expected two axes or more, none of them empty");
            }
        });
    }

    private boolean startsWith(String part) {
        return tensors.keySet().stream().anyMatch(role -> role.ending().startsWith("." + part));
    }

    boolean has(TensorRole role) {
        return tensors.containsKey(role);
    }

    private void require(TensorRole... roles) {
        for (TensorRole role : roles) {
            if (!has(role)) {
                throw new FormatException(file, name + role.ending(), "is missing");
            }
        }
    }

    private void requireOneOf(TensorRole whole, TensorRole left, TensorRole right) {
        if (!has(whole)) {
            require(left, right);
        } else if (has(left) || has(right)) {
            throw new FormatException(
                    file, name, "has both " + whole.ending() + " and factors of it; one of the two is meant");
        }
    }

    /** No tensors but alpha and those of one method. */
    private void only(String... methods) {
        Set<String> allowed = Set.of(methods);
        tensors.keySet().stream()
                .filter(role -> role != TensorRole.ALPHA)
                .filter(role ->
                        allowed.stream().noneMatch(method -> role.ending().startsWith("." + method)))
                .findFirst()
                .ifPresent(other -> {
                    throw new FormatException(
                            file, name + other.ending(), "belongs to another method than the module's other tensors");
                });
    }

    /** A tensor, whose values must be finite. */
    Tensor tensor(TensorRole role) {
        TensorView view = view(role);
        return ValueCount.requireFinite(file, view.name(), view.requireFloats());
    }

    TensorView view(TensorRole role) {
        require(role);
        return Objects.requireNonNull(tensors.get(role));
    }

    Shape shape(TensorRole role) {
        return view(role).shape();
    }

    /** The stored alpha; where there is none, {@code usual}. */
    double alpha(double usual) {
        TensorView alpha = tensors.get(TensorRole.ALPHA);
        if (alpha == null) {
            return usual;
        }
        if (alpha.shape().elements() != 1) {
            throw new FormatException(file, alpha.name(), "has shape " + alpha.shape() + ", expected one number");
        }
        return ValueCount.requireFinite(file, alpha.name(), alpha.requireFloats())
                .toFloats()[0];
    }

    /**
     * A in PEFT's layout. With {@code lora_mid} it is the product of the two, {@code Σⱼ mid[i, j, …]·down[j, in]}: LyCORIS's
     * Tucker form of a convolution is one with the kernel in A.
     */
    FloatTensor down() {
        FloatTensor down = FloatTensor.of(tensor(TensorRole.DOWN));
        if (!has(TensorRole.MID)) {
            return down;
        }
        Shape core = shape(TensorRole.MID);
        int rank = Math.toIntExact(down.shape().dim(0));
        long in = down.shape().elements() / rank;
        if (core.rank() < 3
                || core.dim(0) != rank
                || core.dim(1) != rank
                || in != down.shape().dim(1)) {
            throw new FormatException(
                    file,
                    name + TensorRole.MID.ending(),
                    "has shape " + core + ", expected [" + rank + ", " + rank + ", …], a kernel between the " + rank
                            + " directions of lora_down " + down.shape());
        }
        Storage.Kernel kernel = new Storage.Kernel(core.with(1, in));
        ReferenceOps ops = new ReferenceOps();
        DoubleTensor product = kernel.contract(
                ops, DoubleTensor.of(tensor(TensorRole.MID)), ops.reshape(DoubleTensor.of(down), rank, in));
        return new FloatTensor(core.with(1, in), product.toFloats());
    }

    /** The rank of a LoRA: the rows of A. */
    int rank() {
        return Math.toIntExact(shape(TensorRole.DOWN).dim(0));
    }

    /** The model that its name says it is of. */
    Optional<ModelPart> part() {
        return ModelPart.of(name).map(ModelPart.Named::part);
    }
}
