package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.cli.Adapt;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/** All commands and options, walked: names, defaults, help and typos are the same everywhere. */
@DisplayName("One command line")
class CommandLineTest {
    /** Commands of the launcher and of fleets. */
    private static final Set<String> HIDDEN = Set.of("warm-up", "work");

    private static final int WIDTH = 80;
    private static final int SCREEN = 24;

    /** Options of every command, for which no command's help says more. */
    private static final Set<String> GENERAL =
            Set.of("--help", "--version", "--config", "--json", "--quiet", "--no-color");

    /** Other names that programs use for what one of our options is called. */
    private static final Set<String> OTHER_NAMES = Set.of(
            "--output-dir",
            "--model",
            "--data-type",
            "--type-of-data",
            "--force-overwrite",
            "--learning-rate",
            "--num-epochs",
            "--model-dir",
            "--precision",
            "--verbose",
            "--outfile",
            "--batch");

    private static final Pattern NAME = Pattern.compile("--[a-z][a-z0-9]*(-[a-z0-9]+)*");
    private static final Pattern BROKEN_NAME =
            Pattern.compile("[a-zA-Z]\\.\\R *(json|yaml|yml|onnx|gguf|safetensors)\\b");
    private static final Pattern BARE_DEFAULT = Pattern.compile("\\([\\d.e-]+[;)]");

    @TempDir
    private static Path folder;

    static Stream<String> commands() {
        return Adapt.commandLine().getSubcommands().keySet().stream();
    }

    /** All but those that only programs call. */
    static Stream<String> listed() {
        return commands().filter(command -> !HIDDEN.contains(command));
    }

    private static CommandSpec spec(String command) {
        return Adapt.commandLine(command).getSubcommands().get(command).getCommandSpec();
    }

    @ParameterizedTest
    @MethodSource("commands")
    @DisplayName("options: names in lower case, described, with their defaults as \"default: X\"")
    void options(String command) {
        List<String> faults = new ArrayList<>();
        for (OptionSpec option : spec(command).options()) {
            String name = option.longestName();
            String text = String.join(" ", option.description());
            if (!NAME.matcher(name).matches()) {
                faults.add(name + " is not in lower case with dashes");
            }
            if (OTHER_NAMES.contains(name)) {
                faults.add(name + " has another name in all other commands");
            }
            if (text.isBlank()) {
                faults.add(name + " is not described");
            }
            if (BARE_DEFAULT.matcher(text).find()) {
                faults.add(name + " gives its default without the word: " + text);
            }
            boolean valued = option.arity().max() > 0 && option.defaultValue() != null;
            if (valued && !text.contains("default: ")) {
                faults.add(name + " does not tell its default " + option.defaultValue());
            }
        }
        assertEquals(List.of(), faults, command);
    }

    @Test
    @DisplayName("an option of several commands takes the same kind of value in all")
    void sameKind() {
        List<String> faults = new ArrayList<>();
        List<OptionSpec> seen = new ArrayList<>();
        commands()
                .forEach(command -> spec(command).options().forEach(option -> {
                    seen.stream()
                            .filter(other -> other.longestName().equals(option.longestName()))
                            .filter(other -> (other.arity().min() == 0)
                                    != (option.arity().min() == 0))
                            .forEach(other -> faults.add(command + " " + option.longestName()));
                    seen.add(option);
                }));
        assertEquals(List.of(), faults);
        assertTrue(seen.size() > 150, "only " + seen.size() + " options were walked");
    }

    @ParameterizedTest
    @MethodSource("listed")
    @DisplayName("help: within 80 columns, examples unbroken, values in lower case, no placeholders")
    void help(String command) {
        CommandSpec spec = spec(command);
        Cli help = Cli.succeeds(command, "--help");
        assertEquals(
                List.of(),
                help.output().lines().filter(line -> line.length() > WIDTH).toList());
        assertFalse(help.output().contains("${"), help.output());
        assertFalse(BROKEN_NAME.matcher(help.output()).find(), help.output());
        assertFalse(help.output().matches("(?s).*=<[a-zA-Z]+>.*"), help.output());
        assertFalse(
                Pattern.compile("\\b(AUTO|YES|MEAN|FMA|CUDA), ")
                        .matcher(help.output())
                        .find(),
                help.output());
        for (String line : spec.usageMessage().footer()) {
            assertTrue(line.length() <= WIDTH, "would be broken: " + line);
        }
        assertEquals(help.output(), Cli.succeeds("help", command).output());
        Set<String> names = new TreeSet<>();
        spec.options().forEach(option -> names.add(option.longestName()));
        assertTrue(names.containsAll(GENERAL), names.toString());
    }

