package dev.adapt.verify.form;

import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.runner.Runner;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** What runs checkpoints, beside ONNX Runtime and the float64 reference, which are here. */
@FunctionalInterface
public interface Engine {
    /**
     * A model on the engine.
     *
     * @param name of the engine and the device, for example {@code DJL, CPU}
     */
    record Loaded(String name, Runner.Run run, Runnable close) {}

    /** Loads a model, whose checkpoint stays open until the result is closed. */
    Loaded load(Model model);

    /** Texts to compare on, in place of random tokens. */
    interface Texts {
        /** The texts in words, for the report. */
        String description(int count, int longest) throws IOException;

        /**
         * The first {@code count} texts as inputs of a model, each cut to {@code longest} tokens.
         *
         * @param base the folder whose tokenizer reads them
         */
        List<Map<String, Tensor>> batches(Path base, ModelConfig config, int count, int longest) throws IOException;
    }

    /**
     * Who is told what goes on.
     *
     * @param progress a line for each step
     * @param note what a user should know of a file
     */
    record Listener(Consumer<String> progress, Consumer<String> note) {
        /** Nobody. */
        public static final Listener NONE = new Listener(line -> {}, line -> {});
    }
}
