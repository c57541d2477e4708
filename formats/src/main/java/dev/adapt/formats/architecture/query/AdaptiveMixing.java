package dev.adapt.formats.architecture.query;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;

/**
 * The adaptive mixing of AdaMixer (Gao et al., "AdaMixer: A Fast-Converging Query-Based Object Detector", CVPR 2022,
 * arXiv 2203.16507): each query generates, for each group of the features sampled for it, the matrix M [C, C] that mixes
 * their channels and the matrix S [P', P] that mixes their points, {@code y = ReLU(LN(S·ReLU(LN(x·M))))}, and takes up a
 * projection of what comes out: {@code LN(q + y·Wᵀ + b)}. The inner normalisations go over the points and channels of a
 * group together and have no weights.
 *
 * @param width of a query, Dq
 * @param groups of features, G
 * @param channels of a group, C
 * @param inPoints that are sampled for a query, P
 * @param outPoints that they are mixed into, P'
 */
public record AdaptiveMixing(int width, int groups, int channels, int inPoints, int outPoints) {
    /** Of all its normalisations. */
    private static final double EPSILON = 1e-5;

    /**
     * The matrices that queries generate.
     *
     * @param channel M, [B, N, G, C, C]
     * @param spatial S, [B, N, G, P', P]
     */
    record Matrices<T>(T channel, T spatial) {
        Matrices<T> plus(Ops<T> ops, Matrices<T> other) {
            return new Matrices<>(ops.add(channel, other.channel), ops.add(spatial, other.spatial));
        }
    }

    /** The linear layer that generates a stage's matrices from its queries. */
    static String generator(String module, int stage) {
        return module + "parameter_generator." + stage;
    }

    /** A stage's linear layer from what was mixed to a query. */
    static String projection(String module, int stage) {
        return module + "out_proj." + stage;
    }

    /** A stage's last normalisation, the one with weights. */
    static String norm(String module, int stage) {
        return module + "out_norm." + stage;
    }

    /** The elements of the matrices that one query generates, for each group M and then S. */
    int generated() {
        return groups * (channels * channels + outPoints * inPoints);
    }

    /** The elements that are mixed for one query. */
    int mixed() {
        return groups * outPoints * channels;
    }

    /** The tensors of a stage of its own, by canonical name. */
    Tensors tensors(String module, int stage) {
        return new Tensors()
                .linear(generator(module, stage), generated(), width)
                .linear(projection(module, stage), width, mixed())
                .layerNorm(norm(module, stage), width);
    }

    /**
     * A stage whose generator and projection are its own.
     *
     * @param x the sampled features, [B, N, G, P, C]
     * @param query [B, N, Dq]
     * @param module the prefix of its tensors' names
     * @return the queries after it, [B, N, Dq]
     */
    <T> T forward(Layers<T> model, T x, T query, String module, int stage) {
        Matrices<T> matrices = matrices(model.ops(), model.linear(query, generator(module, stage)));
        T mixed = mix(model.ops(), x, matrices);
        return take(model, query, model.linear(mixed, projection(module, stage)), module, stage);
    }

    /** What the generator gives, [B, N, {@link #generated}], as matrices. */
    <T> Matrices<T> matrices(Ops<T> ops, T generated) {
        long cut = (long) channels * channels;
        long end = cut + (long) outPoints * inPoints;
        T byGroup = ops.reshape(generated, 0, 0, groups, end);
        return new Matrices<>(
                ops.reshape(ops.slice(byGroup, 3, 0, cut), 0, 0, groups, channels, channels),
                ops.reshape(ops.slice(byGroup, 3, cut, end), 0, 0, groups, outPoints, inPoints));
    }

    /** The features of each query mixed, [B, N, {@link #mixed}]. */
    <T> T mix(Ops<T> ops, T x, Matrices<T> matrices) {
        T channelsMixed = normalised(ops, ops.matMul(x, matrices.channel()), inPoints);
        T pointsMixed = normalised(ops, ops.matMul(matrices.spatial(), channelsMixed), outPoints);
        return ops.reshape(pointsMixed, 0, 0, mixed());
    }

    /** ReLU(LN(x)) over the last two axes of x [B, N, G, points, C]. */
    private <T> T normalised(Ops<T> ops, T x, int points) {
        int size = points * channels;
        float[] ones = new float[size];
        Arrays.fill(ones, 1);
        T scale = ops.constant(new FloatTensor(Shape.of(size), ones));
        T shift = ops.constant(new FloatTensor(Shape.of(size), new float[size]));
        T normed = ops.layerNorm(ops.reshape(x, 0, 0, groups, size), scale, shift, EPSILON);
        return ops.reshape(ops.activation(normed, Activation.RELU), 0, 0, groups, points, channels);
    }

    /** The queries, what was projected for them taken up. */
    <T> T take(Layers<T> model, T query, T projected, String module, int stage) {
        return model.layerNorm(model.ops().add(query, projected), norm(module, stage), EPSILON);
    }
}
