package dev.adapt.train.data;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.FormatException;
import java.nio.file.Path;

/** Token ids in a line of JSON, for models whose tokenizer is elsewhere. */
public final class TokenIds {
    /** The field's name, as transformers calls the input. */
    public static final String FIELD = "input_ids";

    private TokenIds() {}

    /**
     * The integers of a list.
     *
     * @throws FormatException naming the line, if the field is not a list of integers
     */
    public static long[] read(Path file, int line, JsonNode node, String field) {
        JsonNode list = node.path(field);
        if (!list.isArray() || list.isEmpty()) {
            throw Lines.fault(file, line, "expected a list of token ids in \"" + field + "\"");
        }
        long[] ids = new long[list.size()];
        for (int i = 0; i < ids.length; i++) {
            JsonNode id = list.get(i);
            if (!id.isIntegralNumber() || !id.canConvertToInt()) {
                throw Lines.fault(
                        file, line, "holds " + Shown.of(id.toString()) + " in \"" + field + "\", expected integers");
            }
            ids[i] = id.longValue();
        }
        return ids;
    }
}