    @Test
    @DisplayName("help of all fits one screen and lists every command in a group")
    void rootHelp() {
        Cli help = Cli.succeeds("--help");
        List<String> lines = help.output().lines().toList();
        assertTrue(lines.size() <= SCREEN, lines.size() + " lines");
        assertEquals(
                List.of(), lines.stream().filter(line -> line.length() > WIDTH).toList());
        listed().forEach(command -> assertEquals(
                1,
                lines.stream()
                        .filter(line -> line.matches("(.* )?  " + command + " .*"))
                        .count(),
                command));
        HIDDEN.forEach(command -> assertFalse(help.output().contains(" " + command + " "), help.output()));
        assertEquals(help.output(), Cli.succeeds("help").output());
    }

    @ParameterizedTest
    @MethodSource("listed")
    @DisplayName("a typo in a command's name suggests it")
    void typo(String command) {
        String typed = command.charAt(0) + command.substring(2, 3) + command.charAt(1) + command.substring(3);
        for (List<Object> words :
                List.<List<Object>>of(List.of(typed), List.of(typed, "x", "--base", "y"), List.of("help", typed))) {
            Cli refused = Cli.run(words.toArray());
            assertEquals(2, refused.exitCode(), refused.output());
            assertTrue(
                    refused.errors().contains("no such command: " + typed + "; did you mean ")
                            && refused.errors().contains(command),
                    refused.errors());
            assertEquals(1, refused.errors().lines().count(), refused.errors());
        }
        OptionSpec last = spec(command).options().getLast();
        String name = last.longestName();
        Cli refused = Cli.run(command, name.substring(0, name.length() - 1));
        assertEquals(2, refused.exitCode(), refused.output());
        assertTrue(refused.errors().contains("did you mean " + name), refused.errors());
    }

    @Test
    @DisplayName("a word that is like no command suggests none")
    void noSuggestion() {
        Cli refused = Cli.run("xylophone");
        assertEquals(2, refused.exitCode());
        assertFalse(refused.errors().contains("did you mean"), refused.errors());
    }

