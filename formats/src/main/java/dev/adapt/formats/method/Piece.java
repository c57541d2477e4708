package dev.adapt.formats.method;

/**
 * What of its module's update a matrix gets. A module that is a stack of experts has one update for all of them; each expert
 * gets its own, and, where the base has a tensor for each part of an expert, such as its gate and its up projection, each
 * part gets its rows.
 *
 * @param expert its place in the stack, from 0
 * @param experts how many the stack has
 * @param part its place among the parts of an expert, from 0
 * @param parts how many an expert has, all of one shape
 */
public record Piece(int expert, int experts, int part, int parts) {
    /** All of it. */
    public static final Piece WHOLE = new Piece(0, 1, 0, 1);

    /** One expert of a stack. */
    public static Piece ofExpert(int expert, int experts) {
        return new Piece(expert, experts, 0, 1);
    }

    /** Whether it is all of the update. */
    public boolean isWhole() {
        return experts == 1 && parts == 1;
    }
}
