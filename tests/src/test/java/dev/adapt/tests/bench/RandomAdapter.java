package dev.adapt.tests.bench;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.TextNode;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;

/** Adapters of any method, of the size that PEFT gives them, with random values. */
final class RandomAdapter {
    /** Of what is added to tensors that start as constants, so that no update is 0. */
    private static final double DEVIATION = 0.02;

    private final Random random = new Random(1);
    private final List<Target> targets;
    private final AdapterMethod method;

    private RandomAdapter(AdapterMethod method, List<Target> targets) {
        this.method = method;
        this.targets = targets;
    }

    /**
     * An adapter of all these layers.
     *
     * @param method its name, and settings after a colon each, {@code loha:r=16:alpha=32}
     */
    static BoundAdapter of(String method, List<LlamaShape.Linear> linears) {
        List<String> words = List.of(method.split(":"));
        Map<String, JsonNode> settings = new LinkedHashMap<>();
        for (String setting : words.subList(1, words.size())) {
            int equals = setting.indexOf('=');
            settings.put(setting.substring(0, equals), value(setting.substring(equals + 1)));
        }
        MethodType type = Methods.named(words.getFirst())
                .orElseThrow(() -> new IllegalArgumentException("--method: there is no " + words.getFirst()));
        List<Target> targets = linears.stream()
                .map(linear -> new Target(
                        linear.module(),
                        linear.module(),
                        linear.module() + ".weight",
                        linear.out(),
                        linear.in(),
                        false))
                .toList();
        return new RandomAdapter(type.fresh(Path.of("--method"), settings), targets).bound();
    }

    private static JsonNode value(String text) {
        try {
            return new JsonMapper().readTree(text);
        } catch (JsonProcessingException e) {
            return new TextNode(text);
        }
    }

    private BoundAdapter bound() {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        Map<String, Tensor> regenerated = method.regenerate(targets);
        for (Target target : targets) {
            Map<String, FloatTensor> own = new HashMap<>();
            for (Part part : method.parts(target, targets)) {
                String key = BoundAdapter.key(part, target);
                if (part.initial() instanceof Initial.Regenerated) {
                    tensors.put(key, regenerated.get(part.id(target)));
                } else if (!tensors.containsKey(key)) {
                    FloatTensor values = values(part, target, own);
                    own.put(part.name(), values);
                    tensors.put(key, values);
                }
            }
        }
        return new BoundAdapter(
                method, targets, tensors, Map.of(), Map.of(), BaseChange.of(Optional.empty()), Map.of());
    }

    private FloatTensor values(Part part, Target target, Map<String, FloatTensor> before) {
        return switch (part.initial()) {
            case Initial.Constant(float value) -> normal(part.shape(), value, DEVIATION);
            // the base's singular vectors would take hours, and what stands in their place takes as long to merge
            case Initial.Singular _ -> normal(part.shape(), 0, DEVIATION);
            case Initial.Derived(Initial.Derivation derivation) -> derivation.of(before::get, weight(target));
            default -> part.initial().values(part.shape(), random, () -> weight(target));
        };
    }

    /** A weight whose elements repeat, since a billion random ones take minutes. */
    private static FloatTensor weight(Target target) {
        float[] values = new float[Math.toIntExact(target.shape().elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (DEVIATION * (i % 1009 / 504.0 - 1));
        }
        return new FloatTensor(target.shape(), values);
    }

    private FloatTensor normal(Shape shape, float mean, double deviation) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (mean + deviation * random.nextGaussian());
        }
        return new FloatTensor(shape, values);
    }
}
