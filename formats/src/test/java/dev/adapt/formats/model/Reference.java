package dev.adapt.formats.model;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/** A model in float64, and inputs for it. */
final class Reference {
    private Reference() {}

    static DoubleTensor run(Model model, Map<String, LongTensor> inputs) {
        Map<String, DoubleTensor> wide = new LinkedHashMap<>();
        inputs.forEach((name, tensor) -> wide.put(name, DoubleTensor.of(tensor)));
        return model.forward(new ReferenceOps(), name -> DoubleTensor.of(model.leaf(name)), wide);
    }

    /** Random tokens of {@link TinyBert}, none of them masked. */
    static Map<String, LongTensor> inputs(int batch, int length) {
        Shape shape = Shape.of(batch, length);
        long[] ids = new Random(batch * 100 + length)
                .longs((long) batch * length, 0, TinyBert.VOCABULARY)
                .toArray();
        long[] mask = new long[ids.length];
        Arrays.fill(mask, 1);
        Map<String, LongTensor> inputs = new LinkedHashMap<>();
        inputs.put("input_ids", new LongTensor(shape, ids));
        inputs.put("attention_mask", new LongTensor(shape, mask));
        return inputs;
    }
}
