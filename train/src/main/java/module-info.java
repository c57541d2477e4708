/**
 * Trains adapters with DJL, and runs what was trained.
 *
 * <p>The packages that only adapt's command line uses are exported to it alone and change without notice.
 */
@SuppressWarnings("module") // the command line is compiled after this module
module dev.adapt.train {
    requires transitive dev.adapt.formats;
    requires transitive ai.djl.api;
    requires ai.djl.pytorch_engine;
    requires ai.djl.tokenizers;
    requires java.desktop; // readers of images
    requires static org.jspecify;

    exports dev.adapt.train;
    exports dev.adapt.train.data;
    exports dev.adapt.train.detect;
    exports dev.adapt.train.device;
    exports dev.adapt.train.metric;
    exports dev.adapt.train.predict;
    exports dev.adapt.train.task;
    exports dev.adapt.train.djl to
            dev.adapt.cli;
    exports dev.adapt.train.tokenizer to
            dev.adapt.cli;
}
