package dev.adapt.cli;

import dev.adapt.cli.convert.CombineCommand;
import dev.adapt.cli.convert.ConvertCommand;
import dev.adapt.cli.convert.ExtractCommand;
import dev.adapt.cli.demo.DemoCommand;
import dev.adapt.cli.export.ExportAdapterCommand;
import dev.adapt.cli.export.ExportGgufCommand;
import dev.adapt.cli.export.ExportOnnxCommand;
import dev.adapt.cli.export.ImportGgufCommand;
import dev.adapt.cli.export.ImportOnnxCommand;
import dev.adapt.cli.fleet.FleetCommand;
import dev.adapt.cli.fleet.WorkCommand;
import dev.adapt.cli.inspect.AnalyzeCommand;
import dev.adapt.cli.inspect.DiffCommand;
import dev.adapt.cli.inspect.InspectCommand;
import dev.adapt.cli.merge.MergeCommand;
import dev.adapt.cli.merge.RecoverCommand;
import dev.adapt.cli.merge.UnmergeCommand;
import dev.adapt.cli.predict.EvaluateCommand;
import dev.adapt.cli.predict.GenerateCommand;
import dev.adapt.cli.predict.PredictCommand;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Release;
import dev.adapt.cli.terminal.StandardOutput;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.train.CountCommand;
import dev.adapt.cli.train.TablesCommand;
import dev.adapt.cli.train.TrainCommand;
import dev.adapt.cli.verify.VerifyCommand;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.merge.kernel.Kernels;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.locks.LockSupport;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IExecutionExceptionHandler;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The command line's root: it names the commands, and turns what they throw into one sentence and an exit code. */
@Command(
        name = "adapt",
        version = {"adapt " + Release.VERSION, "Java ${java.version} (${java.vendor})", "${java.home}"},
        mixinStandardHelpOptions = true,
        synopsisSubcommandLabel = "COMMAND",
        header = "Adapters of neural networks on the JVM: train, merge, export to ONNX and GGUF, verify.",
        description = {
            "",
            "From a frozen checkpoint and a data file to a verified, merged model:",
            "",
            "  adapt train --base BASE --method lora --target query,value \\",
            "              --data train.tsv --eval dev.tsv --out ADAPTER",
            "  adapt merge ADAPTER --into BASE --out MERGED",
            "  adapt export-onnx MERGED --out MERGED/model.onnx",
            "  adapt verify --base BASE --adapter ADAPTER --merged MERGED \\",
            "               --onnx MERGED/model.onnx",
            ""
        },
        footer = {
            "",
            "Exit codes: 0 done, 1 a bug in adapt, 2 bad usage, 3 bad input or not enough memory or disk,",
            "4 a difference was found, or a figure is below --min; 130 and 143 ended by Ctrl-C or SIGTERM, 141 standard output was closed.",
            "ADAPT_TRACE=1 in the environment adds stack traces to errors."
        })
public final class Adapt implements Runnable {
    private static final long PARENT_POLL_NANOS = 2_000_000_000;

    /** The exit code after SIGTERM. */
    private static final int TERMINATED = 143;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    private Adapt() {}

    /** Runs a command and ends the process with its exit code. */
    public static void main(String[] args) throws IOException {
        openStandardError();
        StandardOutput output = StandardOutput.install();
        Thread.setDefaultUncaughtExceptionHandler((thread, thrown) -> Terminal.progress(
                "adapt: " + thread.getName() + ": " + Failure.of(thrown).sentence()));
        boolean works = args.length > 0 && args[0].equals("work");
        if (works) {
            endWithParent();
        }
        if (works || (args.length > 0 && args[0].equals("merge"))) {
            Thread.ofPlatform()
                    .daemon()
                    .name("warm-up")
                    .uncaughtExceptionHandler((thread, thrown) -> {}) // the merge itself will meet it and say so
                    .start(Adapt::prepareToMerge);
        }
        int exitCode = execute(args);
        Optional<Failure> unwritten = output.failure();
        if (unwritten.isPresent()) {
            if (unwritten.get().exitCode() != StandardOutput.PIPE_CLOSED) {
                Terminal.progress("adapt: " + unwritten.get().sentence());
            }
            exitCode = exitCode == 0 ? unwritten.get().exitCode() : exitCode;
        }
        System.err.flush();
        if (isEnding()) {
            return; // Java ends the process with the exit code of the signal
        }
        // System.exit would ask for a logger, for which Java looks through all libraries: 0.1 s
        Runtime.getRuntime().halt(exitCode);
    }

    private static int execute(String[] args) {
        PrintWriter err = new PrintWriter(System.err, true, System.err.charset());
        try {
            return commandLine(args).setErr(err).execute(args);
        } catch (Throwable thrown) {
            // picocli hands exceptions to the handler below, but lets errors through
            return report(thrown, err);
        }
    }

