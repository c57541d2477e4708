package dev.adapt.verify.diagnosis;

import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.Cause;
import dev.adapt.verify.ReferenceRunner;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.LongBinaryOperator;
import java.util.function.UnaryOperator;

/** Mistakes in what a form makes of its inputs. */
record InputMistakes(Model model, ReferenceRunner reference) {
    private static final String IDS = InputSpec.IDS.name();
    private static final String MASK = InputSpec.MASK.name();
    private static final String POSITIONS = InputSpec.POSITIONS.name();
    private static final String TYPES = "token_type_ids";

    List<Hypothesis> all() {
        Architecture architecture = model.architecture();
        List<Hypothesis> all = new ArrayList<>();
        boolean types =
                architecture.inputs().stream().anyMatch(input -> input.name().equals(TYPES));
        if (types) {
            add(all, Cause.TOKEN_TYPES_IGNORED, "token types ignored: it takes 0 for all", TYPES, (value, at) -> 0);
            add(
                    all,
                    Cause.TOKEN_TYPES_IGNORED,
                    "token types exchanged: it takes 1 for 0",
                    TYPES,
                    (value, at) -> 1 - value);
        }
        add(all, Cause.MASK_IGNORED, "attention mask ignored: it reads padding as tokens", MASK, (value, at) -> 1);
        padding(all, "left padding wrong: it masks as if the tokens stood first", false);
        padding(all, "right padding wrong: it masks as if the tokens stood last", true);
        all.add(new Hypothesis(
                Cause.PADDING,
                "left padding wrong: it counts positions from the first token that is no padding",
                this::unpadded));
        if (!types) {
            addPositions(all);
        }
        int vocabulary = architecture.tokens().map(Tokens::vocabulary).orElse(1);
        for (int by : new int[] {1, -1}) {
            add(
                    all,
                    Cause.TOKEN_IDS_SHIFTED,
                    "vocabulary off by one: it reads token id " + (by > 0 ? "i + 1" : "i - 1") + " for id i",
                    IDS,
                    (value, at) -> Math.floorMod(value + by, vocabulary));
        }
        return all;
    }

    private void addPositions(List<Hypothesis> all) {
        all.add(positions("left padding wrong: it counts positions over padding", Cause.PADDING, 0, 1));
        all.add(positions("positions ignored: it takes 0 for all", Cause.POSITIONS, 0, 0));
        all.add(positions("positions off by one: it counts from 1", Cause.POSITIONS, 1, 1));
    }

    private Hypothesis positions(String sentence, Cause cause, long start, long step) {
        return new Hypothesis(cause, sentence, (inputs, wanted) -> {
            Map<String, Tensor> changed = new LinkedHashMap<>(inputs);
            if (inputs.get(IDS) instanceof LongTensor ids) {
                int width = (int) ids.shape().dim(1);
                long[] places = new long[ids.values().length];
                for (int i = 0; i < places.length; i++) {
                    places[i] = start + step * (i % width);
                }
                changed.put(POSITIONS, new LongTensor(ids.shape(), places));
            }
            return reference.outputs(changed, wanted);
        });
    }

    private void add(List<Hypothesis> all, Cause cause, String sentence, String input, LongBinaryOperator change) {
        changed(all, cause, sentence, input, tensor -> {
            long[] values = tensor.values().clone();
            for (int i = 0; i < values.length; i++) {
                values[i] = change.applyAsLong(values[i], i);
            }
            return new LongTensor(tensor.shape(), values);
        });
    }

    private void changed(
            List<Hypothesis> all, Cause cause, String sentence, String input, UnaryOperator<LongTensor> change) {
        all.add(new Hypothesis(cause, sentence, (inputs, wanted) -> {
            Map<String, Tensor> changed = new LinkedHashMap<>(inputs);
            if (inputs.get(input) instanceof LongTensor tensor) {
                changed.put(input, change.apply(tensor));
            }
            return reference.outputs(changed, wanted);
        }));
    }

    private void padding(List<Hypothesis> all, String sentence, boolean last) {
        changed(all, Cause.PADDING, sentence, MASK, mask -> {
            int width = (int) mask.shape().dim(1);
            long[] values = new long[mask.values().length];
            for (int row = 0; row < values.length; row += width) {
                int kept = 0;
                for (int i = row; i < row + width; i++) {
                    kept += mask.values()[i] != 0 ? 1 : 0;
                }
                for (int i = 0; i < width; i++) {
                    values[row + i] = (last ? i >= width - kept : i < kept) ? 1 : 0;
                }
            }
            return new LongTensor(mask.shape(), values);
        });
    }

    /** Each row without what stands before its first token, what it gives put back where the tokens were. */
    private Map<String, DoubleTensor> unpadded(Map<String, Tensor> inputs, Set<String> wanted) {
        if (!(inputs.get(MASK) instanceof LongTensor mask)) {
            return reference.outputs(inputs, wanted);
        }
        int width = (int) mask.shape().dim(1);
        Map<String, DoubleTensor> whole = new LinkedHashMap<>(reference.outputs(inputs, wanted));
        for (int row = 0; row < mask.shape().dim(0); row++) {
            int start = 0;
            while (start < width && mask.values()[row * width + start] == 0) {
                start++;
            }
            if (start == 0 || start == width) {
                continue;
            }
            Map<String, Tensor> own = new LinkedHashMap<>();
            int from = row * width + start;
            int count = width - start;
            inputs.forEach((name, tensor) -> {
                if (tensor instanceof LongTensor longs) {
                    long[] kept = new long[count];
                    System.arraycopy(longs.values(), from, kept, 0, count);
                    own.put(name, new LongTensor(Shape.of(1, count), kept));
                }
            });
            int at = row;
            reference
                    .outputs(own, wanted)
                    .forEach((name, values) ->
                            whole.computeIfPresent(name, (same, all) -> placed(all, values, at, width, count)));
        }
        return whole;
    }

    /** A row's output in the place of the batch's: its last tokens, or all of it where it has no tokens. */
    private static DoubleTensor placed(DoubleTensor all, DoubleTensor row, int index, int width, int count) {
        double[] values = all.values().clone();
        int size = values.length / (int) all.shape().dim(0);
        boolean tokens = all.shape().rank() == 3 && all.shape().dim(1) == width;
        if (!tokens && row.values().length != size) {
            return all;
        }
        int skipped = tokens ? (width - count) * (size / width) : 0;
        System.arraycopy(row.values(), 0, values, index * size + skipped, row.values().length);
        return new DoubleTensor(all.shape(), values);
    }
}
