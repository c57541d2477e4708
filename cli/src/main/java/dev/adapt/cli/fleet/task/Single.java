package dev.adapt.cli.fleet.task;

import dev.adapt.cli.convert.ConvertCommand;
import dev.adapt.cli.export.ExportAdapterCommand;
import dev.adapt.cli.export.ExportGgufCommand;
import dev.adapt.cli.export.ExportOnnxCommand;
import dev.adapt.cli.predict.EvaluateCommand;
import dev.adapt.cli.verify.VerifyCommand;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;

/** A command for one adapter, which a worker runs for each of its adapters. */
public enum Single {
    CONVERT("", true),
    EXPORT_GGUF(".gguf", true),
    EXPORT_ONNX(".onnx", true),
    EXPORT_ADAPTER(".onnx_adapter", true),
    VERIFY(".json", false),
    EVALUATE(".json", false);

    /** What options hold in place of the adapter's name. */
    private static final String NAME = "{}";

    private final String ending;
    private final boolean writes;

    /**
     * @param ending of the output's name
     * @param writes whether the command writes the output itself; else that is the JSON it prints
     */
    Single(String ending, boolean writes) {
        this.ending = ending;
        this.writes = writes;
    }

    /** As the command line names it. */
    public String key() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** The command of a name. */
    static Optional<Single> named(String key) {
        return Arrays.stream(values()).filter(each -> each.key().equals(key)).findFirst();
    }

    /** How its outputs' names end, with these options. */
    public String ending(List<String> options) {
        return this == CONVERT && options.stream().anyMatch("kohya"::equalsIgnoreCase) ? ".safetensors" : ending;
    }

    /** Whether it writes its output itself; else that is the JSON it prints. */
    public boolean writes() {
        return writes;
    }

    public Callable<Integer> command() {
        return switch (this) {
            case CONVERT -> new ConvertCommand();
            case EXPORT_GGUF -> new ExportGgufCommand();
            case EXPORT_ONNX -> new ExportOnnxCommand();
            case EXPORT_ADAPTER -> new ExportAdapterCommand();
            case VERIFY -> new VerifyCommand();
            case EVALUATE -> new EvaluateCommand();
        };
    }

    /** The command's arguments for one adapter. */
    public List<String> arguments(Path base, Item item, List<String> options, boolean overwrite) {
        String adapter = item.adapter().toString();
        String from = base.toString();
        List<String> arguments = new ArrayList<>(
                switch (this) {
                    case CONVERT, EXPORT_GGUF, EXPORT_ADAPTER -> List.of(adapter, "--base", from);
                    case EXPORT_ONNX -> List.of(from, "--adapter", adapter, "--self-contained");
                    case VERIFY, EVALUATE -> List.of("--base", from, "--adapter", adapter, "--json");
                });
        if (writes) {
            arguments.addAll(List.of("--out", item.out().toString()));
        }
        if (writes && overwrite) {
            arguments.add("--overwrite");
        }
        options.forEach(option -> arguments.add(option.replace(NAME, item.name())));
        return arguments;
    }
}
