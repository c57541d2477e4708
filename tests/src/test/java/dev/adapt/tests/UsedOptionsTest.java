package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.cli.Adapt;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

/** All options of all commands: each use of a command takes those that it reads and refuses the others by name. */
@DisplayName("An option that a use of a command would ignore is refused")
class UsedOptionsTest {
    /**
     * A use of a command, and the further options that mean something in it. Words in capitals are files of the test.
     *
     * @param words what is typed, beginning with the command
     * @param used further options
     */
    record Use(List<String> words, List<String> used) {
        static Use of(String words, String used) {
            return new Use(List.of(words.split(" +", -1)), List.of(used.split(" +", -1)));
        }

        boolean gives(OptionSpec option) {
            return Arrays.stream(option.names()).anyMatch(words::contains);
        }
    }

    private static final String TRAINING =
            "--epochs --batch-size --lr --weight-decay --warmup --clip --metric --seed --device --recompute --overwrite"
                    + " --accumulate --schedule --patience --checkpoint-every --resume ";
    private static final String TEXTS = "--text-column --label-column --header --max-length ";
    private static final String ADAPTED = "--rank --alpha --set --rslora --dora --dropout --target ";
    private static final String STACKED = "--rank --groups --target ";

    private static final List<Use> USES = List.of(
            Use.of(
                    "train --base BASE --method lora --data DATA --eval DATA --out OUT",
                    TRAINING + TEXTS + ADAPTED + "--task --pooling --head-lr"),
            Use.of(
                    "train --base BASE --method vera --data DATA --eval DATA --out OUT",
                    TRAINING + TEXTS
                            + "--rank --set --dropout --target --projection-key --save-projection --task --pooling"
                            + " --head-lr"),
            Use.of(
                    "train --base BASE --method lora --task causal-lm --data DATA --eval DATA --out OUT",
                    TRAINING + TEXTS + ADAPTED),
            Use.of(
                    "train --base BASE --method lora --task similarity --data DATA --eval DATA --out OUT",
                    TRAINING + TEXTS + ADAPTED + "--pooling --loss --temperature --dimensions --query-prefix"),
            Use.of(
                    "train --base BASE --method lora --task retrieval --data DATA --eval DATA --out OUT",
                    TRAINING + ADAPTED
                            + "--text-column --header --max-length --pooling --temperature --dimensions --query-prefix"
                            + " --passage-prefix"),
            Use.of(
                    "train --base BASE --method lora --task image-classification --data DATA --eval DATA --out OUT",
                    TRAINING + ADAPTED + "--pooling --head-lr"),
            Use.of(
                    "train --from-scratch --config BASE --method lors --data DATA --eval DATA --out OUT",
                    TRAINING + TEXTS + STACKED + "--tokenizer --task --pooling"),
            Use.of(
                    "train --from-scratch --config BASE --method full --data DATA --eval DATA --out OUT",
                    TRAINING + TEXTS + "--tokenizer --task --pooling"),
            Use.of(
                    "train --into BASE --method lors --data DATA --eval DATA --out OUT",
                    TRAINING + TEXTS + STACKED + "--task --pooling"),
            Use.of("train --into BASE --method lors --out OUT", STACKED + "--data --eval --overwrite"),
            Use.of(
                    "merge ADAPTER --base BASE --out OUT",
                    "--weights --in-place --undo --report --max-shard-size --force --dry-run --no-fsync --threads"
                            + " --projection-rounding --overwrite"),
            Use.of(
                    "merge ADAPTER --base BASE --in-place",
                    "--out --weights --report --force --dry-run --threads --projection-rounding --overwrite"),
            Use.of(
                    "merge ADAPTER --base BASE --each --out-dir OUT",
                    "--max-shard-size --force --dry-run --no-fsync --threads --projection-rounding --overwrite"),
            Use.of(
                    "merge ADAPTER --base BASE --out GGUF",
                    "--weights --report --force --dry-run --threads --projection-rounding --overwrite"),
            Use.of(
                    "merge FILE --base BASE --out OUT",
                    "--only --weights --in-place --undo --report --max-shard-size --force --dry-run --no-fsync --threads"
                            + " --projection-rounding --overwrite"),
            Use.of("unmerge BASE --undo UNDO --out OUT", "--overwrite"),
            Use.of("recover BASE", ""),
            Use.of(
                    "convert ADAPTER --out OUT",
                    "--to --base --rank --energy --pad-rank --dtype --save-projection --no-projection --json"
                            + " --overwrite"),
            Use.of(
                    "convert FILE --base BASE --to lora --out OUT",
                    "--only --rank --energy --pad-rank --dtype"
                            + " --save-projection --no-projection --force --json --overwrite"),
            Use.of(
                    "convert ADAPTER --base BASE --to kohya --out FILE",
                    "--rank --energy --dtype --save-projection --no-projection --prefix --force --json --overwrite"),
            Use.of("extract --from BASE --base BASE --rank 2 --out OUT", "--target --save --dtype --json --overwrite"),
            Use.of(
                    "extract --from BASE --base BASE --energy 0.9 --out OUT",
                    "--target --save --dtype --json --overwrite"),
            Use.of("combine ADAPTER OTHER --type cat --out OUT", "--weights --base --dtype --json --overwrite"),
            Use.of(
                    "combine ADAPTER OTHER --type dare_ties_svd --density 0.5 --base BASE --out OUT",
                    "--weights --majority-sign --seed --rank --dtype --force --json --overwrite"),
            Use.of(
                    "export-onnx BASE --out FILE",
                    "--self-contained --dtype --adapter --adapter-inputs --target --with-past --overwrite --for --output"
                            + " --no-token-types --data"),
            Use.of(
                    "export-onnx BASE --for langchain4j --out OUT",
                    "--dtype --adapter --pooling --normalize --no-token-types --data --overwrite"),
            Use.of(
                    "export-onnx BASE --output sentence_embedding --out FILE",
                    "--self-contained --dtype --adapter --pooling --normalize --no-token-types --overwrite"),
            Use.of("export-adapter ADAPTER --base BASE --out FILE", "--overwrite"),
            Use.of("export-gguf BASE --out GGUF", "--dtype --pre-tokenizer --overwrite"),
            Use.of("export-gguf ADAPTER --base BASE --out GGUF", "--dtype --rank --energy --force --overwrite"),
            Use.of("import-onnx FILE --out OUT", "--tokenizer --overwrite"),
            Use.of("import-gguf FILE --out OUT", "--overwrite"),
            Use.of(
                    "verify --base BASE --merged BASE",
                    "--adapter --gguf --onnx --data --inputs --seed --tolerance --device --no-reference --json"
                            + " --input-tensors --thorough --junit --html --github"),
            Use.of(
                    "verify --base BASE --merged BASE --junit OUT",
                    "--overwrite --adapter --gguf --onnx --data --inputs"
                            + " --seed --tolerance --device --no-reference --json --input-tensors --thorough --html"
                            + " --github"),
            Use.of("verify --suite DATA --device cpu", "--json --junit --html --github"),
            Use.of(
                    "verify --base BASE --onnx FILE --data DATA",
                    "--adapter --gguf --merged --onnx-adapter --text-column --label-column --inputs --tolerance"
                            + " --tolerance-fp16 --device --no-reference --json --input-tensors --thorough --junit --html"
                            + " --github"),
            Use.of(
                    "generate --base BASE --prompt-ids 1",
                    "--adapter --tokenizer --max-new-tokens --temperature --eos --no-cache --device"),
            Use.of(
                    "generate --onnx FILE --prompt x --temperature 1",
                    "--onnx-adapter --prompt-format --tokenizer --max-new-tokens --top-k --top-p --seed --eos --no-cache --device"),
            Use.of(
                    "predict --base BASE --data DATA",
                    "--adapter --tokenizer --batch-size --max-length --device --format --text-column --pooling --normalize"
                            + " --dimension --prompt"),
            Use.of(
                    "predict --base BASE movie",
                    "--adapter --tokenizer --batch-size --max-length --device --format --pooling --normalize --dimension"
                            + " --prompt"),
            Use.of(
                    "predict --onnx FILE --data DATA",
                    "--tokenizer --batch-size --max-length --device --format --text-column --pooling --normalize"
                            + " --dimension --prompt"),
            Use.of(
                    "evaluate --base BASE --data DATA",
                    "--adapter --tokenizer --batch-size --max-length --device --text-column --label-column --header"
                            + " --task --json --min"),
            Use.of(
                    "evaluate --base BASE --task similarity --data DATA",
                    "--adapter --tokenizer --batch-size --max-length --device --text-column --label-column --header"
                            + " --pooling --dimension --json --min"),
            Use.of(
                    "evaluate --base BASE --task retrieval --data DATA",
                    "--adapter --tokenizer --batch-size --max-length --device --text-column --header --pooling --dimension"
                            + " --json --min"),
            Use.of(
                    "evaluate --onnx FILE --data DATA",
                    "--tokenizer --batch-size --max-length --device --text-column --label-column --header --task --json"
                            + " --min"),
            Use.of("inspect BASE", "--json --tensors"),
            Use.of("inspect ADAPTER", "--base --json --tensors"),
            Use.of("run RECIPE", "--all"),
            Use.of("count ADAPTER", "--json"),
            Use.of("count --method lora --rank 2 --config BASE", "--target --json"),
            Use.of("count --method lors --rank 2 --config BASE", "--target --groups --json"),
            Use.of("analyze ADAPTER --base BASE --out OUT", "--directions --seed --no-png --force --overwrite"),
            Use.of("tables", ""),
            Use.of("diff BASE BASE", "--tolerance --all --threads --json"),
            Use.of("demo", "--out --overwrite"),
            Use.of("help", ""),
            Use.of("completion bash", ""),
            Use.of("warm-up", "--natives"));

