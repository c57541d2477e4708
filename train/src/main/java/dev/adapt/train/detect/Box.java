package dev.adapt.train.detect;

/** A box by its centre and size, in shares of the image's width and height. */
public record Box(double x, double y, double width, double height) {
    /** How many numbers it is. */
    static final int NUMBERS = 4;

    /** The box that a step as {@link dev.adapt.formats.architecture.query.QueryDecoder} gives it leads to from this one. */
    Box moved(double dx, double dy, double dWidth, double dHeight) {
        return new Box(x + dx * width, y + dy * height, width * Math.exp(dWidth), height * Math.exp(dHeight));
    }

    /** Its area. */
    double area() {
        return width * height;
    }

    /** The area it shares with another. */
    private double shared(Box other) {
        double w =
                Math.min(x + width / 2, other.x + other.width / 2) - Math.max(x - width / 2, other.x - other.width / 2);
        double h = Math.min(y + height / 2, other.y + other.height / 2)
                - Math.max(y - height / 2, other.y - other.height / 2);
        return Math.max(w, 0) * Math.max(h, 0);
    }

    /** The area of the smallest box around both. */
    private double around(Box other) {
        double w =
                Math.max(x + width / 2, other.x + other.width / 2) - Math.min(x - width / 2, other.x - other.width / 2);
        double h = Math.max(y + height / 2, other.y + other.height / 2)
                - Math.min(y - height / 2, other.y - other.height / 2);
        return w * h;
    }

    /** Intersection over union, 0 to 1. */
    public double iou(Box other) {
        double shared = shared(other);
        return shared / (area() + other.area() - shared);
    }

    /**
     * Generalised intersection over union, -1 to 1: IoU less the share of the box around both that neither covers
     * (Rezatofighi et al., CVPR 2019, algorithm 1).
     */
    double giou(Box other) {
        double shared = shared(other);
        double union = area() + other.area() - shared;
        double around = around(other);
        return shared / union - (around - union) / around;
    }

    /** The sum of the absolute differences of their numbers. */
    double distance(Box other) {
        return Math.abs(x - other.x)
                + Math.abs(y - other.y)
                + Math.abs(width - other.width)
                + Math.abs(height - other.height);
    }
}
