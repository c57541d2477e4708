package dev.adapt.cli;

import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.StandardOutput;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.merge.kernel.Kernels;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.locks.LockSupport;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
import picocli.CommandLine.IExecutionExceptionHandler;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.UsageMessageSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.Spec;
import picocli.CommandLine.UnmatchedArgumentException;

/** The command line's root: it names the commands, and turns what they throw into one sentence and an exit code. */
@Command(
        name = "adapt",
        versionProvider = VersionLines.class,
        mixinStandardHelpOptions = true,
        customSynopsis = {"adapt COMMAND [OPTIONS]; adapt help COMMAND; adapt --version", ""},
        header = "Adapters of neural networks on the JVM: train, merge, export and verify.",
        footer = {
            "Exit codes: 0 done, 1 a bug in adapt, 2 bad usage, 3 bad input, out of memory or",
            "disk space, 4 a difference or a figure below --min, 130 Ctrl-C, 143 SIGTERM,",
            "141 standard output closed. ADAPT_TRACE=1 adds stack traces to errors."
        })
public final class Adapt implements Runnable {
    /** The name of the mixin with {@code --config FILE.yaml}, in commands without a {@code --config} of their own. */
    static final String RECIPE = "recipe";

    /** The name of the mixin with {@code --json}, in commands that make no JSON of their own. */
    private static final String JSON = "json of lines";

    private static final long PARENT_POLL_NANOS = 2_000_000_000;

    private static final int STANDARD_ERROR = 2;

    /** The exit code after SIGTERM. */
    private static final int TERMINATED = 143;

    /** Where the command line begins with one of these, no command is needed. */
    private static final List<String> ROOT_OPTIONS = List.of("--help", "-h", "--version", "-V");

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

    /** The launcher may start Java with standard error closed, and then says where it is: a path, or a descriptor. */
    private static void openStandardError() throws IOException {
        String place = System.getProperty("adapt.stderr", "");
        if (place.matches("\\d+")) {
            duplicate(Integer.parseInt(place), STANDARD_ERROR);
        } else if (!place.isEmpty()) {
            System.setErr(new PrintStream(new FileOutputStream(place, true), true, System.err.charset()));
        }
    }

