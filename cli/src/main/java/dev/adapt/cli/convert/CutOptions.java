package dev.adapt.cli.convert;

import dev.adapt.formats.UsageException;
import dev.adapt.merge.lowrank.Cut;
import java.util.Optional;
import picocli.CommandLine.Option;

/** How much of a decomposition is kept: {@code --rank} or {@code --energy}. */
public final class CutOptions {
    @Option(names = "--rank", paramLabel = "N", description = "keep the N largest singular values of each layer")
    private Optional<Integer> rank = Optional.empty();

    @Option(
            names = "--energy",
            paramLabel = "E",
            description =
                    "smallest rank that keeps the fraction E of the squared singular values, such as 0.99; ranks may then differ")
    private Optional<Double> energy = Optional.empty();

    public Optional<Cut> cut() {
        if (rank.isPresent() && energy.isPresent()) {
            throw new UsageException("--rank and --energy exclude each other: give one");
        }
        if (rank.isPresent() && rank.get() < 1) {
            throw new UsageException("--rank: expected at least 1, found " + rank.get());
        }
        if (energy.isPresent() && !(energy.get() > 0 && energy.get() <= 1)) {
            throw new UsageException("--energy: expected a share over 0 and up to 1, found " + energy.get());
        }
        return rank.isPresent() ? Optional.of(new Cut.Rank(rank.get())) : energy.map(Cut.Energy::new);
    }
}
