package dev.adapt.formats.method;

import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;

/** How a matrix [out, in] lies in the tensor that holds it. */
public sealed interface Storage {
    /**
     * The weight of a linear layer.
     *
     * @param transposed whether it is stored [in, out], as Conv1D does, and not [out, in]
     */
    record Linear(boolean transposed) implements Storage {}

    /** An embedding table, stored [in, out]: the linear layer of one-hot inputs. */
    record Embedding() implements Storage {
        @Override
        public boolean transposed() {
            return true;
        }
    }

    /**
     * One matrix in a stack of experts, stored [experts, out, in].
     *
     * @param index its place in the stack, from 0
     * @param count the number of experts
     * @param transposed whether the stack is stored [experts, in, out]
     */
    record Expert(int index, int count, boolean transposed) implements Storage {}

    /**
     * The kernel of a convolution, seen as [out, in·size].
     *
     * @param shape as it is stored, [out, in / groups, …]
     */
    record Kernel(Shape shape) implements Storage {
        @Override
        public boolean transposed() {
            return false;
        }

        /** A core of Tucker form for this kernel, [rank, rank, …]. */
        public Shape core(int rank) {
            long[] dims = shape.toArray();
            dims[0] = rank;
            dims[1] = rank;
            // a one-dimensional kernel's core has a second, empty axis
            return shape.rank() == 3 ? Shape.of(rank, rank, dims[2], 1) : Shape.of(dims);
        }

        /**
         * {@code Σⱼ core[i, j, …]·in[j, channel]}, as [rank, in].
         *
         * @param core [rank, rank, …]
         * @param in [rank, channels]
         */
        public <T> T contract(MatrixOps<T> ops, T core, T in) {
            long channels = shape.dim(1);
            T byElement = ops.transpose(ops.reshape(core, 0, 0, size()), 0, 2, 1);
            return ops.reshape(ops.transpose(ops.matMul(byElement, in), 0, 2, 1), 0, channels * size());
        }

        /** The shape of a kernel of one element between so many channels, [out, in, 1, …]. */
        public Shape point(long out, long in) {
            long[] dims = new long[shape.rank()];
            Arrays.fill(dims, 1);
            dims[0] = out;
            dims[1] = in;
            return Shape.of(dims);
        }

        /** The elements of the kernel for one pair of channels. */
        public int size() {
            long size = 1;
            for (long dim : shape.dims().subList(2, shape.rank())) {
                size *= dim;
            }
            return Math.toIntExact(size);
        }
    }

    /** A vector, such as a bias or a normalisation's weight, seen as [out, 1]. */
    record Vector() implements Storage {
        @Override
        public boolean transposed() {
            return false;
        }
    }

    /** Whether the matrix is stored [in, out]. */
    boolean transposed();
}
