package dev.adapt.formats.architecture.query;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.architecture.query.AdaptiveMixing.Matrices;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.io.JsonDocument;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Function;

/**
 * The adaptive mixing of a stack of stages with LORS (Li et al., "LORS: Low-rank Residual Structure for
 * Parameter-Efficient Network Stacking", CVPR 2024, arXiv 2403.04303): all stages share one generator and one projection,
 * and each adds a private part of low rank.
 *
 * <p>Adaptive LORS, of the matrices that a query q generates: {@code Ŵ_i = Linear(q) + Σ_k B_ik·E_ik(q)·A_ik}, where
 * {@code E_ik(q) = Linear(q)} is [r, r] and B_ik, A_ik are parameters ({@code ml}, {@code mr} for M and {@code sl},
 * {@code sr} for S), one pair for each group of features. Static LORS, of the projection:
 * {@code W_i = W + B_i·A_i}. Names and layout are those of the authors' module.
 *
 * <p>Ŵ_i is linear in q, so that both fold exactly: {@link #fold}.
 */
record LorsMixing(AdaptiveMixing block, List<Stage> stages) {
    private static final String SHARED_GENERATOR = "common_parameter_generator";
    private static final String SHARED_PROJECTION = "base_out_proj";
    private static final String ML = "ml_parameters.";
    private static final String MR = "mr_parameters.";
    private static final String SL = "sl_parameters.";
    private static final String SR = "sr_parameters.";
    private static final String ADD_A = "out_weight_add_A.";
    private static final String ADD_B = "out_weight_add_B.";
    private static final String BIAS = "out_weight_bias.";

    /**
     * What a stage has of its own.
     *
     * @param rank of E, r
     * @param terms of the sum, K
     * @param projectionRank of the projection's private part
     */
    record Stage(int rank, int terms, int projectionRank) {}

    LorsMixing {
        stages = List.copyOf(stages);
    }

