package dev.adapt.cli.merge;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Described;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.merge.LorsMerge;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code adapt merge}: a base with the updates of adapters in its weights. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Adds an adapter's update to its base's weights, computed in float32 and rounded once to the base's dtype.",
            "The result is a plain checkpoint; all tensors the adapter does not touch are copied byte for byte.",
            "A model with LORS becomes a plain checkpoint, without --base.",
            "Several adapters are added with their weights, each update computed from the pristine base; with --each"
                    + " they become as many merged checkpoints, from one reading of the base."
        },
        footer = {
            "",
            "Examples: adapt merge my-lora --base base --out merged --undo merged.undo",
            "          adapt merge one two --base base --weights 0.5,0.5 --out merged",
            "          adapt merge my-lora --base base --in-place",
            "          adapt merge my-lors --out plain",
            "          adapt merge one two three --base base --each --out-dir merged"
        })
public final class MergeCommand implements Callable<Integer>, Described {
    @Mixin
    private MergeOptions options = new MergeOptions();

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        Optional<Path> gguf = options.gguf();
        if (gguf.isPresent()) {
            refuseForGguf();
        }
        Optional<Path> whole = options.wholeModel();
        options.check();
        Outputs outputs = options.outputs(output);
        if (gguf.isPresent()) {
            mergeToGguf(gguf.get(), whole, outputs);
        } else if (whole.isPresent()) {
            mergeWhole(whole.get(), options.settings(outputs), options.destinations());
        } else if (options.intoBase() && !options.dryRun()) {
            new MergeRun(options, options.settings(outputs)).inPlace();
        } else {
            new MergeRun(options, options.settings(outputs)).adapters(options.destinations());
        }
        return 0;
    }

    @Override
    public void describe(ObjectNode result) {
        ArrayNode outputs = result.putArray("outputs");
        if (options.intoBase()) {
            outputs.add(options.requireBase().toString());
        } else {
            options.destinations()
                    .forEach(destination -> outputs.add(destination.named().toString()));
        }
        options.adapters().stream().map(Path::toString).forEach(result.putArray("adapters")::add);
    }

    private void refuseForGguf() {
        GivenOptions given = new GivenOptions(spec);
        given.refuse("a GGUF file is one new file", "--in-place", "--each", "--out-dir", "--undo", "--max-shard-size");
        given.refuse("a GGUF file is always flushed to the disk", "--no-fsync");
    }

    private void mergeToGguf(Path file, Optional<Path> whole, Outputs outputs) throws IOException {
        outputs.requireFile(file);
        GgufMerge merge = new GgufMerge(options, file, outputs);
        if (whole.isPresent()) {
            Merger.Settings unflushed = options.settings(outputs).flush(false);
            merge.throughFolder(merged -> mergeWhole(whole.get(), unflushed, List.of(merged)));
        } else {
            merge.adapters();
        }
    }

    /** A model with LORS becomes a plain one. */
    private void mergeWhole(Path model, Merger.Settings settings, List<Destination> destinations) throws IOException {
        if (StackedModel.isIn(model)) {
            new MergeRun(options, settings).stacks(model, destinations);
            return;
        }
        GivenOptions given = new GivenOptions(spec);
        given.refuse("a decoder of queries is folded and not added to", "--report", "--max-shard-size", "--dry-run");
        given.refuse("a decoder of queries is folded in one thread, and flushed", "--threads", "--no-fsync");
        Path plain = destinations.getFirst().path();
        LorsMerge merged = LorsMerge.run(model, plain, settings.outputs());
        Terminal.line("%s: %,d parameters of %,d with LORS", plain, merged.after(), merged.before());
    }
}
