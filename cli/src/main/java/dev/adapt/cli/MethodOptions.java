package dev.adapt.cli;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Lors;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.lowrank.Vera;
import dev.adapt.formats.method.random.Rounding;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The hyperparameters of the methods that are trained. */
final class MethodOptions {
    @Option(
            names = "--rank",
            split = ",",
            paramLabel = "N",
            description =
                    "rank of the update (lora, condlora, lors: 8; vera: 256); lors: of each group, for all layers or"
                            + " for each")
    private List<Integer> ranks = new ArrayList<>();

    @Mixin
    private GroupsOption groups = new GroupsOption();

    @Option(
            names = "--alpha",
            paramLabel = "X",
            description = "LoRA's and CondLoRA's: the update is scaled by alpha/rank (2 × rank; condlora: 8 × rank)")
    private Optional<Double> alpha = Optional.empty();

    @Option(names = "--rslora", description = "scale by alpha/√rank instead")
    private boolean rankStabilised;

    @Option(names = "--dora", description = "train the norms of the weights' rows too (DoRA)")
    private boolean dora;

    @Option(
            names = "--dropout",
            paramLabel = "X",
            defaultValue = "0",
            description = "on the adapter's input (${DEFAULT-VALUE})")
    private double dropout;

    @Option(
            names = "--projection-key",
            paramLabel = "N",
            defaultValue = "0",
            description = "VeRA: the seed of A and B (${DEFAULT-VALUE})")
    private long projectionKey;

    @Option(names = "--save-projection", description = "VeRA: store A and B in the adapter too")
    private boolean saveProjection;

    /**
     * A method that adapts a base.
     *
     * @throws UsageException if an option is not the method's, or cannot be
     */
    AdapterMethod adapter(TrainCommand.Method method) {
        if (dropout < 0 || dropout >= 1) {
            throw new UsageException("--dropout: expected 0 or more and below 1, found " + dropout);
        }
        if (groups.isGiven()) {
            throw new UsageException("--groups is LORS's: " + title(method) + " has nothing like it");
        }
        return switch (method) {
            case LORA -> {
                int r = rank(8);
                yield new Lora(
                        r,
                        alpha.orElse(TrainCommand.LORA_ALPHA * r),
                        rankStabilised,
                        dora,
                        dropout,
                        Map.of(),
                        Map.of());
            }
            case VERA -> {
                if (alpha.isPresent() || rankStabilised || dora) {
                    throw new UsageException("--alpha, --rslora and --dora are LoRA's: VeRA has nothing like them");
                }
                yield new Vera(rank(256), TrainCommand.D_INITIAL, projectionKey, dropout, saveProjection, Rounding.FMA);
            }
            case CONDLORA -> {
                if (rankStabilised || dora) {
                    throw new UsageException("--rslora and --dora are LoRA's: CondLoRA has nothing like them");
                }
                int r = rank(8);
                yield new CondLora(r, alpha.orElse(TrainCommand.CONDLORA_ALPHA * r), dropout);
            }
            case LORS, FULL -> throw new IllegalArgumentException(method + " adapts no base");
        };
    }

    /**
     * LORS.
     *
     * @throws UsageException if an option is not its own, or cannot be
     */
    Lors lors() {
        requireNoAdapters(TrainCommand.Method.LORS);
        requirePositive("--rank", ranks);
        return groups.lors(ranks.isEmpty() ? List.of(8) : ranks);
    }

    /**
     * Makes sure that no ranks or groups are given, for models that have their own or need none.
     *
     * @throws UsageException if one is
     */
    void requireNone(TrainCommand.Method method, String why) {
        requireNoAdapters(method);
        if (!ranks.isEmpty() || groups.isGiven()) {
            throw new UsageException("--rank and --groups: " + why + "; leave them out");
        }
    }

    private void requireNoAdapters(TrainCommand.Method method) {
        if (alpha.isPresent() || rankStabilised || dora || dropout != 0) {
            throw new UsageException("--alpha, --rslora, --dora and --dropout are for adapters beside a frozen base: "
                    + title(method) + " has nothing like them");
        }
    }

    private static String title(TrainCommand.Method method) {
        return switch (method) {
            case LORA -> "LoRA";
            case VERA -> "VeRA";
            case CONDLORA -> "CondLoRA";
            case LORS -> "LORS";
            case FULL -> "training all of a model";
        };
    }

    private int rank(int usual) {
        if (ranks.size() > 1) {
            throw new UsageException("--rank: expected one number, found " + ranks.size());
        }
        requirePositive("--rank", ranks);
        return ranks.isEmpty() ? usual : ranks.getFirst();
    }

    static void requirePositive(String option, List<Integer> numbers) {
        numbers.stream().filter(number -> number < 1).findFirst().ifPresent(number -> {
            throw new UsageException(option + ": expected at least 1, found " + number);
        });
    }
}
