package dev.adapt.formats.method.lowrank;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Orthonormal;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Svd;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/** An option of LoRA that changes its factors, or the weight they are added to. */
public sealed interface LoraVariant {
    /** LoRA as its paper has it. */
    record Plain() implements LoraVariant {}

    /**
     * BD-LoRA: A or B is block-diagonal and stored as its blocks, one above the other, so that tensor parallel servers need no
     * communication ({@code use_bdlora}).
     *
     * @param a what is in the names of the modules whose A is
     * @param b what is in the names of the modules whose B is
     */
    record BlockDiagonal(int blocks, List<String> a, List<String> b, boolean strict) implements LoraVariant {}

    /**
     * KaSA: the base without its r smallest singular values, plus {@code s·B·diag(σ)·A} (Wang et al., arXiv 2412.06071,
     * equations 5 and 7).
     */
    record Kasa(double beta, double gamma) implements LoraVariant {}

    /**
     * MonteCLoRA: while training A varies about its mean; a merge takes the mean, as PEFT does.
     *
     * @param samples for each step
     */
    record MonteCarlo(int samples) implements LoraVariant {}

    /**
     * VeLoRA: activations are compressed for the backward pass; nothing else differs.
     *
     * @param groups into which an input is cut
     */
    record Velora(int groups) implements LoraVariant {}

    /**
     * PiSSA, not converted: the factors replace the base's r largest singular values (arXiv 2404.02948, equation 4).
     *
     * @param reduced modules of which the adapter holds the weight without them
     */
    record Pissa(Set<String> reduced) implements LoraVariant {}

    /**
     * OLoRA, not converted: the factors replace s·Q·R of the base's first r columns (arXiv 2406.01775, equation 4).
     *
     * @param reduced modules of which the adapter holds the weight without it
     */
    record Olora(Set<String> reduced) implements LoraVariant {}

    /**
     * The variant that a config describes.
     *
     * @throws dev.adapt.formats.FormatException if it is none that can be computed
     */
    static LoraVariant of(AdapterConfig config, String start) {
        List<LoraVariant> found = new ArrayList<>();
        JsonDocument document = config.document();
        if (document.says("use_bdlora")) {
            found.add(blockDiagonal(document.object("use_bdlora")));
        }
        if (document.says("kasa_config")) {
            JsonDocument own = document.object("kasa_config");
            found.add(new Kasa(own.number("beta", 1e-4), own.number("gamma", 1e-3)));
        }
        if (document.says("monteclora_config")) {
            JsonDocument own = document.object("monteclora_config");
            found.add(new MonteCarlo(own.positive("num_samples", 1 << 16, 8)));
        }
        if (document.says("velora_config")) {
            JsonDocument own = document.object("velora_config");
            found.add(new Velora(own.positive("num_groups", 1 << 16, 32)));
        }
        switch (start) {
            case "pissa" -> found.add(new Pissa(Set.of()));
            case "olora" -> found.add(new Olora(Set.of()));
            default -> {}
        }
        if (found.size() > 1) {
            throw document.wrong("peft_type", "one variant of LoRA, not " + found.size() + " at a time");
        }
        return found.isEmpty() ? new Plain() : found.getFirst();
    }

    private static BlockDiagonal blockDiagonal(JsonDocument own) {
        return new BlockDiagonal(
                own.positive("nblocks", AdapterConfig.MOST_RANK, 1),
                names(own, "target_modules_bd_a"),
                names(own, "target_modules_bd_b"),
                own.flag("match_strict", true));
    }

    private static List<String> names(JsonDocument document, String field) {
        List<String> names = new ArrayList<>();
        for (JsonNode name : document.json().path(field)) {
            names.add(name.asText());
        }
        return List.copyOf(names);
    }

    /** What PEFT calls it, in words that follow "LoRA". */
    default String title() {
        return switch (this) {
            case Plain _, Velora _ -> "LoRA";
            case BlockDiagonal _ -> "BD-LoRA";
            case Kasa _ -> "KaSA";
            case MonteCarlo _ -> "MonteCLoRA";
            case Pissa _ -> "PiSSA";
            case Olora _ -> "OLoRA";
        };
    }

    /** Whether it differs from LoRA only in what training began with, so that it combines with DoRA. */
    default boolean isStart() {
        return switch (this) {
            case Plain _, Pissa _, Olora _ -> true;
            case BlockDiagonal _, Kasa _, MonteCarlo _, Velora _ -> false;
        };
    }

