package dev.adapt.formats.method.gain;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.StoredParts;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.TargetModules;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A method beside which rows of tables of words are trained, as PEFT's {@code trainable_token_indices} says.
 *
 * @param method the method of all other layers
 * @param tokens the ids of the rows by the table's name; {@code ""} where the config gives a list, which means the input's
 *     table
 */
public record WithTokens(AdapterMethod method, Map<String, List<Integer>> tokens) implements AdapterMethod {
    private static final String FIELD = "trainable_token_indices";
    private static final String ROWS = "token_adapter." + TrainableTokens.ROWS;

    public WithTokens {
        tokens = Map.copyOf(tokens);
    }

    /** The method itself, or with the rows that a config names. */
    public static AdapterMethod of(AdapterMethod method, AdapterConfig config) {
        if (!config.document().says(FIELD)) {
            return method;
        }
        JsonNode field = config.document().json().path(FIELD);
        Map<String, List<Integer>> tokens = new LinkedHashMap<>();
        if (field.isObject()) {
            field.properties()
                    .forEach(entry -> tokens.put(entry.getKey(), TrainableTokens.ids(config, entry.getValue(), FIELD)));
        } else {
            tokens.put("", TrainableTokens.ids(config, field, FIELD));
        }
        return new WithTokens(method, tokens);
    }

    private Optional<TokenRows> rows(Target target) {
        return tokens.entrySet().stream()
                .filter(entry -> entry.getKey().isEmpty()
                        ? target.embedding()
                        : TargetModules.names(entry.getKey(), target.module()))
                .map(entry -> new TokenRows(entry.getValue()))
                .findFirst();
    }

    @Override
    public String peftType() {
        return method.peftType();
    }

    @Override
    public String title() {
        return method.title() + " with trainable tokens";
    }

    @Override
    public List<String> partNames() {
        return Stream.concat(Stream.of(ROWS), method.partNames().stream()).toList();
    }

    @Override
    public Set<String> configFields() {
        return Stream.concat(Stream.of(FIELD), method.configFields().stream()).collect(Collectors.toUnmodifiableSet());
    }

    @Override
    public boolean adaptsEmbedding(Function<String, @Nullable Tensor> part) {
        return adaptsUnnamed(part) || method.adaptsEmbedding(part);
    }

    @Override
    public boolean adaptsUnnamed(Function<String, @Nullable Tensor> part) {
        return part.apply(ROWS) != null;
    }

    @Override
    public boolean keepsTies(Function<String, @Nullable Tensor> part) {
        return adaptsUnnamed(part);
    }

    @Override
    public boolean reducesBase(Target target) {
        return rows(target).isEmpty() && method.reducesBase(target);
    }

    /** A list means the table that has the rows: other embeddings may be adapted beside it. */
    @Override
    public AdapterMethod asStored(StoredParts stored) {
        Map<String, List<Integer>> named = new LinkedHashMap<>(tokens);
        List<Integer> ofInput = named.remove("");
        stored.modules().stream()
                .filter(module -> ofInput != null && stored.of(module, ROWS) != null)
                .forEach(module -> named.put(module, ofInput));
        return new WithTokens(method.asStored(stored), named);
    }

    @Override
    public int rank(Target target) {
        return rows(target).isPresent() ? 0 : method.rank(target);
    }

    @Override
    public double dropout() {
        return method.dropout();
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public boolean hasLowRankDelta(Target target) {
        return rows(target).isEmpty() && method.hasLowRankDelta(target);
    }

    @Override
    public boolean isAdditive() {
        return false;
    }

    @Override
    public Delta.Scope scope() {
        return method.scope();
    }

    @Override
    public boolean changesBias() {
        return method.changesBias();
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        return method.layerShape(part);
    }

    @Override
    public Optional<String> misfit(Target target) {
        return rows(target).isPresent() ? undefined(target) : method.misfit(target);
    }

    @Override
    public Optional<String> undefined(Target target) {
        Optional<TokenRows> rows = rows(target);
        return rows.isPresent() ? rows.get().undefined(target) : method.undefined(target);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return rows(target)
                .map(rows -> List.of(rows.part(ROWS, target)))
                .orElseGet(() -> method.parts(target, adapted(all)));
    }

    private List<Target> adapted(List<Target> all) {
        return all.stream().filter(target -> rows(target).isEmpty()).toList();
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        Optional<TokenRows> rows = rows(target);
        return rows.isPresent()
                ? rows.get().change(ops, target, part.apply(ROWS))
                : method.change(ops, target, part, weight);
    }

    @Override
    public Map<String, Tensor> regenerate(List<Target> all) {
        return method.regenerate(adapted(all));
    }

    @Override
    public Map<String, String> metadata() {
        return method.metadata();
    }

    @Override
    public void describe(ObjectNode config) {
        method.describe(config);
        List<Integer> ofInput = tokens.get("");
        if (ofInput != null) {
            ArrayNode list = config.putArray(FIELD);
            ofInput.forEach(list::add);
            return;
        }
        ObjectNode named = config.putObject(FIELD);
        tokens.forEach((module, ids) -> {
            ArrayNode list = named.putArray(module);
            ids.forEach(list::add);
        });
    }
}
