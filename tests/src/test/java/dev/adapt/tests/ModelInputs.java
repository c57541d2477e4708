package dev.adapt.tests;

import dev.adapt.formats.graph.ReferenceOps;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/** Inputs for BERT, and what the float64 reference makes of them. */
final class ModelInputs {
    private ModelInputs() {}

    /** Random ids and token types; each row of the mask keeps at least one token from the left, the first row all. */
    static Map<String, LongTensor> random(Random random, int batch, int sequence, int vocabulary) {
        Shape shape = Shape.of(batch, sequence);
        long[] ids = random.longs((long) batch * sequence, 0, vocabulary).toArray();
        long[] types = random.longs((long) batch * sequence, 0, 2).toArray();
        long[] mask = new long[batch * sequence];
        for (int row = 0; row < batch; row++) {
            int kept = row == 0 ? sequence : 1 + random.nextInt(sequence);
            Arrays.fill(mask, row * sequence, row * sequence + kept, 1);
        }
        Map<String, LongTensor> inputs = new LinkedHashMap<>();
        inputs.put("input_ids", new LongTensor(shape, ids));
        inputs.put("attention_mask", new LongTensor(shape, mask));
        inputs.put("token_type_ids", new LongTensor(shape, types));
        return inputs;
    }

    /** The model in float64. */
    static DoubleTensor reference(Model model, Map<String, LongTensor> inputs) {
        Map<String, DoubleTensor> wide = new HashMap<>();
        inputs.forEach((name, tensor) -> wide.put(name, DoubleTensor.of(tensor)));
        return model.forward(new ReferenceOps(), name -> DoubleTensor.of(model.leaf(name)), wide);
    }
}
