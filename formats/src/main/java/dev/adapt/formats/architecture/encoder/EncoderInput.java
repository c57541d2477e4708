package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tensors;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.layer.attention.Causal;
import dev.adapt.formats.layer.attention.Mutual;
import dev.adapt.formats.layer.attention.Visibility;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** How an encoder's inputs become its first states. */
sealed interface EncoderInput {
    /** Its inputs, in the order Hugging Face exporters give them. */
    List<InputSpec> inputs();

    /** The token sequences it takes, if it takes tokens. */
    Optional<Tokens> tokens();

    /** The name of the sequence's axis, or its size where that is the same in every run. */
    String length();

    void addTensors(Tensors tensors, Norm norm, int hidden);

    /** What a head's pooling takes for tokens: integers [batch, sequence]. */
    <T> Optional<T> mask(Map<String, T> inputs);

    /** The first states [batch, sequence, hidden]. */
    <T> T apply(Layers<T> model, Map<String, T> inputs, Norm norm, int hidden);

    /** Who sees whom. */
    <T> Visibility<T> visibility(Layers<T> model, Map<String, T> inputs, T states);

    /**
     * The sum of the embeddings of words, places and token types.
     *
     * @param words the module of the embedding table
     * @param width of the tables; narrower than the states where there is a projection
     * @param projection from that width to that of the states
     * @param norm the module that normalises the sum, before the projection unless {@code normsProjected}
     * @param seen who sees whom
     */
    record Words(
            Tokens tokensTaken,
            String words,
            int width,
            Optional<Positions> positions,
            Optional<Types> types,
            Optional<String> norm,
            Optional<LinearLayer> projection,
            boolean normsProjected,
            Seen seen,
            double dropout)
            implements EncoderInput {
        private static final InputSpec TYPES = InputSpec.integers("token_type_ids", "sequence");

        /** Which tokens a token sees. */
        enum Seen {
            /** All that the mask keeps. */
            KEPT,
            /** The same, and padding tokens see none and begin as 0, as in DeBERTa. */
            KEPT_BY_KEPT,
            /** Itself and those before it. */
            EARLIER
        }

        /**
         * A table of learned positions.
         *
         * @param padding the id of padding tokens, if those have its position and the others count on from it
         */
        record Positions(String module, int rows, Optional<Integer> padding) {}

        /**
         * A table of token types.
         *
         * @param given whether the types are an input; otherwise all are 0
         */
        record Types(String module, int rows, boolean given) {}

        @Override
        public List<InputSpec> inputs() {
            return types.filter(Types::given).isPresent()
                    ? List.of(InputSpec.IDS, InputSpec.MASK, TYPES)
                    : List.of(InputSpec.IDS, InputSpec.MASK);
        }

        @Override
        public Optional<Tokens> tokens() {
            return Optional.of(tokensTaken);
        }

        @Override
        public String length() {
            return "sequence";
        }

        @Override
        public void addTensors(Tensors tensors, Norm kind, int hidden) {
            tensors.matrix(words, tokensTaken.vocabulary(), width);
            positions.ifPresent(own -> tensors.matrix(own.module(), own.rows(), width));
            types.ifPresent(own -> tensors.matrix(own.module(), own.rows(), width));
            norm.ifPresent(own -> kind.addTensors(tensors, own, normsProjected ? hidden : width));
            projection.ifPresent(own -> own.addTensors(tensors, ""));
        }

        @Override
        public <T> Optional<T> mask(Map<String, T> inputs) {
            return Optional.of(Layers.input(inputs, InputSpec.MASK));
        }

        @Override
        public <T> T apply(Layers<T> model, Map<String, T> inputs, Norm kind, int hidden) {
            Ops<T> ops = model.ops();
            T ids = Layers.input(inputs, InputSpec.IDS);
            T sum = model.embedding(ids, words);
            if (types.isPresent()) {
                sum = ops.add(sum, types(model, inputs, types.get()));
            }
            if (positions.isPresent()) {
                sum = ops.add(
                        sum,
                        model.embedding(
                                places(ops, ids, positions.get()),
                                positions.get().module()));
            }
            if (normsProjected) {
                sum = projected(model, sum);
            }
            if (norm.isPresent()) {
                sum = kind.apply(model, sum, norm.get(), normsProjected ? hidden : width);
            }
            if (seen == Seen.KEPT_BY_KEPT) {
                T kept = ops.toFloat(Layers.input(inputs, InputSpec.MASK));
                sum = ops.mul(sum, ops.reshape(kept, 0, -1, 1));
            }
            T dropped = ops.dropout(sum, dropout);
            return normsProjected ? dropped : projected(model, dropped);
        }

        private <T> T projected(Layers<T> model, T states) {
            return projection.isPresent() ? projection.get().apply(model, "", states) : states;
        }

        private static <T> T types(Layers<T> model, Map<String, T> inputs, Types own) {
            return own.given() && inputs.containsKey(TYPES.name())
                    ? model.embedding(Layers.input(inputs, TYPES), own.module())
                    : model.row(0, own.module());
        }

        /** Where padding has a position, it is told by its id, whatever the mask says. */
        private static <T> T places(Ops<T> ops, T ids, Positions own) {
            if (own.padding().isEmpty()) {
                return ops.positions(ids);
            }
            T padding = ops.integer(own.padding().get());
            T others = ops.not(ops.equal(ids, padding));
            return ops.add(ops.mul(ops.cumSum(others, 1), others), padding);
        }

        @Override
        public <T> Visibility<T> visibility(Layers<T> model, Map<String, T> inputs, T states) {
            T ids = Layers.input(inputs, InputSpec.IDS);
            T mask = Layers.input(inputs, InputSpec.MASK);
            return seen == Seen.EARLIER
                    ? Causal.of(model, inputs)
                    : new Mutual<>(model.ops(), ids, Optional.of(mask), seen == Seen.KEPT_BY_KEPT);
        }
    }