    /** Values that are right in themselves, for options that take others than a number. */
    private static final Map<String, String> SAMPLES = Map.ofEntries(
            Map.entry("--set", "use_dora=true"),
            Map.entry("--target", "query"),
            Map.entry("--task", "regression"),
            Map.entry("--header", "yes"),
            Map.entry("--schedule", "cosine"),
            Map.entry("--pooling", "mean"),
            Map.entry("--metric", "accuracy"),
            Map.entry("--device", "cpu"),
            Map.entry("--to", "lora"),
            Map.entry("--dtype", "f16"),
            Map.entry("--normalize", "true"),
            Map.entry("--majority-sign", "total"),
            Map.entry("--max-shard-size", "1GB"),
            Map.entry("--projection-rounding", "fma"),
            Map.entry("--energy", "0.5"),
            Map.entry("--density", "0.5"),
            Map.entry("--dropout", "0.5"),
            Map.entry("--config", "BASE"),
            Map.entry("--base", "BASE"),
            Map.entry("--into", "BASE"),
            Map.entry("--merged", "BASE"),
            Map.entry("--tokenizer", "BASE"),
            Map.entry("--data", "DATA"),
            Map.entry("--eval", "DATA"),
            Map.entry("--adapter", "ADAPTER"),
            Map.entry("--adapter-inputs", "ADAPTER"),
            Map.entry("--onnx", "FILE"),
            Map.entry("--gguf", "GGUF"),
            Map.entry("--undo", "UNDO"),
            Map.entry("--report", "REPORT"),
            Map.entry("--out", "OUT"),
            Map.entry("--out-dir", "OUT"));