    /**
     * The variant of one layer. PEFT starts embeddings as plain LoRA does, whatever {@code init_lora_weights} says, and where it
     * saves the weight beneath an adapter, that is the weight which the start left.
     */
    default LoraVariant on(Target target) {
        Set<String> reduced = switch (this) {
            case Pissa(Set<String> own) -> own;
            case Olora(Set<String> own) -> own;
            case Plain _, BlockDiagonal _, Kasa _, MonteCarlo _, Velora _ -> Set.of();
        };
        return isStart() && (target.embedding() || reduced.contains(target.module())) ? new Plain() : this;
    }

    /** The same variant, of an adapter that holds the weights beneath some of its modules. */
    default LoraVariant holding(Set<String> modules) {
        return switch (this) {
            case Pissa _ -> new Pissa(modules);
            case Olora _ -> new Olora(modules);
            case Plain _, BlockDiagonal _, Kasa _, MonteCarlo _, Velora _ -> this;
        };
    }

    /** The rank of a layer's factors, of a rank that the config gives: a weight may have fewer singular values. */
    default int storedRank(Target target, int rank) {
        return switch (this) {
            case Pissa _, Olora _ -> Math.min(rank, Math.min(target.in(), target.out()));
            case Plain _, BlockDiagonal _, Kasa _, MonteCarlo _, Velora _ -> rank;
        };
    }

    /** The names of the parts it has beside A and B. */
    default List<String> partNames() {
        return switch (this) {
            case Kasa _ -> List.of(DIAGONAL);
            case MonteCarlo _ -> List.of(DEVIATIONS, EXPERT_PRIORS, VARIANCE, EXPERTS);
            case Velora _ -> List.of(EMBEDDING);
            case Plain _, BlockDiagonal _, Pissa _, Olora _ -> List.of();
        };
    }

    String DIAGONAL = "lora_diag";
    String EMBEDDING = "lora_velora_embed";
    String DEVIATIONS = "lora_monteclora_sampler.std_prior";
    String EXPERT_PRIORS = "lora_monteclora_sampler.expert_weights_prior";
    String VARIANCE = "lora_monteclora_sampler.gaussian_var_prior";
    String EXPERTS = "lora_monteclora_sampler.expert_weights";

    /** The parts it has beside A and B. */
    default List<Part> parts(Target target, int rank) {
        return switch (this) {
            case Kasa _ -> List.of(Part.trained(DIAGONAL, Shape.of(rank), new Initial.Normal(1)));
            case MonteCarlo(int samples) ->
                List.of(
                        Part.frozen(DEVIATIONS, Shape.of(rank), new Initial.Constant(0.5f)),
                        Part.frozen(EXPERT_PRIORS, Shape.of(samples), new Initial.Constant(0.5f)),
                        Part.frozen(VARIANCE, Shape.of(rank, rank), new Initial.Constant(0)),
                        Part.frozen(EXPERTS, Shape.of(samples), new Initial.Constant(1f / samples)));
            case Velora(int groups) ->
                List.of(Part.frozen(EMBEDDING, Shape.of(Math.ceilDiv(target.in(), groups)), new Initial.Constant(0)));
            case Plain _, BlockDiagonal _, Pissa _, Olora _ -> List.of();
        };
    }

    private static boolean within(List<String> names, Target target) {
        String leaf = target.module().substring(target.module().lastIndexOf('.') + 1);
        return names.stream().anyMatch(leaf::contains);
    }

    /** The shape of A [rank, in] as it is stored. */
    default Shape a(Target target, int rank) {
        return this instanceof BlockDiagonal own && within(own.a(), target)
                ? Shape.of(rank, target.in() / own.blocks())
                : Shape.of(rank, target.in());
    }

    /** The shape of B [out, rank] as it is stored. */
    default Shape b(Target target, int rank) {
        return this instanceof BlockDiagonal own && within(own.b(), target)
                ? Shape.of(target.out(), rank / own.blocks())
                : Shape.of(target.out(), rank);
    }

