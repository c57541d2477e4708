package dev.adapt.formats.method.gain;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Trainable tokens: the rows of some tokens in an embedding table are trained, and take the place of the base's. A head tied to
 * the table follows it.
 *
 * @param tokens their ids
 */
public record TrainableTokens(List<Integer> tokens) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "TRAINABLE_TOKENS", "trainable_tokens", (config, metadata) -> of(config), MethodType.Training.at(1e-3));

    /** The part that holds the rows. */
    static final String ROWS = "trainable_tokens_delta";

    private static final String INDICES = "token_indices";

    public TrainableTokens {
        tokens = List.copyOf(tokens);
    }

    private static TrainableTokens of(AdapterConfig config) {
        return new TrainableTokens(ids(config, config.document().json().path(INDICES), INDICES));
    }

    /**
     * Ids of tokens in a list.
     *
     * @throws dev.adapt.formats.FormatException if it is none, or empty
     */
    static List<Integer> ids(AdapterConfig config, JsonNode list, String field) {
        List<Integer> ids = new ArrayList<>();
        for (JsonNode id : list) {
            if (!id.isIntegralNumber() || !id.canConvertToInt() || id.intValue() < 0) {
                throw config.document().wrong(field, "ids of tokens, integers from 0 on");
            }
            ids.add(id.intValue());
        }
        if (!list.isArray() || ids.isEmpty()) {
            throw config.document().wrong(field, "a list of ids of tokens");
        }
        return ids;
    }

    private TokenRows rows() {
        return new TokenRows(tokens);
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "trainable tokens";
    }

    @Override
    public List<String> partNames() {
        return List.of(ROWS);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(INDICES, "init_weights");
    }

    @Override
    public boolean adaptsEmbedding(Function<String, @Nullable Tensor> part) {
        return part.apply(ROWS) != null;
    }

    @Override
    public boolean keepsTies(Function<String, @Nullable Tensor> part) {
        return adaptsEmbedding(part);
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public boolean isAdditive() {
        return false;
    }

    @Override
    public Optional<String> undefined(Target target) {
        return rows().undefined(target);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return List.of(rows().part(ROWS, target));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        return rows().change(ops, target, part.apply(ROWS));
    }

    @Override
    public void describe(ObjectNode config) {
        ArrayNode ids = config.putArray(INDICES);
        tokens.forEach(ids::add);
        config.put("init_weights", true);
    }
}