    /**
     * What a config says.
     *
     * @param config the object {@code lors}: {@code ranks}, {@code groups} and {@code projection_ranks}, of each stage
     * @throws dev.adapt.formats.FormatException if one is no list of a positive integer for each stage
     */
    static LorsMixing of(JsonDocument config, AdaptiveMixing block, int count) {
        List<Integer> ranks = config.positives("ranks", count, Limits.RANK);
        List<Integer> terms = config.positives("groups", count, Limits.GROUPS);
        List<Integer> projectionRanks = config.positives("projection_ranks", count, Limits.RANK);
        List<Stage> stages = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            stages.add(new Stage(ranks.get(i), terms.get(i), projectionRanks.get(i)));
        }
        return new LorsMixing(block, stages);
    }

    /** The tensors that generate the matrices of all stages, by canonical name. */
    Tensors generatorTensors(String module) {
        Tensors tensors = new Tensors().linear(module + SHARED_GENERATOR, block.generated(), block.width());
        for (int i = 0; i < stages.size(); i++) {
            int rank = stages.get(i).rank();
            int pairs = block.groups() * stages.get(i).terms();
            tensors.linear(privateGenerator(module, i), 2L * pairs * rank * rank, block.width())
                    .add(module + ML + i, pairs, block.channels(), rank)
                    .add(module + MR + i, pairs, rank, block.channels())
                    .add(module + SL + i, pairs, block.outPoints(), rank)
                    .add(module + SR + i, pairs, rank, block.inPoints());
        }
        return tensors;
    }

    /** The matrices of the projections of all stages. */
    Tensors projectionTensors(String module) {
        Tensors tensors = new Tensors().matrix(module + SHARED_PROJECTION, block.width(), block.mixed());
        for (int i = 0; i < stages.size(); i++) {
            int rank = stages.get(i).projectionRank();
            tensors.add(module + ADD_A + i, rank, block.mixed()).add(module + ADD_B + i, block.width(), rank);
        }
        return tensors;
    }

    /** All its tensors. */
    Tensors tensors(String module) {
        Tensors tensors =
                generatorTensors(module).addAll(projectionTensors(module).shapes());
        for (int i = 0; i < stages.size(); i++) {
            tensors.add(module + BIAS + i, block.width()).layerNorm(AdaptiveMixing.norm(module, i), block.width());
        }
        return tensors;
    }

    /** Whether a tensor is the right factor of a private part. */
    static boolean isRightFactor(String tensor) {
        return List.of(MR, SR, ADD_A).stream().anyMatch(tensor::contains);
    }

    private static String privateGenerator(String module, int stage) {
        return module + "private_parameter_generator." + stage;
    }

    /** Stage {@code i} as {@link AdaptiveMixing#forward}, shared and private parts beside each other. */
    <T> T forward(Layers<T> model, T x, T query, String module, int i) {
        Ops<T> ops = model.ops();
        T kernels = model.linear(query, privateGenerator(module, i));
        Matrices<T> matrices = block.matrices(ops, model.linear(query, module + SHARED_GENERATOR))
                .plus(ops, update(ops, kernels, model::weight, module, i));
        T mixed = block.mix(ops, x, matrices);
        T shared = ops.linear(
                mixed,
                model.weight(module + SHARED_PROJECTION + ".weight"),
                Optional.of(model.weight(module + BIAS + i)));
        T down = ops.linear(mixed, model.weight(module + ADD_A + i), Optional.empty());
        T own = ops.linear(down, model.weight(module + ADD_B + i), Optional.empty());
        return block.take(model, query, ops.add(shared, own), module, i);
    }

    /**
     * The private parts of the matrices, Σ_k B_ik·E_ik·A_ik.
     *
     * @param kernels the E of M, then those of S, each by group and term: [B, N, 2·G·K·r²]
     */
    private <T> Matrices<T> update(Ops<T> ops, T kernels, Function<String, T> leaf, String module, int i) {
        Stage stage = stages.get(i);
        T byKind = ops.reshape(kernels, 0, 0, 2, (long) block.groups() * stage.terms(), stage.rank(), stage.rank());
        T channel = product(
                ops, leaf.apply(module + ML + i), ops.slice(byKind, 2, 0, 1), leaf.apply(module + MR + i), stage);
        T spatial = product(
                ops, leaf.apply(module + SL + i), ops.slice(byKind, 2, 1, 2), leaf.apply(module + SR + i), stage);
        return new Matrices<>(
                ops.reshape(channel, 0, 0, block.groups(), block.channels(), block.channels()),
                ops.reshape(spatial, 0, 0, block.groups(), block.outPoints(), block.inPoints()));
    }

    /** The sum over the terms of each group, [B, N, G, 1, rows, columns]. */
    private <T> T product(Ops<T> ops, T left, T kernels, T right, Stage stage) {
        long rank = stage.rank();
        T l = ops.reshape(left, block.groups(), stage.terms(), -1, rank);
        T e = ops.reshape(kernels, 0, 0, block.groups(), stage.terms(), rank, rank);
        T r = ops.reshape(right, block.groups(), stage.terms(), rank, -1);
        return ops.sum(ops.matMul(ops.matMul(l, e), r), 3);
    }

    /**
     * Stage {@code i} as one of its own: the tensors of {@link AdaptiveMixing#tensors}, by canonical name. Its generator is
     * {@code W_gen = W + Σ_k (B_k ⊗ A_kᵀ)·W_E,k}, its bias alike, which is the private part of the matrices with the columns
     * of W_E, and its bias, in the place of what a query makes of them.
     *
     * @param leaf the shared and private tensors by canonical name
     */
    <T> SequencedMap<String, T> fold(Ops<T> ops, Function<String, T> leaf, String module, int i) {
        String kernels = privateGenerator(module, i);
        T columns = ops.transpose(leaf.apply(kernels + ".weight"), 1, 0);
        T weight = rows(ops, update(ops, ops.reshape(columns, 1, block.width(), -1), leaf, module, i));
        T bias = rows(ops, update(ops, ops.reshape(leaf.apply(kernels + ".bias"), 1, 1, -1), leaf, module, i));
        T turned = ops.transpose(ops.reshape(weight, block.width(), block.generated()), 1, 0);
        T projection = ops.matMul(leaf.apply(module + ADD_B + i), leaf.apply(module + ADD_A + i));
        String generator = AdaptiveMixing.generator(module, i);
        SequencedMap<String, T> folded = new LinkedHashMap<>();
        folded.put(generator + ".weight", ops.add(leaf.apply(module + SHARED_GENERATOR + ".weight"), turned));
        folded.put(
                generator + ".bias",
                ops.add(leaf.apply(module + SHARED_GENERATOR + ".bias"), ops.reshape(bias, block.generated())));
        folded.put(
                AdaptiveMixing.projection(module, i) + ".weight",
                ops.add(leaf.apply(module + SHARED_PROJECTION + ".weight"), projection));
        folded.put(AdaptiveMixing.projection(module, i) + ".bias", leaf.apply(module + BIAS + i));
        for (String part : List.of(".weight", ".bias")) {
            String norm = AdaptiveMixing.norm(module, i) + part;
            folded.put(norm, leaf.apply(norm));
        }
        return folded;
    }

    /** Matrices as a generator lays them out, [B, N, generated]. */
    private <T> T rows(Ops<T> ops, Matrices<T> matrices) {
        T channel = ops.reshape(matrices.channel(), 0, 0, block.groups(), -1);
        T spatial = ops.reshape(matrices.spatial(), 0, 0, block.groups(), -1);
        return ops.reshape(ops.concat(3, List.of(channel, spatial)), 0, 0, block.generated());
    }
}