    /** What keeps it from a target, in words that follow the target's name. */
    default Optional<String> undefined(Target target, int rank) {
        String layer = "is " + target.shape();
        return switch (this) {
            case BlockDiagonal own -> {
                boolean a = within(own.a(), target);
                boolean b = within(own.b(), target);
                int width = a ? target.in() : target.out();
                if ((a && b) || (own.strict() && !a && !b)) {
                    yield Optional.of(
                            "is in " + (a ? "both" : "none") + " of target_modules_bd_a and target_modules_bd_b");
                }
                yield (a || b) && (width % own.blocks() != 0 || rank % own.blocks() != 0)
                        ? Optional.of(layer + ", rank " + rank + ", which nblocks " + own.blocks() + " does not divide")
                        : Optional.empty();
            }
            case Kasa _
            when rank >= Math.min(target.in(), target.out()) ->
                Optional.of(layer + ", of which KaSA would leave nothing at rank " + rank);
            case Olora _ when target.transposed() -> Optional.of("is stored [in, out], for which PEFT has no OLoRA");
            default -> Optional.empty();
        };
    }

    /** The rank of the change, for factors of a rank. */
    default int rank(int own) {
        return switch (this) {
            case Kasa _, Pissa _, Olora _ -> 2 * own;
            case Plain _, BlockDiagonal _, MonteCarlo _, Velora _ -> own;
        };
    }

    /**
     * The change of a weight.
     *
     * @param a as it is stored
     * @param b as it is stored
     */
    default <T> LowRank<T> change(
            MatrixOps<T> ops,
            Target target,
            T a,
            T b,
            double scale,
            int rank,
            Function<String, T> part,
            Supplier<T> weight) {
        return switch (this) {
            case Plain _, MonteCarlo _, Velora _ -> new LowRank<>(b, a, scale);
            case BlockDiagonal own -> {
                int n = own.blocks();
                T right = within(own.a(), target)
                        ? ops.blockDiagonal(ops.reshape(a, n, rank / n, target.in() / n), n, rank / n, target.in() / n)
                        : a;
                T left = within(own.b(), target)
                        ? ops.blockDiagonal(
                                ops.reshape(b, n, target.out() / n, rank / n), n, target.out() / n, rank / n)
                        : b;
                yield new LowRank<>(left, right, scale);
            }
            case Kasa _ -> {
                T scaled = ops.mul(b, ops.affine(part.apply(DIAGONAL), scale, 0));
                int smallest = Math.min(target.in(), target.out()) - rank;
                yield lessOf(ops, weight.get(), scaled, a, rank, smallest);
            }
            case Pissa _ -> lessOf(ops, weight.get(), ops.affine(b, scale, 0), a, rank, 0);
            case Olora _ -> {
                T basis = ops.computed(ops.slice(weight.get(), 1, 0, rank), columns -> Orthonormal.of(columns, 0));
                T coefficients = ops.matMul(ops.transpose(basis, 1, 0), weight.get());
                yield new LowRank<>(
                        ops.concat(1, List.of(b, ops.affine(basis, -1, 0))),
                        ops.concat(0, List.of(a, coefficients)),
                        scale);
            }
        };
    }

    /** Writes its fields over those of plain LoRA. */
    default void describe(ObjectNode config) {
        switch (this) {
            case Plain _ -> {}
            case BlockDiagonal own -> {
                ObjectNode fields = config.putObject("use_bdlora");
                fields.put("nblocks", own.blocks());
                fields.put("match_strict", own.strict());
                own.a().forEach(fields.putArray("target_modules_bd_a")::add);
                own.b().forEach(fields.putArray("target_modules_bd_b")::add);
            }
            case Kasa own ->
                config.putObject("kasa_config").put("beta", own.beta()).put("gamma", own.gamma());
            case MonteCarlo own -> config.putObject("monteclora_config").put("num_samples", own.samples());
            case Velora own -> config.putObject("velora_config").put("num_groups", own.groups());
            case Pissa _ -> config.put("init_lora_weights", "pissa");
            case Olora _ -> config.put("init_lora_weights", "olora");
        }
    }

    /** A product, less the part of the weight that some of its singular values make up: {@code W·Vᵢ·Vᵢᵀ}. */
    private static <T> LowRank<T> lessOf(MatrixOps<T> ops, T weight, T left, T right, int count, int first) {
        T vectors = ops.computed(weight, values -> Svd.of(values).rightRows(first, count, 0));
        T taken = ops.affine(ops.matMul(weight, ops.transpose(vectors, 1, 0)), -1, 0);
        return new LowRank<>(ops.concat(1, List.of(left, taken)), ops.concat(0, List.of(right, vectors)), 1);
    }
}
