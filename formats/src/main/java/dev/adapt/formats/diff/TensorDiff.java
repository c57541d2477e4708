package dev.adapt.formats.diff;

import dev.adapt.formats.safetensors.TensorInfo;

/** What became of a tensor from one checkpoint to another. */
public sealed interface TensorDiff {
    /** The tensor's name. */
    String name();

    /** Dtype, shape and bytes are the same. */
    record Identical(TensorInfo tensor) implements TensorDiff {
        @Override
        public String name() {
            return tensor.name();
        }
    }

    /** The shapes are the same, and the elements or their dtype are not. */
    record OtherValues(TensorInfo left, TensorInfo right, ValueDifference difference) implements TensorDiff {
        @Override
        public String name() {
            return left.name();
        }
    }

    /** Shapes, or dtypes that have no numbers in common, forbid a comparison. */
    record Incomparable(TensorInfo left, TensorInfo right) implements TensorDiff {
        @Override
        public String name() {
            return left.name();
        }
    }

    /** Only the first checkpoint has it. */
    record OnlyLeft(TensorInfo tensor) implements TensorDiff {
        @Override
        public String name() {
            return tensor.name();
        }
    }

    /** Only the second checkpoint has it. */
    record OnlyRight(TensorInfo tensor) implements TensorDiff {
        @Override
        public String name() {
            return tensor.name();
        }
    }
}