    /** POSIX {@code dup2}. */
    @SuppressWarnings("restricted") // the manifest and the launcher enable native access
    private static void duplicate(int from, int to) throws IOException {
        Linker linker = Linker.nativeLinker();
        MethodHandle dup2 = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("dup2"),
                FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
        int result;
        try {
            result = (int) dup2.invokeExact(from, to);
        } catch (Throwable e) {
            throw new IOException("cannot open standard error", e);
        }
        if (result != to) {
            throw new IOException("cannot open standard error: descriptor " + from + " is not open");
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
        SequencedMap<String, Class<?>> commands = Commands.byName();
        if (args.length > 0 && commands.containsKey(args[0])) {
            commandLine.addSubcommand(args[0], commands.get(args[0]));
        } else if (args.length == 0 || !ROOT_OPTIONS.contains(args[0])) {
            commands.forEach(commandLine::addSubcommand);
        }
        GeneralOptions general = new GeneralOptions();
        commandLine.getSubcommands().values().forEach(command -> addGeneral(command.getCommandSpec(), general));
        commandLine.getHelpSectionMap().put(UsageMessageSpec.SECTION_KEY_COMMAND_LIST, help -> Commands.list());
        commandLine.getHelpSectionMap().remove(UsageMessageSpec.SECTION_KEY_COMMAND_LIST_HEADING);
        commandLine.getHelpSectionMap().remove(UsageMessageSpec.SECTION_KEY_OPTION_LIST);
        return commandLine
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setUsageHelpAutoWidth(true)
                .setExpandAtFiles(false)
                .setHelpFactory((command, colours) -> {
                    CommandHelp.prepare(command);
                    return new Help(command, colours);
                })
                .setExecutionStrategy(parsed -> run(parsed, general))
                .setExecutionExceptionHandler(failures())
                .setParameterExceptionHandler(misuse());
    }

    /** A command with all of its options. */
    static CommandSpec command(String name) {
        return Objects.requireNonNull(commandLine(name).getSubcommands().get(name), name)
                .getCommandSpec();
    }

    private static void addGeneral(CommandSpec command, GeneralOptions general) {
        command.preprocessor(new Recipe());
        if (command.findOption(Recipe.OPTION) == null) {
            command.addMixin(RECIPE, CommandSpec.forAnnotatedObject(new GeneralOptions.WithRecipe()));
        }
        command.addMixin("general", CommandSpec.forAnnotatedObject(general));
        if (command.findOption("--json") == null && !Commands.isHidden(command.name())) {
            command.addMixin(JSON, CommandSpec.forAnnotatedObject(new JsonOption().of(command)));
        }
        command.subcommands().values().forEach(nested -> addGeneral(nested.getCommandSpec(), general));
    }

    private static int run(ParseResult parsed, GeneralOptions general) {
        PrintStream err = System.err;
        if (general.quiet()) {
            System.setErr(new PrintStream(PrintStream.nullOutputStream()));
        }
        try {
            ParseResult last = parsed;
            while (last.hasSubcommand()) {
                last = last.subcommand();
            }
            boolean help = last.isUsageHelpRequested() || last.isVersionHelpRequested();
            CommandSpec json = last.commandSpec().mixins().get(JSON);
            return json == null || help || !(json.userObject() instanceof JsonOption option) || !option.isGiven()
                    ? new RunLast().execute(parsed)
                    : new JsonResult(last.commandSpec(), option).of(() -> new RunLast().execute(parsed));
        } finally {
            System.setErr(err);
        }
    }

    @Override
    public void run() {
        spec.commandLine().usage(System.out);
    }

    private static IExecutionExceptionHandler failures() {
        return (thrown, commandLine, parsed) -> {
            int exitCode = report(thrown, commandLine.getErr());
            if (JsonOption.printsIn(commandLine.getParseResult())) {
                Terminal.json(JsonResult.failure(
                        commandLine.getCommandSpec(),
                        exitCode,
                        Failure.of(thrown).sentence()));
            }
            return exitCode;
        };
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
            if (misuse.getCause() instanceof FormatException || misuse.getCause() instanceof UncheckedIOException) {
                return report(misuse.getCause(), err); // a file that the command line names
            }
            err.println("adapt: " + Printable.message(sentence(misuse, args)) + " (see `"
                    + commandLine.getCommandSpec().qualifiedName() + " --help`)");
            err.flush();
            return Failure.BAD_USAGE;
        };
    }

    private static String sentence(ParameterException misuse, String[] arguments) {
        CommandLine line = misuse.getCommandLine();
        if (misuse instanceof UnmatchedArgumentException && line.getParent() == null && !arguments[0].startsWith("-")) {
            return "no such command: " + arguments[0] + Similar.question(Similar.to(arguments[0], Commands.names()));
        }
        Optional<String> unknown = unknownOption(line.getCommandSpec(), arguments);
        if (unknown.isPresent()) {
            List<String> options = line.getCommandSpec().options().stream()
                    .map(OptionSpec::longestName)
                    .toList();
            return "Unknown option: '" + unknown.get() + "'" + Similar.question(Similar.to(unknown.get(), options));
        }
        return String.valueOf(misuse.getMessage());
    }

    /** A misspelt option, which matters more than what picocli then finds to be missing. */
    private static Optional<String> unknownOption(CommandSpec command, String[] arguments) {
        return Arrays.stream(arguments)
                .takeWhile(word -> !word.equals("--"))
                .filter(word -> word.startsWith("--"))
                .map(word -> word.contains("=") ? word.substring(0, word.indexOf('=')) : word)
                .filter(name -> command.findOption(name) == null)
                .findFirst();
    }
}
