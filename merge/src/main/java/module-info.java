/**
 * Merges adapters into checkpoints and takes merges back; converts, combines, extracts and analyses adapters.
 *
 * <p>The packages of the engine are exported to the command line alone and change without notice.
 */
@SuppressWarnings("module") // the command line is compiled after this module
module dev.adapt.merge {
    requires transitive dev.adapt.formats;
    requires jdk.incubator.vector;
    // these have no module names of their own: Java derives them from the files' names
    requires aircompressor.v3;
    requires ejml.core;
    requires ejml.ddense;
    requires static org.jspecify;

    exports dev.adapt.merge;
    exports dev.adapt.merge.analysis;
    exports dev.adapt.merge.convert;
    exports dev.adapt.merge.undo;
    exports dev.adapt.merge.engine to
            dev.adapt.cli;
    exports dev.adapt.merge.kernel to
            dev.adapt.cli;
    exports dev.adapt.merge.lowrank to
            dev.adapt.cli;
    exports dev.adapt.merge.plan to
            dev.adapt.cli;
}
