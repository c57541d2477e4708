package dev.adapt.cli.convert;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.Outputs;
import dev.adapt.merge.convert.AdapterCombination;
import dev.adapt.merge.convert.AdapterLayers;
import dev.adapt.merge.convert.Combination;
import dev.adapt.merge.convert.CombinationType;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code adapt combine}: one adapter of several. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Makes one LoRA adapter from several, by PEFT's definitions (add_weighted_adapter), in float64.",
            "linear, ties, dare_linear, dare_ties and magnitude_prune combine A with A and B with B, and need one rank; cat is"
                    + " the weighted sum of the updates, its rank the sum of all; svd and the types that end in _svd work on"
                    + " the updates and cut the result to --rank."
        },
        footer = {"", "Example: adapt combine a b --type ties --density 0.5 --weights 1,0.7 --out both"})
public final class CombineCommand implements Callable<Integer> {
    @Parameters(paramLabel = "ADAPTER", arity = "1..*", description = "adapter folders")
    private List<Path> adapters = List.of();

    @Option(names = "--type", required = true, paramLabel = "TYPE", description = "one of ${COMPLETION-CANDIDATES}")
    private CombinationType type = CombinationType.LINEAR;

    @Option(
            names = "--weights",
            split = ",",
            paramLabel = "W",
            description = "one factor for each adapter; a negative one subtracts it (default: all 1)")
    private List<Double> weights = List.of();

    @Option(
            names = "--density",
            paramLabel = "D",
            description =
                    "share of elements that pruning keeps, over 0 and up to 1: for all ties, dare and magnitude types")
    private Optional<Double> density = Optional.empty();

    @Option(
            names = "--majority-sign",
            description =
                    "how the ties types elect a sign: ${COMPLETION-CANDIDATES} (default: total, the sign of the sum)")
    private Optional<Combination.MajoritySign> sign = Optional.empty();

    @Option(names = "--seed", paramLabel = "N", description = "random seed of the masks of the dare types (default: 0)")
    private Optional<Long> seed = Optional.empty();

    @Option(
            names = "--rank",
            paramLabel = "N",
            description = "rank of the result of the svd types (default: the largest rank of the adapters)")
    private Optional<Integer> rank = Optional.empty();

    @Option(
            names = "--base",
            paramLabel = "DIR|FILE",
            description = "the base, needed where an adapter does not record the widths of its layers")
    private Optional<Path> base = Optional.empty();

    @Option(
            names = "--dtype",
            paramLabel = "DTYPE",
            defaultValue = "F32",
            description = "dtype of the result: f32, f16 or bf16 (default: f32)")
    private StoredAs dtype = StoredAs.F32;

    @Option(names = "--force", description = "accept a base that an adapter was not trained on")
    private boolean force;

    @Option(names = "--out", required = true, paramLabel = "DIR", description = "adapter folder to write")
    private Path out = Path.of("");

    @Mixin
    private JsonOption json = new JsonOption();

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        json.require();
        if (base.isEmpty()) {
            new GivenOptions(spec).refuse("accepts another base than an adapter's, and no --base is given", "--force");
        }
        requireSense();
        Combination how = new Combination(
                type,
                density.orElse(1.0),
                sign.orElse(Combination.MajoritySign.TOTAL),
                seed.orElse(0L),
                rank.map(OptionalInt::of).orElse(OptionalInt.empty()));
        List<Double> own = weights.isEmpty() ? Collections.nCopies(adapters.size(), 1.0) : weights;
        AdapterCombination combination = new AdapterCombination(how, own);
        Outputs outputs = output.apartFrom(adapters, List.of(base));
        AdapterCombination.Result result;
        if (base.isPresent()) {
            try (Checkpoint checkpoint = Checkpoints.open(base.get())) {
                result = combination.combine(read(Optional.of(checkpoint)), dtype.dtype(), out, outputs);
            }
        } else {
            result = combination.combine(read(Optional.empty()), dtype.dtype(), out, outputs);
        }
        if (!json.prints()) {
            Terminal.lines(text(result));
        }
        json.write(asJson(result));
        return 0;
    }

    private List<AdapterLayers> read(Optional<Checkpoint> base) throws IOException {
        List<AdapterLayers> read = new ArrayList<>();
        for (Path adapter : adapters) {
            read.add(AdapterLayers.read(adapter, base, force));
        }
        return read;
    }

    private void requireSense() {
        if (adapters.size() < 2 && type != CombinationType.LINEAR && type != CombinationType.CAT) {
            throw new UsageException(type + " combines two adapters or more; one alone takes linear or cat");
        }
        if (!weights.isEmpty() && weights.size() != adapters.size()) {
            throw new UsageException("--weights: expected " + adapters.size() + " numbers, one for each adapter, found "
                    + weights.size());
        }
        if (weights.stream().anyMatch(weight -> !Double.isFinite(weight))) {
            throw new UsageException("--weights: expected finite numbers, found " + weights);
        }
        if (density.isPresent() && !(density.get() > 0 && density.get() <= 1)) {
            throw new UsageException("--density: expected a share over 0 and up to 1, found " + density.get());
        }
        if (density.isPresent() != type.prunes()) {
            throw new UsageException(
                    type.prunes()
                            ? type + " needs --density, the share of elements to keep"
                            : "--density is for types that prune, " + type + " does not");
        }
        if (sign.isPresent() && !type.electsSign()) {
            throw new UsageException("--majority-sign is for the ties types, not for " + type);
        }
        if (seed.isPresent() && !type.draws()) {
            throw new UsageException("--seed is for the dare types, " + type + " draws nothing");
        }
        if (rank.isPresent() && !type.onDelta()) {
            throw new UsageException("--rank is for the svd types, not for " + type);
        }
        if (rank.isPresent() && rank.get() < 1) {
            throw new UsageException("--rank: expected at least 1, found " + rank.get());
        }
    }

    private String text(AdapterCombination.Result result) {
        return String.format(
                        "%s: %d adapters by %s, %d layers of rank %d, %s of tensors%n",
                        Printable.message(out.toString()),
                        adapters.size(),
                        type,
                        result.modules(),
                        result.rank(),
                        new Bytes(result.bytes()))
                + ConvertCommand.rounding(result.rounding());
    }

    private ObjectNode asJson(AdapterCombination.Result result) {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("out", out.toString());
        root.put("type", type.toString());
        root.put("modules", result.modules());
        root.put("rank", result.rank());
        root.put("largest_rounding_error", result.rounding().absolute());
        root.put("bytes", result.bytes());
        return root;
    }
}