    /**
     * The patches of an image, after tokens that stand for all of it.
     *
     * @param side the height and width of an image
     * @param patch the height and width of a patch
     * @param kernel the module of the convolution that embeds a patch
     * @param first learned tokens before the patches
     * @param positions what is added to all tokens
     * @param norm the module that normalises the sum
     */
    record Patches(
            int channels,
            int side,
            int patch,
            LinearLayer kernel,
            List<Stored> first,
            Stored positions,
            Optional<String> norm,
            double dropout)
            implements EncoderInput {
        private static final String PIXELS = "pixel_values";

        /** A tensor in the shape in which it is stored. */
        record Stored(String name, Shape shape) {}

        @Override
        public List<InputSpec> inputs() {
            return List.of(new InputSpec(PIXELS, Dtype.F32, List.of("batch", "" + channels, "" + side, "" + side)));
        }

        @Override
        public Optional<Tokens> tokens() {
            return Optional.empty();
        }

        @Override
        public String length() {
            return "" + (count(side, patch) + first.size());
        }

        /** The number of patches. */
        static int count(int side, int patch) {
            return (side / patch) * (side / patch);
        }

        @Override
        public void addTensors(Tensors tensors, Norm kind, int hidden) {
            first.forEach(own -> tensors.add(own.name(), own.shape().toArray()));
            tensors.add(positions.name(), positions.shape().toArray());
            tensors.add(kernel.name() + ".weight", hidden, channels, patch, patch);
            if (kernel.biased()) {
                tensors.add(kernel.name() + ".bias", hidden);
            }
            norm.ifPresent(own -> kind.addTensors(tensors, own, hidden));
        }

        @Override
        public <T> Optional<T> mask(Map<String, T> inputs) {
            return Optional.empty();
        }

        @Override
        public <T> T apply(Layers<T> model, Map<String, T> inputs, Norm kind, int hidden) {
            Ops<T> ops = model.ops();
            int across = side / patch;
            T pixels = Layers.input(inputs, inputs().getFirst());
            // a convolution whose stride is its kernel's size is a linear layer on patches
            T cut = ops.transpose(ops.reshape(pixels, 0, channels, across, patch, across, patch), 0, 2, 4, 1, 3, 5);
            T flat = ops.reshape(cut, 0, (long) across * across, kernel.in());
            T patches = model.flatKernel(flat, kernel.name(), hidden);
            List<T> all = new ArrayList<>();
            // a token for each image, wherever the batch's size is known only in the run
            T none = ops.affine(ops.slice(patches, 1, 0, 1), 0, 0);
            first.forEach(own -> all.add(ops.add(none, ops.reshape(model.weight(own.name()), 1, 1, hidden))));
            all.add(patches);
            T joined = all.size() == 1 ? patches : ops.concat(1, all);
            T places = ops.reshape(model.weight(positions.name()), 1, -1, hidden);
            T sum = ops.dropout(ops.add(joined, places), dropout);
            return norm.isPresent() ? kind.apply(model, sum, norm.get(), hidden) : sum;
        }

        @Override
        public <T> Visibility<T> visibility(Layers<T> model, Map<String, T> inputs, T states) {
            return new Mutual<>(model.ops(), states, Optional.empty(), false);
        }
    }
}
