package dev.adapt.formats.names;

import dev.adapt.formats.method.Piece;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.tensor.Shape;

/**
 * Where a matrix of a module lies.
 *
 * @param tensor the name of the tensor that holds it, as the checkpoint spells it
 * @param shape of the whole tensor
 * @param storage how the matrix lies in it
 * @param piece what of the module it is
 */
public record Place(String tensor, Shape shape, Storage storage, Piece piece) {
    /** Where all of a module lies. */
    public Place(String tensor, Shape shape, Storage storage) {
        this(tensor, shape, storage, Piece.WHOLE);
    }

    /** The outputs of the matrix. */
    public int out() {
        return Math.toIntExact(storage.transposed() ? columns() : rows());
    }

    /** The inputs of the matrix. */
    public int in() {
        return Math.toIntExact(storage.transposed() ? rows() : columns());
    }

    /** The rows of the matrix as it is stored. */
    private long rows() {
        if (storage instanceof Storage.Expert expert) {
            long width = columns();
            return width == 0 ? 0 : shape.elements() / width / expert.count();
        }
        return shape.rank() == 0 ? 1 : shape.dim(0);
    }

    /** The columns of the matrix as it is stored. */
    private long columns() {
        if (storage instanceof Storage.Kernel) {
            return shape.dim(0) == 0 ? 0 : shape.elements() / shape.dim(0);
        }
        return shape.rank() < 2 ? 1 : shape.dim(shape.rank() - 1);
    }

    /** The same tensor, its matrix stored in another way. */
    public Place as(Storage other) {
        return new Place(tensor, shape, other, piece);
    }

    /** The shape [out, in] of the module's matrix, of one expert where it is a stack of them. */
    public Shape module() {
        return Shape.of((long) out() * piece.parts(), in());
    }
}