    @TempDir
    private static Path folder;

    @BeforeAll
    static void prepare() throws IOException {
        TinyBert.write(folder.resolve("BASE"), 1);
        Files.writeString(folder.resolve("DATA"), "good\tmovie\nbad\tbook\n");
        for (String name : List.of("ADAPTER", "OTHER")) {
            Path adapter = Files.createDirectory(folder.resolve(name));
            FloatTensor factor = new FloatTensor(Shape.of(2, TinyBert.HIDDEN), new float[2 * TinyBert.HIDDEN]);
            String key = "base_model.model.encoder.layer.0.attention.self.query.lora_";
            SafetensorsWriter.write(
                    adapter.resolve("adapter_model.safetensors"),
                    Map.of(
                            key + "A.weight",
                            factor,
                            key + "B.weight",
                            new FloatTensor(Shape.of(TinyBert.HIDDEN, 2), factor.values())),
                    Map.of());
            Files.writeString(
                    adapter.resolve("adapter_config.json"),
                    "{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"query\"]}");
        }
    }

    static Stream<Use> uses() {
        return USES.stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("uses")
    void refuses(Use use) {
        List<String> ignored = new ArrayList<>();
        for (OptionSpec option : options(use.words().getFirst())) {
            String name = option.longestName();
            if (use.gives(option) || use.used().contains(name) || isGeneral(option)) {
                continue;
            }
            List<Object> words = new ArrayList<>();
            use.words().forEach(word -> words.add(path(word)));
            words.add(name);
            if (option.arity().max() > 0) {
                words.add(path(SAMPLES.getOrDefault(name, "3")));
            }
            Cli result = Cli.run(words.toArray());
            if (result.exitCode() != 2 || !result.errors().contains(name)) {
                ignored.add(name + ": exit code " + result.exitCode() + ", " + result.errors());
            }
        }
        assertEquals(List.of(), ignored);
    }

    /** Options that mean the same in every use of every command; {@link CommandLineTest} tests these. */
    private static boolean isGeneral(OptionSpec option) {
        return option.usageHelp()
                || option.versionHelp()
                || option.description()[0].contains("from this YAML file")
                || List.of("--quiet", "--no-color", "--json").contains(option.longestName());
    }

    private static Object path(String word) {
        String ending = Map.of("GGUF", ".gguf", "FILE", ".safetensors").getOrDefault(word, "");
        return word.matches("[A-Z]+") ? folder.resolve(word + ending) : word;
    }

    private static List<OptionSpec> options(String command) {
        return new CommandLine(
                        Adapt.commandLine(command).getSubcommands().get(command).getCommandSpec())
                .getCommandSpec()
                .options();
    }

    @Test
    @DisplayName("and every option of every command is used by one of these uses")
    void allAreListed() {
        Map<String, TreeSet<String>> unlisted = new TreeMap<>();
        Adapt.commandLine()
                .getSubcommands()
                .forEach((command, line) -> line.getCommandSpec().options().forEach(option -> {
                    boolean listed = USES.stream()
                            .filter(use -> use.words().getFirst().equals(command))
                            .anyMatch(use -> use.gives(option) || use.used().contains(option.longestName()));
                    if (!listed && !isGeneral(option)) {
                        unlisted.computeIfAbsent(command, absent -> new TreeSet<>())
                                .add(option.longestName());
                    }
                }));
        assertEquals(Map.of(), unlisted);
    }
}
