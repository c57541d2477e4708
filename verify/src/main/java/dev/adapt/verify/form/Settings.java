package dev.adapt.verify.form;

import dev.adapt.verify.compare.Tolerance;
import dev.adapt.verify.runner.Device;
import java.nio.file.Path;
import java.util.Optional;

/**
 * How to compare.
 *
 * @param count random sequences or images, or texts
 * @param seed of what is random
 * @param thorough whether to run every token and every length
 * @param texts to compare on
 * @param tensors a safetensors file whose tensors are the inputs, by their names
 * @param device where ONNX Runtime runs
 * @param reference whether to compare with float64 too
 * @param engine what runs the checkpoints; the float64 reference does where there is none
 */
public record Settings(
        int count,
        long seed,
        boolean thorough,
        Optional<Engine.Texts> texts,
        Optional<Path> tensors,
        Tolerance tolerance,
        Device device,
        boolean reference,
        Optional<Engine> engine) {
    /** Random inputs, enough to be meaningful and done in seconds. */
    public static final Settings DEFAULT = new Settings(
            16, 0, false, Optional.empty(), Optional.empty(), Tolerance.DEFAULT, Device.AUTO, true, Optional.empty());

    /** The same on an engine. */
    public Settings on(Engine other) {
        return new Settings(count, seed, thorough, texts, tensors, tolerance, device, reference, Optional.of(other));
    }

    /** The same on texts. */
    public Settings comparedOn(Engine.Texts other) {
        return new Settings(count, seed, thorough, Optional.of(other), tensors, tolerance, device, reference, engine);
    }
}