    /** Whether a signal has begun to end the process: hooks can then no longer be added. */
    private static boolean isEnding() {
        Thread hook = new Thread(() -> {});
        try {
            Runtime.getRuntime().addShutdownHook(hook);
            Runtime.getRuntime().removeShutdownHook(hook);
            return false;
        } catch (IllegalStateException e) {
            return true;
        }
    }

    /** Ends this process, as SIGTERM would, when the one that started it has ended. */
    private static void endWithParent() {
        Optional<ProcessHandle> parent = ProcessHandle.current().parent();
        Thread.ofPlatform().daemon().name("parent").start(() -> {
            while (ProcessHandle.current().parent().equals(parent)) {
                LockSupport.parkNanos(PARENT_POLL_NANOS);
            }
            System.exit(TERMINATED);
        });
    }

    /** What a merge begins with, made ready on another core while this one reads the command line: a tenth of a second. */
    private static void prepareToMerge() {
        // to read one document is to initialize Jackson's classes, and by them BigDecimal's, which raises 5 to the
        // 65536th power
        JsonDocument.parse(Path.of(""), "{}".getBytes(StandardCharsets.UTF_8));
        Kernels.best().compile();
    }

    /** The launcher may start Java with standard error closed, and then says where it is. */
    private static void openStandardError() throws IOException {
        String path = System.getProperty("adapt.stderr");
        if (path != null) {
            System.setErr(new PrintStream(new FileOutputStream(path, true), true, System.err.charset()));
        }
    }

    /**
     * The command line, for {@link #main} and for callers that must not end the process.
     *
     * @param args what it will execute: where they begin with a command, the line knows no other, since making all of them
     *     takes longer than most of them run
     */
    public static CommandLine commandLine(String... args) {
        CommandLine commandLine = new CommandLine(new Adapt());
        SequencedMap<String, Class<?>> commands = commands();
        if (args.length > 0 && commands.containsKey(args[0])) {
            commandLine.addSubcommand(args[0], commands.get(args[0]));
        } else {
            commands.forEach(commandLine::addSubcommand);
        }
        return commandLine
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setUsageHelpAutoWidth(true)
                .setExpandAtFiles(false)
                .setExecutionExceptionHandler(failures())
                .setParameterExceptionHandler(misuse());
    }

    /** The commands by name, in the order in which {@code --help} lists them. */
    private static SequencedMap<String, Class<?>> commands() {
        SequencedMap<String, Class<?>> commands = new LinkedHashMap<>();
        commands.put("demo", DemoCommand.class);
        commands.put("import-onnx", ImportOnnxCommand.class);
        commands.put("import-gguf", ImportGgufCommand.class);
        commands.put("train", TrainCommand.class);
        commands.put("merge", MergeCommand.class);
        commands.put("unmerge", UnmergeCommand.class);
        commands.put("recover", RecoverCommand.class);
        commands.put("convert", ConvertCommand.class);
        commands.put("extract", ExtractCommand.class);
        commands.put("combine", CombineCommand.class);
        commands.put("export-onnx", ExportOnnxCommand.class);
        commands.put("export-adapter", ExportAdapterCommand.class);
        commands.put("export-gguf", ExportGgufCommand.class);
        commands.put("verify", VerifyCommand.class);
        commands.put("predict", PredictCommand.class);
        commands.put("evaluate", EvaluateCommand.class);
        commands.put("generate", GenerateCommand.class);
        commands.put("inspect", InspectCommand.class);
        commands.put("count", CountCommand.class);
        commands.put("analyze", AnalyzeCommand.class);
        commands.put("tables", TablesCommand.class);
        commands.put("diff", DiffCommand.class);
        commands.put("fleet", FleetCommand.class);
        commands.put("work", WorkCommand.class);
        commands.put("warm-up", WarmUpCommand.class);
        return commands;
    }

    @Override
    public void run() {
        spec.commandLine().usage(System.out);
    }

    private static IExecutionExceptionHandler failures() {
        return (thrown, commandLine, parsed) -> report(thrown, commandLine.getErr());
    }

    private static int report(Throwable thrown, PrintWriter err) {
        Failure failure = Failure.of(thrown);
        err.println("adapt: " + Printable.message(failure.sentence()));
        if (failure.ours() || System.getenv("ADAPT_TRACE") != null) {
            StringWriter trace = new StringWriter();
            thrown.printStackTrace(new PrintWriter(trace));
            err.print(Printable.lines(trace.toString()));
        }
        err.flush();
        return failure.exitCode();
    }

    private static IParameterExceptionHandler misuse() {
        return (ParameterException misuse, String[] args) -> {
            CommandLine commandLine = misuse.getCommandLine();
            PrintWriter err = commandLine.getErr();
            err.println("adapt: " + Printable.message(String.valueOf(misuse.getMessage())) + " (see `"
                    + commandLine.getCommandSpec().qualifiedName() + " --help`)");
            err.flush();
            return Failure.BAD_USAGE;
        };
    }
}