    @Test
    @DisplayName("--config FILE.yaml gives options by their long names; the command line comes first")
    void recipe() throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        Path recipe = folder.resolve("count.yaml");
        Files.writeString(recipe, "config: other\nmethod: lora\n");
        Cli nested = Cli.run("count", "--config", recipe);
        assertTrue(nested.errors().contains("config: adapt count has no such option"), nested.errors());
        Files.writeString(recipe, "method: [lora, vera]\nrank: 2\ntarget: [query, value]\njson: true\nquiet: false\n");
        Cli byRecipe = Cli.succeeds("count", "--config", recipe, "--config", base);
        Cli byHand = Cli.succeeds(
                "count", "--method", "lora,vera", "--rank", "2", "--target", "query,value", "--json", "--config", base);
        assertEquals(byHand.output(), byRecipe.output());
        Cli overridden = Cli.succeeds("count", "--rank=3", "--config=" + recipe, "--config", base);
        assertTrue(overridden.output().contains("\"rank\" : 3"), overridden.output());
        assertFalse(overridden.output().contains("\"rank\" : 2"), overridden.output());
    }

    static Stream<List<String>> wrongRecipes() {
        return Stream.of(
                List.of("ranks: 2", "ranks: adapt count has no such option; its options are "),
                List.of("help: true", "help: adapt count has no such option"),
                List.of("quiet: 3", "expected true or false, found \"3\""),
                List.of("config: {a: 1}", "no such option"),
                List.of("rank: [[1]]", "rank: expected a value, found a list or mapping in it"),
                List.of("- rank", "expected a mapping, found a list"),
                List.of("a: [", "is not valid YAML"));
    }

    @ParameterizedTest
    @MethodSource("wrongRecipes")
    @DisplayName("a recipe that is wrong is refused in one sentence")
    void wrongRecipe(List<String> textAndSentence) throws IOException {
        Path recipe = folder.resolve("wrong.yaml");
        Files.writeString(recipe, textAndSentence.getFirst());
        Cli refused = Cli.run("count", "--config", recipe);
        assertEquals(3, refused.exitCode(), refused.errors());
        assertTrue(refused.errors().contains(recipe + ": "), refused.errors());
        assertTrue(refused.errors().contains(textAndSentence.getLast()), refused.errors());
        assertEquals(1, refused.errors().lines().count(), refused.errors());
        Cli other = Cli.run("inspect", "x", "--config", "recipe.json");
        assertEquals(2, other.exitCode(), other.errors());
        assertTrue(other.errors().contains("expected a name that ends in .yaml or .yml"), other.errors());
        Cli absent = Cli.run("count", "--config", folder.resolve("absent.yaml"));
        assertEquals(3, absent.exitCode(), absent.errors());
        assertTrue(absent.errors().contains("absent.yaml: no such file"), absent.errors());
    }

    /** The first takes minutes, {@link RunTest} reads the second's JSON. */
    private static final Set<String> NOT_RUN = Set.of("demo", "run");

    private static final Pattern MADE =
            Pattern.compile("(lora|merged|undo|again|converted|extracted|combined|imported|analysis|decoder)[\\w./-]*");

    @Test
    @DisplayName("--json: every command has it, and prints one object on a good run or writes it to a file")
    void json() throws IOException {
        Path own = folder.resolve("json");
        Path base = TinyBert.write(own.resolve("base"), 1);
        Path decoder = TinyModel.LLAMA.write(own.resolve("decoder"), 1);
        Path data = own.resolve("data.tsv");
        Path bert = own.resolve("bert.onnx");
        Path plain = TinyModel.BERT.write(own.resolve("plain"), 1);
        Cli.succeeds("export-onnx", plain, "--self-contained", "--out", bert);
        Files.writeString(data, "good movie\tyes\nbad book\tno\ngood book\tyes\nbad movie\tno\nbad bad movie\tno\n");
        Map<String, String> runs = new LinkedHashMap<>();
        runs.put("train", "--base BASE --method lora --rank 2 --data DATA --eval none --epochs 5 --lr 0.1 --out lora");
        runs.put("merge", "lora --base BASE --out merged --undo undo");
        runs.put("unmerge", "merged --undo undo --out again");
        runs.put("convert", "lora --to lora --out converted");
        runs.put("extract", "--from merged --base BASE --rank 2 --out extracted");
        runs.put("combine", "lora converted --type linear --out combined");
        runs.put("export-onnx", "merged --out merged/model.onnx");
        runs.put("export-adapter", "lora --base BASE --out lora.onnx_adapter");
        runs.put("export-gguf", "DECODER --out decoder.gguf");
        runs.put("import-onnx", "BERT --out imported");
        runs.put("import-gguf", "decoder.gguf --out decoder-again");
        runs.put("verify", "--base BASE --adapter lora --merged merged --inputs 2 --no-reference");
        runs.put("evaluate", "--base merged --data DATA");
        runs.put("predict", "--base merged --data DATA");
        runs.put("generate", "--base DECODER --prompt-ids 1,2 --max-new-tokens 2");
        runs.put("inspect", "lora");
        runs.put("diff", "BASE again");
        runs.put("analyze", "lora --base BASE --out analysis --no-png");
        runs.put("count", "lora");
        runs.put("tables", "");
        runs.put("recover", "BASE");
        runs.put("fleet", "");
        runs.put("help", "merge");
        runs.put("completion", "bash");
        Set<String> walked = new TreeSet<>(runs.keySet());
        walked.addAll(NOT_RUN);
        assertEquals(listed().collect(Collectors.toCollection(TreeSet::new)), walked);
        walked.forEach(command -> assertTrue(spec(command).findOption("--json") != null, command));
        Map<String, Path> named = Map.of("BASE", base, "DECODER", decoder, "DATA", data, "BERT", bert);
        for (Map.Entry<String, String> run : runs.entrySet()) {
            List<Object> words = new ArrayList<>(List.of(run.getKey()));
            for (String word : run.getValue().split(" ", -1)) {
                boolean file = MADE.matcher(word).matches()
                        && !List.of("--method", "--to").contains(words.getLast().toString());
                words.add(file ? own.resolve(word) : named.getOrDefault(word, Path.of(word)));
            }
            words.removeIf(word -> word.toString().isEmpty());
            words.add("--json");
            Cli done = Cli.run(words.toArray());
            assertEquals(0, done.exitCode(), words + ": " + done.errors());
            assertTrue(new JsonMapper().readTree(done.output()).isObject(), words + ": " + done.output());
            assertTrue(done.output().startsWith("{") && done.output().endsWith("}\n"), done.output());
        }
        Path file = own.resolve("report.json");
        Cli written = Cli.succeeds("tables", "--json", file);
        assertEquals(Cli.succeeds("tables").output(), written.output());
        assertEquals(
                "tables",
                new JsonMapper().readTree(file.toFile()).path("command").asText());
        Cli exists = Cli.run("tables", "--json", file);
        assertEquals(2, exists.exitCode(), exists.errors());
        assertTrue(exists.errors().contains("report.json: exists already; give another name"), exists.errors());
        Cli attached = Cli.succeeds("inspect", "--json", base);
        assertTrue(attached.output().startsWith("{"), attached.output());
    }

    @Test
    @DisplayName("completion scripts know every command and every option")
    void completion() {
        for (String shell : List.of("bash", "zsh", "fish")) {
            String script = Cli.succeeds("completion", shell).output();
            listed().forEach(command -> {
                assertTrue(script.contains(command), shell + " lacks " + command);
                spec(command).options().forEach(option -> {
                    String name =
                            shell.equals("fish") ? "-l " + option.longestName().substring(2) : option.longestName();
                    assertTrue(script.contains(name), shell + " lacks " + command + " " + name);
                });
            });
        }
    }

    @Test
    @DisplayName("--version tells adapt, Java, libtorch and ONNX Runtime with its providers")
    void version() {
        String version = Cli.succeeds("--version").output();
        for (String part :
                List.of("adapt ", "(commit ", "Java 25", "libtorch ", "ONNX Runtime 1.", "providers: ", "CPU")) {
            assertTrue(version.contains(part), version);
        }
        CommandLine all = Adapt.commandLine("--version");
        assertEquals(0, all.getSubcommands().size(), "commands are made that are not needed");
    }

    @Test
    @DisplayName("training writes its recipe, which gives the same adapter again, and a model card")
    void trainedRecipe() throws IOException {
        Path base = TinyBert.write(folder.resolve("trained base"), 1);
        Path data = folder.resolve("data.tsv");
        Files.writeString(data, "good movie\tyes\nbad book\tno\ngood book\tyes\nbad movie\tno\nbad bad movie\tno\n");
        Path out = folder.resolve("first");
        Cli.succeeds(
                "train",
                "--base",
                base,
                "--method",
                "lora",
                "--data",
                data,
                "--eval",
                "40%",
                "--epochs",
                2,
                "--out",
                out);
        Path recipe = out.resolve("recipe.yaml");
        String text = Files.readString(recipe);
        for (String line : List.of(
                "method: lora",
                "eval: \"40%\"",
                "epochs: 2",
                "rank: 8",
                "lr: 0.001",
                "text-column: 1",
                "label-column: 2",
                "target: [query, value]",
                "pooling: ",
                "metric: accuracy",
                "schedule: linear")) {
            assertTrue(text.contains(line), line + " is missing in " + text);
        }
        Path again = folder.resolve("again");
        Cli.succeeds("train", "--config", recipe, "--out", again);
        String adapter = "adapter_model.safetensors";
        assertEquals(-1, Files.mismatch(out.resolve(adapter), again.resolve(adapter)));
        String card = Files.readString(out.resolve("README.md"));
        assertTrue(card.startsWith("---\nbase_model: \"" + base + "\"\nlibrary_name: peft\n"), card);
        assertTrue(card.contains("pipeline_tag: text-classification") && card.contains("| accuracy | "), card);
        assertTrue(card.contains("2 labels: no (3), yes (2)"), card);
    }
}
